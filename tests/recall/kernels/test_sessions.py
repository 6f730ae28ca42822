"""Sessions: where one ends and the next begins."""

from __future__ import annotations

from collections import defaultdict

from pyspark.sql import SparkSession

from jobs.recall.kernels.sessions import owner, with_sessions
from tests.recall.shop import rows_of, visits


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
