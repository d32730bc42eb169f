"""Memory models: layers over the one meaning.

A reader of the sequentially consistent semantics needs nothing of this: `tso`
rewrites a System into another one whose state holds the store buffers, and
whoever searches or replays that one does not know that it was rewritten.  `weak`
makes the compiled steps of a System on the values that `views` lets a thread read.
"""

from checker.core.memory.defer import DEFER
from checker.core.memory.tso import DEPTH, with_store_buffers
from checker.core.memory.weak import HISTORY

__all__ = ["DEFER", "DEPTH", "HISTORY", "with_store_buffers"]
