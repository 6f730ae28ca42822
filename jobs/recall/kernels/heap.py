"""The best cells of a row, for loops that numba compiles.

Order: score descending, then column ascending. So the kept cells and their order do not depend on
the order in which cells come.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Columns = NDArray[np.int32]
# Scores are counted by steps from the best score, 32 steps for each factor of two.
_STEPS = 512
_STEP_BITS = 47


@njit(cache=True, nogil=True)
def put_best_first(scores: Scores, columns: Columns, size: int, k: int) -> int:
    """Move the k best of the first `size` cells to the front, the best at 0; returns their number.

    scores: above 0. The cells behind the best ones mean nothing afterwards.
    """
    kept = 0
    heap_scores, heap_columns = scores[:k], columns[:k]
    for place in range(_put_likely_first(scores, columns, size, k)):
        kept = _offer(heap_scores, heap_columns, kept, scores[place], columns[place])
    _sort_best_first(scores, columns, kept)
    return kept


@njit(cache=True, nogil=True)
def best_of_row(row: NDArray[np.float32], scores: Scores, columns: Columns) -> int:
    """Find the best cells of a whole row, best first; returns their number, at most len(scores).

    row: the score of each column, of any sign. scores, columns: receive the cells.
    """
    k, kept = len(scores), 0
    for column in range(len(row)):
        # A later column with the score of the worst kept cell is worse.
        if kept < k or row[column] > scores[0]:
            kept = _offer(scores, columns, kept, row[column], column)
    _sort_best_first(scores, columns, kept)
    return kept


@njit(cache=True, nogil=True)
def _sort_best_first(scores: Scores, columns: Columns, size: int) -> None:
    """Sort a heap of `size` cells."""
    for end in range(size - 1, 0, -1):
        score, column = scores[0], columns[0]
        _sift_down(scores, columns, end, scores[end], columns[end])
        scores[end], columns[end] = score, column


@njit(cache=True, nogil=True)
def _put_likely_first(scores: Scores, columns: Columns, size: int, k: int) -> int:
    """Move the cells that may be among the k best to the front; returns their number.

    Counting finds a step above which k cells lie. The heap, which takes far longer for each cell,
    then sees few more than these.
    """
    if size <= k:
        return size
    # The bits of positive doubles, read as whole numbers, have the order of the doubles.
    bits = scores.view(np.int64)
    best = np.int64(0)
    for place in range(size):
        best = max(best, bits[place])
    counts = np.zeros(_STEPS, np.int64)
    for place in range(size):
        counts[min((best - bits[place]) >> _STEP_BITS, _STEPS - 1)] += 1
    steps, above = 0, 0
    while above < k:
        above += counts[steps]
        steps += 1
    if steps == _STEPS:
        return size
    least = best - (np.int64(steps) << _STEP_BITS)
    kept = 0
    for place in range(size):
        is_likely = bits[place] > least
        scores[kept], columns[kept] = scores[place], columns[place]
        kept += is_likely
    return kept


@njit(cache=True, nogil=True)
def _offer(scores: Scores, columns: Columns, size: int, score: float, column: int) -> int:
    """Keep a cell if it is among the best len(scores); returns how many cells are kept.

    scores, columns: the heap, of which the first `size` cells are filled, the worst at 0.
    """
    if size < len(scores):
        _sift_up(scores, columns, size, score, column)
        return size + 1
    if _is_worse(scores[0], columns[0], score, column):
        _sift_down(scores, columns, size, score, column)
    return size


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
    """Replace the worst cell of a heap of `size` cells."""
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
