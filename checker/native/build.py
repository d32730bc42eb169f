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
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from checker.cache import cache_folder
from checker.records import dataclass

RUNTIME: Final = Path(__file__).parent / "runtime"

UNITS: Final = ("memory", "store", "search", "leak")
QUIET_UNITS: Final = ("paths", "main")
"""Of what the engine is made; no run spends long in the quiet ones."""

FLAGS: Final = ("-std=gnu11", "-w", "-pthread")

_ENGINE_LEVEL: Final = "-O2"
_SINGLE_LEVEL: Final = "-O1"
_MACHINE_LEVEL: Final = "-O2"
_MACHINE: Final = '#include "weakmachine.h"\n'
"""How the part that knows the weak memory model ends."""

_STEPS_LEVEL: Final = "-Og"
"""The steps, the bulk of the generated part, are as fast with -O1, and compiled in less than half the time."""


_PATIENCE: Final = 300.0
"""Seconds after which a compiler is taken to hang."""

USUAL_WORDS: Final = (1, 2, 3, 4)
"""The sizes of state that most models have."""

_ENTRIES: Final = 2000
"""Programs that the cache keeps; when there are more, those that were not used for longest go."""

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
    return Building(sources, words, environ, flags).finish()


def prepare_engines(sizes: Iterable[int] = USUAL_WORDS, environ: Mapping[str, str] = os.environ) -> None:
    """Compile the engine's own files ahead of the first model, for states of so many words.

    Raises NoCompiler, CompilerFailed and NoRoom.
    """
    compiler, folder = find_compiler(environ), _writable(cache_folder(environ))
    try:
        with contextlib.ExitStack() as stack:
            jobs: list[tuple[_Job, Path, Path]] = []
            for words in sizes:
                common = _common(words, ())
                engine = folder / f"engine-{_engine_key(compiler, common)}.o"
                if _intact(engine):
                    continue
                work = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix="build-")))
                (work / "engine.c").write_text(_engine_text(), encoding="ascii")
                job = _start(compiler, (*common, _ENGINE_LEVEL, "-c", "engine.c", "-o", "engine.o"), work)
                stack.callback(_end, job)
                jobs.append((job, work / "engine.o", engine))
            for job, made, engine in jobs:
                _finish(job)
                _keep(made, engine)
    except OSError as error:
        raise NoRoom(error) from error


class Building:
    """A program in the making, by processes of its own: until `finish` or `abandon` is called there is time for more.

    What `build` says holds here as well; the constructor and `finish` raise what it raises.
    """

    def __init__(
        self,
        sources: tuple[str, ...],
        words: int,
        environ: Mapping[str, str] = os.environ,
        flags: tuple[str, ...] = (),
    ) -> None:
        self._compiler = find_compiler(environ)
        self._what = sources, words, flags
        try:
            try:
                self._attempt = _Attempt(self._compiler, _writable(cache_folder(environ)), *self._what)
            except OSError:
                self._attempt = _Attempt(self._compiler, _temporary_folder(), *self._what)
        except OSError as error:
            raise NoRoom(error) from error

    def finish(self) -> Path:
        """The program, as soon as it is made."""
        try:
            try:
                return self._attempt.finish()
            except OSError:
                self._attempt = _Attempt(self._compiler, _temporary_folder(), *self._what)
                return self._attempt.finish()
        except OSError as error:
            raise NoRoom(error) from error

    def abandon(self) -> None:
        """Nobody wants the program any more; after `finish` this does nothing."""
        self._attempt.close()


class _Attempt:
    """One try at making a program in a folder.  Whatever happens, no process and no half-made file stays behind."""

    def __init__(
        self, compiler: Compiler, folder: Path, sources: tuple[str, ...], words: int, flags: tuple[str, ...]
    ) -> None:
        common = _common(words, flags)
        engine_key = _engine_key(compiler, common)
        self._program = (
            folder / f"model-{_key(compiler, common, _SINGLE_LEVEL, _MACHINE_LEVEL, _STEPS_LEVEL, engine_key, sources)}"
        )
        self._engine = folder / f"engine-{engine_key}.o"
        self._compiler = compiler
        self._flags = flags
        self._stack = contextlib.ExitStack()
        self._made = _intact(self._program)
        if self._made:
            with contextlib.suppress(OSError):
                os.utime(self._program, ns=(time.time_ns(), self._program.stat().st_mtime_ns))
            return
        _tidy(folder)
        with contextlib.ExitStack() as stack:
            self._work = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix="build-")))
            for n, source in enumerate(sources):
                (self._work / f"model{n}.c").write_text(source, encoding="utf-8")
            self._objects: list[str] = []
            self._kept: dict[str, Path] = {}
            self._jobs: list[_Job] = []
            self._missing = not _intact(self._engine)
            if self._missing:
                (self._work / "engine.c").write_text(_engine_text(), encoding="ascii")
                self._jobs.append(self._start(stack, *common, _ENGINE_LEVEL, "-c", "engine.c", "-o", "engine.o"))
            for n, source in enumerate(sources):
                made, level = f"model{n}.o", _STEPS_LEVEL if n else _SINGLE_LEVEL
                if source.endswith(_MACHINE):  # models of the same sizes share it
                    level = _MACHINE_LEVEL
                    kept = folder / f"machine-{_key(compiler, common, level, engine_key, source)}.o"
                    if _intact(kept):
                        self._objects.append(str(kept))
                        continue
                    self._kept[made] = kept
                self._objects.append(made)
                self._jobs.append(self._start(stack, *common, level, "-c", f"model{n}.c", "-o", made))
            self._stack = stack.pop_all()

    def _start(self, stack: contextlib.ExitStack, *arguments: str) -> _Job:
        job = _start(self._compiler, arguments, self._work)
        stack.callback(_end, job)
        return job

    def finish(self) -> Path:
        """Wait for the parts, and put them together."""
        if self._made:
            return self._program
        with self._stack as stack:
            _finish(*self._jobs)
            if self._missing:
                _keep(self._work / "engine.o", self._engine)
            for made, kept in self._kept.items():
                _keep(self._work / made, kept)
                self._objects[self._objects.index(made)] = str(kept)
            _finish(self._start(stack, *FLAGS, *self._flags, *self._objects, str(self._engine), "-o", "program"))
            _keep(self._work / "program", self._program)
        return self._program

    def close(self) -> None:
        """Give up."""
        self._stack.close()


def _tidy(folder: Path) -> None:
    """Remove what builds left behind that were killed, and the programs that were not used for longest."""
    for left in folder.glob("build-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _OLD_BUILD:
                shutil.rmtree(left, ignore_errors=True)
    for kind, most in (("model", _ENTRIES), ("machine", _ENTRIES // 10)):
        made = [path for path in folder.glob(f"{kind}-*") if path.suffix != ".sum"]
        if len(made) > most:
            for path in sorted(made, key=_last_used)[: len(made) - most // 2]:
                with contextlib.suppress(OSError):
                    path.unlink()
                    _stamp(path).unlink()


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_atime
    except OSError:  # somebody else has removed it
        return 0.0


def _common(words: int, flags: tuple[str, ...]) -> tuple[str, ...]:
    return (*FLAGS, *flags, f"-DLZ_WORDS={words}", f"-I{RUNTIME}")


def _engine_key(compiler: Compiler, common: tuple[str, ...]) -> str:
    return _key(compiler, common, _ENGINE_LEVEL, _engine_text(), _runtime_text())


def _key(compiler: Compiler, *parts: object) -> str:
    digest = hashlib.sha256(repr((compiler.command, compiler.identity, parts)).encode())
    return digest.hexdigest()[:32]


@cache
def _engine_text() -> str:
    """The engine's units as one; the quiet ones come last, and are compiled in less time."""
    hot = [f'#include "{unit}.c"' for unit in UNITS]
    cold = [f'#include "{unit}.c"' for unit in QUIET_UNITS]
    return "\n".join([*hot, '#pragma GCC optimize ("Og")', *cold]) + "\n"


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
