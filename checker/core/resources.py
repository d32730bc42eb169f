"""How much memory this process holds, in MiB; 0 where the system does not say."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_STATM = "/proc/self/statm"


def peak_memory() -> float:
    """The largest resident size so far."""
    try:
        import resource
    except ImportError:  # not on every system
        return 0.0
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def resident_memory() -> float:
    """The resident size now, or the largest so far where only that is known."""
    try:
        pages = int(Path(_STATM).read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return peak_memory()
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
