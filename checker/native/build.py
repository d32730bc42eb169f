"""Turning C into a program: which compiler, and a cache so that it is asked once.

The engine's own files and the generated part are compiled at the same time, the former once for each size of
state.  What is in the cache is named by a hash of all that went into it, and ends with a hash of itself:
an entry that was cut short is made again.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from checker.cache import cache_folder
from checker.records import dataclass

RUNTIME: Final = Path(__file__).parent / "runtime"

UNITS: Final = ("memory", "store", "search", "leak", "paths", "main")

FLAGS: Final = ("-std=gnu11", "-w", "-pthread")

_ENGINE_LEVEL: Final = "-O2"
_SINGLE_LEVEL: Final = "-O1"
_STEPS_LEVEL: Final = "-Og"
"""The steps, the bulk of the generated part, are as fast with -O1, and compiled in less than half the time."""


_PATIENCE: Final = 300.0
"""Seconds after which a compiler is taken to hang."""

_OLD_BUILD: Final = 3600.0
"""Seconds after which nobody is at work in a build folder any more."""


class NoCompiler(Exception):
    """There is no C compiler; the text says what would bring one."""

    def __init__(self) -> None:
        super().__init__("no C compiler found (cc, gcc, clang or $CC); pip install ziglang brings one")


class CompilerFailed(Exception):
    """The compiler did not accept our C; the text is its first complaint, `output` all it said."""

    def __init__(self, command: tuple[str, ...], output: str) -> None:
        self.command = command
        self.output = output
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        complaint = next((line for line in lines if "error" in line), lines[0] if lines else "it said nothing")
        super().__init__(f"{command[0]} failed: {complaint}")


class NoRoom(Exception):
    """There is no place where a program could be made; the text says why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"no place to compile in: {error.strerror or error}")


@dataclass(frozen=True, slots=True)
class Compiler:
    """A command that compiles C; `identity` changes when another compiler stands behind it."""

    command: tuple[str, ...]
    identity: str


def find_compiler(environ: Mapping[str, str] = os.environ) -> Compiler:
    """The compiler of `$CC`, or the first there is; raises NoCompiler."""
    wish = environ.get("CC", "").strip()
    for words in [shlex.split(wish)] if wish else [["cc"], ["gcc"], ["clang"]]:
        path = shutil.which(words[0], path=environ.get("PATH"))
        if path is not None:
            return Compiler((path, *words[1:]), _identity(Path(path)))
    if not wish and importlib.util.find_spec("ziglang") is not None:
        return Compiler((sys.executable, "-m", "ziglang", "cc"), "ziglang")
    raise NoCompiler


def _identity(path: Path) -> str:
    """Which file a command really is, without running it."""
    real = path.resolve()
    with contextlib.suppress(OSError):
        facts = real.stat()
        return f"{real} {facts.st_size} {facts.st_mtime_ns}"
    return str(real)


def build(
    sources: tuple[str, ...], words: int, environ: Mapping[str, str] = os.environ, flags: tuple[str, ...] = ()
) -> Path:
    """The program for generated sources whose states have that many words.

    `flags` are added to the compiler's (sanitizers).  A cache folder that cannot be written is no
    obstacle: the program is then made in a temporary folder, which lasts as long as this process.
    Raises NoCompiler, CompilerFailed and NoRoom.
    """
    compiler = find_compiler(environ)
    try:
        try:
            return _build(compiler, _writable(cache_folder(environ)), sources, words, flags)
        except OSError:
            return _build(compiler, _temporary_folder(), sources, words, flags)
    except OSError as error:
        raise NoRoom(error) from error


def _build(compiler: Compiler, folder: Path, sources: tuple[str, ...], words: int, flags: tuple[str, ...]) -> Path:
    common = (*FLAGS, *flags, f"-DLZ_WORDS={words}", f"-I{RUNTIME}")
    engine_key = _key(compiler, common, _ENGINE_LEVEL, _runtime_text())
    program = folder / f"model-{_key(compiler, common, _SINGLE_LEVEL, _STEPS_LEVEL, engine_key, sources)}"
    if _intact(program):
        return program
    engine = folder / f"engine-{engine_key}.o"
    _tidy(folder)
    missing = not _intact(engine)
    with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as name, contextlib.ExitStack() as stack:
        work = Path(name)

        def start(*arguments: str) -> _Job:
            job = _start(compiler, arguments, work)
            stack.callback(_end, job)
            return job

        for n, source in enumerate(sources):
            (work / f"model{n}.c").write_text(source, encoding="utf-8")
        objects = [f"model{n}.o" for n in range(len(sources))]
        jobs = [
            start(*common, _STEPS_LEVEL if n else _SINGLE_LEVEL, "-c", f"model{n}.c", "-o", f"model{n}.o")
            for n in range(len(sources))
        ]
        if missing:
            units = "".join(f'#include "{unit}.c"\n' for unit in UNITS)
            (work / "engine.c").write_text(units, encoding="ascii")
            jobs.append(start(*common, _ENGINE_LEVEL, "-c", "engine.c", "-o", "engine.o"))
        _finish(*jobs)
        if missing:
            _keep(work / "engine.o", engine)
        _finish(start(*FLAGS, *flags, *objects, str(engine), "-o", "program"))
        _keep(work / "program", program)
    return program


def _tidy(folder: Path) -> None:
    """Remove what builds left behind that were killed."""
    for left in folder.glob("build-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _OLD_BUILD:
                shutil.rmtree(left, ignore_errors=True)


def _key(compiler: Compiler, *parts: object) -> str:
    digest = hashlib.sha256(repr((compiler.command, compiler.identity, parts)).encode())
    return digest.hexdigest()[:32]


@cache
def _runtime_text() -> str:
    return "".join(path.name + path.read_text(encoding="ascii") for path in sorted(RUNTIME.glob("*.[ch]")))


# -- the cache ---------------------------------------------------------------


def _writable(folder: Path | None) -> Path:
    """The folder, or a temporary one if there is none or nothing can be put there."""
    if folder is None:
        return _temporary_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return _temporary_folder()


@cache
def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="lzcheck-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _stamp(path: Path) -> Path:
    return path.with_name(path.name + ".sum")


def _intact(path: Path) -> bool:
    """Whether an entry is there, and as long and with the content as when it was made."""
    try:
        return _stamp(path).read_text(encoding="ascii") == _digest(path)
    except (OSError, UnicodeDecodeError):
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _keep(made: Path, entry: Path) -> None:
    """Move a finished file into the cache; whoever reads there meanwhile sees the old one or the new one."""
    digest = _digest(made)
    made.replace(entry)
    stamp = made.with_name(made.name + ".sum")
    stamp.write_text(digest, encoding="ascii")
    stamp.replace(_stamp(entry))


# -- the compiler ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Job:
    command: tuple[str, ...]
    process: subprocess.Popen[str]


def _start(compiler: Compiler, arguments: tuple[str, ...], folder: Path) -> _Job:
    command = (*compiler.command, *arguments)
    try:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            text=True, errors="replace", env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except OSError as error:
        raise CompilerFailed(command, str(error)) from error
    return _Job(command, process)


def _finish(*jobs: _Job) -> None:
    """Wait for all; raises what the first that failed said."""
    outputs: list[str] = []
    until = time.monotonic() + _PATIENCE
    for job in jobs:
        try:
            outputs.append(job.process.communicate(timeout=max(until - time.monotonic(), 0.1))[0])
        except subprocess.TimeoutExpired:
            raise CompilerFailed(job.command, f"error: no answer after {_PATIENCE:.0f} seconds") from None
    for job, output in zip(jobs, outputs, strict=True):
        if job.process.returncode:
            raise CompilerFailed(job.command, output)


def _end(job: _Job) -> None:
    """Whatever has happened, leave no process behind."""
    if job.process.poll() is None:
        job.process.kill()
    job.process.communicate()
