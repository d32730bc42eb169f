"""What can happen to a run from outside: no room, kills, bad compilers.  Always an answer or one clear line."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from checker.core.verdict import ExitCode
from checker.native.build import RUNTIME
from tests.uses.gate import GATE

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

ROOT = Path(__file__).parents[2]
SHOOT = ROOT / "bench" / "peers" / "shoot_lazies" / "shoot.lzm"


@pytest.fixture
def gate(tmp_path: Path) -> str:
    """The gate, large enough for the native engine."""
    file = tmp_path / "gate.lzm"
    file.write_text(GATE.replace("sort CPU = 2", "sort CPU = 5").replace("ROUNDS : 0..3 = 1", "ROUNDS : 0..3 = 2"))
    return str(file)


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1", **more}  # fmt: skip


def lzcheck(
    *arguments: str, env: dict[str, str], before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "checker", *arguments],
        cwd=ROOT, env=env, preexec_fn=before, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def script(path: Path, text: str) -> str:
    path.write_text("#!/bin/sh\n" + text, encoding="ascii")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def entries(tmp_path: Path) -> list[str]:
    """What compiling has left in the cache."""
    return sorted(
        p.name for kind in ("build", "engine", "model") for p in (tmp_path / "cache" / "lzcheck").glob(f"{kind}-*")
    )


def answered_by_explorer(done: subprocess.CompletedProcess[str], why: str) -> bool:
    text = " ".join(done.stdout.split())
    return bool(re.search(f"the explorer answered instead of the native engine[:,] .*{re.escape(why)}", text)) and (
        "holds for all" in text
    )


# -- no room -----------------------------------------------------------------------


def test_a_full_disk(tmp_path: Path, gate: str) -> None:
    """No file may be longer than 2 kB, neither ours nor the compiler's."""

    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    done = lzcheck(gate, env=environment(tmp_path), before=full)
    assert done.returncode == ExitCode.EXPECTED
    assert answered_by_explorer(done, "no place to compile in: ")
    assert entries(tmp_path) == []
    asked_for = lzcheck(gate, "--engine", "native", env=environment(tmp_path), before=full)
    assert asked_for.returncode == ExitCode.USAGE
    assert asked_for.stderr.count("\n") == 2  # what is wrong, and a hint


def test_no_room_even_for_temporary_files(tmp_path: Path, gate: str) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("not a folder")
    env = environment(tmp_path, TMPDIR=str(tmp_path / "nowhere"))
    done = lzcheck(gate, env=env)
    # tempfile tries other places before it gives up
    assert done.returncode == ExitCode.EXPECTED


@pytest.mark.skipif(os.geteuid() != 0 or not hasattr(os, "setuid"), reason="needs to become somebody else")
def test_a_cache_that_one_may_only_read(tmp_path: Path) -> None:
    """As nobody, with a cache that belongs to root."""
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH and folder.stat().st_uid == 0 and "pytest" in str(folder):
            folder.chmod(0o755)
    cache = tmp_path / "cache" / "lzcheck"
    cache.mkdir(parents=True)
    runtime = tmp_path / "runtime"
    shutil.copytree(RUNTIME, runtime)
    text = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from checker.native import build\n"
        "from tests.native.test_build import program\n"
        "from tests.systems import counters\n"
        "what = program(counters(2))\n"
        f"build.RUNTIME = Path({str(runtime)!r})\n"
        "build._runtime_text()\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"made = build.build(*what, {{'PATH': os.environ['PATH'], 'XDG_CACHE_HOME': {str(tmp_path / 'cache')!r}}})\n"
        "print(made.exists(), made)\n"
    )
    env = environment(tmp_path, PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("True"), done.stderr
    assert str(cache) not in done.stdout
    assert list(cache.iterdir()) == []


# -- kills -------------------------------------------------------------------------


def test_killed_while_compiling(tmp_path: Path, gate: str) -> None:
    """Nothing half-made is taken for whole afterwards, and old leftovers go away."""
    slow = script(tmp_path / "cc", 'sleep 1\nexec cc "$@"\n')
    env = environment(tmp_path)
    victim = subprocess.Popen(
        [sys.executable, "-m", "checker", gate, "--engine", "native"], cwd=ROOT, env={**env, "CC": slow},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not any(name.startswith("build-") for name in entries(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.02)
    victim.kill()
    victim.wait()
    (left,) = (tmp_path / "cache" / "lzcheck").glob("build-*")
    long_ago = time.time() - 7200
    os.utime(left, (long_ago, long_ago))
    done = lzcheck(gate, "--engine", "native", env=env)
    assert done.returncode == ExitCode.EXPECTED
    assert not any(name.startswith("build-") for name in entries(tmp_path))


def test_an_entry_without_its_stamp_is_made_again(tmp_path: Path, gate: str) -> None:
    """What a kill between the two moves into the cache leaves behind."""
    env = environment(tmp_path)
    assert lzcheck(gate, "--engine", "native", env=env).returncode == ExitCode.EXPECTED
    for stamp in (tmp_path / "cache" / "lzcheck").glob("*.sum"):
        stamp.unlink()
    assert lzcheck(gate, "--engine", "native", env=env).returncode == ExitCode.EXPECTED
    assert sum(name.endswith(".sum") for name in entries(tmp_path)) == 2


def test_the_search_is_killed(tmp_path: Path) -> None:
    """As the system does when memory runs out: a line, and the exit status of a limit."""
    env = environment(tmp_path)
    run = subprocess.Popen(
        [sys.executable, "-m", "checker", str(SHOOT), "--check", "three_two", "--engine", "native", "--no-symmetry",
         "--threads", "1", "--memory-limit", "900"],
        cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    if not children.exists():
        run.kill()
        pytest.skip("the system does not list children")
    deadline = time.monotonic() + 100
    engine = None
    while engine is None and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
        for child in children.read_text().split():
            try:
                if Path(f"/proc/{child}/exe").readlink().name.startswith("model-"):
                    engine = int(child)
            except OSError:
                pass
    assert engine is not None
    os.kill(engine, signal.SIGKILL)
    _, complaint = run.communicate(timeout=60)
    assert run.returncode == ExitCode.LIMIT
    assert "out of memory" in complaint and "Traceback" not in complaint


# -- compilers -----------------------------------------------------------------------


def test_no_compiler(tmp_path: Path, gate: str) -> None:
    done = lzcheck(gate, env=environment(tmp_path, PATH=str(tmp_path)))
    assert done.returncode == ExitCode.EXPECTED
    assert answered_by_explorer(done, "no C compiler found") or "native" in done.stdout  # where ziglang is installed


def test_a_compiler_that_fails(tmp_path: Path, gate: str) -> None:
    broken = script(tmp_path / "cc", "echo 'error: out of tokens' >&2\nexit 1\n")
    done = lzcheck(gate, env=environment(tmp_path, CC=broken))
    assert done.returncode == ExitCode.EXPECTED
    assert answered_by_explorer(done, f"{broken} failed: error: out of tokens")
    assert entries(tmp_path) == []


def test_a_compiler_that_makes_rubbish(tmp_path: Path, gate: str) -> None:
    text = 'for a; do if [ "$last" = -o ]; then echo rubbish > "$a"; chmod +x "$a"; fi; last=$a; done\n'
    done = lzcheck(gate, env=environment(tmp_path, CC=script(tmp_path / "cc", text)))
    assert done.returncode == ExitCode.EXPECTED
    assert answered_by_explorer(done, "the compiled program cannot be run")


def crashing(tmp_path: Path, name: str, last_words: str) -> str:
    """A compiler whose programs end in a bad way."""
    made = f'printf \'#!/bin/sh\\n{last_words}\\n\' > "$a"; chmod +x "$a"'
    return script(tmp_path / name, f'for a; do if [ "$last" = -o ]; then {made}; fi; last=$a; done\n')


@pytest.mark.parametrize(
    ("last_words", "how"),
    [
        ("kill -SEGV $$", "the native engine was killed by SIGSEGV"),
        ("kill -BUS $$", "the native engine was killed by SIGBUS"),
        ("echo bad luck >&2; exit 9", "the native engine ended with status 9: bad luck"),
        ("exit 0", "the native engine ended with status 0: it said nothing"),
        ("echo nonsense", "the native engine said 'nonsense'"),
    ],
)
def test_the_engine_breaks_down(tmp_path: Path, gate: str, last_words: str, how: str) -> None:
    """The explorer answers and it is said why; who asks for the native engine is told that it is our error."""
    env = environment(tmp_path, CC=crashing(tmp_path, "cc", last_words))
    done = lzcheck(gate, env=env)
    assert done.returncode == ExitCode.EXPECTED
    assert answered_by_explorer(done, "")
    assert how in " ".join(done.stdout.split())
    asked_for = lzcheck(gate, "--engine", "native", env=env)
    assert asked_for.returncode == ExitCode.INTERNAL
    assert asked_for.stderr.splitlines() == [f"lzcheck: internal error: {how} [LZ901]"]


def test_the_engine_is_stopped(tmp_path: Path, gate: str) -> None:
    """By somebody who does not want it to run: not by us a second time, in Python."""
    done = lzcheck(gate, env=environment(tmp_path, CC=crashing(tmp_path, "cc", "kill -TERM $$")))
    assert done.returncode == ExitCode.LIMIT
    assert done.stderr.splitlines() == ["lzcheck: the native engine was killed by SIGTERM"]


def test_a_compiler_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from checker.native import build as module
    from checker.native.build import CompilerFailed, build
    from tests.native.test_build import program
    from tests.systems import counters

    monkeypatch.setattr(module, "_PATIENCE", 0.5)
    slow = script(tmp_path / "cc", "exec sleep 30\n")
    started = time.monotonic()
    with pytest.raises(CompilerFailed, match="no answer after"):
        build(*program(counters(2)), environment(tmp_path, CC=slow))
    assert time.monotonic() - started < 20
    assert entries(tmp_path) == []


# -- memory --------------------------------------------------------------------------


def test_the_memory_limit_is_kept(tmp_path: Path) -> None:
    command = (
        str(SHOOT), "--check", "three_two", "--engine", "native", "--no-symmetry", "--threads", "2",
        "--memory-limit", "100", "--json", "-",
    )  # fmt: skip
    lzcheck(*command, "--max-states", "1000", env=environment(tmp_path))  # the compiler has no limit
    ballast = bytearray(b"1") * (200 << 20)  # a child's ru_maxrss begins with what its parent holds
    done = lzcheck(*command, env=environment(tmp_path))
    del ballast
    (record,) = json.loads(done.stdout)
    assert done.returncode == ExitCode.LIMIT
    assert record["limit_hit"] == "memory"
    assert 75 < record["peak_memory_mib"] <= 105  # what other programs share with it counts, too
