"""What an engine answers with: where to start, and which choices to make."""

from __future__ import annotations

from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """An action, by name, and the values of its parameters (element numbers)."""

    action: str
    args: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """The number of the initial state, in the semantics' order, then the choices made."""

    initial: int
    choices: tuple[Choice, ...]
