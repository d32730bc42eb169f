"""Canonical representatives under permutation of the elements of sorts."""

from __future__ import annotations

from collections.abc import Iterator

from checker.native.layout import Layout


class Canonicaliser:
    """Writes the function that replaces a state by the representative of its class."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.sorts: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """The definition of `canonical`."""
        yield ""
