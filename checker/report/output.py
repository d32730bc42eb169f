"""Writing a report: all of it, or nothing."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from checker.report.values import Json


def json_text(record: Json) -> str:
    """The record as JSON, to be read by people too."""
    return json.dumps(record, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def write_json(target: str, record: Json) -> None:
    """Write the record as `write_text` does."""
    write_text(target, json_text(record))


def write_text(target: str, text: str) -> None:
    """Write to a file, whole or not at all, or to standard output where the target is `-`.

    An existing file is replaced only once the new one is complete; a link
    stays a link, and what is no regular file (a terminal, a pipe) is written to
    directly.  An OSError leaves no new file behind and is the caller's to report.
    """
    if target == "-":
        sys.stdout.write(text)
        return
    path = Path(os.path.realpath(target))
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
