"""What the names in a certificate stand for that are not in the model's text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checker.core import system as y
from checker.prove.reduce import origins
from checker.prove.wording import places


def legend(before: y.System, after: y.System, text: str) -> Iterator[str]:
    """Lines about locals that were merged, and about places of one name, as far as a text mentions them.

    `before` is the System of the model, `after` the smaller one that the proof is about.
    """
    for name, group in origins(before, after).items():
        if name in text:
            owner = name.partition(".")[0]
            shown = ", ".join(v.removeprefix(f"{owner}.") for v in group)
            yield f"{name} is whichever is in use of {shown}."
    for thread in after.threads:
        names = places(thread)
        several = {n.partition("#")[0] for n in names if "#" in n}
        for number, name in enumerate(names):
            if name.partition("#")[0] in several and re.search(rf"{re.escape(name)}(?![#\d])", text):
                way = _way(after, thread, number)
                if way:
                    yield f"{name} is in {way}."


def _way(system: y.System, thread: y.Thread, place: int) -> str:
    """The procs in which a thread is at a place, the outermost first."""
    for action in system.actions:
        if action.thread == thread.name and action.at == place and action.frames:
            return " > ".join(frame.proc for frame in action.frames)
    return ""
