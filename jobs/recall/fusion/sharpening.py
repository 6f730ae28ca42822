"""Sharpening: lowers the candidates that a user's other candidates lead to as well.

Sums over a history or over similar users smooth: an item in the middle of many lists collects score
from all sides. The smooth part is what the candidates together would recommend once more; it is
subtracted:

    spread(j) = Σ_i score(i) · sim(i → j),  over the user's best candidates i
    value(j) = (1 - w) · score(j) / best score + w · (1 - spread(j) / largest spread)

w is the setting `sharpening`, and sim the score of i → j in gold.i2i_daily; a popular item that
only fills a list of neighbors is not similar. This is the sharpening step of a blurring filter
(BSPM, Choi et al., SIGIR 2023), who subtract the blurred scores of all items. Here it is taken once
and only over candidates, which the user has not taken; w = 0.25 is their step of a third.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jobs.recall.fusion.reorder import UNKNOWN, PoolValues, pairs_in_pool, room_for_pairs
from jobs.recall.kernels.compiled import kernel


@kernel
def _sharpened(
    starts: NDArray[np.int64],
    scores: NDArray[np.float64],
    places: NDArray[np.int64],
    codes: NDArray[np.int32],
    indptr: NDArray[np.int64],
    neighbors: NDArray[np.int32],
    similarities: NDArray[np.float64],
    items: int,
    share: float,
    pool: int,
) -> NDArray[np.float64]:
    """The value of each row; each user's rows come with the best score first."""
    values = np.empty(len(scores))
    place_of = np.full(items, UNKNOWN, np.int32)
    pairs = room_for_pairs(indptr, pool)
    spread = np.empty(pool)
    for user in range(len(starts) - 1):
        first, end = starts[user], starts[user + 1]
        for row in range(first, end):
            values[row] = (1.0 - share) * (scores[row] / scores[first])
        size = min(pool, end - first)
        spread[:size] = 0.0
        found = pairs_in_pool(codes[first : first + size], indptr, neighbors, place_of, pairs)
        for pair in range(found):
            a, b, cell = pairs[0, pair], pairs[1, pair], pairs[2, pair]
            spread[b] += scores[first + a] * similarities[cell]
        largest = spread[:size].max() if size else 0.0
        for a in range(size):
            smooth = spread[a] / largest if largest > 0 else 0.0
            values[first + a] += share * (1.0 - smooth)
    return values


class Sharpening(PoolValues):
    """Values of sharpened candidates; share is w, below 1."""

    kernel = staticmethod(_sharpened)
