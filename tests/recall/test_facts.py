"""Facts of a log, worked out by hand."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.facts import Facts, told
from jobs.recall.measuring import BUSY_EVENTS_A_DAY, facts_of, order_told

FIRST = datetime(2026, 1, 1, 12, tzinfo=UTC)
LOG = (
    "user_id string, item_id string, event_ts timestamp, event_date date, session_id string, "
    "weight double"
)


def facts(
    spark: SparkSession, folder: Path, rows: list[tuple], items: list[str]
) -> tuple[Facts, dict[str, str]]:
    """The facts of (user, item, day[, session[, weight]])."""
    events = []
    for user, item, day, *more in rows:
        session, weight = (*more, None, 1.0)[:2] if len(more) < 2 else more
        at = FIRST + timedelta(days=day)
        events.append((user, item, at, at.date(), session, 1.0 if weight is None else weight))
    log = spark.createDataFrame(events, LOG)
    catalogue = spark.createDataFrame([(item,) for item in items], "item_id string")
    found, said = facts_of(log, catalogue, Scratch(folder))
    return found, dict(said)


def test_facts_worked_by_hand(spark: SparkSession, tmp_path: Path) -> None:
    rows = [
        ("u", "a", 0),
        ("u", "b", 0),
        ("u", "a", 4),
        ("u", "a", 10),
        ("v", "a", 10),
        ("v", "c", 9),
        ("v", "a", 9, None, 0.0),  # says nothing
    ]
    found, said = facts(spark, tmp_path, rows, ["a", "b", "d", "e"])
    assert found == Facts(
        events=6,
        users=2,
        items=3,
        pairs=4,
        catalogue_items=4,
        density=4 / 6,
        days=11,
        user_days=2,  # of 11 and 2, the lower
        items_per_user=2,
        repeat_share=1 - 4 / 6,
        return_days=5,  # ten days between three times
        visit_items=6 / 5,  # u's first visit has two items
        order=0,
        largest_share=1,
        unknown_share=0,  # of the last day, where all took a
    )
    assert said == {"days": "2026-01-01 to 2026-01-11", "largest_share": "item a"}


def test_visits_are_sessions_where_there_are_any(spark: SparkSession, tmp_path: Path) -> None:
    rows = [("u", "a", 0, "s"), ("u", "b", 1, "s"), ("u", "c", 1, "t")]
    found, _ = facts(spark, tmp_path, rows, ["a"])
    assert found.visit_items == 1.5


def test_items_that_the_catalogue_lacks_are_told_with_a_cause(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [("u", "x", 0), ("u", "7", 1), ("v", "7", 1), ("u", "ab", 1), ("u", "b", 1)]
    found, said = facts(spark, tmp_path, rows, ["007", "AB", "b"])
    assert found.unknown_share == 3 / 4
    assert said["unknown_share"] == (
        "such as 7, ab; 1 of them are in the catalogue but for zeros at the front; "
        "1 of them are in the catalogue but for letter case"
    )


def test_users_with_more_than_people_can_do_are_counted(
    spark: SparkSession, tmp_path: Path
) -> None:
    bot = [("bot", f"i{n % 7}", 0) for n in range(BUSY_EVENTS_A_DAY + 1)]
    busy_twice = [("u", "a", day) for day in (0, 1) for _ in range(BUSY_EVENTS_A_DAY)]
    rows = [*bot, *busy_twice]
    found, said = facts(spark, tmp_path, rows, ["a"])
    assert (found.busy_users, found.busy_share) == (1, (BUSY_EVENTS_A_DAY + 1) / len(rows))
    assert "bot" not in str(said)


def test_a_log_without_events_has_a_catalogue(spark: SparkSession, tmp_path: Path) -> None:
    found, said = facts(spark, tmp_path, [], ["a", "b"])
    assert (found, said) == (Facts(catalogue_items=2), {})


@pytest.mark.parametrize(
    ("transitions", "expected"),
    [
        ([], 0.0),
        ([(2, 2, 5)], 1.0),
        ([(2, 0, 5)], 0.0),  # less than chance, which is 1 of 2
        ([(2, 2, 1), (2, 0, 1)], 0.0),
        ([(2, 2, 3), (2, 0, 1)], 0.5),
        # of four throws of a coin, heads and tails differ by 1.5 on average
        ([(4, 4, 1)], 1.0),
        ([(4, 2, 1)], pytest.approx(0.5 / 2.5)),
    ],
)
def test_order_tells_what_is_beyond_chance(
    transitions: list[tuple[int, int, int]], expected: float
) -> None:
    assert order_told(transitions) == expected


def test_one_way_is_told_from_both_ways(spark: SparkSession, tmp_path: Path) -> None:
    one_way = [(f"u{n}", item, day) for n in range(6) for day, item in enumerate("abc")]
    both = [
        (f"u{n}", item, day) for n in range(6) for day, item in enumerate("abc" if n % 2 else "cba")
    ]
    assert facts(spark, tmp_path, one_way, ["a"])[0].order == 1.0
    assert facts(spark, tmp_path, both, ["a"])[0].order == 0.0


def test_items_taken_at_one_time_have_no_order(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(f"u{n}", item, day) for n in range(40) for day in range(3) for item in "abcdef"]
    assert facts(spark, tmp_path, rows, ["a"])[0].order < 0.2


def test_facts_are_read_back_from_their_rows() -> None:
    given = Facts(events=3, density=0.5)
    rows = told(given, {"days": f"{date(2026, 1, 1)}"})
    assert Facts.of({measure: value for measure, value, _ in rows} | {"older": 1.0}) == given
    assert {measure for measure, _, _ in rows} == set(asdict(given))
    assert ("days", 0.0, "2026-01-01") in rows
