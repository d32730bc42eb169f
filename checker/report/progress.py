"""How far a search is, on one line of a terminal."""

from __future__ import annotations

from typing import Final, TextIO

from checker.report.phrases import counted, number

_INTERVAL: Final = 0.2
_WIDTH: Final = 78


class Progress:
    """A listener of the engines that keeps one line of `stream` up to date, if that is a terminal.

    Use it as a context manager: at the end the line is wiped, so that only the
    result stays on the screen.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._next = 0.0
        self._written = 0

    def progress(self, states: int, transitions: int, depth: int, frontier: int, seconds: float) -> None:
        """What an engine reports now and then; more often than five times a second is not shown."""
        if self._is_terminal and seconds >= self._next:
            self._next = seconds + _INTERVAL
            self._write(progress_text(states, transitions, depth, frontier, seconds))

    def count(self, done: int, of: int | None, noun: str) -> None:
        """How many pieces of work are done, of how many if that is known."""
        if self._is_terminal:
            self._write(counted(done, noun) if of is None else f"{number(done)} of {counted(of, noun)}")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._written:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()
            self._written = 0

    def _write(self, text: str) -> None:
        self._stream.write("\r" + text[:_WIDTH].ljust(self._written))
        self._stream.flush()
        self._written = len(text[:_WIDTH])


def progress_text(states: int, transitions: int, depth: int, frontier: int, seconds: float) -> str:
    """The line: states and how fast they come, transitions, depth, what waits, seconds."""
    rate = f" ({number(round(states / seconds))}/s)" if seconds > 0 else ""
    return (
        f"{counted(states, 'state')}{rate}, {counted(transitions, 'transition')}, "
        f"depth {number(depth)}, {number(frontier)} waiting, {seconds:.0f} s"
    )
