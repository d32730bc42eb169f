"""lzcheck beside its peers on the same protocol, on this machine, in one run.

    python bench/compare.py [--cpus 3] [--mms 2] [--bug 0] [--rounds 3] [--json FILE] [--only NAME]

Whole commands are timed, from start to verdict, compilers included: of several rounds the fastest counts.  CPU seconds
are those of all processes of a command; they depend less on what else the machine does.  A peer that is not
installed is left out.  `limit` is code written by hand for this one protocol: what generated code is measured against.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
PEERS = HERE / "peers" / "shoot_lazies"
MODEL = PEERS / "shoot.lzm"

# all but leaks, which no peer looks for and which take time and memory
LIKE_PEERS = ("no_freed_mm", "lazy_at_final_drop", "use_after_free", "double_free", "null", "refcount", "bound")
CHECKS = {0: "two_one", 1: "no_ipis", 2: "no_mask"}


@dataclass(frozen=True)
class Size:
    """What is explored: BUG 0 is the correct protocol."""

    cpus: int
    mms: int
    bug: int

    @property
    def large(self) -> bool:
        """Whether a peer needs more than a second for it."""
        return self.cpus * self.mms >= 6 and not self.bug

    @property
    def compiler(self) -> list[str]:
        """For peers: what is quickest on the whole."""
        return ["cc", "-w", *(["-O3", "-march=native"] if self.large else ["-O1"])]


@dataclass(frozen=True)
class Row:
    """One contestant: seconds of the whole command, and what it counted; memory in MiB of its largest process.

    `steps` is the length of the counterexample, None where there is none.
    """

    name: str
    seconds: float
    cpu_seconds: float
    memory: float
    states: int
    transitions: int
    steps: int | None = None


@dataclass
class Measured:
    """Commands run one after the other: what they took together, and what the last one wrote."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory: float = 0.0
    output: str = ""

    def run(self, command: list[str], cwd: Path, env: dict[str, str] | None = None) -> Measured:
        """One more command."""
        with tempfile.TemporaryFile("w+") as output:
            started = time.monotonic()
            process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=subprocess.DEVNULL)
            _, _, usage = os.wait4(process.pid, 0)
            self.seconds += time.monotonic() - started
            process.returncode = 0  # what was written says whether it went well
            output.seek(0)
            self.output = output.read()
        self.cpu_seconds += usage.ru_utime + usage.ru_stime
        self.memory = max(self.memory, usage.ru_maxrss / 1024)
        return self

    def row(self, name: str, counts: re.Match[str] | None, steps: int | None = None) -> Row:
        """What is told of it; `counts` are states and transitions."""
        states, transitions = (int(float(count)) for count in counts.groups()) if counts else (0, 0)
        return Row(name, self.seconds, self.cpu_seconds, self.memory, states, transitions, steps)


# -- the contestants ---------------------------------------------------------


def lzcheck(name: str, size: Size, work: Path, *options: str, forget: str = "", like_peers: bool = True) -> Row:
    """The command as users type it; `forget` are the cache entries that are removed before."""
    cache = work / "cache"
    for entry in cache.glob(f"lzcheck/{forget}") if forget else ():
        entry.unlink()
    env = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(HERE.parent)}
    if forget == "*":  # what scripts/setup does
        subprocess.run([sys.executable, "-m", "checker.prepare"], cwd=work, env=env, check=True)
    properties = [word for name in LIKE_PEERS * like_peers for word in ("--property", name)]
    sizes = ["--size", f"CPU={size.cpus}", "--size", f"mm={size.mms}"]
    command = ["-m", "checker", str(MODEL), "--check", CHECKS[size.bug], *sizes, *properties, *options, "--json", "-"]
    done = Measured().run([sys.executable, *command], work, env)
    (record,) = json.loads(done.output)
    steps = [p["steps"] for p in record["properties"] if p["verdict"] == "violated"]
    memory = max(done.memory, record["peak_memory_mib"])
    counts = record["states"], record["transitions"]
    return Row(name, done.seconds, done.cpu_seconds, memory, *counts, steps[0] if steps else None)


def limit(name: str, size: Size, work: Path, *, symmetry: bool) -> Row:
    """The hand-written exploration, compiled with all that makes it quick."""
    sizes = [f"-DN={size.cpus}", f"-DM={size.mms}", *["-DSYM"] * symmetry]
    done = Measured().run(["cc", "-O3", "-march=native", "-w", *sizes, str(PEERS / "limit.c"), "-o", "limit"], work)
    done.run(["./limit", "22" if symmetry else "26"], work)
    return done.row(name, re.search(r"states (\d+) transitions (\d+)", done.output))


def spin(name: str, size: Size, work: Path, *options: str) -> Row:
    """SPIN, exhaustive, with collapse off and partial order on, as it comes."""
    shutil.copy(PEERS / "shoot.pml", work)
    (work / "shoot.pml.trail").unlink(missing_ok=True)
    constants = [f"-DN={size.cpus}", f"-DM={size.mms}", "-DU=2", f"-DBUG={size.bug}"]
    done = Measured().run(["spin", *constants, "-a", "shoot.pml"], work)
    done.run([*size.compiler, "-DSAFETY", "-DMEMLIM=16000", "-DNOFAIR", *options, "-o", "pan", "pan.c"], work)
    depth, slots = (30_000_000, 26) if size.large else (1_000_000, 20)
    done.run(["./pan", f"-m{depth}", f"-w{slots}"], work)
    found = re.search(r"([\d.e+]+) states, stored.*?([\d.e+]+) transitions", done.output, re.DOTALL)
    trail = work / "shoot.pml.trail"
    steps = len(re.findall(r"(?m)^\d+:", trail.read_text())) if trail.exists() else None
    return done.row(name, found, steps)


def rumur(name: str, size: Size, work: Path) -> Row:
    """Rumur with heuristic symmetry on two threads: the fastest of the peers at larger sizes."""
    text = (PEERS / "shoot.m").read_text(encoding="utf-8")
    for constant, value in (("N", size.cpus), ("M", size.mms), ("U", 2), ("BUG", size.bug)):
        text = re.sub(rf"(?m)^  {constant}: .*", f"  {constant}: {value};", text)
    (work / "in.m").write_text(text, encoding="utf-8")
    generate = ["rumur", "in.m", "--symmetry-reduction", "heuristic", "--threads", "2", "--output", "o.c"]
    done = Measured().run(generate, work)
    done.run([*size.compiler, "-std=c11", "-mcx16", "o.c", "-lpthread", "-o", "o"], work)
    done.run(["./o"], work)
    *_, found = [None, *re.finditer(r"(\d+) states, (\d+) rules", done.output)]
    return done.row(name, found, len(re.findall(r"(?m)^Rule .* fired", done.output)) or None)


def contestants(size: Size, work: Path) -> Iterator[tuple[str, Callable[[str], Row]]]:
    """Who takes part, by name."""

    def ours(*options: str, forget: str = "", like_peers: bool = False) -> Callable[[str], Row]:
        return lambda name: lzcheck(name, size, work, *options, forget=forget, like_peers=like_peers)

    yield "lzcheck, just set up", ours(forget="*")
    yield "lzcheck, model new", ours(forget="[lm]*")
    yield "lzcheck, model compiled before", ours()
    if size.large:
        # asked what the peers are asked, by the native engine alone
        for name, options in (("symmetry", ()), ("unreduced", ("--no-symmetry",))):
            for threads in ("1", "2"):
                native = ("--engine", "native", "--threads", threads, *options)
                yield f"lzcheck, no leaks, {name}, threads: {threads}", ours(*native, forget="[lm]*", like_peers=True)
        if size.cpus <= 3:
            yield "limit, exact symmetry", lambda name: limit(name, size, work, symmetry=True)
            yield "limit, unreduced", lambda name: limit(name, size, work, symmetry=False)
    if shutil.which("spin"):
        yield "spin", lambda name: spin(name, size, work)
        if size.bug:
            yield "spin, breadth first", lambda name: spin(name, size, work, "-DBFS")
    if shutil.which("rumur"):
        yield "rumur, heuristic symmetry, threads: 2", lambda name: rumur(name, size, work)


# -- the report --------------------------------------------------------------


def machine() -> dict[str, object]:
    """What the figures depend on."""
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=False).stdout
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "compiler": compiler.splitlines()[0] if compiler else "none",
        "python": platform.python_version(),
    }


def main() -> None:
    """Measure, print a table of ratios to the default lzcheck, and write the figures."""
    parser = argparse.ArgumentParser(description="lzcheck beside SPIN, Rumur and hand-written code")
    parser.add_argument("--cpus", type=int, default=3)
    parser.add_argument("--mms", type=int, default=2)
    parser.add_argument("--bug", type=int, default=0, choices=(0, 1, 2))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="", help="contestants whose names begin with this")
    options = parser.parse_args()
    size = Size(options.cpus, options.mms, options.bug)
    best: dict[str, Row] = {}
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for name, measure in contestants(size, Path(folder)):
                if not name.startswith(options.only):
                    continue
                row = measure(name)
                if name not in best or row.seconds < best[name].seconds:
                    best[name] = row
            loads.append(os.getloadavg()[0])
    base = next(iter(best.values()))
    print(f"{'':36} {'seconds':>8} {'ratio':>6} {'CPU s':>7} {'ratio':>6} {'states':>11} {'steps':>5} {'MiB':>6}")
    for row in best.values():
        ratios = row.seconds / base.seconds, row.cpu_seconds / base.cpu_seconds
        print(
            f"{row.name:36} {row.seconds:8.2f} {ratios[0]:6.2f} {row.cpu_seconds:7.2f} {ratios[1]:6.2f}"
            f" {row.states:11} {row.steps or '-':>5} {row.memory:6.0f}"
        )
    if options.json is not None:
        rows = [asdict(row) for row in best.values()]
        record = {**asdict(size), "rounds": options.rounds, "machine": machine(), "load": loads, "rows": rows}
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
