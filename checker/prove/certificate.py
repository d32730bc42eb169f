"""Certificates: the invariant of a proof as a file beside the model, for people to read and for rechecking."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from checker.prove.clauses import Clause
from checker.prove.holders import Equation
from checker.prove.protocol import Protocol
from checker.prove.wording import Unreadable, clause_text, equation_text, read_line
from checker.records import dataclass

_WIDTH: Final = 118  # of the lines of a certificate


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was found for one check: the properties that it is for, by name, clauses and equations."""

    check: str
    properties: tuple[str, ...]
    clauses: tuple[Clause, ...]
    equations: tuple[Equation, ...]


def path_of(model: str) -> Path:
    """Where the certificates of a model are."""
    return Path(model).with_suffix(".inv")


def render(protocol: Protocol, certificate: Certificate, how: Iterable[str]) -> str:
    """The text of one certificate; `how` says how it was found."""
    lines = [f"// {line}" for line in how]
    lines += [f"proof {certificate.check} {{"]
    lines += [f"    property {name};" for name in certificate.properties]
    for text in (
        *(equation_text(protocol, e) for e in certificate.equations),
        *(clause_text(protocol, c) for c in certificate.clauses),
    ):
        for line in text.splitlines():
            lines += _wrapped("    " + line)
    return "\n".join([*lines, "}"]) + "\n"


def _wrapped(line: str) -> list[str]:
    """A line in several, if it is long."""
    inside = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, _WIDTH, subsequent_indent=inside, break_long_words=False, break_on_hyphens=False)


def sections(text: str) -> dict[str, str]:
    """The certificates of a file as they stand, with the comments before them, by check."""
    found = {}
    for match in re.finditer(r"(?:^//[^\n]*\n)*^proof ([^\n{]+) \{\n.*?^\}\n", text, re.MULTILINE | re.DOTALL):
        found[match.group(1)] = match.group(0)
    return found


def read(protocol: Protocol, check: str, section: str) -> Certificate:
    """A certificate from its text; raises Unreadable where it does not fit the model."""
    body = "\n".join(x for x in section.splitlines() if not x.startswith("//"))
    body = body.partition("{\n")[2].rpartition("}")[0]
    properties: list[str] = []
    clauses: list[Clause] = []
    equations: list[Equation] = []
    for statement in _statements(body):
        if statement.startswith("property "):
            properties.append(statement.removeprefix("property "))
            continue
        made = read_line(protocol, statement)
        if isinstance(made, Clause):
            clauses.append(made)
        else:
            equations.append(made)
    if not properties and not clauses:
        raise Unreadable("the certificate is empty")
    return Certificate(check, tuple(properties), tuple(clauses), tuple(equations))


def _statements(body: str) -> list[str]:
    """What stands between semicolons at the end of lines, on one line each."""
    return [" ".join(s.split()) for s in re.split(r";\s*\n", body + "\n") if s.strip()]
