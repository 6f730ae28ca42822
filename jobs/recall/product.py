"""A sparse matrix product in Spark tasks that keeps only the best cells of each row.

`rows × users` times `users × columns`, where rows and columns are the same items. The arrays lie
in a folder that the tasks map into memory, so a task costs what its own rows cost. Each row is
summed by `numpy.bincount` over the columns that its users touch; the cells are fixed-point numbers
below 2^53, so every sum is exact and in any order the same.

`sparse_dot_topn` does the same product, but neither counts the users behind a cell nor breaks ties
by item, and both belong to the result (docs/decisions/0007-recall.md has the times).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

SUM_BITS = 53
NEIGHBOR_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string()),
        pa.field("rank", pa.int32()),
        pa.field("neighbor_item_id", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("support", pa.int64()),
    ]
)
_ARRAYS = (
    "left_indptr",
    "left_indices",
    "left_data",
    "right_indptr",
    "right_indices",
    "right_data",
    "row_scale",
    "blocks",
)
# Columns, their sums or scores, and the users behind each.
Cells = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
# What a row costs beside its multiplications, in multiplications: slicing, ranking, output.
_ROW_COST = 5_000


@dataclass(frozen=True)
class SparseProduct:
    """The factors of an item × item product, in compressed rows, and how its rows are dealt out.

    item_ids: (items,) ids in ascending order, so that index order is id order.
    left: items × users, fixed-point whole numbers. right: users × items, the same; columns that
    must not be recommended are empty. row_scale: (items,) factor from a whole sum to a score.
    blocks: (blocks + 1,) first row of each block and the end; a block is one task's work.
    """

    item_ids: pa.StringArray
    left_indptr: NDArray[np.int64]
    left_indices: NDArray[np.int32]
    left_data: NDArray[np.float64]
    right_indptr: NDArray[np.int64]
    right_indices: NDArray[np.int64]
    right_data: NDArray[np.float64]
    row_scale: NDArray[np.float64]
    blocks: NDArray[np.int64]

    @classmethod
    def from_entries(cls, entries: pa.Table, block_products: int) -> SparseProduct:
        """Build the factors from (user, item) pairs, each at most once.

        entries: user_id string, item_id string, left long, right long (null where the item must
        not be a neighbor), row_scale double, the same on all rows of an item.
        block_products: multiplications in one block, roughly.
        """
        users, _ = _codes(entries["user_id"])
        rows, item_ids = _codes(entries["item_id"])
        shape = (len(item_ids), int(users.max(initial=-1)) + 1)
        left_data = entries["left"].to_numpy().astype(np.float64)
        left = csr_matrix((left_data, (rows, users)), shape=shape)
        wanted = entries["right"].is_valid().to_numpy()
        right_data = entries["right"].drop_null().to_numpy().astype(np.float64)
        right = csr_matrix((right_data, (users[wanted], rows[wanted])), shape=shape[::-1])
        row_scale = np.zeros(shape[0])
        row_scale[rows] = entries["row_scale"].to_numpy()
        return cls(
            item_ids=item_ids,
            left_indptr=left.indptr.astype(np.int64),
            left_indices=left.indices.astype(np.int32),
            left_data=left.data,
            right_indptr=right.indptr.astype(np.int64),
            right_indices=right.indices.astype(np.int64),
            right_data=right.data,
            row_scale=row_scale,
            blocks=_balanced_blocks(left, right, block_products),
        )

    @property
    def block_count(self) -> int:
        return len(self.blocks) - 1

    def save(self, folder: Path) -> None:
        """Write the arrays where the tasks can map them."""
        folder.mkdir(parents=True)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        table = pa.table({"item_id": self.item_ids})
        with pa.ipc.new_file(str(folder / "item_ids.arrow"), table.schema) as writer:
            writer.write_table(table)

    @classmethod
    def load(cls, folder: Path) -> SparseProduct:
        """Map a saved product; nothing is read until a row needs it."""
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        with pa.memory_map(str(folder / "item_ids.arrow")) as source:
            ids = pa.ipc.open_file(source).read_all()["item_id"].combine_chunks()
        return cls(item_ids=ids, **arrays)

    def top_of_row(self, row: int, k: int, min_support: int) -> Cells:
        """The k best columns of one row, the row itself left out: columns, scores, user counts.

        Only cells that at least `min_support` users touch. Order: score descending, then column
        ascending.
        """
        columns, sums, counts = self._row_cells(row)
        keep = (counts >= min_support) & (sums > 0) & (columns != row)
        columns, counts = columns[keep], counts[keep]
        scores = sums[keep] * self.row_scale[row]
        if len(scores) > k:
            cut = np.partition(scores, len(scores) - k)[len(scores) - k]
            near = scores >= cut
            columns, scores, counts = columns[near], scores[near], counts[near]
        order = np.lexsort((columns, -scores))[:k]
        return columns[order], scores[order], counts[order]

    def _row_cells(self, row: int) -> Cells:
        """All cells of one row that some user touches: columns, whole sums, user counts."""
        mine = slice(self.left_indptr[row], self.left_indptr[row + 1])
        spans = [
            slice(self.right_indptr[user], self.right_indptr[user + 1])
            for user in self.left_indices[mine]
        ]
        if not spans:
            return np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
        touched = np.concatenate([self.right_indices[span] for span in spans])
        weights = np.concatenate(
            [
                self.right_data[span] * mark
                for span, mark in zip(spans, self.left_data[mine], strict=True)
            ]
        )
        items = len(self.item_ids)
        # Counting into all items costs their number; sorting costs the touched ones.
        if len(touched) * 4 < items:
            columns, place = np.unique(touched, return_inverse=True)
            return columns, np.bincount(place, weights), np.bincount(place)
        counts = np.bincount(touched, minlength=items)
        columns = np.flatnonzero(counts)
        return columns, np.bincount(touched, weights, items)[columns], counts[columns]

    def top_of_block(self, block: int, k: int, min_support: int) -> pa.RecordBatch:
        """The neighbors of all items of one block, in the columns of NEIGHBOR_SCHEMA."""
        rows = range(self.blocks[block], self.blocks[block + 1])
        tops = [self.top_of_row(row, k, min_support) for row in rows]
        sizes = [len(columns) for columns, _, _ in tops]
        sources = np.repeat(np.asarray(rows, dtype=np.int64), sizes)
        ranks = [np.arange(1, size + 1, dtype=np.int32) for size in sizes]
        columns, scores, counts = (np.concatenate(parts) for parts in zip(*tops, strict=True))
        return pa.record_batch(
            [
                self.item_ids.take(pa.array(sources)),
                pa.array(np.concatenate(ranks)),
                self.item_ids.take(pa.array(columns)),
                pa.array(scores),
                pa.array(counts),
            ],
            schema=NEIGHBOR_SCHEMA,
        )


def top_rows_in_tasks(
    folder: str, k: int, min_support: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow` over block numbers (column id long): each block's neighbors.

    folder: where a SparseProduct was saved, readable on every executor.
    """

    def top_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        product = SparseProduct.load(Path(folder))
        for batch in batches:
            for block in batch.column("id").to_pylist():
                yield product.top_of_block(block, k, min_support)

    return top_rows


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], pa.StringArray]:
    """Each value's place among the distinct values in ascending order, and those values."""
    distinct = column.unique()
    ordered = distinct.take(pc.array_sort_indices(distinct))
    codes = pc.index_in(column, value_set=ordered)
    return codes.to_numpy().astype(np.int64), ordered


def _balanced_blocks(left: csr_matrix, right: csr_matrix, products: int) -> NDArray[np.int64]:
    """Cut the rows of left × right into runs of about `products` multiplications each."""
    per_user = np.diff(right.indptr)
    per_entry = np.concatenate([[0], np.cumsum(per_user[left.indices], dtype=np.int64)])
    cost = np.diff(per_entry[left.indptr]) + _ROW_COST
    total = np.cumsum(cost)
    if not len(total):
        return np.zeros(1, dtype=np.int64)
    targets = np.arange(products, total[-1], products)
    cuts = np.searchsorted(total, targets, side="left") + 1
    return np.unique(np.concatenate([[0], cuts, [len(total)]])).astype(np.int64)
