"""The best cells of a row while it is computed: a binary heap for loops that numba compiles.

Order: score descending, then column ascending. So the cells that stay, and their order, do not
depend on the order in which they came.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Columns = NDArray[np.int32]


@njit(cache=True, nogil=True)
def offer(scores: Scores, columns: Columns, size: int, score: float, column: int) -> int:
    """Keep a cell if it is among the best len(scores); how many cells are kept then.

    scores, columns: the heap, of which the first `size` cells are filled, the worst at 0.
    """
    if size < len(scores):
        _sift_up(scores, columns, size, score, column)
        return size + 1
    if _is_worse(scores[0], columns[0], score, column):
        _sift_down(scores, columns, size, score, column)
    return size


@njit(cache=True, nogil=True)
def put_best_first(scores: Scores, columns: Columns, size: int) -> None:
    """Turn the heap of `size` cells into a list, the best at 0."""
    for end in range(size - 1, 0, -1):
        score, column = scores[0], columns[0]
        _sift_down(scores, columns, end, scores[end], columns[end])
        scores[end], columns[end] = score, column


@njit(cache=True, nogil=True)
def _is_worse(score: float, column: int, other_score: float, other_column: int) -> bool:
    return score < other_score or (score == other_score and column > other_column)


@njit(cache=True, nogil=True)
def _sift_up(scores: Scores, columns: Columns, size: int, score: float, column: int) -> None:
    """Add a cell to a heap of `size` cells."""
    place = size
    while place > 0:
        parent = (place - 1) // 2
        if not _is_worse(score, column, scores[parent], columns[parent]):
            break
        scores[place], columns[place] = scores[parent], columns[parent]
        place = parent
    scores[place], columns[place] = score, column


@njit(cache=True, nogil=True)
def _sift_down(scores: Scores, columns: Columns, size: int, score: float, column: int) -> None:
    """Put a cell in the place of the worst of a heap of `size` cells."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _is_worse(scores[right], columns[right], scores[child], columns[child]):
            child = right
        if not _is_worse(scores[child], columns[child], score, column):
            break
        scores[place], columns[place] = scores[child], columns[child]
        place = child
    scores[place], columns[place] = score, column
