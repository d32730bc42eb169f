"""The command: a chain of stages for each thing that can be asked, and the exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from checker.check import WrongPath
from checker.core.printer import format_system
from checker.core.verdict import CheckResult, ExitCode, Limits, Outcome
from checker.engines import Run, usable_cores
from checker.explorer import state_graph
from checker.lang.diagnostics import CODES, UserError, suggest
from checker.lang.names import Model, load_model
from checker.lang.parser import Parser
from checker.mutate import Mutant, chosen_checks, mutants
from checker.native.run import EngineFailed
from checker.options import overrides_of, parse_arguments, run_of
from checker.plan import Overrides, Plan, make_instance, plans
from checker.report.catalogue import render_catalogue
from checker.report.diagnostics import render_diagnostics
from checker.report.itf import itf_record
from checker.report.jsonfmt import result_record, trace_record
from checker.report.mutationtext import mutant_records, mutants_status, render_mutants
from checker.report.output import write_json, write_text
from checker.report.progress import Progress
from checker.report.text import render_email, render_result, render_suite, render_trace
from checker.report.values import Json
from checker.rerun import load_trace, rerun
from checker.suite import run_checks


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    try:
        status = _command(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return int(status)
    except UserError as error:
        _say(render_diagnostics(error))
        return ExitCode.USAGE
    except BrokenPipeError:
        # the reader has gone (`| head`): nothing more to say, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.EXPECTED
    except OSError as error:
        place = f" '{error.filename}'" if error.filename else ""
        _say(f"lzcheck: error: cannot write{place}: {error.strerror or error} [LZ603]\n")
        return ExitCode.USAGE
    except KeyboardInterrupt:
        _say("lzcheck: interrupted\n")
        return ExitCode.LIMIT
    except (MemoryError, RecursionError) as error:
        what = "out of memory" if isinstance(error, MemoryError) else "the model is nested too deeply"
        _say(f"lzcheck: error: {what} [LZ601]\n")
        return ExitCode.LIMIT if isinstance(error, MemoryError) else ExitCode.USAGE
    except EngineFailed as error:
        _say(f"lzcheck: {error}\n" if error.stopped else f"lzcheck: internal error: {error} [LZ901]\n")
        return ExitCode.LIMIT if error.stopped else ExitCode.INTERNAL
    except WrongPath as error:
        _say(f"lzcheck: internal error: {error} [LZ901]\n{_saved(error)}")
        return ExitCode.INTERNAL
    except Exception:
        import traceback

        _say(f"lzcheck: internal error [LZ901]\n{traceback.format_exc()}Please report this with the model.\n")
        return ExitCode.INTERNAL


def _command(arguments: Sequence[str]) -> ExitCode:
    if "--version" in arguments:
        from importlib import metadata  # here, as it takes a tenth of the time to start

        print(f"lzcheck {metadata.version('lzcheck')}")
        return ExitCode.EXPECTED
    options = parse_arguments(arguments)
    match options.command:
        case "check":
            return _check(options)
        case "suite":
            return _suite(options)
        case "mutate":
            return _mutate(options)
        case "induct":
            return _induct(options)
        case "prove":
            return _prove(options)
        case "fences":
            return _fences(options)
        case "litmus":
            return _litmus(options)
        case "graph":
            return _graph(options)
        case "replay":
            return _replay(options)
        case _:
            return _explain(options.code)


# -- checks


def _check(options: argparse.Namespace) -> ExitCode:
    model = load_model(options.model)
    wanted = None if options.all else options.check or ()
    chosen = plans(model, wanted, overrides_of(options))
    if options.dump_system:
        for plan in chosen:
            print(format_system(make_instance(model, plan).system), end="")
        return ExitCode.EXPECTED
    run = run_of(options)
    with Progress(sys.stderr) as progress:
        results = []
        for result in run_checks([(model, plan) for plan in chosen], run, options.jobs, progress):
            if isinstance(result, UserError):
                raise result
            results.append(result)
    if not options.all:
        results = [_advised(model, plan, result, run) for plan, result in zip(chosen, results, strict=True)]
    _write_files(options, results)
    if options.json != "-":
        if options.email:
            print("\n".join(filter(None, (render_email(r, values=not options.brief) for r in results))), end="")
        elif options.all:
            print(render_suite(results), end="")
        else:
            print("\n".join(render_result(r, values=not options.brief) for r in results), end="")
    return _worst(results)


def _advised(model: Model, plan: Plan, result: CheckResult, run: Run) -> CheckResult:
    """The result with what would forbid a violation that a weaker memory model allows."""
    if plan.memory_model == "sc" or not result.broken or result.findings:
        return result
    from checker.barriers import advice, advice_text  # most runs do without

    found = advice(model, plan, result, run)
    return result if found is None else replace(result, notes=(*result.notes, advice_text(found)))


def _suite(options: argparse.Namespace) -> ExitCode:
    parser, run = Parser(), run_of(options)
    asked: list[tuple[Model, Plan]] = []
    failures: list[UserError] = []
    for path in _models(options.paths):
        try:
            model = load_model(path, parser)
            asked += [(model, plan) for plan in plans(model, None, Overrides())]
        except UserError as error:
            failures.append(error)
    results: list[CheckResult] = []
    with Progress(sys.stderr) as progress:
        for result in run_checks(asked, run, options.jobs, progress):
            if isinstance(result, UserError):
                failures.append(result)
            else:
                results.append(result)
            progress.count(len(results), len(asked), "check")
    if options.catalogue:
        docs = {model.file: model.doc for model, _ in asked}
        page = render_catalogue(docs, results, f"lzcheck suite {' '.join(options.paths)} --catalogue FILE")
        write_text(options.catalogue, page)
    if options.json:
        write_json(options.json, [result_record(r) for r in results])
    if results and options.json != "-":
        print(render_suite(results), end="")
    for failure in failures:
        _say(render_diagnostics(failure))
    return ExitCode.USAGE if failures else _worst(results)


def _mutate(options: argparse.Namespace) -> ExitCode:
    model = load_model(options.model)
    chosen = plans(model, chosen_checks(model, options.check or ()), overrides_of(options))
    checks = ", ".join(plan.name for plan in chosen)
    found: list[Mutant] = []
    with Progress(sys.stderr) as progress:
        for mutant in mutants(model, chosen, run_of(options), options.jobs, libraries=options.libraries):
            found.append(mutant)
            progress.count(len(found), None, "mutation")
    if options.json:
        write_json(options.json, mutant_records(options.model, checks, found))
    if options.json != "-":
        print(render_mutants(options.model, checks, found), end="")
    return mutants_status(found)


def _fences(options: argparse.Namespace) -> ExitCode:
    from checker.fences import Needs, fences  # most runs do without
    from checker.report.fencestext import fences_record, fences_status, render_fences

    model = load_model(options.model)
    wanted = None if options.all else options.check or ()
    refused, found = fences(model, wanted, overrides_of(options), run_of(options), options.jobs)
    needs: list[Needs] = []
    with Progress(sys.stderr) as progress:
        for need in found:
            needs.append(need)
            progress.count(len(needs), None, "fence")
    if options.json:
        write_json(options.json, fences_record(options.model, refused, needs))
    if options.json != "-":
        print(render_fences(options.model, refused, needs), end="")
    return fences_status(needs)


def _prove(options: argparse.Namespace) -> ExitCode:
    from checker.proving import prove_checks, recheck_models  # Z3 takes its time to load

    if options.check_only:
        return recheck_models(_models([options.model]), options.check, options.smtlib, print, usable_cores())
    say = print if options.verbose else None
    return prove_checks(
        load_model(options.model), options.check, overrides_of(options), options.time, options.smtlib, print, say,
        usable_cores(),
    )  # fmt: skip


def _induct(options: argparse.Namespace) -> ExitCode:
    from checker.induct import check_induction  # Z3 takes its time to load
    from checker.report.inducttext import induction_status, render_induction

    model = load_model(options.model)
    (plan, *_) = plans(model, options.check or (), overrides_of(options))
    if plan.memory_model == "weak":
        raise UserError.of("LZ602", "induction has no weak memory model", hint="--memory sc or tso")
    result = check_induction(make_instance(model, plan), options.k, options.time)
    print(render_induction(options.model, plan.name, result), end="")
    return induction_status(result)


def _litmus(options: argparse.Namespace) -> ExitCode:
    from checker.litmus.parse import parse  # models do not need them
    from checker.litmus.run import Result, run
    from checker.report.litmustext import litmus_record, render_litmus, render_summary

    results: list[Result] = []
    records: list[Json] = []
    failed = False
    for path in _litmus_files(options.paths):
        try:
            litmus = parse(_text(path), path)
        except UserError as error:
            _say(render_diagnostics(error))
            failed = True
            continue
        results.append(run(litmus, options.history or None, options.defer, options.max_states))
        records.append(litmus_record(results[-1], path))
        if options.json != "-":
            print(render_litmus(results[-1], witness=not options.brief), end="", flush=True)
    if options.json:
        write_json(options.json, records)
    if len(results) > 1 and options.json != "-":
        print(render_summary(results), end="")
    if failed:
        return ExitCode.USAGE
    if any(r.as_expected is False for r in results):
        return ExitCode.SURPRISE
    return ExitCode.EXPECTED if all(r.complete for r in results) else ExitCode.LIMIT


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError.of("LZ103", f"cannot read '{path}': {error.strerror}") from None


def _litmus_files(paths: Sequence[str]) -> list[str]:
    """The files named, and the .litmus files in the folders named."""
    found: list[str] = []
    for path in paths:
        inside = sorted(Path(path).rglob("*.litmus")) if Path(path).is_dir() else [Path(path)]
        if not inside:
            raise UserError.of("LZ405", f"there is no litmus test in '{path}'")
        found += [str(p) for p in inside]
    return found


def _models(paths: Sequence[str]) -> list[str]:
    """The .lzm files named, and those in the folders named; libraries are no models."""
    found: list[str] = []
    for path in paths:
        folder = Path(path)
        if not folder.is_dir():
            found.append(path)
            continue
        inside = [p for p in sorted(folder.rglob("*.lzm")) if not _is_library(p)]
        if not inside:
            raise UserError.of("LZ405", f"there is no model in '{path}'")
        found += [str(p) for p in inside]
    return found


def _is_library(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        first = (line.strip() for line in file)
        return next((x for x in first if x and not x.startswith("/")), "").startswith("library")


def _write_files(options: argparse.Namespace, results: Sequence[CheckResult]) -> None:
    if options.json:
        write_json(options.json, [result_record(r) for r in results])
    if not (options.trace or options.itf):
        return
    broken = [(r, v.trace) for r in results for v in r.verdicts
              if v.trace is not None and v.outcome in (Outcome.VIOLATED, Outcome.BOUND)]  # fmt: skip
    if not broken:
        _say("lzcheck: note: there is no counterexample to save\n")
        return
    result, trace = broken[0]
    if options.trace:
        write_json(options.trace, trace_record(trace, model=result.model, check=result.check))
    if options.itf:
        write_json(options.itf, itf_record(trace, model=result.model))


def _worst(results: Sequence[CheckResult]) -> ExitCode:
    """A surprise before a limit before all as expected."""
    codes = {r.exit_code for r in results}
    for code in (ExitCode.SURPRISE, ExitCode.LIMIT):
        if code in codes:
            return code
    return ExitCode.EXPECTED


# -- other commands


def _graph(options: argparse.Namespace) -> ExitCode:
    from checker.report.graphfmt import FORMATS, render_graph  # networkx takes its time, and only graphs need it

    form = Path(options.output).suffix.removeprefix(".")
    if form not in FORMATS:
        known = ", ".join(f".{f}" for f in FORMATS)
        raise UserError.of("LZ605", f"'{options.output}': which format?", hint=f"end the name with {known}")
    model = load_model(options.model)
    (plan, *_) = plans(model, options.check or (), overrides_of(options))
    limits = Limits(options.max_states, options.max_depth, options.time, options.memory_limit)
    graph = state_graph(make_instance(model, plan), limits)
    try:
        text = render_graph(graph, form)
    except ValueError as error:
        raise UserError.of("LZ601", str(error), hint="limit it with --max-states or --max-depth") from None
    write_text(options.output, text)
    _say(f"{options.output}: {graph.number_of_nodes():,} states, {graph.number_of_edges():,} edges\n")
    return ExitCode.EXPECTED


def _replay(options: argparse.Namespace) -> ExitCode:
    saved = load_trace(options.trace)
    model = load_model(options.model or saved.model)
    config = {name: _word(value) for name, value in saved.config.items() if name in model.configs}
    sizes = {name: str(size) for name, size in saved.sizes.items() if model.has_sort(name)}
    overrides = Overrides(config, sizes, saved.memory_model)
    names = (saved.check,) if saved.check in model.checks else ()
    (plan, *_) = plans(model, names, overrides)
    again = rerun(make_instance(model, plan), saved)
    steps = len(saved.steps)
    if again.trace is not None:
        print(render_trace(again.trace), end="")
        print(f"\nstill there: {saved.property} fails after the same {steps} steps")
        return ExitCode.EXPECTED
    if again.blocked is None:
        print(f"gone: all {steps} steps can be made, and {saved.property} holds at their end")
        return ExitCode.SURPRISE
    step = saved.steps[again.blocked - 1]
    print(f"blocked at step {again.blocked} of {steps}: {step.thread}: {step.label}")
    for reason in again.reasons:
        print(f"  {reason}")
    return ExitCode.SURPRISE


def _word(value: bool | int | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _explain(code: str) -> ExitCode:
    if code.upper() not in CODES:
        known = ", ".join(sorted(CODES))
        raise UserError.of(
            "LZ605", f"there is no code '{code}'", hint=suggest(code.upper(), CODES) or f"there are {known}"
        )
    print(f"{code.upper()}: {CODES[code.upper()]}")
    return ExitCode.EXPECTED


def _saved(error: WrongPath) -> str:
    """Keep what is needed to repeat an internal error: the System and the path."""
    name = "lzcheck-internal-error.txt"
    choices = "\n".join(f"{c.action} {c.args}" for c in error.path.choices)
    text = (
        f"{error}\n\n{format_system(error.instance.system)}\npath from initial state {error.path.initial}:\n{choices}\n"
    )
    try:
        write_text(name, text)
    except OSError:
        return "The System and the path could not be saved.\n"
    return f"The System and the path are in {name}; please report them.\n"


def _say(text: str) -> None:
    sys.stderr.write(text)
