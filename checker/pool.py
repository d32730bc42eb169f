"""Independent pieces of work on all cores, their results in the order of the pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")


def in_parallel(work: Callable[[_Piece], _Result], pieces: Sequence[_Piece], jobs: int) -> Iterator[_Result]:
    """`work` of each piece, by `jobs` processes; pieces and results must survive pickling.

    What a piece raises is raised here, in its turn, and what has not begun by then is given up.
    A process that is killed is taken for one that had no memory left: MemoryError.
    """
    if jobs <= 1 or len(pieces) <= 1:
        yield from map(work, pieces)
        return
    import multiprocessing  # here, as most runs need none of it
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    with ProcessPoolExecutor(min(jobs, len(pieces)), mp_context=multiprocessing.get_context("fork")) as pool:
        try:
            yield from pool.map(work, pieces)
        except BrokenProcessPool:
            raise MemoryError from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
