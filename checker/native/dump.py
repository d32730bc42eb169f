"""All reachable states of an Instance, packed, from the native engine."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from pathlib import Path

from checker.core.instance import Instance
from checker.native.layout import Layout
from checker.native.run import EngineFailed, prepare_native
from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Dump:
    """Packed states, one representative of each class under symmetry; `complete` unless a limit ended the search."""

    layout: Layout
    words: int
    states: bytes
    complete: bool


def dump_states(instance: Instance, limit: int, megabytes: int, *, threads: int = 1) -> Dump:
    """The first states breadth first, so many or all; raises what `explore_native` raises before it has states."""
    prepared = prepare_native(instance, ())
    try:
        program, executable = prepared.program, prepared.building.finish()
    finally:
        prepared.abandon()
    words = program.words
    initial = b"".join(struct.pack(f"<{words}Q", *program.layout.pack(state)) for state in program.initial)
    with tempfile.TemporaryDirectory(prefix="lzcheck-") as folder:
        path = Path(folder) / "states"
        arguments = [f"threads={threads}", f"states={limit}", f"memory={megabytes << 20}", "edges=0", f"dump={path}"]
        done = subprocess.run(
            [executable, *arguments], input=struct.pack("<Q", len(program.initial)) + initial, capture_output=True
        )
        last = done.stdout.decode("ascii").splitlines()[-1:]
        if done.returncode or not last or not last[0].startswith("done "):
            raise EngineFailed(f"the native engine ended with status {done.returncode}")
        return Dump(program.layout, words, path.read_bytes(), last[0].split()[4] == "none")
