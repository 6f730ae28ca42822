"""Sessions: where one ends and the next begins, and neighbors by what they hold."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from jobs.recall.settings.methods import SessionSettings
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.kernels.sessions import owner, with_sessions
from jobs.recall.methods.session import session_neighbors
from tests.recall.shop import DS, items, rows_of

NOON = datetime(DS.year, DS.month, DS.day, 12, tzinfo=UTC)


def visits(spark: SparkSession, rows: list[tuple]) -> DataFrame:
    """silver.interactions from (user_id, item_id, minutes after noon of DS, session_id or None)."""
    events = [
        {
            "user_id": user,
            "item_id": item,
            "event_ts": NOON + timedelta(minutes=minutes),
            "event_date": (NOON + timedelta(minutes=minutes)).date(),
            "session_id": session,
            "weight": 1.0,
        }
        for user, item, minutes, session in rows
    ]
    return spark.createDataFrame(pa.Table.from_pylist(events))


def together(spark: SparkSession, rows: list[tuple]) -> list[list[str]]:
    """The items of each session, in the order of its user and its items."""
    sessions = with_sessions(visits(spark, rows), gap_minutes=30)
    held: dict[tuple, list[str]] = defaultdict(list)
    for session, user, item in rows_of(sessions, "user_id", "owner_id", "item_id"):
        held[user, session].append(item)
    return sorted(held.values())


def test_a_session_ends_with_a_gap_of_more_than_thirty_minutes(spark: SparkSession) -> None:
    rows = [("u", "a", 0, None), ("u", "b", 30, None), ("u", "c", 60.1, None), ("v", "d", 0, None)]
    assert together(spark, rows) == [["a", "b"], ["c"], ["d"]]


def test_a_given_session_id_is_kept_whatever_the_times(spark: SparkSession) -> None:
    rows = [
        ("u", "a", 0, "s1"),
        ("u", "b", 0, "s2"),
        ("u", "c", -600, "s1"),
        # one id of two users is two sessions
        ("v", "d", 0, "s1"),
        # no id: a session of its own, though at the same time
        ("u", "e", 0, None),
    ]
    assert together(spark, rows) == [["a", "c"], ["b"], ["d"], ["e"]]


def test_the_owner_of_a_session_is_its_user(spark: SparkSession) -> None:
    rows = [("u", "a", 0, "s1"), ("u\x1fx", "a", 0, None), ("", "a", 0, "s2")]
    sessions = with_sessions(visits(spark, rows), gap_minutes=30)
    found = rows_of(sessions.withColumn("found", owner()), "owner_id", "found")
    assert found == [("", ""), ("u", "u"), ("u\x1fx", "u\x1fx")]


FAR_APART = [
    ("u", "a", 0, None),
    ("u", "b", 1, None),
    ("u", "c", -90, None),
    ("u", "a", -180, None),
    ("u", "b", -180, None),
    ("v", "a", 0, None),
    ("v", "b", 0, None),
    ("v", "c", -90, None),
    ("w", "c", 0, None),
    ("w", "a", 0, None),
]


@pytest.mark.parametrize("max_matrix_entries", [0, 1000], ids=["by shuffle", "in tasks"])
def test_neighbors_are_what_one_visit_holds_and_support_counts_users(
    spark: SparkSession, tmp_path: Path, max_matrix_entries: int
) -> None:
    # Strengths are 1/2. Three visits hold a and b: two of u, one of v; so two users. One of w holds
    # a and c: one user, below the support. |visit| = 2; a is in 4 visits, b in 3. Of two users one
    # is beside the first: 1 / (1 + 2).
    settings = SessionSettings(max_matrix_entries=max_matrix_entries)
    found = session_neighbors(
        visits(spark, FAR_APART), items(spark, "abc"), DS, settings, Scratch(tmp_path)
    )
    total = 3 * 0.25 * 2**-0.75 / 3
    assert rows_of(found, "item_id", "rank", "neighbor_item_id", "score", "support") == [
        ("a", 1, "b", pytest.approx(total * 4**-0.6 * 3**-0.4, rel=1e-5), 2),
        ("b", 1, "a", pytest.approx(total * 3**-0.6 * 4**-0.4, rel=1e-5), 2),
    ]


def test_data_without_sessions_has_no_neighbors_by_session(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [(user, item, 0, None) for user in "uv" for item in "ab"]
    found = session_neighbors(
        visits(spark, rows), items(spark, "ab"), DS, SessionSettings(), Scratch(tmp_path)
    )
    assert rows_of(found, "item_id", "neighbor_item_id") == []
