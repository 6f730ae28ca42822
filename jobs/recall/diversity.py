"""Diversity: a user's best candidates in an order in which neighbors do not crowd the list.

Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998). The next item of a list is the
one of the greatest value

    value(i) = (1 - d) · score(i) / best score of the user + d · (1 - max_j sim(i, j))

over the items j that are listed already, d being the setting `diversity`. sim is what the lake
says of similar items: the score of i → j or j → i in gold.i2i_daily, the larger, at most 1, which
is a typical nearest neighbor; a popular item that only fills a list of neighbors is not similar.
Categories are not asked: they are as fine or as coarse as the catalogue, and content is in the
scores already. A list only grows, so values fall along it, and the value is the new score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.recall.history import NeighborTable

_UNKNOWN = -1


def diversify(
    scored: DataFrame, neighbors: DataFrame, diversity: float, pool: int, folder: str
) -> DataFrame:
    """The same rows with a new score in 0 to 1, the value, by which they are in order.

    scored: user_id, item_id string, score double > 0, at most one row for each pair, and any other
    columns. neighbors: item_id, neighbor_item_id string, score double. diversity: above 0, up to 1.
    pool: how many of a user's best rows are put in a new order; the others have (1 - d) · score /
    best alone, which is never more. folder: a new one that this process and the executors share;
    must live until the result is read. Ties: item_id ascending.

    The table of neighbors comes to this process once, 12 bytes a row, and tasks map it.
    """
    pairs = neighbors.select("item_id", "neighbor_item_id", "score").toArrow()
    NeighborTable.from_rows(pairs).save(Path(folder))
    lists = scored.groupBy("user_id").agg(F.collect_list(F.struct(*scored.columns)).alias("rows"))
    return lists.select("rows").mapInArrow(
        diversify_in_tasks(folder, diversity, pool), scored.schema
    )


def diversify_in_tasks(
    folder: str, diversity: float, pool: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow` over one column `rows`, an array of the rows of one user.

    folder: where a NeighborTable was saved, readable on every executor.
    """

    def diversify(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        table = NeighborTable.load(Path(folder))
        for batch in batches:
            lists = batch.column("rows")
            rows = lists.flatten()
            items, scores = rows.field("item_id"), rows.field("score").to_numpy()
            sizes = pc.list_value_length(lists).to_numpy()
            places = pc.rank(items, tiebreaker="dense").to_numpy().astype(np.int64)
            codes = pc.index_in(items, value_set=table.item_ids).fill_null(_UNKNOWN)
            user = np.repeat(np.arange(len(sizes)), sizes)
            best_first = np.lexsort((places, -scores, user))
            values = np.empty(len(scores))
            values[best_first] = marginal_values(
                np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]),
                scores[best_first],
                places[best_first],
                codes.to_numpy().astype(np.int32)[best_first],
                table.indptr,
                table.neighbors,
                table.scores,
                len(table.item_ids),
                diversity,
                pool,
            )
            columns = {field.name: rows.field(field.name) for field in rows.type}
            columns["score"] = pa.array(values)
            yield pa.record_batch(list(columns.values()), names=list(columns))

    return diversify


@njit(cache=True, nogil=True)
def marginal_values(
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
    each item's row in the table of neighbors, -1 for none. indptr, neighbors, similarities: that
    table, over items 0 to items - 1.
    """
    values = np.empty(len(scores))
    place_of = np.full(items, _UNKNOWN, np.int32)
    alike = np.empty((pool, pool))
    nearest = np.empty(pool)
    is_listed = np.empty(pool, np.bool_)
    for user in range(len(starts) - 1):
        first, end = starts[user], starts[user + 1]
        for row in range(first, end):
            values[row] = (1.0 - diversity) * (scores[row] / scores[first])
        size = min(pool, end - first)
        alike[:size, :size] = 0.0
        for a in range(size):
            if codes[first + a] != _UNKNOWN:
                place_of[codes[first + a]] = a
        for a in range(size):
            code = codes[first + a]
            if code == _UNKNOWN:
                continue
            for cell in range(indptr[code], indptr[code + 1]):
                b = place_of[neighbors[cell]]
                if b != _UNKNOWN:
                    similarity = min(1.0, max(similarities[cell], alike[a, b]))
                    alike[a, b], alike[b, a] = similarity, similarity
        nearest[:size] = 0.0
        is_listed[:size] = False
        for _ in range(size):
            chosen, greatest = _UNKNOWN, 0.0
            for a in range(size):
                if is_listed[a]:
                    continue
                value = values[first + a] + diversity * (1.0 - nearest[a])
                if (
                    chosen == _UNKNOWN
                    or value > greatest
                    or (value == greatest and places[first + a] < places[first + chosen])
                ):
                    chosen, greatest = a, value
            is_listed[chosen] = True
            values[first + chosen] = greatest
            for a in range(size):
                nearest[a] = max(nearest[a], alike[chosen, a])
        for a in range(size):
            if codes[first + a] != _UNKNOWN:
                place_of[codes[first + a]] = _UNKNOWN
    return values
