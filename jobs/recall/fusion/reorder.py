"""A new order of each user's candidates by the lake's neighbors, computed in Spark tasks.

The table of neighbors comes to this process once, 12 bytes a row, and tasks map it. A user's rows
come to one task, where a loop of numba gives each row a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.recall.kernels.neighbor_table import NeighborTable

UNKNOWN = -1


@dataclass(frozen=True)
class Candidates:
    """Rows of some users side by side; each user's rows by falling score, ties by item.

    starts: (users + 1,) where the rows of each user begin. scores: above 0. places: the order of
    the item ids, for ties. codes: each item's row in the table of neighbors, UNKNOWN for none.
    """

    starts: NDArray[np.int64]
    scores: NDArray[np.float64]
    places: NDArray[np.int64]
    codes: NDArray[np.int32]


Values = Callable[[Candidates, NeighborTable], NDArray[np.float64]]


@dataclass(frozen=True)
class PoolValues:
    """The value of each row, in 0 to 1, by a loop over each user's best rows.

    share: how much of the value the loop decides, above 0. pool: how many of a user's best rows are
    put in a new order; the other rows get only (1 - share) · score / best, which is never more.
    """

    share: float
    pool: int
    kernel: ClassVar[Callable[..., NDArray[np.float64]]]

    def __call__(self, rows: Candidates, table: NeighborTable) -> NDArray[np.float64]:
        return self.kernel(
            rows.starts,
            rows.scores,
            rows.places,
            rows.codes,
            table.indptr,
            table.neighbors,
            table.scores,
            len(table.item_ids),
            self.share,
            self.pool,
        )


@njit(cache=True, nogil=True)
def pairs_in_pool(
    codes: NDArray[np.int32],
    indptr: NDArray[np.int64],
    neighbors: NDArray[np.int32],
    place_of: NDArray[np.int32],
    pairs: NDArray[np.int64],
) -> int:
    """The pairs of one pool whose second item is a neighbor of the first; returns their number.

    codes: of the pool's items. place_of: scratch, UNKNOWN for every item before and after. pairs:
    (3, enough) scratch that receives first, second (places in the pool) and the table's cell.
    """
    for place in range(len(codes)):
        if codes[place] != UNKNOWN:
            place_of[codes[place]] = place
    found = 0
    for first in range(len(codes)):
        if codes[first] == UNKNOWN:
            continue
        for cell in range(indptr[codes[first]], indptr[codes[first] + 1]):
            second = place_of[neighbors[cell]]
            if second != UNKNOWN:
                pairs[0, found], pairs[1, found], pairs[2, found] = first, second, cell
                found += 1
    for place in range(len(codes)):
        if codes[place] != UNKNOWN:
            place_of[codes[place]] = UNKNOWN
    return found


@njit(cache=True, nogil=True)
def room_for_pairs(indptr: NDArray[np.int64], pool: int) -> NDArray[np.int64]:
    """Scratch for the pairs of any pool; an item has at most all its neighbors in the pool."""
    longest = 0
    for item in range(len(indptr) - 1):
        longest = max(longest, indptr[item + 1] - indptr[item])
    return np.empty((3, pool * min(pool, longest)), np.int64)


def similar_items(neighbors: DataFrame) -> NeighborTable:
    """The table that `reorder` reads. neighbors: item_id, neighbor_item_id string, score double."""
    return NeighborTable.from_rows(
        neighbors.select("item_id", "neighbor_item_id", "score").toArrow()
    )


def reorder(scored: DataFrame, folder: Path, values: Values) -> DataFrame:
    """The same rows with a new score.

    scored: user_id, item_id string, score double > 0, at most one row for each pair, and any other
    columns. folder: holds `similar_items`; must live until the result is read. values: gives each
    row's new score; called in the tasks.
    """
    lists = scored.groupBy("user_id").agg(F.collect_list(F.struct(*scored.columns)).alias("rows"))
    return lists.select("rows").mapInArrow(reorder_in_tasks(folder, values), scored.schema)


def reorder_in_tasks(
    folder: Path, values: Values
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow` over one column `rows`, an array of the rows of one user."""

    def reordered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        table = NeighborTable.load(folder)
        for batch in batches:
            lists = batch.column("rows")
            rows = lists.flatten()
            items, scores = rows.field("item_id"), rows.field("score").to_numpy()
            sizes = pc.list_value_length(lists).to_numpy()
            places = pc.rank(items, tiebreaker="dense").to_numpy().astype(np.int64)
            codes = pc.index_in(items, value_set=table.item_ids).fill_null(UNKNOWN)
            user = np.repeat(np.arange(len(sizes)), sizes)
            best_first = np.lexsort((places, -scores, user))
            candidates = Candidates(
                np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]),
                scores[best_first],
                places[best_first],
                codes.to_numpy().astype(np.int32)[best_first],
            )
            found = np.empty(len(scores))
            found[best_first] = values(candidates, table)
            columns = {field.name: rows.field(field.name) for field in rows.type}
            columns["score"] = pa.array(found)
            yield pa.record_batch(list(columns.values()), names=list(columns))

    return reordered
