"""What is kept from one run to the next in the user's cache folder.

Nothing depends on it: an entry that is missing, cut short or changed is made again, and where
the folder cannot be written nothing is kept.  Runs at the same time see whole entries only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where entries are kept; it may not exist, or not be writable.  None where the user has no home."""
    base = environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "lzcheck"
    except RuntimeError:
        return None


def key(*parts: str) -> str:
    """A name for what is made of the parts alone."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def read_entry(name: str, environ: Mapping[str, str] = os.environ) -> bytes | None:
    """What was kept under a name, if it is whole."""
    folder = cache_folder(environ)
    if folder is None:
        return None
    try:
        kept = (folder / name).read_bytes()
    except OSError:
        return None
    digest, content = kept[:32], kept[32:]
    return content if hashlib.sha256(content).digest() == digest else None


def keep_entry(
    name: str, content: bytes, environ: Mapping[str, str] = os.environ, *, of: str = "", at_most: int = 0
) -> None:
    """Keep the content under a name, if that is possible.

    Of the entries whose names begin with `of`, where that is given, the `at_most` latest are left.
    """
    folder = cache_folder(environ)
    if folder is None:
        return
    part = folder / f"{name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(hashlib.sha256(content).digest() + content)
        part.replace(folder / name)
        if of:
            _forget(folder, of, at_most)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()


def _forget(folder: Path, of: str, at_most: int) -> None:
    found = [(entry.stat().st_mtime, entry.name) for entry in os.scandir(folder) if entry.name.startswith(of)]
    for _, name in sorted(found)[: max(0, len(found) - at_most)]:
        (folder / name).unlink(missing_ok=True)
