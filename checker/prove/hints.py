"""Hints: clauses that people begin and the samples finish.

A hint is a clause as a certificate has it, in the file `NAME.hints` beside the model.  Where a
thread is may be left open, `at(t[c] : ?)`: then the places are taken at which the rest of the
situation is in no sampled state.  What comes of a hint is a candidate like any other: it is
proved, weakened or dropped, never assumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from checker.core import system as y
from checker.core.instance import Instance
from checker.prove.census import Census
from checker.prove.clauses import Clause
from checker.prove.protocol import Protocol
from checker.prove.sampling import walks
from checker.prove.wording import Unreadable, clause_text, read_line
from checker.search import reachable

_LISTED: Final = 25_000
_WALKED: Final = 12_000


def path_of(model: str) -> Path:
    """Where the hints of a model are."""
    return Path(model).with_suffix(".hints")


def stored(model: str, check: str) -> list[str]:
    """The hints for a check, as lines: those before any `proof NAME:`, and those behind the check's own."""
    path = path_of(model)
    found: list[str] = []
    if not path.exists():
        return found
    wanted = True
    text = "\n".join(x.partition("//")[0] for x in path.read_text(encoding="utf-8").splitlines())
    for statement in re.split(r"(?<=[;:])\s*\n", text):
        line = " ".join(statement.split())
        if line.startswith("proof ") and line.endswith(":"):
            wanted = check in line.removeprefix("proof ").removesuffix(":").replace(",", " ").split()
        elif line and wanted:
            found.append(line)
    return found


def samples(instance: Instance) -> list[Census]:
    """Some reachable states of small instances: places that are met too seldom are found out by the proof."""
    sorts = [s.name for s in instance.system.sorts]
    two, three = dict.fromkeys(sorts, 2), dict.fromkeys(sorts, 3)
    found = []
    indices = {sort for thread in instance.system.threads for sort in thread.index}
    for sizes in (two, *({**two, s: 3} for s in sorts), {**three, **dict.fromkeys(indices, 1)}):
        small = Instance(instance.system, sizes)
        states, complete = reachable(small, _LISTED)
        if not complete:
            states += walks(small, _WALKED)
        found.append(Census(small, states, complete=complete))
    return found


def clauses(protocol: Protocol, lines: Sequence[str], censuses: Sequence[Census]) -> Iterator[tuple[str, list[Clause]]]:
    """Each hint with what the samples make of it; nothing where they contradict it. Raises Unreadable."""
    for line in lines:
        hint = read_line(protocol, line)
        if not isinstance(hint, Clause):
            raise Unreadable(f"a hint begins with 'never', not so: {line}")
        yield line, list(_finished(protocol, hint, censuses))


def _finished(protocol: Protocol, hint: Clause, censuses: Sequence[Census]) -> Iterator[Clause]:
    """The clauses of a hint: the open places are all those that no sample has together."""
    asked = [f for f in hint.never if isinstance(f, y.At) and not f.locations]
    seen: set[tuple[int, ...]] = set()
    for census in censuses:
        seen |= _places(hint, asked, census)
    if not asked:
        if not seen:
            yield hint
        return
    counts = [len(protocol.threads[f.thread].locations) for f in asked]
    if len(asked) == 1:
        locations = frozenset(range(counts[0])) - {p for (p,) in seen}
        if locations:
            yield _at(hint, asked, (locations,))
        return
    if len(asked) != 2:
        raise Unreadable(f"more than two open places: {clause_text(protocol, hint)}")
    groups: dict[frozenset[int], set[int]] = {}
    for first in range(counts[0]):
        others = frozenset(n for n in range(counts[1]) if (first, n) not in seen)
        groups.setdefault(others, set()).add(first)
    for others, firsts in groups.items():
        if others:
            yield _at(hint, asked, (frozenset(firsts), others))


def _at(hint: Clause, asked: list[y.At], locations: tuple[frozenset[int], ...]) -> Clause:
    """The hint with these places, those left out that are all there are."""
    chosen = dict(zip(map(id, asked), locations, strict=True))
    never = tuple(
        y.At(f.thread, f.index, chosen[id(f)]) if isinstance(f, y.At) and id(f) in chosen else f for f in hint.never
    )
    return Clause(hint.vars, never, hint.distinct)


def _places(hint: Clause, asked: list[y.At], census: Census) -> set[tuple[int, ...]]:
    """Where the threads of the open places are in states that are as the rest of a hint says."""
    rest = [f for f in hint.situation() if not any(f is a for a in asked)]
    shape = tuple(v.sort for v in hint.vars)
    seen: set[tuple[int, ...]] = set()
    for chosen in census.instance.tuples(shape):
        env = dict(zip((v.name for v in hint.vars), chosen, strict=True))
        left = census.every
        for fact in rest:
            left &= census.truth(fact, env)
            if not left:
                break
        else:
            seen |= set(_where(asked, census, env, left))
    return seen


def _where(asked: list[y.At], census: Census, env: dict[str, int], states: int) -> Iterator[tuple[int, ...]]:
    """The places, together, at which the open threads are in some of the states."""
    if not asked:
        if states:
            yield ()
        return
    first, *others = asked
    pc = y.Read(census.instance.thread(first.thread).pc, first.index, y.Int(0, 1 << 30))
    for place, there in census.values(pc, env).items():
        if left := states & there:
            for more in _where(others, census, env, left):
                yield place, *more
