"""What is said of a wrong model: codes, and the records that carry them.

Hundreds: 1 syntax, 2 names, 3 types, 4 smells and vacuity, 5 meaning at run
time, 6 limits, 9 errors of lzcheck itself.  docs/errors.md is made from `CODES`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from checker.lang.phrasebook import NAMES
from checker.lang.source import NO_SPAN, SourceFile, Span
from checker.records import dataclass

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "LZ101": "the text is not a model: something else was expected here",
        "LZ102": "a character that the language does not know",
        "LZ103": "the file cannot be read",
        "LZ104": "the text ends too early",
        "LZ201": "a name that nothing declares",
        "LZ202": "a name that is declared twice",
        "LZ203": "a file named by `use` that is not there",
        "LZ204": "a proc that is declared but nowhere defined",
        "LZ205": "procs, fns or files that need each other in a circle",
        "LZ206": "a check that sets something the model does not have",
        "LZ207": "a field that the object or record does not have",
        "LZ208": "an expected failure, or something allowed to stay unreached, that the model does not have",
        "LZ209": "an attribute that means nothing here",
        "LZ301": "a value of one type where another is needed",
        "LZ302": "an operator that these types do not have",
        "LZ303": "something that cannot be assigned to",
        "LZ304": "a call with the wrong number of arguments",
        "LZ305": "a proc or primitive with effects inside an expression",
        "LZ306": "a ghost variable that would influence a step",
        "LZ307": "elements of an unordered sort compared for order",
        "LZ308": "a value that must be known before the model runs",
        "LZ309": "a statement that is not allowed here",
        "LZ310": "a `gen` that is used as a number",
        "LZ311": "a per-CPU variable without a CPU",
        "LZ312": "interrupts, preemption or locks differ between two ways to this point",
        "LZ313": "a type that cannot be used like this",
        "LZ314": "a proc that may end without returning its value",
        "LZ401": "a loop in which nothing happens",
        "LZ402": "a statement that no reachable state can execute",
        "LZ403": "an invariant whose premise never holds",
        "LZ404": "a cover that is not reached",
        "LZ405": "nothing to check: no states, no transitions or no properties",
        "LZ406": "several shared accesses in one step",
        "LZ501": "an expression without a value in a reachable state",
        "LZ601": "a size or bound outside what is possible",
        "LZ602": "something that this version does not support",
        "LZ603": "a file that cannot be written",
        "LZ604": "a trace that does not fit the model",
        "LZ605": "an option or argument that makes no sense",
        "LZ901": "an error of lzcheck itself",
    }
)


FEW: Final = 6
"""How many names a hint lists at most."""


@dataclass(frozen=True, slots=True)
class Note:
    """A further place that explains an error."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong, where, and what to do about it."""

    code: str
    message: str
    span: Span = NO_SPAN
    notes: tuple[Note, ...] = ()
    hint: str = ""
    severity: str = "error"  # error, warning


class UserError(Exception):
    """The model, an option or a file is wrong: never a traceback, exit status 2.

    `sources` are the texts that the diagnostics point into, by file name.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic], sources: Mapping[str, SourceFile] | None = None) -> None:
        self.diagnostics = tuple(diagnostics)
        self.sources = dict(sources or {})
        super().__init__("; ".join(d.message for d in self.diagnostics))

    def __reduce__(self) -> tuple[type[UserError], tuple[object, ...]]:
        return UserError, (self.diagnostics, self.sources)  # what another process needs to raise it again

    @classmethod
    def of(cls, code: str, message: str, span: Span = NO_SPAN, *, hint: str = "") -> UserError:
        """An error with one diagnostic."""
        return cls([Diagnostic(code, message, span, hint=hint)])


class Collector:
    """Gathers the diagnostics of a stage; the same complaint is kept once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, Span], Diagnostic] = {}

    def error(self, code: str, message: str, span: Span, *, hint: str = "", notes: tuple[Note, ...] = ()) -> None:
        """Record an error."""
        self._found.setdefault((code, message, span), Diagnostic(code, message, span, notes, hint))

    def warning(self, code: str, message: str, span: Span, *, hint: str = "") -> None:
        """Record a warning."""
        self._found.setdefault((code, message, span), Diagnostic(code, message, span, (), hint, "warning"))

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What was found, in the order of the text."""
        return tuple(sorted(self._found.values(), key=lambda d: (d.span.file, d.span.line, d.span.column, d.code)))

    @property
    def failed(self) -> bool:
        """Whether any error was recorded."""
        return any(d.severity == "error" for d in self._found.values())


@contextmanager
def nesting(span: Span = NO_SPAN) -> Iterator[None]:
    """What runs inside may walk the model recursively; a model nested too deeply for that is the user's error."""
    try:
        yield
    except RecursionError:
        raise UserError.of("LZ602", "expressions or blocks are nested too deeply", span) from None


def suggest(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word or says what C's word is here, or an empty string."""
    near = nearest(word, known)
    if word in NAMES and near.lower() != word.lower():
        return NAMES[word]
    return f"did you mean '{near}'?" if near else ""


def among(word: str, known: Iterable[str], what: str) -> str:
    """The nearest known word as a hint; where there is none, all that are known, if they are few."""
    words = list(dict.fromkeys(known))
    near = suggest(word, words)
    return near or (f"{what} {', '.join(words)}" if 0 < len(words) <= FEW else "")


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like this one, or an empty string."""
    words = sorted(set(known))
    same = [w for w in words if w.lower() == word.lower()]
    return next(iter(same or difflib.get_close_matches(word, words, n=1, cutoff=0.6)), "")
