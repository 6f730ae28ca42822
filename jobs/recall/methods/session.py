"""Item similarity from sessions: two items are near when the same visits hold both.

The score is that of `jobs.recall.methods.cooccurrence` with sessions in place of users: items of
one visit say more about each other than items of years. The support of a pair still counts users,
not sessions.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.recall.kernels.sessions import owner, with_sessions
from jobs.recall.kernels.sparse_product import NEIGHBOR_DDL
from jobs.recall.kernels.strength import aged
from jobs.recall.methods.cooccurrence import capped_strengths, neighbors_of
from jobs.recall.sources.methods import SessionSettings


def session_neighbors(
    interactions: DataFrame,
    items: DataFrame,
    settings: SessionSettings,
    scratch: Scratch,
) -> DataFrame:
    """The nearest sellable items of every item, by the sessions that hold both.

    The arguments and the result are those of `cooccurrence_neighbors`; interactions also have
    session_id string or null. There are no rows if no user has two sessions: sessions then say no
    more than users.
    """
    # A visit is as old as it is for its user.
    sessions = with_sessions(aged(interactions), settings.gap_minutes)
    # Rows grouped by visit and item, and then by visit, would cross the network twice.
    by_visit = sessions.repartition("user_id")
    strengths = capped_strengths(by_visit, settings).withColumn("owner_id", owner())
    kept = scratch.computed(strengths)
    counts = kept.frame.agg(F.count_distinct("user_id"), F.count_distinct("owner_id"))
    ((of_sessions, of_users),) = counts.collect()
    if of_sessions == of_users:
        return interactions.sparkSession.createDataFrame([], NEIGHBOR_DDL)
    return neighbors_of(kept, items, settings.of_sessions(), scratch)


def candidates(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """The neighbors of every item that sessions of at least `min_support` users hold."""
    return session_neighbors(interactions, items, run.settings.session, run.scratch)
