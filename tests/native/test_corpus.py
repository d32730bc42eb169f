"""The native engine on the models: it agrees with the explorer, whatever is switched on, and is clean under sanitizers.

LZCHECK_CORPUS=all goes through every check; LZCHECK_SANITIZE=address,undefined (or thread) compiles with sanitizers,
which is what scripts/sanitize does.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from checker.core.system import PropertyKind
from checker.core.verdict import Limits, Outcome
from checker.explorer import Exploration, explore
from checker.native.layout import Unsupported
from checker.native.run import explore_native
from tests.native.corpus import ALL, SANITIZE, checks, question

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler"),
    pytest.mark.usefixtures("sanitizers"),
]

NEVER = frozenset[str]()
MOST = 200_000 if ALL and not SANITIZE else 20_000
"""States of a check that is compared; the larger ones are left to others."""


def said(found: Exploration) -> dict[str, tuple[Outcome, int | None]]:
    return {n: (r.outcome, len(r.path.choices) if r.path else None) for n, r in found.results.items()}


@pytest.mark.skipif(bool(SANITIZE), reason="only the engine is looked at")
@pytest.mark.parametrize(("path", "check"), checks())
def test_the_engines_agree(path: Path, check: str) -> None:
    instance, asked = question(path, check)
    expected = explore(instance, asked, Limits(states=MOST), stop_on=NEVER)
    if not expected.statistics.complete:
        pytest.skip(f"more than {MOST} states")
    plain = explore_native(instance, asked, stop_on=NEVER, symmetry=False, threads=2)
    a, b = expected.statistics, plain.statistics
    assert (b.states, b.transitions, b.depth, b.complete) == (a.states, a.transitions, a.depth, a.complete)
    assert b.fired == a.fired
    assert plain.reached == expected.reached
    assert said(plain) == said(expected)
    fast = explore_native(instance, asked, stop_on=NEVER)
    assert said(fast) == said(expected)
    assert fast.reached == expected.reached


@pytest.mark.parametrize(("path", "check"), checks())
def test_threads_change_nothing(path: Path, check: str) -> None:
    instance, asked = question(path, check)
    limits = Limits(states=MOST // 4)
    first, *others = [explore_native(instance, asked, limits, stop_on=NEVER, threads=n) for n in (1, 3)]
    for other in others:
        if other.statistics.limit is not None:
            continue  # a limit cuts threads off in the middle of a level
        assert other.results == first.results, "paths of covers and counterexamples too"
        assert other.statistics.fired == first.statistics.fired


@pytest.mark.parametrize(("path", "check"), checks() if ALL or SANITIZE else ())
def test_partial_order_changes_no_verdict(path: Path, check: str) -> None:
    instance, properties = question(path, check)
    asked = tuple(p for p in properties if p.kind is not PropertyKind.STEP)
    try:
        reduced = explore_native(instance, asked, Limits(states=MOST), stop_on=NEVER, por=True)
    except Unsupported:
        return
    if not reduced.reductions or not reduced.statistics.complete:
        return
    whole = explore_native(instance, asked, stop_on=NEVER)
    if any(r.outcome in (Outcome.VIOLATED, Outcome.BOUND) for r in whole.results.values()):
        # nothing is promised of what comes after a violation
        assert {n for n, r in reduced.results.items() if r.path} & {n for n, r in whole.results.items() if r.path}
    else:
        assert {n: r.outcome for n, r in reduced.results.items()} == {n: r.outcome for n, r in whole.results.items()}
        assert reduced.reached == whole.reached
