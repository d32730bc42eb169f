"""How programs are compiled and kept, what happens without a compiler, and sanitizers over the whole engine."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from checker.core import semantics
from checker.core.instance import Instance
from checker.core.system import System
from checker.native import build as module
from checker.native import run
from checker.native.build import RUNTIME, Building, CompilerFailed, NoCompiler, build, find_compiler, prepare_engines
from checker.native.emit import generate
from tests.systems import counters, generations, locks, objects

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(folder), **more}


def program(system: System, *, symmetry: bool = True) -> tuple[tuple[str, ...], int]:
    instance = Instance(system)
    made = generate(instance, system.properties, tuple(semantics.initial_states(instance)), symmetry=symmetry)
    return made.sources, made.words


def script(path: Path, text: str) -> str:
    path.write_text("#!/bin/sh\n" + text, encoding="ascii")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


# -- the cache -------------------------------------------------------------------


@needs_compiler
def test_the_second_time_nothing_is_compiled(tmp_path: Path) -> None:
    first = build(*program(counters(2)), environment(tmp_path))
    made = first.stat().st_mtime_ns
    assert build(*program(counters(2)), environment(tmp_path)) == first
    assert first.stat().st_mtime_ns == made
    assert build(*program(counters(3)), environment(tmp_path)) != first
    assert not list((tmp_path / "lzcheck").glob("build-*"))


@needs_compiler
def test_programs_that_nobody_uses_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checker.native.build._ENTRIES", 4)
    folder = tmp_path / "lzcheck"
    folder.mkdir()
    for n in range(6):
        (folder / f"model-{n}").write_text("a program")
        (folder / f"model-{n}.sum").write_text("its digest")
        os.utime(folder / f"model-{n}", (n, n))
    made = build(*program(counters(2)), environment(tmp_path))
    programs = {path.name for path in folder.glob("model-*") if path.suffix != ".sum"}
    assert programs == {"model-4", "model-5", made.name}
    assert not (folder / "model-0.sum").exists()


@needs_compiler
def test_the_engine_can_be_compiled_beforehand(tmp_path: Path) -> None:
    prepare_engines((1, 2), environment(tmp_path))
    engines = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "lzcheck").glob("engine-*.o")}
    assert len(engines) == 2
    build(*program(counters(2)), environment(tmp_path))
    assert engines == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "lzcheck").glob("engine-*.o")}


@needs_compiler
@pytest.mark.parametrize("damage", [b"", b"\x7fELF rubbish"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: bytes) -> None:
    first = build(*program(counters(2)), environment(tmp_path))
    content = first.read_bytes()
    first.unlink()
    first.write_bytes(damage)
    again = build(*program(counters(2)), environment(tmp_path))
    assert again == first
    assert len(again.read_bytes()) == len(content)


@needs_compiler
def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "lzcheck"
    blocked.write_text("not a folder", encoding="ascii")
    made = build(*program(counters(2)), environment(tmp_path))
    assert made.exists()
    assert tmp_path not in made.parents


@needs_compiler
def test_two_runs_at_once(tmp_path: Path) -> None:
    sources = program(counters(2))
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: build(*sources, environment(tmp_path)), range(4)))
    assert len(set(paths)) == 1
    assert subprocess.run([paths[0]], stdin=subprocess.DEVNULL, check=False).returncode == 2


@needs_compiler
def test_what_was_not_used_for_long_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, used, last = (build(*program(counters(n)), environment(tmp_path)) for n in (2, 3, 4))
    for path in (first, used, last):
        os.utime(path, (1000, 1000))
    assert build(*program(counters(3)), environment(tmp_path)) == used  # so it is the latest
    monkeypatch.setattr(module, "_ENTRIES", 2)
    new = build(*program(counters(5)), environment(tmp_path))
    left = {path.name for path in (tmp_path / "lzcheck").glob("model-*")}
    assert left == {path.name + end for path in (used, new) for end in ("", ".sum")}


@needs_compiler
def test_a_program_that_nobody_wants_any_more(tmp_path: Path) -> None:
    slow = script(tmp_path / "slow", "exec sleep 30\n")
    started = time.monotonic()
    building = Building(*program(counters(2)), environment(tmp_path, CC=slow))
    assert list((tmp_path / "lzcheck").iterdir())
    building.abandon()
    assert time.monotonic() - started < 20
    assert not list((tmp_path / "lzcheck").iterdir())
    done = Building(*program(counters(2)), environment(tmp_path))
    made = done.finish()
    done.abandon()
    assert made.exists()


# -- compilers -------------------------------------------------------------------


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NoCompiler, match="ziglang"):
        find_compiler({"PATH": str(tmp_path)})


def test_a_compiler_that_fails(tmp_path: Path) -> None:
    cc = script(tmp_path / "cc", "echo warming up >&2\necho 'x.c:1: error: I will not' >&2\nexit 1\n")
    with pytest.raises(CompilerFailed, match="I will not"):
        build(*program(counters(2)), environment(tmp_path, CC=cc))
    assert not list((tmp_path / "lzcheck").glob("*"))


def test_the_wished_compiler_is_taken(tmp_path: Path) -> None:
    cc = script(tmp_path / "mycc", "exit 1\n")
    assert find_compiler({"CC": f"{cc} -O9", "PATH": ""}).command == (cc, "-O9")


# -- the C itself ----------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("system", [objects(frees=False), generations(late=False)], ids=["objects", "generations"])
def test_no_warnings(tmp_path: Path, system: System) -> None:
    sources, words = program(system)
    for n, source in enumerate(sources):
        (tmp_path / f"model{n}.c").write_text(source, encoding="utf-8")
    files = [*tmp_path.glob("*.c"), *RUNTIME.glob("*.c")]
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", f"-DLZ_WORDS={words}", f"-I{RUNTIME}"]
    done = subprocess.run(
        ["cc", *flags, "-Wno-tautological-compare", "-fsyntax-only", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr


@needs_compiler
@pytest.mark.parametrize(("sanitizers", "threads"), [("address,undefined", 1), ("address,undefined", 3), ("thread", 3)])
@pytest.mark.parametrize("symmetry", [True, False])
def test_sanitizers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sanitizers: str, threads: int, symmetry: bool
) -> None:
    flags = (f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-g")
    monkeypatch.setattr(run, "Building", lambda s, w: Building(s, w, environment(tmp_path), flags))
    for system in (objects(frees=False), generations(late=False), locks(ordered=False)):
        instance = Instance(system, {"CPU": 3})
        found = run.explore_native(instance, system.properties, stop_on=frozenset(), threads=threads, symmetry=symmetry)
        assert found.statistics.complete
