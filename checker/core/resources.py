"""How much memory this process holds, in MiB; 0 where the system does not say."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_STATM = "/proc/self/statm"
_STATUS = "/proc/self/status"


def peak_memory() -> float:
    """The largest resident size so far."""
    try:  # ru_maxrss would be inherited over exec from whoever started this program
        lines = Path(_STATUS).read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except (OSError, ValueError, IndexError, StopIteration):
        return _largest_ever()


def _largest_ever() -> float:
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
