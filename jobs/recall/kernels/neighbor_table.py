"""The items that each user's recent history leads to in a table of neighbors, in Spark tasks.

    score(u, j) = Σ_i strength(u, i) · score(i → j)

The table lies in a folder that the tasks map into memory, users come through Spark in batches, and
only a user's best items leave the loop. Terms are whole numbers, so a sum is exact and the same in
any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from jobs.recall.kernels.compiled import kernel
from jobs.recall.kernels.heap import put_best_first
from jobs.recall.kernels.mapped import in_id_order, map_arrays, save_arrays

TERM_SCALE = float(2**40)
_OF_A_TERM = 1 / TERM_SCALE
RECALL_DDL = "user_id string, rank int, item_id string, score double, because_item_id string"
RECALL_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("rank", pa.int32()),
        pa.field("item_id", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("because_item_id", pa.string()),
    ]
)
_ARRAYS = ("indptr", "neighbors", "scores")
_NOTHING = -1


@dataclass(frozen=True)
class NeighborTable:
    """Lists of neighbors in compressed rows.

    item_ids: ids in ascending order, so that index order is id order. indptr: (items + 1,) where
    the list of each item begins. neighbors: index of each neighbor. scores: 0 or more.
    """

    item_ids: pa.StringArray
    indptr: NDArray[np.int64]
    neighbors: NDArray[np.int32]
    scores: NDArray[np.float64]

    @classmethod
    def from_rows(cls, rows: pa.Table) -> NeighborTable:
        """rows: item_id, neighbor_item_id string, score double; each pair at most once."""
        item_ids = in_id_order(rows["item_id"], rows["neighbor_item_id"])
        item, neighbor = (
            pc.index_in(rows[name], value_set=item_ids).to_numpy()
            for name in ("item_id", "neighbor_item_id")
        )
        places = np.arange(1, rows.num_rows + 1, dtype=np.int64)
        order = csr_matrix((places, (item, neighbor)), shape=(len(item_ids),) * 2)
        return cls(
            item_ids=item_ids,
            indptr=order.indptr.astype(np.int64),
            neighbors=order.indices.astype(np.int32),
            scores=rows["score"].to_numpy()[order.data - 1],
        )

    def save(self, folder: Path) -> None:
        """Write the arrays where the tasks can map them."""
        save_arrays(folder, self.item_ids, {name: getattr(self, name) for name in _ARRAYS})

    @classmethod
    def load(cls, folder: Path) -> NeighborTable:
        """Map a saved table."""
        item_ids, arrays = map_arrays(folder, _ARRAYS)
        return cls(item_ids, **arrays)

    def recall(self, histories: pa.RecordBatch, k: int) -> pa.RecordBatch:
        """The k best items of each user, in the columns of RECALL_SCHEMA.

        histories: user_id string, items list<string> (distinct), strengths list<double> of these
        items, seen list<string> or null: items that must not be returned. Order: user as given,
        then score descending, then item ascending. because_item_id: the item with the largest term,
        ties by item ascending. Items of a history that are not in the table are skipped.
        """
        (items, starts), (seen, seen_starts) = self._coded(histories["items"], histories["seen"])
        columns, scores, because, sizes = best_of_histories(
            starts,
            items,
            histories["strengths"].flatten().to_numpy(zero_copy_only=False),
            seen_starts,
            seen,
            self.indptr,
            self.neighbors,
            self.scores,
            len(self.item_ids),
            k,
            explain=True,
        )
        within = np.arange(k) < sizes[:, None]
        users = np.repeat(np.arange(len(sizes)), sizes)
        ranks = np.broadcast_to(np.arange(1, k + 1, dtype=np.int32), within.shape)[within]
        return pa.record_batch(
            [
                histories["user_id"].take(pa.array(users)).cast(pa.string()),
                pa.array(ranks),
                self.item_ids.take(pa.array(columns[within])),
                pa.array(scores[within]),
                self.item_ids.take(pa.array(because[within])),
            ],
            schema=RECALL_SCHEMA,
        )

    def _coded(self, *lists: pa.ListArray) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """For each array: the index of each item in its lists, -1 for an unknown item, and where
        each list begins."""
        lengths = [pc.list_value_length(each).fill_null(0).to_numpy() for each in lists]
        starts = [np.concatenate([[0], np.cumsum(each, dtype=np.int64)]) for each in lengths]
        # In one call, because each hashes all of item_ids.
        flat = pa.concat_arrays([each.flatten() for each in lists])
        codes = pc.index_in(flat, value_set=self.item_ids).fill_null(_NOTHING).to_numpy()
        ends = np.cumsum([each[-1] for each in starts])
        return list(zip(np.split(codes.astype(np.int32), ends[:-1]), starts, strict=True))


def recall_in_tasks(
    folder: Path, k: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow` over histories, as `NeighborTable.recall` takes them.

    folder: where a NeighborTable was saved, readable on every executor.
    """

    def recall(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        table = NeighborTable.load(folder)
        for batch in batches:
            yield table.recall(batch, k)

    return recall


@kernel
def best_of_histories(
    starts: NDArray[np.int64],
    sources: NDArray[np.int32],
    strengths: NDArray[np.float64],
    seen_starts: NDArray[np.int64],
    seen: NDArray[np.int32],
    indptr: NDArray[np.int64],
    neighbors: NDArray[np.int32],
    neighbor_scores: NDArray[np.float64],
    items: int,
    k: int,
    explain: bool,
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32], NDArray[np.int64]]:
    """The k best items of each user: index, score, the source with the largest term; their number.

    starts, sources, strengths: each user's history, -1 for a source without a list. seen_starts,
    seen: items that must not be returned, -1 for an unknown item. indptr, neighbors,
    neighbor_scores: the list of each source, over items 0 to items - 1. explain: whether to find
    the sources; without it they mean nothing.
    """
    # This loop decides what a user costs. Hence unsigned indices, which numba does not check for
    # counting from the end, and sums without a branch: one array is touched at random.
    users = len(starts) - 1
    columns = np.empty((users, k), np.int32)
    scores = np.empty((users, k), np.float64)
    because = np.empty((users, k), np.int32)
    sizes = np.zeros(users, np.int64)
    rank_of = np.empty(items, np.int32)
    is_best = np.zeros(items // 8 + 1, np.uint8)
    totals = np.zeros(items, np.int64)
    found = np.empty(items + 1, np.float64)
    found_columns = np.empty(items + 1, np.int32)
    for user in range(users):
        touched = np.uint64(0)
        for place in range(starts[user], starts[user + 1]):
            source = sources[place]
            if source == _NOTHING:
                continue
            strength = strengths[place] * TERM_SCALE
            for cell in range(np.uint64(indptr[source]), np.uint64(indptr[source + 1])):
                column = np.uint32(neighbors[cell])
                term = np.int64(np.rint(strength * neighbor_scores[cell]))
                total = totals[column]
                found_columns[touched] = column
                touched += np.uint64((total == 0) & (term != 0))
                totals[column] = total + term
        for place in range(seen_starts[user], seen_starts[user + 1]):
            if seen[place] != _NOTHING:
                totals[seen[place]] = 0
        n_found = np.uint64(0)
        for place in range(touched):
            column = np.uint32(found_columns[place])
            total = totals[column]
            totals[column] = 0
            found[n_found], found_columns[n_found] = total * _OF_A_TERM, column
            n_found += np.uint64(total > 0)
        size = put_best_first(found, found_columns, np.int64(n_found), k)
        sizes[user] = size
        columns[user, :size] = found_columns[:size]
        scores[user, :size] = found[:size]
        if explain:
            history = slice(starts[user], starts[user + 1])
            _find_sources(
                sources[history],
                strengths[history],
                indptr,
                neighbors,
                neighbor_scores,
                columns[user, :size],
                because[user],
                rank_of,
                is_best,
            )
    return columns, scores, because, sizes


@njit(cache=True, nogil=True)
def _find_sources(
    sources: NDArray[np.int32],
    strengths: NDArray[np.float64],
    indptr: NDArray[np.int64],
    neighbors: NDArray[np.int32],
    neighbor_scores: NDArray[np.float64],
    best: NDArray[np.int32],
    because: NDArray[np.int32],
    rank_of: NDArray[np.int32],
    is_best: NDArray[np.uint8],
) -> None:
    """For each best item of one user the source with the largest term, ties by source ascending.

    A second pass over lists that are still in the cache takes less time than keeping the largest
    term of every item in the first pass. because: receives the sources. rank_of: (items,) scratch.
    is_best: scratch of one bit an item, all 0 before and after, so small that it stays in the
    nearest cache.
    """
    for rank, column in enumerate(best):
        rank_of[column] = rank
        is_best[column >> 3] |= np.uint8(1 << (column & 7))
    largest = np.zeros(len(best), np.int64)
    for place, source in enumerate(sources):
        if source == _NOTHING:
            continue
        strength = strengths[place] * TERM_SCALE
        for cell in range(np.uint64(indptr[source]), np.uint64(indptr[source + 1])):
            column = np.uint32(neighbors[cell])
            if (is_best[column >> np.uint32(3)] >> (column & np.uint32(7))) & 1:
                rank = rank_of[column]
                term = np.int64(np.rint(strength * neighbor_scores[cell]))
                if term > largest[rank] or (term == largest[rank] and source < because[rank]):
                    largest[rank], because[rank] = term, source
    for column in best:
        is_best[column >> 3] = 0
