"""lzcheck beside its peers on the same protocol, on this machine, in one run.

    python bench/compare.py [--cpus 3] [--mms 2] [--rounds 3] [--json results.json] [--skip spin,rumur]

Whole commands are timed, from start to verdict, compilers included: of several rounds the fastest counts.  A peer
that is not installed is left out.  `limit` is code written by hand for this one protocol: what generated code is
measured against.
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
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
PEERS = HERE / "peers" / "shoot_lazies"
MODEL = PEERS / "shoot.lzm"

NATIVE = """
import json, sys, time
from checker.core.instance import Instance
from checker.core.lower import lower_model
from checker.core.system import PropertyKind
from checker.lang.names import load_model
from checker.lang.typecheck import typecheck
from checker.native.run import explore_native
model, cpus, mms, symmetry, threads = sys.argv[1], *map(int, sys.argv[2:])
system = lower_model(typecheck(load_model(model)))
asked = tuple(p for p in system.properties if p.kind is not PropertyKind.LEAK)
run = explore_native(Instance(system, {"CPU": cpus, "mm": mms}), asked, threads=threads, symmetry=bool(symmetry))
s = run.statistics
print(json.dumps([s.states, s.transitions, s.peak_memory]))
"""


@dataclass(frozen=True)
class Row:
    """One contestant: seconds of the whole command, and what it counted; memory in MiB."""

    name: str
    seconds: float
    states: int
    transitions: int
    memory: float


def timed(*steps: list[str], cwd: Path, env: dict[str, str] | None = None) -> tuple[float, str]:
    """Run commands one after the other; the seconds they took, and what they wrote."""
    started = time.monotonic()
    output = ""
    for step in steps:
        done = subprocess.run(step, cwd=cwd, env=env, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
    return time.monotonic() - started, output


def lzcheck(name: str, cpus: int, mms: int, *, symmetry: bool, threads: int, work: Path, cached: bool) -> Row:
    """The native engine, asked all that the peers are asked (and not about leaks, which they do not look for)."""
    cache = work / "cache"
    if not cached:
        for entry in cache.glob("lzcheck/model-*"):
            entry.unlink()
    env = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(HERE.parent)}
    arguments = [str(MODEL), str(cpus), str(mms), str(int(symmetry)), str(threads)]
    seconds, output = timed([sys.executable, "-c", NATIVE, *arguments], cwd=work, env=env)
    states, transitions, memory = json.loads(output.splitlines()[-1])
    return Row(name, seconds, states, transitions, memory)


def limit(name: str, cpus: int, mms: int, *, symmetry: bool, work: Path) -> Row:
    """The hand-written exploration."""
    options = ["-DSYM"] if symmetry else []
    compiler = ["cc", "-O3", "-march=native", "-w", f"-DN={cpus}", f"-DM={mms}", *options, str(PEERS / "limit.c")]
    seconds, output = timed([*compiler, "-o", "limit"], ["./limit", "22" if symmetry else "26"], cwd=work)
    found = re.search(r"states (\d+) transitions (\d+)", output)
    return Row(name, seconds, *(map(int, found.groups()) if found else (0, 0)), 0.0)


def spin(name: str, cpus: int, mms: int, *, work: Path) -> Row:
    """SPIN, exhaustive, with collapse off and partial order on, as it comes."""
    shutil.copy(PEERS / "shoot.pml", work)
    generate = ["spin", f"-DN={cpus}", f"-DM={mms}", "-DU=2", "-DBUG=0", "-a", "shoot.pml"]
    compiler = ["cc", "-O3", "-march=native", "-w", "-DSAFETY", "-DMEMLIM=16000", "-DNOFAIR", "-o", "pan", "pan.c"]
    depth, slots = (30_000_000, 26) if cpus * mms >= 6 else (1_000_000, 20)
    seconds, output = timed(generate, compiler, ["./pan", f"-m{depth}", f"-w{slots}"], cwd=work)
    states = re.search(r"(\d+) states, stored", output)
    transitions = re.search(r"(\d+) transitions", output)
    memory = re.search(r"([\d.]+)\s+total actual memory usage", output)
    return Row(
        name,
        seconds,
        int(states[1]) if states else 0,
        int(transitions[1]) if transitions else 0,
        float(memory[1]) if memory else 0.0,
    )


def rumur(name: str, cpus: int, mms: int, *, work: Path) -> Row:
    """Rumur with heuristic symmetry on two threads: the fastest of the peers at larger sizes."""
    text = (PEERS / "shoot.m").read_text(encoding="utf-8")
    for constant, value in (("N", cpus), ("M", mms), ("U", 2), ("BUG", 0)):
        text = re.sub(rf"(?m)^  {constant}: .*", f"  {constant}: {value};", text)
    (work / "in.m").write_text(text, encoding="utf-8")
    generate = ["rumur", "in.m", "--symmetry-reduction", "heuristic", "--threads", "2", "--output", "o.c"]
    compiler = ["cc", "-std=c11", "-march=native", "-O3", "-mcx16", "o.c", "-lpthread", "-o", "o"]
    seconds, output = timed(generate, compiler, ["./o"], cwd=work)
    found = re.findall(r"(\d+) states, (\d+) rules", output)
    return Row(name, seconds, *(map(int, found[-1]) if found else (0, 0)), 0.0)


def contestants(cpus: int, mms: int, skip: set[str], work: Path) -> list[Row]:
    """One round."""
    rows = [
        lzcheck("lzcheck", cpus, mms, symmetry=True, threads=2, work=work, cached=False),
        lzcheck("lzcheck, compiled before", cpus, mms, symmetry=True, threads=2, work=work, cached=True),
        lzcheck("lzcheck, 1 thread", cpus, mms, symmetry=True, threads=1, work=work, cached=False),
        lzcheck("lzcheck unreduced, 1 thread", cpus, mms, symmetry=False, threads=1, work=work, cached=False),
        lzcheck("lzcheck unreduced, 2 threads", cpus, mms, symmetry=False, threads=2, work=work, cached=False),
    ]
    if cpus <= 3 and mms <= 2 and "limit" not in skip:
        rows.append(limit("limit, exact symmetry", cpus, mms, symmetry=True, work=work))
        rows.append(limit("limit, unreduced", cpus, mms, symmetry=False, work=work))
    if shutil.which("spin") and "spin" not in skip:
        rows.append(spin("spin", cpus, mms, work=work))
    if shutil.which("rumur") and "rumur" not in skip:
        rows.append(rumur("rumur, heuristic symmetry, 2 threads", cpus, mms, work=work))
    return rows


def machine() -> dict[str, object]:
    """What the figures depend on."""
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=False).stdout
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "compiler": compiler.splitlines()[0] if compiler else "none",
        "python": platform.python_version(),
    }


def main() -> None:
    """Measure, print a table of ratios to the default lzcheck, and write the figures."""
    parser = argparse.ArgumentParser(description="lzcheck beside SPIN, Rumur and hand-written code")
    parser.add_argument("--cpus", type=int, default=3)
    parser.add_argument("--mms", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--skip", default="")
    options = parser.parse_args()
    best: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for row in contestants(options.cpus, options.mms, set(options.skip.split(",")), Path(folder)):
                if row.name not in best or row.seconds < best[row.name].seconds:
                    best[row.name] = row
    base = next(iter(best.values())).seconds
    print(f"{'':38} {'seconds':>8} {'ratio':>7} {'states':>11} {'transitions':>12} {'MiB':>6}")
    for row in best.values():
        ratio = row.seconds / base
        print(f"{row.name:38} {row.seconds:8.2f} {ratio:7.2f} {row.states:11} {row.transitions:12} {row.memory:6.0f}")
    if options.json is not None:
        record = {"cpus": options.cpus, "mms": options.mms, "machine": machine(), "rows": [*map(asdict, best.values())]}
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
