"""Item similarity by learned weights: how much an item predicts another, beside all other items.

For each target item j, the weights of its candidates C (the items nearest by cosine) solve

    w_j = argmin_{w ≥ 0} Σ_u (A_uj - Σ_{i ∈ C} A_ui · w_i)² + penalty · m · Σ_i w_i²

A_ui is the decayed, saturating strength of `jobs.recall.kernels.strength` times |u|^-x, 0 where
user u did not take i. m is the mean of A² over all pairs that were taken, so that the penalty is in
users and means the same on any data. score(i → j) = w_ji where w_ji is above 0. This is SLIM with
feature selection (Ning and Karypis, ICDM 2011), but with the ridge penalty alone, as in EASE
(Steck, WWW 2019). A small system for each item replaces EASE's inverse over all items, so any
number of tasks can share the work.

The systems are solved by cyclic coordinate descent. Their sums are exact whole numbers, and the
order and number of steps are fixed, so both physical plans give the same scores to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.recall.kernels.compiled import kernel
from jobs.recall.kernels.mapped import in_id_order
from jobs.recall.kernels.matrix import matrix_entries, matrix_in_memory
from jobs.recall.kernels.ranking import exact_sum, top_k
from jobs.recall.kernels.sparse_product import SparseProduct, blocks_in_tasks
from jobs.recall.kernels.strength import aged
from jobs.recall.methods.cooccurrence import capped_strengths, neighbors_by_shuffle
from jobs.recall.settings.strength import MatrixSettings
from jobs.recall.sources.methods import CooccurrenceSettings, SlimSettings

# Passes over the weights of a system. On the tests' systems, 10 passes come within 5e-4 of the
# exact weights, 20 within 2e-6.
_SWEEPS = 20
_SQUARE_BITS = 32
_WEIGHTS_DDL = "item_id string, neighbor_item_id string, score double, support bigint"
_WEIGHTS_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string()),
        pa.field("neighbor_item_id", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("support", pa.int64()),
    ]
)


def slim_neighbors(
    interactions: DataFrame, items: DataFrame, settings: SlimSettings, scratch: Scratch
) -> DataFrame:
    """The sellable items that each item predicts, beside all similar items.

    interactions: user_id, item_id string, event_ts timestamp, event_date date, weight double.
    items: item_id string, is_sellable boolean; an item that is not sellable may have neighbors but
    is never one. scratch: must live until the result is read.
    Returns item_id string, rank int from 1, neighbor_item_id string, score double > 0 (a weight,
    comparable between all rows), support long: the distinct users behind the pair. At most
    `settings.neighbors` rows an item. Order: score descending, then neighbor_item_id ascending.
    """
    cosine = _cosine(settings)
    kept = scratch.computed(capped_strengths(aged(interactions), cosine))
    strengths = kept.frame
    penalty = settings.penalty * _mean_square(strengths, settings.user_exponent)
    # Every item that was taken can be a candidate, sellable or not.
    if strengths.count() <= settings.max_matrix_entries:
        spark = strengths.sparkSession
        matrix, scale = matrix_in_memory(spark, kept.to_arrow(), None, cosine)
        weights = weights_in_tasks(spark, matrix, penalty * scale * scale, settings, scratch)
    else:
        entries, scale = matrix_entries(strengths, None, cosine)
        weights = weights_by_shuffle(entries, penalty * scale * scale, settings)
    sellable = items.where("is_sellable").select(F.col("item_id").alias("neighbor_item_id"))
    offered = weights.join(sellable, "neighbor_item_id", "left_semi")
    best = top_k(offered, ["item_id"], settings.neighbors, item="neighbor_item_id")
    return best.select("item_id", "rank", "neighbor_item_id", "score", "support")


def _mean_square(strengths: DataFrame, user_exponent: float) -> float:
    """The mean over all pairs of (strength · |u|^-x)²; 1 where there are none."""
    of_users = strengths.groupBy("user_id").agg(
        F.count("*").alias("pairs"),
        exact_sum(F.pow("strength", F.lit(2)), _SQUARE_BITS).alias("squares"),
    )
    squares = F.col("squares") * F.pow("pairs", F.lit(-2 * user_exponent))
    mean = exact_sum(squares, _SQUARE_BITS) / F.sum("pairs")
    ((found,),) = of_users.agg(mean).collect()
    return float(found or 1.0)


def weights_in_tasks(
    spark: SparkSession, matrix: pa.Table, penalty: float, settings: SlimSettings, scratch: Scratch
) -> DataFrame:
    """Plan 1: the matrix comes to this process once, tasks solve the systems of blocks of items.

    matrix: as `matrix_in_memory` returns it; penalty: in the square of its scale. scratch: where
    the tasks find the arrays.
    Returns item_id, neighbor_item_id string, score double > 0, support long.
    """
    product = SparseProduct.from_entries(matrix, settings.block_products)
    folder = scratch.put(product)
    blocks = blocks_in_tasks(spark, product.block_count)
    return blocks.mapInArrow(_solve_in_tasks(folder, penalty, settings), _WEIGHTS_DDL)


def weights_by_shuffle(entries: DataFrame, penalty: float, settings: SlimSettings) -> DataFrame:
    """Plan 2: each item's system travels to one task, for a matrix too large for one machine.

    entries: as `matrix_entries` returns them; penalty: in the square of their scale. The rows
    shuffled are bounded by items × candidates × users of a candidate.
    """
    found = neighbors_by_shuffle(entries, _cosine(settings)).withColumnRenamed("item_id", "target")
    candidates = found.select(
        "target", F.col("neighbor_item_id").alias("item_id"), "rank", "support"
    )
    values = entries.select("user_id", "item_id", "left")
    of_candidates = candidates.join(values, "item_id")
    of_targets = (
        candidates.select("target")
        .distinct()
        .join(values.withColumnRenamed("item_id", "target"), "target")
        .select(
            "target", F.col("target").alias("item_id"), F.lit(0).alias("rank"), "user_id", "left"
        )
    )
    systems = of_candidates.unionByName(of_targets, allowMissingColumns=True)
    return systems.groupBy("target").applyInArrow(_solve_group(penalty), _WEIGHTS_DDL)


def _cosine(settings: SlimSettings) -> CooccurrenceSettings:
    """The similarity that chooses candidates: the cosine of two columns, apart from |u|^-x."""
    shared = {name: getattr(settings, name) for name in MatrixSettings.model_fields}
    return CooccurrenceSettings(
        **shared,
        min_support=settings.min_support,
        user_exponent=settings.user_exponent,
        item_exponent=0.5,
        neighbor_exponent=0.5,
        shrinkage=0,
        neighbors=settings.candidates,
    )


def _solve_in_tasks(
    folder: Path, penalty: float, settings: SlimSettings
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow` over block numbers (column id long): the weights of each block's items."""
    candidates, min_support = settings.candidates, settings.min_support

    def solve(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        product = SparseProduct.load(folder)
        for batch in batches:
            for block in batch.column("id").to_pylist():
                best = product.best_cells(block, candidates, min_support)
                weights = solve_systems(
                    best.rows,
                    best.columns,
                    best.sizes,
                    product.left_indptr,
                    product.left_indices,
                    product.left_data,
                    product.user_count,
                    penalty,
                )
                within = np.arange(candidates) < best.sizes[:, None]
                targets = np.repeat(best.rows, best.sizes)
                yield _positive(
                    product.item_ids.take(pa.array(best.columns[within])),
                    product.item_ids.take(pa.array(targets)),
                    weights[within],
                    best.counts[within],
                )

    return solve


def _solve_group(penalty: float) -> Callable[[pa.Table], pa.Table]:
    """For `applyInArrow` over one target's system: its weights.

    Columns target, item_id, user_id string, rank int (0 for the target itself), left and support
    long.
    """

    def solve(system: pa.Table) -> pa.Table:
        ordered = system.sort_by([("rank", "ascending"), ("user_id", "ascending")])
        ranks = ordered["rank"].to_numpy()
        users = pc.index_in(ordered["user_id"], value_set=in_id_order(ordered["user_id"]))
        # Row 0 is the target, row n its nth candidate.
        starts = np.searchsorted(ranks, np.arange(ranks[-1] + 2)).astype(np.int64)
        candidates = len(starts) - 2
        weights = solve_systems(
            np.zeros(1, np.int64),
            np.arange(1, candidates + 1, dtype=np.int32)[None, :],
            np.array([candidates]),
            starts,
            users.to_numpy().astype(np.int32),
            ordered["left"].to_numpy().astype(np.float64),
            len(ordered),
            penalty,
        )
        first_rows = ordered.take(pa.array(starts[1:-1]))
        found = _positive(
            first_rows["item_id"].combine_chunks(),
            first_rows["target"].combine_chunks(),
            weights[0],
            first_rows["support"].to_numpy(),
        )
        return pa.Table.from_batches([found])

    return solve


def _positive(
    items: pa.Array, targets: pa.Array, weights: NDArray[np.float64], support: NDArray[np.int64]
) -> pa.RecordBatch:
    """The rows with a positive weight, in the columns of the table of weights."""
    columns = [items.cast(pa.string()), targets.cast(pa.string()), weights, support]
    rows = pa.record_batch([pa.array(column) for column in columns], schema=_WEIGHTS_SCHEMA)
    return rows.filter(pa.array(weights > 0))


@kernel
def solve_systems(
    targets: NDArray[np.int64],
    candidates: NDArray[np.int32],
    sizes: NDArray[np.int64],
    indptr: NDArray[np.int64],
    users: NDArray[np.int32],
    values: NDArray[np.float64],
    user_count: int,
    penalty: float,
) -> NDArray[np.float64]:
    """The weights of each target's candidates, (targets, candidates).

    candidates: (targets, k) rows of the matrix, of which the first `sizes` count. indptr, users,
    values: the matrix, a compressed row for each item, over users 0 to user_count - 1.
    """
    weights = np.zeros(candidates.shape, np.float64)
    place_of = np.full(user_count, -1, np.int64)
    for system in range(len(targets)):
        size = sizes[system]
        own = candidates[system, :size]
        # The candidates that each user took: first their number, then which.
        entries = 0
        for item in own:
            entries += indptr[item + 1] - indptr[item]
        starts = np.zeros(entries + 2, np.int64)
        places = 0
        for item in own:
            for cell in range(indptr[item], indptr[item + 1]):
                if place_of[users[cell]] < 0:
                    place_of[users[cell]] = places
                    places += 1
                starts[place_of[users[cell]] + 2] += 1
        for place in range(2, places + 2):
            starts[place] += starts[place - 1]
        taken = np.empty(entries, np.int64)
        marks = np.empty(entries, np.float64)
        for column in range(size):
            for cell in range(indptr[own[column]], indptr[own[column] + 1]):
                place = place_of[users[cell]] + 1
                taken[starts[place]], marks[starts[place]] = column, values[cell]
                starts[place] += 1
        gram = np.zeros((size, size), np.float64)
        for place in range(places):
            for first in range(starts[place], starts[place + 1]):
                row, mark = gram[taken[first]], marks[first]
                for second in range(first, starts[place + 1]):
                    row[taken[second]] += mark * marks[second]
        for first in range(size):
            gram[first, first] += penalty
            gram[first + 1 :, first] = gram[first, first + 1 :]
        right = np.zeros(size, np.float64)
        target = targets[system]
        for cell in range(indptr[target], indptr[target + 1]):
            place = place_of[users[cell]]
            if place >= 0:
                for entry in range(starts[place], starts[place + 1]):
                    right[taken[entry]] += marks[entry] * values[cell]
        for item in own:
            for cell in range(indptr[item], indptr[item + 1]):
                place_of[users[cell]] = -1
        weights[system, :size] = _solve(gram, right)
    return weights


@njit(cache=True, nogil=True)
def _solve(gram: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """The w ≥ 0 that minimises w'·gram·w/2 - w'·right, by cyclic coordinate descent from 0.

    A step moves one weight to its optimum, the others fixed, and all slopes with it.
    """
    weights = np.zeros(len(right), np.float64)
    slopes = -right
    for _ in range(_SWEEPS):
        for place in range(len(right)):
            best = max(0.0, weights[place] - slopes[place] / gram[place, place])
            step = best - weights[place]
            if step != 0.0:
                row = gram[place]
                for other in range(len(right)):
                    slopes[other] += step * row[other]
                weights[place] = best
    return weights


def candidates(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """The neighbors of every item, by learned weights."""
    return slim_neighbors(interactions, items, run.settings.slim, run.scratch)
