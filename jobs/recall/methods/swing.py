"""Item similarity from pairs of users: items are near when users with little in common took both.

    score(i → j) = |i|^-b · |j|^-c · Σ_{u < v} t_u · t_v / (α + |I_u ∩ I_v|)
    t_u = A_ui · A_uj · |I_u|^-x

over the users of U_i who took j. A_ui is the decayed, saturating strength of
`jobs.recall.kernels.strength`, I_u the items of u's history, |i| the number of users of i, and U_i
the users of i that count: those with the largest A_ui · |I_u|^-x. t_u is the term of user u in
co-occurrence. Here it counts only together with the term of a second user, and less if the two
users have much in common anyway. This tells a habit of one group from a relation of two items. With
all A = 1 and b = c = 0 this is Swing (Yang et al., "Large Scale Product Graph Construction for
Recommendation in E-commerce", arXiv 2010.05525, 2020). b and c make the lists of different items
comparable: the pairs of users grow with the square of the users.

Each term is rounded to a whole number before it is summed, so the sum is exact: the loop in tasks,
the shuffle plan and any number of partitions give the same scores to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from scipy.sparse import csr_matrix

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.recall.kernels.compiled import kernel
from jobs.recall.kernels.heap import put_best_first
from jobs.recall.kernels.mapped import id_codes, map_arrays, save_arrays
from jobs.recall.kernels.ranking import top_k
from jobs.recall.kernels.sparse_product import (
    NEIGHBOR_DDL,
    BestCells,
    balanced_blocks,
    blocks_in_tasks,
)
from jobs.recall.kernels.strength import aged
from jobs.recall.methods.cooccurrence import capped_strengths
from jobs.recall.sources.methods import SwingSettings

# A term is below 1, and a pair of items has fewer than 2^21 pairs of the 2,000 users at most.
TERM_SCALE = float(2**41)
_ARRAYS = (
    "user_indptr",
    "user_items",
    "strengths",
    "item_indptr",
    "heard",
    "weights",
    "item_scale",
    "neighbor_scale",
    "blocks",
)


def swing_neighbors(
    interactions: DataFrame, items: DataFrame, settings: SwingSettings, scratch: Scratch
) -> DataFrame:
    """The sellable items that pairs of users took with each item.

    interactions: user_id, item_id string, event_ts timestamp, event_date date, weight double.
    items: item_id string, is_sellable boolean; an item that is not sellable may have neighbors but
    is never one. scratch: must live until the result is read.
    Returns item_id string, rank int from 1, neighbor_item_id string, score double > 0,
    support long: the distinct users behind the pair, of the users that count. At most
    `settings.neighbors` rows an item. Order: score descending, then neighbor_item_id ascending.
    """
    strengths = scratch.once(capped_strengths(aged(interactions), settings))
    entries = swing_entries(strengths, items, settings)
    if strengths.count() <= settings.max_matrix_entries:
        return swing_in_tasks(entries, settings, scratch)
    return swing_by_shuffle(entries, settings)


def swing_entries(strengths: DataFrame, items: DataFrame, settings: SwingSettings) -> DataFrame:
    """What users took, without rows that can be in no pair of users and pair of items.

    strengths: user_id, item_id string, strength double in (0, 1).
    Returns user_id, item_id string, strength double, weight double: A_ui · |I_u|^-x,
    is_heard boolean: whether u is in U_i, item_scale double: |i|^-b, neighbor_scale double: |i|^-c
    or null where the item is not sellable.
    """
    user_items = strengths.groupBy("user_id").agg(F.count("*").alias("user_items"))
    item_users = (
        strengths.groupBy("item_id").agg(F.count("*").alias("item_users")).where("item_users > 1")
    )
    sellable = items.where("is_sellable").select("item_id", F.lit(True).alias("is_sellable"))
    weight = F.col("strength") * F.pow("user_items", F.lit(-settings.user_exponent))
    neighbor_scale = F.pow("item_users", F.lit(-settings.neighbor_exponent))
    heaviest = Window.partitionBy("item_id").orderBy(F.desc("weight"), F.asc("user_id"))
    return (
        strengths.join(item_users, "item_id")
        .join(user_items.where("user_items > 1"), "user_id")
        .join(sellable, "item_id", "left")
        .withColumn("weight", weight)
        .select(
            "user_id",
            "item_id",
            "strength",
            "weight",
            (F.row_number().over(heaviest) <= settings.users).alias("is_heard"),
            F.pow("item_users", F.lit(-settings.item_exponent)).alias("item_scale"),
            F.when(F.col("is_sellable"), neighbor_scale).alias("neighbor_scale"),
        )
    )


def swing_in_tasks(entries: DataFrame, settings: SwingSettings, scratch: Scratch) -> DataFrame:
    """Plan 1: the entries come to this process once, and tasks score blocks of items.

    entries: as `swing_entries` returns them. scratch: where the tasks find the arrays.
    """
    histories = Histories.from_entries(entries.toArrow(), settings.block_products)
    folder = scratch.put(histories)
    blocks = blocks_in_tasks(entries.sparkSession, histories.block_count)
    return blocks.mapInArrow(_score_in_tasks(folder, settings), NEIGHBOR_DDL)


def swing_by_shuffle(entries: DataFrame, settings: SwingSettings) -> DataFrame:
    """Plan 2: Spark joins pairs of users by item, and their items by user, for entries too many for
    one machine.

    entries: as `swing_entries` returns them. The rows shuffled are bounded by items × users² / 2
    × history_length.
    """
    heard = entries.where("is_heard").select("item_id", "user_id", "weight", "item_scale")
    others = heard.select(
        "item_id", F.col("user_id").alias("other_id"), F.col("weight").alias("other_weight")
    )
    pairs = (
        heard.join(others, "item_id")
        .where("user_id < other_id")
        .select(
            "item_id",
            "user_id",
            "other_id",
            (F.col("weight") * F.col("other_weight")).alias("of_i"),
            "item_scale",
        )
    )
    taken = entries.select(
        "user_id", F.col("item_id").alias("neighbor_item_id"), "strength", "neighbor_scale"
    )
    also_taken = taken.select(
        F.col("user_id").alias("other_id"),
        "neighbor_item_id",
        F.col("strength").alias("other_strength"),
    )
    of_both = Window.partitionBy("user_id", "other_id")
    common = (
        pairs.select("user_id", "other_id")
        .distinct()
        .join(taken, "user_id")
        .join(also_taken, ["other_id", "neighbor_item_id"])
        .select(
            "user_id",
            "other_id",
            "neighbor_item_id",
            (F.col("strength") * F.col("other_strength")).alias("of_j"),
            (F.lit(settings.alpha) + F.count("*").over(of_both)).alias("shared"),
            "neighbor_scale",
        )
        .where("neighbor_scale IS NOT NULL")
    )
    term = F.col("of_i") / F.col("shared") * F.col("of_j")
    scored = (
        pairs.join(common, ["user_id", "other_id"])
        .where("item_id != neighbor_item_id")
        .groupBy("item_id", "neighbor_item_id")
        .agg(
            F.sum(F.rint(term * TERM_SCALE).cast("long")).alias("total"),
            F.count("*").alias("user_pairs"),
            F.max("item_scale").alias("item_scale"),
            F.max("neighbor_scale").alias("neighbor_scale"),
        )
        # n users make n (n - 1) / 2 pairs
        .withColumn("support", ((1 + F.sqrt(1 + 8 * F.col("user_pairs"))) / 2).cast("long"))
        .where(F.col("support") >= settings.min_support)
        .withColumn(
            "score",
            F.col("total").cast("double")
            / TERM_SCALE
            * F.col("item_scale")
            * F.col("neighbor_scale"),
        )
    )
    best = top_k(
        scored.where("score > 0"), ["item_id"], settings.neighbors, item="neighbor_item_id"
    )
    return best.select("item_id", "rank", "neighbor_item_id", "score", "support")


@dataclass(frozen=True)
class Histories:
    """Who took what, in compressed rows both ways, and the blocks of items.

    item_ids: (items,) ids in ascending order, so that index order is id order.
    user_indptr, user_items, strengths: the items of each user. item_indptr, heard, weights: the
    users of each item that count, those of long histories first. item_scale, neighbor_scale:
    (items,) factors of a score; neighbor_scale is 0 where the item must not be a neighbor.
    blocks: (blocks + 1,) first item of each block and the end; a block is one task's work.
    """

    item_ids: pa.StringArray
    user_indptr: NDArray[np.int64]
    user_items: NDArray[np.int32]
    strengths: NDArray[np.float64]
    item_indptr: NDArray[np.int64]
    heard: NDArray[np.int32]
    weights: NDArray[np.float64]
    item_scale: NDArray[np.float64]
    neighbor_scale: NDArray[np.float64]
    blocks: NDArray[np.int64]

    @classmethod
    def from_entries(cls, entries: pa.Table, block_products: int) -> Histories:
        """entries: as `swing_entries` returns them. block_products: terms in one block, roughly."""
        users, user_ids = id_codes(entries["user_id"])
        rows, item_ids = id_codes(entries["item_id"])
        shape = (len(user_ids), len(item_ids))
        taken = csr_matrix((entries["strength"].to_numpy(), (users, rows)), shape=shape)
        item_scale, neighbor_scale = np.zeros(len(item_ids)), np.zeros(len(item_ids))
        item_scale[rows] = entries["item_scale"].to_numpy()
        neighbor_scale[rows] = entries["neighbor_scale"].fill_null(0.0).to_numpy()
        lengths = np.diff(taken.indptr).astype(np.int64)
        # The items of the second user of a pair are looked up among those of the first.
        order = np.lexsort((users, -lengths[users], rows))
        order = order[entries["is_heard"].to_numpy(zero_copy_only=False)[order]]
        item_indptr = np.searchsorted(rows[order], np.arange(len(item_ids) + 1))
        places = np.arange(len(order)) - item_indptr[rows[order]]
        looked_up = np.concatenate([[0], np.cumsum(places * lengths[users[order]])])
        return cls(
            item_ids=item_ids,
            user_indptr=taken.indptr.astype(np.int64),
            user_items=taken.indices.astype(np.int32),
            strengths=taken.data,
            item_indptr=item_indptr.astype(np.int64),
            heard=users[order].astype(np.int32),
            weights=entries["weight"].to_numpy()[order],
            item_scale=item_scale,
            neighbor_scale=neighbor_scale,
            blocks=balanced_blocks(np.diff(looked_up[item_indptr]), block_products),
        )

    @property
    def block_count(self) -> int:
        return len(self.blocks) - 1

    def save(self, folder: Path) -> None:
        """Write the arrays where the tasks can map them."""
        save_arrays(folder, self.item_ids, {name: getattr(self, name) for name in _ARRAYS})

    @classmethod
    def load(cls, folder: Path) -> Histories:
        """Map saved histories; nothing is read until an item needs it."""
        item_ids, arrays = map_arrays(folder, _ARRAYS)
        return cls(item_ids, **arrays)

    def neighbors_of_block(
        self, block: int, k: int, min_support: int, alpha: float
    ) -> pa.RecordBatch:
        """The neighbors of all items of one block, in the columns of NEIGHBOR_SCHEMA.

        Order: item ascending, then score descending, then neighbor ascending.
        """
        first, end = int(self.blocks[block]), int(self.blocks[block + 1])
        found = _best_of_items(
            first,
            end,
            self.user_indptr,
            self.user_items,
            self.strengths,
            self.item_indptr,
            self.heard,
            self.weights,
            self.item_scale,
            self.neighbor_scale,
            k,
            min_support,
            alpha,
        )
        return BestCells(np.arange(first, end), *found).named(self.item_ids)


def _score_in_tasks(
    folder: Path, settings: SwingSettings
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow` over block numbers (column id long): each block's neighbors."""
    k, min_support, alpha = settings.neighbors, settings.min_support, settings.alpha

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        histories = Histories.load(folder)
        for batch in batches:
            for block in batch.column("id").to_pylist():
                yield histories.neighbors_of_block(block, k, min_support, alpha)

    return score


@kernel
def _best_of_items(
    first: int,
    end: int,
    user_indptr: NDArray[np.int64],
    user_items: NDArray[np.int32],
    strengths: NDArray[np.float64],
    item_indptr: NDArray[np.int64],
    heard: NDArray[np.int32],
    weights: NDArray[np.float64],
    item_scale: NDArray[np.float64],
    neighbor_scale: NDArray[np.float64],
    k: int,
    min_support: int,
    alpha: float,
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """The k best neighbors of each item in [first, end): columns, scores, users, (items, k) each.

    The fourth array has how many neighbors of each item there are.
    """
    items = len(item_scale)
    columns = np.empty((end - first, k), np.int32)
    scores = np.empty((end - first, k), np.float64)
    counts = np.empty((end - first, k), np.int64)
    sizes = np.zeros(end - first, np.int64)
    totals = np.zeros(items, np.int64)
    users = np.zeros(items, np.int32)
    touched = np.empty(items, np.int32)
    marks = np.zeros(items, np.float64)
    common = np.empty(items, np.int64)
    found = np.empty(items, np.float64)
    found_columns = np.empty(items, np.int32)
    for row in range(first, end):
        own = heard[item_indptr[row] : item_indptr[row + 1]]
        own_weights = weights[item_indptr[row] : item_indptr[row + 1]]
        n_touched = 0
        entries = 0
        for user in own:
            entries += user_indptr[user + 1] - user_indptr[user]
            for cell in range(user_indptr[user], user_indptr[user + 1]):
                column = user_items[cell]
                if users[column] == 0:
                    touched[n_touched] = column
                    n_touched += 1
                users[column] += 1
        # An item that only one of these users took is common to no pair of them.
        shared = np.empty(entries, np.int32)
        shared_strengths = np.empty(entries, np.float64)
        starts = np.zeros(len(own) + 1, np.int64)
        filled = 0
        for place in range(len(own)):
            for cell in range(user_indptr[own[place]], user_indptr[own[place] + 1]):
                if users[user_items[cell]] > 1:
                    shared[filled] = user_items[cell]
                    shared_strengths[filled] = strengths[cell]
                    filled += 1
            starts[place + 1] = filled
        for place in range(len(own)):
            for cell in range(starts[place], starts[place + 1]):
                marks[shared[cell]] = shared_strengths[cell]
            for other in range(place + 1, len(own)):
                n_common = 0
                for cell in range(starts[other], starts[other + 1]):
                    if marks[shared[cell]] > 0:
                        common[n_common] = cell
                        n_common += 1
                if n_common < 2:
                    continue
                of_pair = own_weights[place] * own_weights[other] / (alpha + n_common)
                for shared_place in range(n_common):
                    cell = common[shared_place]
                    column = shared[cell]
                    term = of_pair * (marks[column] * shared_strengths[cell])
                    totals[column] += np.int64(np.rint(term * TERM_SCALE))
            for cell in range(starts[place], starts[place + 1]):
                marks[shared[cell]] = 0.0
        n_found = 0
        for place in range(n_touched):
            column = touched[place]
            if users[column] < min_support or column == row:
                continue
            score = totals[column] / TERM_SCALE * item_scale[row] * neighbor_scale[column]
            if score > 0:
                found[n_found], found_columns[n_found] = score, column
                n_found += 1
        size = put_best_first(found, found_columns, n_found, k)
        sizes[row - first] = size
        columns[row - first, :size] = found_columns[:size]
        scores[row - first, :size] = found[:size]
        for place in range(size):
            counts[row - first, place] = users[found_columns[place]]
        for place in range(n_touched):
            totals[touched[place]] = 0
            users[touched[place]] = 0
    return columns, scores, counts, sizes


def candidates(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """The neighbors of every item, by pairs of its users."""
    return swing_neighbors(interactions, items, run.settings.swing, run.scratch)
