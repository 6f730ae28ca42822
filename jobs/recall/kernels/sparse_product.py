"""A sparse matrix product in Spark tasks that keeps only the best cells of each row.

`rows × users` times `users × columns`, where rows and columns are the same items. The arrays lie
in a folder that the tasks map into memory, so a task costs what its own rows cost. A row is summed
into one array over all columns (Gustavson, ACM TOMS 1978), and a heap keeps its best cells; nothing
else of the product ever exists. The cells are fixed-point numbers below 2^53, so every sum is exact
and the same in any order.

numba compiles the loop. `sparse_dot_topn` and `implicit` have the same loop in C++, but neither
counts the users behind a cell nor breaks ties by item, which the result needs
(docs/decisions/0007-recall.evidence.md has the times).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from scipy.sparse import csr_matrix

from jobs.recall.kernels.compiled import kernel
from jobs.recall.kernels.heap import put_best_first
from jobs.recall.kernels.mapped import id_codes, map_arrays, save_arrays

SUM_BITS = 53
NEIGHBOR_DDL = "item_id string, rank int, neighbor_item_id string, score double, support bigint"
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
    "owners",
    "blocks",
)
# The fixed cost of a row (slicing, ranking, output), in multiplications.
_ROW_COST = 1_000


@dataclass(frozen=True)
class BestCells:
    """The best cells of some rows of a product, best first.

    rows: (rows,) which rows. columns, scores, counts: (rows, k) column, score and users of each
    cell. sizes: (rows,) how many cells of each row are filled; cells beyond mean nothing.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int32]
    scores: NDArray[np.float64]
    counts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def named(self, item_ids: pa.StringArray) -> pa.RecordBatch:
        """The cells as neighbors, in the columns of NEIGHBOR_SCHEMA; order: row, then rank."""
        within = np.arange(self.columns.shape[1]) < self.sizes[:, None]
        ranks = np.broadcast_to(np.arange(1, within.shape[1] + 1, dtype=np.int32), within.shape)
        return pa.record_batch(
            [
                item_ids.take(pa.array(np.repeat(self.rows, self.sizes))),
                pa.array(ranks[within]),
                item_ids.take(pa.array(self.columns[within])),
                pa.array(self.scores[within]),
                pa.array(self.counts[within]),
            ],
            schema=NEIGHBOR_SCHEMA,
        )


@dataclass(frozen=True)
class SparseProduct:
    """The factors of an item × item product, in compressed rows, and the blocks of its rows.

    item_ids: (items,) ids in ascending order, so that index order is id order.
    left: items × users, fixed-point whole numbers. right: users × items, the same; columns that
    must not be recommended are empty. row_scale: (items,) factor from a whole sum to a score.
    owners: (users,) the user behind each of `users`, ascending; two sessions of one user have the
    same owner.
    blocks: (blocks + 1,) first row of each block and the end; a block is one task's work.
    """

    item_ids: pa.StringArray
    left_indptr: NDArray[np.int64]
    left_indices: NDArray[np.int32]
    left_data: NDArray[np.float64]
    right_indptr: NDArray[np.int64]
    right_indices: NDArray[np.int32]
    right_data: NDArray[np.float64]
    row_scale: NDArray[np.float64]
    owners: NDArray[np.int32]
    blocks: NDArray[np.int64]

    @classmethod
    def from_entries(cls, entries: pa.Table, block_products: int) -> SparseProduct:
        """Build the factors from (user, item) pairs, each at most once.

        entries: user_id string, item_id string, left long, right long (null where the item must
        not be a neighbor), row_scale double, the same on all rows of an item; and, if several
        user_ids are sessions of one user, owner_id string, with which the user_ids begin. Ids may
        be dictionary-encoded.
        block_products: multiplications in one block, roughly.
        """
        users, user_ids = id_codes(entries["user_id"])
        owners = np.arange(len(user_ids), dtype=np.int32)
        if "owner_id" in entries.column_names:
            codes, _ = id_codes(entries["owner_id"])
            owners[users] = codes
        rows, item_ids = id_codes(entries["item_id"])
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
            right_indices=right.indices.astype(np.int32),
            right_data=right.data,
            row_scale=row_scale,
            owners=owners,
            blocks=_product_blocks(left, right, block_products),
        )

    @property
    def block_count(self) -> int:
        return len(self.blocks) - 1

    @property
    def user_count(self) -> int:
        return len(self.right_indptr) - 1

    def save(self, folder: Path) -> None:
        """Write the arrays where the tasks can map them."""
        save_arrays(folder, self.item_ids, {name: getattr(self, name) for name in _ARRAYS})

    @classmethod
    def load(cls, folder: Path) -> SparseProduct:
        """Map a saved product; nothing is read until a row needs it."""
        item_ids, arrays = map_arrays(folder, _ARRAYS)
        return cls(item_ids, **arrays)

    def best_cells(self, block: int, k: int, min_support: int, shrinkage: float = 0.0) -> BestCells:
        """For each item of one block, the k best others that `min_support` users took as well.

        shrinkage: with n users behind a cell, its score counts (n - 1) / (n - 1 + shrinkage).
        """
        first, end = int(self.blocks[block]), int(self.blocks[block + 1])
        found = _top_of_rows(
            first,
            end,
            self.left_indptr,
            self.left_indices,
            self.left_data,
            self.right_indptr,
            self.right_indices,
            self.right_data,
            self.row_scale,
            self.owners,
            k,
            min_support,
            shrinkage,
        )
        return BestCells(np.arange(first, end), *found)

    def top_of_block(
        self, block: int, k: int, min_support: int, shrinkage: float
    ) -> pa.RecordBatch:
        """The neighbors of all items of one block, in the columns of NEIGHBOR_SCHEMA.

        Order: item ascending, then score descending, then neighbor ascending.
        """
        return self.best_cells(block, k, min_support, shrinkage).named(self.item_ids)


@kernel
def _top_of_rows(
    first: int,
    end: int,
    left_indptr: NDArray[np.int64],
    left_indices: NDArray[np.int32],
    left_data: NDArray[np.float64],
    right_indptr: NDArray[np.int64],
    right_indices: NDArray[np.int32],
    right_data: NDArray[np.float64],
    row_scale: NDArray[np.float64],
    owners: NDArray[np.int32],
    k: int,
    min_support: int,
    shrinkage: float,
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """The k best cells of each row in [first, end): columns, scores, users, (rows, k) each.

    The fourth array has how many cells of each row are filled.
    """
    items = len(row_scale)
    columns = np.empty((end - first, k), np.int32)
    scores = np.empty((end - first, k), np.float64)
    counts = np.empty((end - first, k), np.int64)
    sizes = np.zeros(end - first, np.int64)
    sums = np.zeros(items, np.float64)
    users = np.zeros(items, np.int32)
    last_owner = np.full(items, -1, np.int32)
    touched = np.empty(items + 1, np.int32)
    found = np.empty(items, np.float64)
    found_columns = np.empty(items, np.int32)
    each_has_an_owner = (owners[1:] > owners[:-1]).all()
    for row in range(first, end):
        own = slice(left_indptr[row], left_indptr[row + 1])
        marks = (left_indices[own], left_data[own], right_indptr, right_indices, right_data)
        if each_has_an_owner:
            n_touched = _add_users(*marks, sums, users, touched)
        else:
            n_touched = _add_owners(*marks, owners, sums, users, touched, last_owner)
        n_found = 0
        for place in range(n_touched):
            column = touched[place]
            if users[column] < min_support or sums[column] <= 0 or column == row:
                continue
            score = sums[column] * row_scale[row]
            if shrinkage > 0:
                score *= (users[column] - 1) / (users[column] - 1 + shrinkage)
                if score == 0:
                    continue
            found[n_found], found_columns[n_found] = score, column
            n_found += 1
        size = put_best_first(found, found_columns, n_found, k)
        sizes[row - first] = size
        columns[row - first, :size] = found_columns[:size]
        scores[row - first, :size] = found[:size]
        for place in range(size):
            counts[row - first, place] = users[found_columns[place]]
        for place in range(n_touched):
            sums[touched[place]] = 0.0
            users[touched[place]] = 0
            last_owner[touched[place]] = -1
    return columns, scores, counts, sizes


@njit(cache=True, nogil=True)
def _add_users(
    row_users: NDArray[np.int32],
    row_marks: NDArray[np.float64],
    right_indptr: NDArray[np.int64],
    right_indices: NDArray[np.int32],
    right_data: NDArray[np.float64],
    sums: NDArray[np.float64],
    users: NDArray[np.int32],
    touched: NDArray[np.int32],
) -> int:
    """Add up one row whose users all have different owners; returns how many columns it touches.

    sums, users: for each column, 0 before. touched: (columns + 1,) receives the columns. The
    product spends its time in this loop, so indices are unsigned: numba then does not check whether
    they count from the end.
    """
    size = np.uint64(0)
    for place in range(len(row_users)):
        user, mark = row_users[place], row_marks[place]
        for cell in range(np.uint64(right_indptr[user]), np.uint64(right_indptr[user + 1])):
            column = np.uint32(right_indices[cell])
            others = users[column]
            touched[size] = column
            size += np.uint64(others == 0)
            users[column] = others + 1
            sums[column] += mark * right_data[cell]
    return int(np.int64(size))


@njit(cache=True, nogil=True)
def _add_owners(
    row_users: NDArray[np.int32],
    row_marks: NDArray[np.float64],
    right_indptr: NDArray[np.int64],
    right_indices: NDArray[np.int32],
    right_data: NDArray[np.float64],
    owners: NDArray[np.int32],
    sums: NDArray[np.float64],
    users: NDArray[np.int32],
    touched: NDArray[np.int32],
    last_owner: NDArray[np.int32],
) -> int:
    """The same for several users with one owner: users counts owners. last_owner: -1 before, for
    each column."""
    size = 0
    for place in range(len(row_users)):
        user, mark = row_users[place], row_marks[place]
        owner = owners[user]
        for cell in range(right_indptr[user], right_indptr[user + 1]):
            column = right_indices[cell]
            if users[column] == 0:
                touched[size] = column
                size += 1
            if last_owner[column] != owner:
                users[column] += 1
                last_owner[column] = owner
            sums[column] += mark * right_data[cell]
    return size


def blocks_in_tasks(spark: SparkSession, count: int) -> DataFrame:
    """Block numbers from 0 to count - 1, column id long, for `mapInArrow`.

    A task takes some neighboring blocks: a task of Python costs a tenth of a second before it
    starts, more than a block.
    """
    tasks = int(spark.conf.get("spark.sql.shuffle.partitions") or 1)
    return spark.range(0, count, 1, max(1, min(count, tasks)))


def top_rows_in_tasks(
    folder: Path, k: int, min_support: int, shrinkage: float
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow` over block numbers (column id long): each block's neighbors.

    folder: where a SparseProduct was saved, readable on every executor.
    """

    def top_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        product = SparseProduct.load(folder)
        for batch in batches:
            for block in batch.column("id").to_pylist():
                yield product.top_of_block(block, k, min_support, shrinkage)

    return top_rows


def _product_blocks(left: csr_matrix, right: csr_matrix, products: int) -> NDArray[np.int64]:
    """Cut the rows of left × right into runs of about `products` multiplications each."""
    per_user = np.diff(right.indptr)
    per_entry = np.concatenate([[0], np.cumsum(per_user[left.indices], dtype=np.int64)])
    return balanced_blocks(np.diff(per_entry[left.indptr]), products)


def balanced_blocks(cost: NDArray[np.int64], block_cost: int) -> NDArray[np.int64]:
    """Cut rows into runs of about one cost: the first row of each block, and the end.

    cost: of each row, in multiplications, without what every row costs.
    """
    total = np.cumsum(cost + _ROW_COST)
    if not len(total):
        return np.zeros(1, dtype=np.int64)
    targets = np.arange(block_cost, total[-1], block_cost)
    cuts = np.searchsorted(total, targets, side="left") + 1
    return np.unique(np.concatenate([[0], cuts, [len(total)]])).astype(np.int64)
