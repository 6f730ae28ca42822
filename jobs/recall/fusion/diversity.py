"""Diversity: a user's best candidates reordered so that neighbors do not crowd the list.

Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998). The next item of a list is the
item with the greatest value

    value(i) = (1 - d) · score(i) / best score of the user + d · (1 - max_j sim(i, j))

over the items j that are listed already; d is the setting `diversity`. sim is the larger score of
i → j and j → i in gold.i2i_daily, at most 1, which is a typical nearest neighbor; a popular item
that only fills a list of neighbors is not similar. Categories play no part: they are as fine or as
coarse as the catalogue, and content is in the scores already. A list only grows, so values fall
along it, and the value is the new score.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jobs.recall.fusion.reorder import UNKNOWN, PoolValues, pairs_in_pool, room_for_pairs
from jobs.recall.kernels.compiled import kernel


@kernel
def _marginal_values(
    starts: NDArray[np.int64],
    scores: NDArray[np.float64],
    places: NDArray[np.int64],
    codes: NDArray[np.int32],
    indptr: NDArray[np.int64],
    neighbors: NDArray[np.int32],
    similarities: NDArray[np.float64],
    items: int,
    diversity: float,
    pool: int,
) -> NDArray[np.float64]:
    """The value of each row when it is listed; each user's rows come with the best score first.

    starts: where the rows of each user begin. places: the order of the item ids, for ties. codes:
    each item's row in the table of neighbors, -1 for none. indptr, neighbors, similarities: the
    table of neighbors, over items 0 to items - 1.
    """
    values = np.empty(len(scores))
    place_of = np.full(items, UNKNOWN, np.int32)
    pairs = room_for_pairs(indptr, pool)
    alike = np.empty((pool, pool))
    nearest = np.empty(pool)
    is_listed = np.empty(pool, np.bool_)
    for user in range(len(starts) - 1):
        first, end = starts[user], starts[user + 1]
        for row in range(first, end):
            values[row] = (1.0 - diversity) * (scores[row] / scores[first])
        size = min(pool, end - first)
        alike[:size, :size] = 0.0
        found = pairs_in_pool(codes[first : first + size], indptr, neighbors, place_of, pairs)
        for pair in range(found):
            a, b, cell = pairs[0, pair], pairs[1, pair], pairs[2, pair]
            similarity = min(1.0, max(similarities[cell], alike[a, b]))
            alike[a, b], alike[b, a] = similarity, similarity
        nearest[:size] = 0.0
        is_listed[:size] = False
        for _ in range(size):
            chosen, greatest = UNKNOWN, 0.0
            for a in range(size):
                if is_listed[a]:
                    continue
                value = values[first + a] + diversity * (1.0 - nearest[a])
                if (
                    chosen == UNKNOWN
                    or value > greatest
                    or (value == greatest and places[first + a] < places[first + chosen])
                ):
                    chosen, greatest = a, value
            is_listed[chosen] = True
            values[first + chosen] = greatest
            for a in range(size):
                nearest[a] = max(nearest[a], alike[chosen, a])
    return values


class MarginalRelevance(PoolValues):
    """Values that sort the rows in the greedy order; share is d, ties by item_id."""

    kernel = staticmethod(_marginal_values)
