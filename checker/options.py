"""The command line: what can be said, and what is wrong with what was said."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from checker.core.verdict import Limits
from checker.engines import ENGINES, Run, usable_cores
from checker.lang.diagnostics import UserError
from checker.plan import MEMORY_MODELS, MOST, Overrides

COMMANDS = ("check", "suite", "mutate", "fences", "induct", "prove", "litmus", "graph", "replay", "explain")

EXIT_STATUSES = """\
exit status:
  0  every verdict is as expected        3  a limit came before the answer
  1  some verdict is not                 4  an error of lzcheck itself
  2  the model or the command is wrong
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are ours."""

    def error(self, message: str) -> NoReturn:
        raise UserError.of("LZ605", message, hint=f"{self.prog} --help lists what there is")


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The options given; raises UserError where they make no sense.  `lzcheck MODEL` is `lzcheck check MODEL`."""
    given = list(arguments)
    if given and given[0] not in (*COMMANDS, "-h", "--help", "--version"):
        given.insert(0, "check")
    options = _parser().parse_args(given)
    if options.command is None:
        raise UserError.of("LZ605", "which model?", hint="lzcheck MODEL.lzm; lzcheck --help lists what there is")
    return options


def run_of(options: argparse.Namespace) -> Run:
    """How to search."""
    limits = Limits(options.max_states, options.max_depth, options.time, options.memory_limit)
    return Run(
        engine=options.engine,
        strategy=options.strategy,
        limits=limits,
        threads=usable_cores() if options.threads is None else max(options.threads, 1),
        symmetry=not options.no_symmetry,
        por=options.por,
        fingerprints=options.fingerprints,
        seed=options.seed,
        walks=options.walks,
        walk_length=options.walk_length,
        properties=tuple(options.property or ()),
    )


def overrides_of(options: argparse.Namespace) -> Overrides:
    """What the command line sets in the model."""
    return Overrides(
        _pairs(options.define, "-D NAME=VALUE"), _pairs(options.size, "--size SORT=NUMBER"), options.memory,
        options.store_buffer, options.history, options.defer,
    )  # fmt: skip


def _pairs(texts: Sequence[str] | None, form: str) -> dict[str, str]:
    pairs = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise UserError.of("LZ605", f"'{text}' is not of the form {form}")
        pairs[name] = value
    return pairs


def _parser() -> _Parser:
    parser = _Parser(
        prog="lzcheck",
        description="Check lazy-TLB, TLB-shootdown and mmu_gather protocols.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    check = commands.add_parser("check", help="run a model's checks (the default command)", epilog=EXIT_STATUSES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    check.add_argument("model", help="a .lzm file")
    chosen = check.add_mutually_exclusive_group()
    chosen.add_argument("--check", action="append", metavar="NAME", help="run this check (default: the model's first)")
    chosen.add_argument("--all", action="store_true", help="run every check and print a table")
    check.add_argument("--dump-system", action="store_true", help="print the transition system and stop")
    check.add_argument("--email", action="store_true", help="print the counterexample and nothing else")
    check.add_argument(
        "--brief", action="store_true", help="print counterexamples without the values that steps change"
    )
    check.add_argument("--trace", metavar="FILE", help="save the counterexample as JSON, for lzcheck replay")
    _jobs_option(check)
    check.add_argument("--itf", metavar="FILE", help="save the counterexample in the Informal Trace Format")
    _model_options(check)
    _search_options(check)
    suite = commands.add_parser("suite", help="run every check of every model and print a table")
    suite.add_argument("paths", nargs="+", metavar="PATH", help="a .lzm file, or a folder of them")
    suite.add_argument("--catalogue", metavar="FILE", help="write a page that lists the models and their real bugs")
    _search_options(suite)
    _jobs_option(suite)
    mutate = commands.add_parser("mutate", help="leave out each guard, flush, lock, IPI in turn: who notices?")
    mutate.add_argument("model", help="a .lzm file")
    mutate.add_argument("--check", action="append", metavar="NAME",
                        help="a check that passes (default: those named upstream..., or else the first)")  # fmt: skip
    mutate.add_argument("--libraries", action="store_true", help="leave things out of the tool's libraries, too")
    _model_options(mutate)
    _search_options(mutate)
    _jobs_option(mutate)
    fences = commands.add_parser("fences", help="leave out each fence in turn: which memory models need it?")
    fences.add_argument("model", help="a .lzm file")
    which = fences.add_mutually_exclusive_group()
    which.add_argument("--check", action="append", metavar="NAME", help="a check that passes (default: the first)")
    which.add_argument("--all", action="store_true", help="ask all checks that pass under sc")
    _model_options(fences)
    _search_options(fences)
    _jobs_option(fences)
    induct = commands.add_parser("induct", help="are the invariants inductive?  If not, where does induction break?")
    induct.add_argument("model", help="a .lzm file")
    induct.add_argument("--check", action="append", metavar="NAME", help="its configuration and sizes")
    induct.add_argument("-k", type=_positive, default=1, metavar="K", help="so many good states in a row (default: 1)")
    induct.add_argument("--time", type=_seconds, metavar="SECONDS", help="give up after this time")
    _model_options(induct)
    litmus = commands.add_parser("litmus", help="herd's C litmus tests under the weak memory model")
    litmus.add_argument("paths", nargs="+", metavar="PATH", help="a .litmus file, or a folder of them")
    litmus.add_argument("--history", type=_natural, default=2, metavar="K",
                        help="messages kept per location; 0: all of them (default: 2)")  # fmt: skip
    litmus.add_argument("--defer", type=_put_off, default=1, metavar="P",
                        help="accesses that a thread may put off at a time (default: 1)")  # fmt: skip
    litmus.add_argument("--brief", action="store_true", help="no witnesses")
    litmus.add_argument("--json", metavar="FILE", help="write one record per test ('-': standard output)")
    litmus.add_argument("--max-states", type=_positive, default=2_000_000, metavar="N", help="stop after N states")
    prove = commands.add_parser("prove", help="prove the checks for any number of CPUs, or recheck their certificates")
    prove.add_argument("model", help="a .lzm file; with --check-only a folder of them, too")
    prove.add_argument("--check", action="append", metavar="NAME", help="this check (default: all with SORT = any)")
    prove.add_argument("--check-only", action="store_true", help="recheck the certificates, look for nothing")
    prove.add_argument("--smtlib", metavar="DIR", help="write every obligation as SMT-LIB text: each is to be unsat")
    prove.add_argument("--time", type=_seconds, metavar="SECONDS", help="give up after this time")
    prove.add_argument("--verbose", action="store_true", help="print each clause when it is found, and why")
    _model_options(prove)
    graph = commands.add_parser("graph", help="write the state graph")
    graph.add_argument("model", help="a .lzm file")
    graph.add_argument("-o", "--output", required=True, metavar="FILE", help="FILE.dot, .graphml, .json or .svg")
    graph.add_argument("--check", action="append", metavar="NAME")
    _model_options(graph)
    _limit_options(graph)
    again = commands.add_parser("replay", help="replay a saved trace, also against a changed model")
    again.add_argument("trace", help="a file written by --trace or --json")
    again.add_argument("--model", help="the model to replay against (default: the one it was made from)")
    explain = commands.add_parser("explain", help="say what an error code means")
    explain.add_argument("code", help="LZ201, for instance")
    return parser


def _jobs_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=_natural, default=usable_cores(), metavar="N",
                        help="checks that run side by side (default: one per core)")  # fmt: skip


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-D", dest="define", action="append", metavar="NAME=VALUE", help="set a config")
    parser.add_argument("--size", action="append", metavar="SORT=NUMBER", help="set the size of a sort: --size CPU=3")
    parser.add_argument("--memory", choices=MEMORY_MODELS,
                        help="memory model (default: that of the check, or sc)")  # fmt: skip
    parser.add_argument("--store-buffer", type=_buffered, metavar="N",
                        help="stores that a store buffer of tso holds (default: 2)")  # fmt: skip
    parser.add_argument("--history", type=_natural, metavar="K",
                        help="messages that weak keeps of a location; 0: all (default: 2)")  # fmt: skip
    parser.add_argument("--defer", type=_put_off, metavar="P",
                        help="accesses that a thread of weak may put off at a time (default: 1)")  # fmt: skip


def _search_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=ENGINES, default="auto",
                        help="who searches (default: native where there is a C compiler)")  # fmt: skip
    parser.add_argument("--threads", type=_natural, metavar="N",
                        help="threads of the native engine (default: one for each core)")  # fmt: skip
    parser.add_argument("--no-symmetry", action="store_true", help="visit states that differ in names only, too")
    parser.add_argument("--por", action=argparse.BooleanOptionalAction, default=False,
                        help="explore steps alone that commute with all others (default: no)")  # fmt: skip
    parser.add_argument("--fingerprints", action="store_true",
                        help="keep 64 bits in place of each state; one may be left out")  # fmt: skip
    ways = "breadth-first (shortest counterexamples), depth-first, or seeded random walks"
    parser.add_argument("--strategy", choices=("bfs", "dfs", "random"), default="bfs", help=ways)
    parser.add_argument("--seed", type=_natural, default=0, metavar="N", help="seed of the random walks (default: 0)")
    parser.add_argument("--walks", type=_natural, default=100, metavar="N", help="number of random walks")
    parser.add_argument("--walk-length", type=_natural, default=1000, metavar="N", help="steps of a random walk")
    parser.add_argument("--property", action="append", metavar="NAME", help="ask for this property only")
    parser.add_argument("--json", metavar="FILE", help="write one record per check ('-': standard output)")
    _limit_options(parser)


def _limit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--max-states", type=_natural, metavar="N", help="stop after N states")
    parser.add_argument("--max-depth", type=_natural, metavar="N", help="stop after N steps")
    parser.add_argument("--time", type=_seconds, metavar="SECONDS", help="stop after this time")
    parser.add_argument("--memory-limit", type=_natural, metavar="MIB", help="stop at this much memory")


def _natural(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a number")
    return int(text)


def _positive(text: str) -> int:
    if _natural(text) == 0:
        raise argparse.ArgumentTypeError("it is at least 1")
    return int(text)


def _buffered(text: str) -> int:
    if not 1 <= _natural(text) <= MOST:
        raise argparse.ArgumentTypeError(f"a store buffer holds 1 to {MOST} stores")
    return int(text)


def _put_off(text: str) -> int:
    if _natural(text) > MOST:
        raise argparse.ArgumentTypeError(f"a thread may put off 0 to {MOST} accesses")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds")
    return value
