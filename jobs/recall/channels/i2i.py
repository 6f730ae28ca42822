"""Channel `i2i`: the neighbors of what the user took lately
(columns: `jobs.recall.channels.eligible`).

    score(u, j) = Σ_i strength(u, i) · d^p(u, i) · score(i → j)

i runs over the user's history, d is the position decay, and p the position: 0 for items that the
user took last, 1 for items of the time before.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.recall.channels.eligible import COLUMNS, seen_items
from jobs.recall.kernels.neighbor_table import (
    RECALL_DDL,
    TERM_SCALE,
    NeighborTable,
    recall_in_tasks,
)
from jobs.recall.kernels.ranking import top_k
from jobs.recall.kernels.strength import (
    aged,
    cap_user_history,
    decay_by_position,
    pair_strengths,
)
from jobs.recall.sources.channels import ItemHistorySettings


def recall_by_history(
    interactions: DataFrame,
    neighbors: DataFrame,
    items: DataFrame,
    users: DataFrame,
    ds: date,
    settings: ItemHistorySettings,
    scratch: Scratch,
) -> DataFrame:
    """The items with the largest sums over the user's history, as the module says.

    interactions: user_id, item_id string, event_ts timestamp, event_date date ≤ ds, weight double.
    neighbors: item_id, neighbor_item_id string, score double (gold.i2i_daily).
    items: item_id string, is_sellable boolean. users: user_id string, the active users.
    scratch: must live until the result is read.
    because_item_id: the history item with the largest term, ties by item_id ascending.
    """
    of_users = interactions.join(users.select("user_id"), "user_id", "left_semi")
    recent = aged(of_users).where(F.col("age_days") < settings.history_days)
    strengths = pair_strengths(recent, settings.half_life_days, saturation=1.0)
    history = cap_user_history(
        decay_by_position(strengths, settings.position_decay), settings.history_length
    )
    seen = seen_items(interactions, ds, settings.exclude_seen_days)
    sellable = items.where("is_sellable").select(F.col("item_id").alias("neighbor_item_id"))
    offered = neighbors.select("item_id", "neighbor_item_id", "score").join(
        sellable, "neighbor_item_id", "left_semi"
    )
    if neighbors.count() <= settings.max_neighbor_rows:
        return history_in_tasks(history, offered, seen, settings.items, scratch)
    return history_by_shuffle(history, offered, seen, settings.items)


def history_in_tasks(
    history: DataFrame, neighbors: DataFrame, seen: DataFrame, k: int, scratch: Scratch
) -> DataFrame:
    """Plan 1 of `recall_by_history`: every task maps the table of neighbors.

    history: user_id, item_id string, strength double. neighbors: item_id, neighbor_item_id string,
    score double. seen: distinct user_id, item_id string. scratch: where the tasks find the table.
    """
    table = NeighborTable.from_rows(neighbors.toArrow())
    folder = scratch.put(table)
    taken = history.groupBy("user_id").agg(
        F.collect_list("item_id").alias("items"), F.collect_list("strength").alias("strengths")
    )
    not_again = seen.groupBy("user_id").agg(F.collect_list("item_id").alias("seen"))
    histories = taken.join(not_again, "user_id", "left")
    return histories.select("user_id", "items", "strengths", "seen").mapInArrow(
        recall_in_tasks(folder, k), RECALL_DDL
    )


def history_by_shuffle(
    history: DataFrame, neighbors: DataFrame, seen: DataFrame, k: int
) -> DataFrame:
    """Plan 2 of `recall_by_history`: a join by item, for a table too large for one machine.

    Columns and result are those of `history_in_tasks`, to the last bit.
    """
    term = F.rint(F.col("strength") * F.col("score") * F.lit(TERM_SCALE)).cast("long")
    terms = history.join(neighbors, "item_id").select(
        "user_id", "neighbor_item_id", "item_id", term.alias("term")
    )
    largest = F.min(F.struct((-F.col("term")).alias("least"), F.col("item_id")))
    scored = (
        terms.groupBy("user_id", F.col("neighbor_item_id").alias("item_id"))
        .agg(F.sum("term").alias("total"), largest.alias("largest"))
        .where("total > 0")
        .join(seen, ["user_id", "item_id"], "left_anti")
        .select(
            "user_id",
            "item_id",
            (F.col("total") / F.lit(TERM_SCALE)).alias("score"),
            F.col("largest.item_id").alias("because_item_id"),
        )
    )
    return top_k(scored, ["user_id"], k, item="item_id").select(*COLUMNS)


def candidates(
    run: Run, interactions: DataFrame, neighbors: DataFrame, items: DataFrame, profiles: DataFrame
) -> DataFrame:
    """Neighbors of items that the user took lately."""
    settings = run.settings.item_history
    return recall_by_history(
        interactions, neighbors, items, profiles, run.last_event_day, settings, run.scratch
    )
