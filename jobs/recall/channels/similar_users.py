"""Channel `similar_users`: what the users with the most similar taste took.

    sim(u, v) = Σ_i A_ui · A_vi · |i|^-x · |v|^-y, over the items that both took
    score(u, j) = Σ_v sim(u, v) · A_vj · |j|^-z, over the nearest users v

A is the decayed, saturating strength of `jobs.recall.kernels.strength`, |i| the number of users of
an item and |v| the number of items of a user. sim is the score of
`jobs.recall.methods.cooccurrence` with users and items exchanged, so it has the same two plans and
the same exact sums. In tasks, a user's nearest users never leave the loop that scores their items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.sparse import csr_matrix

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.recall.channels.eligible import seen_items
from jobs.recall.channels.i2i import history_by_shuffle
from jobs.recall.kernels.mapped import in_id_order, map_arrays, save_arrays
from jobs.recall.kernels.matrix import matrix_entries, matrix_in_memory
from jobs.recall.kernels.neighbor_table import RECALL_DDL, RECALL_SCHEMA, best_of_histories
from jobs.recall.kernels.sparse_product import SparseProduct, blocks_in_tasks
from jobs.recall.kernels.strength import aged
from jobs.recall.methods.cooccurrence import capped_strengths, neighbors_by_shuffle
from jobs.recall.settings.strength import MatrixSettings
from jobs.recall.sources.channels import SimilarUsersSettings
from jobs.recall.sources.methods import CooccurrenceSettings

_TAKEN_ARRAYS = ("indptr", "items", "scores", "seen_indptr", "seen_items", "is_wanted")


@dataclass(frozen=True)
class _Taken:
    """The items that each user took and has seen, as compressed rows over items."""

    item_ids: pa.StringArray
    arrays: dict[str, NDArray]

    def save(self, folder: Path) -> None:
        save_arrays(folder, self.item_ids, self.arrays)


def recall_by_similar_users(
    interactions: DataFrame,
    items: DataFrame,
    users: DataFrame,
    ds: date,
    settings: SimilarUsersSettings,
    scratch: Scratch,
) -> DataFrame:
    """The columns and the order of `jobs.recall.channels.eligible`; because_item_id is always null.

    interactions: user_id, item_id string, event_ts timestamp, event_date date ≤ ds, weight double.
    items: item_id string, is_sellable boolean. users: user_id string, the active users; other
    users count as similar users, but get no list. scratch: must live until the result is read.
    """
    likeness = _likeness(settings)
    kept = scratch.computed(capped_strengths(aged(interactions), likeness))
    strengths = kept.frame
    item_users = (
        strengths.groupBy("item_id")
        .agg(F.count("*").alias("item_users"))
        .where(F.col("item_users") >= settings.min_item_users)
    )
    taken = (
        strengths.join(items.where("is_sellable").select("item_id"), "item_id", "left_semi")
        .join(item_users, "item_id")
        .select(
            "user_id",
            "item_id",
            (F.col("strength") * F.pow("item_users", F.lit(-settings.popularity_exponent))).alias(
                "score"
            ),
        )
    )
    seen = seen_items(interactions, ds, settings.exclude_seen_days)
    wanted = users.select("user_id")
    exchanged = ["item_id", "user_id", "strength"]
    if strengths.count() <= settings.max_matrix_entries:
        here = kept.to_arrow().rename_columns(exchanged)
        matrix, _ = matrix_in_memory(strengths.sparkSession, here, None, likeness)
        return similar_users_in_tasks(matrix, taken, seen, wanted, settings, scratch)
    entries, _ = matrix_entries(strengths.toDF(*exchanged), None, likeness)
    return similar_users_by_shuffle(entries, taken, seen, wanted, settings)


def similar_users_in_tasks(
    matrix: pa.Table,
    taken: DataFrame,
    seen: DataFrame,
    users: DataFrame,
    settings: SimilarUsersSettings,
    scratch: Scratch,
) -> DataFrame:
    """Plan 1: the matrix comes to this process once, tasks score blocks of users.

    matrix: as `matrix_in_memory` returns it, users and items exchanged. taken: user_id, item_id
    string, score double. seen: user_id, item_id string. users: user_id string, who gets a list.
    scratch: where the tasks find the arrays.
    """
    product = SparseProduct.from_entries(matrix, settings.block_products)
    rows, not_again, wanted = taken.toArrow(), seen.toArrow(), users.toArrow()
    item_ids = in_id_order(rows["item_id"])
    user_ids = product.item_ids
    indptr, columns, scores = _by_user(rows, user_ids, item_ids, rows["score"])
    seen_indptr, seen_columns, _ = _by_user(not_again, user_ids, item_ids, None)
    arrays = {
        "indptr": indptr,
        "items": columns,
        "scores": scores,
        "seen_indptr": seen_indptr,
        "seen_items": seen_columns,
        "is_wanted": pc.is_in(user_ids, value_set=wanted["user_id"].cast(pa.string())).to_numpy(
            zero_copy_only=False
        ),
    }
    taken_folder = scratch.put(_Taken(item_ids, arrays))
    blocks = blocks_in_tasks(taken.sparkSession, product.block_count)
    return blocks.mapInArrow(
        _recall_blocks(scratch.put(product), taken_folder, settings), RECALL_DDL
    )


def similar_users_by_shuffle(
    entries: DataFrame,
    taken: DataFrame,
    seen: DataFrame,
    users: DataFrame,
    settings: SimilarUsersSettings,
) -> DataFrame:
    """Plan 2: a join by item and a join by user.

    entries: as `matrix_entries` returns them, users and items exchanged; the rest is as in plan 1.
    """
    similar = neighbors_by_shuffle(entries, _likeness(settings)).select(
        F.col("item_id").alias("user_id"),
        F.col("neighbor_item_id").alias("item_id"),
        F.col("score").alias("strength"),
    )
    lists = taken.select(
        F.col("user_id").alias("item_id"), F.col("item_id").alias("neighbor_item_id"), "score"
    )
    asked = similar.join(users, "user_id", "left_semi")
    found = history_by_shuffle(asked, lists, seen, settings.items)
    return found.withColumn("because_item_id", F.lit(None).cast("string"))


def _likeness(settings: SimilarUsersSettings) -> CooccurrenceSettings:
    """The settings of `sim` for the product of items: user fields become item fields and vice
    versa."""
    shared = {name: getattr(settings, name) for name in MatrixSettings.model_fields}
    return CooccurrenceSettings(
        **shared,
        min_support=settings.min_common_items,
        user_exponent=settings.likeness_exponent,
        item_exponent=0,
        neighbor_exponent=settings.user_exponent,
        shrinkage=0,
        neighbors=settings.users,
    )


def _by_user(
    rows: pa.Table, user_ids: pa.StringArray, item_ids: pa.StringArray, values: pa.Array | None
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Compressed rows, one for each of `user_ids`; pairs with an unknown id are left out."""
    user = pc.index_in(rows["user_id"], value_set=user_ids)
    item = pc.index_in(rows["item_id"], value_set=item_ids)
    known = pc.and_(user.is_valid(), item.is_valid()).to_numpy()
    places = np.arange(1, rows.num_rows + 1, dtype=np.int64)[known]
    cells = (user.fill_null(0).to_numpy()[known], item.fill_null(0).to_numpy()[known])
    matrix = csr_matrix((places, cells), shape=(len(user_ids), len(item_ids)))
    found = np.ones(rows.num_rows) if values is None else values.to_numpy()
    return (
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        found[matrix.data - 1],
    )


def _recall_blocks(
    likeness: Path, taken_folder: Path, settings: SimilarUsersSettings
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow` over block numbers (column id long): the lists of each block's users."""
    nearest, k = settings.users, settings.items

    def recall(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        product = SparseProduct.load(likeness)
        item_ids, taken = map_arrays(taken_folder, _TAKEN_ARRAYS)
        for batch in batches:
            for block in batch.column("id").to_pylist():
                best = product.best_cells(block, nearest, settings.min_common_items)
                heard = np.where(taken["is_wanted"][best.rows], best.sizes, 0)
                within = np.arange(nearest) < heard[:, None]
                first, end = best.rows[0], best.rows[-1] + 1
                seen_starts = np.asarray(taken["seen_indptr"][first : end + 1])
                columns, scores, _, sizes = best_of_histories(
                    np.concatenate([[0], np.cumsum(heard)]),
                    best.columns[within],
                    best.scores[within],
                    seen_starts,
                    taken["seen_items"],
                    taken["indptr"],
                    taken["items"],
                    taken["scores"],
                    len(item_ids),
                    k,
                    explain=False,
                )
                listed = np.arange(k) < sizes[:, None]
                ranks = np.broadcast_to(np.arange(1, k + 1, dtype=np.int32), listed.shape)
                rows = int(sizes.sum())
                yield pa.record_batch(
                    [
                        product.item_ids.take(pa.array(np.repeat(best.rows, sizes))),
                        pa.array(ranks[listed]),
                        item_ids.take(pa.array(columns[listed])),
                        pa.array(scores[listed]),
                        pa.nulls(rows, pa.string()),
                    ],
                    schema=RECALL_SCHEMA,
                )

    return recall


def candidates(
    run: Run, interactions: DataFrame, items: DataFrame, profiles: DataFrame
) -> DataFrame:
    """Items that users with the same taste took."""
    settings = run.settings.similar_users
    return recall_by_similar_users(
        interactions, items, profiles, run.last_event_day, settings, run.scratch
    )
