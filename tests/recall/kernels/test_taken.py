"""What returns and dislikes leave of the log: by hand, and beside a stack of purchases."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.lake.contract import load_contract
from jobs.lake.schema import struct_type
from jobs.lake.settings import ROOT, Sections
from jobs.recall.kernels.taken import may_hold, taken, unwanted, weighed, what_is_left
from jobs.recall.settings.events import STANDARD_WEIGHTS, EventSettings
from jobs.settings import RecallSettings, Settings

LOG = struct_type(load_contract(ROOT / "expectations" / "silver" / "interactions.yaml"))
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DS = date(2026, 3, 1)


def anything(column: str) -> None:
    """Bounds that know nothing."""
    return


Event = tuple[Any, ...]


def event(
    what: str, day: int, pieces: float = 1.0, *, item: str = "i", user: str = "u", session: str = ""
) -> Event:
    """A row of silver.interactions; its amount is 2 a piece."""
    at = NOON + timedelta(days=day)
    held = min(max(pieces, 1.0), 10.0)
    weight = STANDARD_WEIGHTS.get(what, 0.0) * (1 + math.log(held))
    return (
        *(user, item, at, what, at.date(), weight, pieces, 2.0 * pieces, session or None),
        at.date(),
    )


@pytest.fixture
def left(spark: SparkSession) -> Callable[[Iterable[Event]], list[tuple]]:
    """(day, type, quantity) of the rows that are left, by day."""

    def of(events: Iterable[Event]) -> list[tuple]:
        rows = what_is_left(spark.createDataFrame(list(events), LOG)).collect()
        return sorted(
            ((row.event_date - NOON.date()).days, row.event_type, row.quantity) for row in rows
        )

    return of


def sections(tmp_path: Path, **weights: float) -> Sections:
    recall = RecallSettings(events=EventSettings(weights=weights))
    return Sections(Settings(home=tmp_path, recall=recall))


def test_a_return_takes_pieces_off_the_newest_purchase(left: Callable[..., list[tuple]]) -> None:
    bought = [event("purchase", 0, 3), event("purchase", 5, 2)]
    assert left([*bought, event("return", 6, 1)]) == [(0, "purchase", 3.0), (5, "purchase", 1.0)]
    assert left([*bought, event("return", 6, 2)]) == [(0, "purchase", 3.0)]
    assert left([*bought, event("return", 6, 4)]) == [(0, "purchase", 1.0)]
    assert left([*bought, event("return", 6, 9)]) == []


def test_a_return_takes_nothing_of_later_purchases(left: Callable[..., list[tuple]]) -> None:
    assert left([event("return", 0, 5), event("purchase", 1, 2)]) == [(1, "purchase", 2.0)]
    bought = [event("purchase", 0, 1), event("return", 1, 3), event("purchase", 2, 2)]
    assert left(bought) == [(2, "purchase", 2.0)]


def test_at_one_time_a_return_comes_after_a_purchase(left: Callable[..., list[tuple]]) -> None:
    assert left([event("return", 0), event("purchase", 0)]) == []


def test_a_line_without_a_count_is_one_piece(left: Callable[..., list[tuple]]) -> None:
    assert left([event("purchase", 0, 0.0), event("return", 1, 0.0)]) == []
    assert left([event("purchase", 0, 0.0), event("return", 1, 0.25)]) == [(0, "purchase", 0.75)]


def test_parts_of_a_piece_leave_no_crumbs(left: Callable[..., list[tuple]]) -> None:
    # 0.1 + 0.2 is not 0.3 in floating point
    bought = [event("purchase", 0, 0.1), event("purchase", 1, 0.2)]
    assert left([*bought, event("return", 2, 0.3)]) == []


def test_what_else_was_done_with_a_returned_item_stays(left: Callable[..., list[tuple]]) -> None:
    events = [event("view", 0), event("purchase", 1), event("return", 2)]
    assert left(events) == [(0, "view", 1.0)]


def test_a_dislike_takes_back_all_that_came_before(left: Callable[..., list[tuple]]) -> None:
    events = [event("view", 0), event("purchase", 1, 3), event("dislike", 1), event("view", 2)]
    assert left(events) == [(2, "view", 1.0)]


def test_a_hide_takes_nothing_back(left: Callable[..., list[tuple]]) -> None:
    assert left([event("purchase", 1), event("hide", 2)]) == [(1, "purchase", 1.0)]


def test_weight_and_amount_are_those_of_the_pieces_left(spark: SparkSession) -> None:
    events = [event("purchase", 0, 5), event("return", 1, 2), event("purchase", 2, 4)]
    rows = what_is_left(spark.createDataFrame(events, LOG)).orderBy("event_ts").collect()
    assert [(r.quantity, r.amount) for r in rows] == [(3.0, pytest.approx(6.0)), (4.0, 8.0)]
    assert rows[0].weight == pytest.approx(1 + math.log(3))
    assert rows[1].weight == 1 + math.log(4)


step = st.tuples(
    st.sampled_from(["purchase", "return"]), st.integers(0, 6), st.sampled_from([1.0, 2.0, 3.0])
)


@given(st.lists(step, max_size=10, unique_by=lambda made: (made[0], made[1])))
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_returns_are_taken_off_a_stack_of_purchases(
    left: Callable[..., list[tuple]], made: list[tuple[str, int, float]]
) -> None:
    stack: list[list] = []
    for what, day, pieces in sorted(made, key=lambda m: (m[1], m[0] == "return")):
        if what == "purchase":
            stack.append([day, pieces])
            continue
        while pieces and stack:
            gone = min(pieces, stack[-1][1])
            pieces -= gone
            stack[-1][1] -= gone
            if not stack[-1][1]:
                stack.pop()
    assert left(event(*one) for one in made) == [(d, "purchase", q) for d, q in stack]


def test_only_pairs_with_a_return_or_a_dislike_are_looked_at(
    spark: SparkSession, tmp_path: Path
) -> None:
    events = [
        event("purchase", 0, user="u"),
        event("return", 1, user="u"),
        event("purchase", 0, user="v"),
        event("purchase", 0, user="u", item="j"),
        event("hide", 1, user="v"),
        event("dislike", 2, user="w", item="j"),
    ]
    found = taken(spark.createDataFrame(events, LOG), DS, sections(tmp_path), anything)
    assert found.columns == LOG.fieldNames()
    assert sorted((row.user_id, row.item_id) for row in found.collect()) == [("u", "j"), ("v", "i")]


@pytest.mark.parametrize(
    ("least", "largest", "names", "may"),
    [
        ("cart", "view", ("return",), True),
        ("purchase", "purchase", ("return", "dislike", "hide"), False),
        ("cart", "purchase", ("return",), False),
        ("cart", "purchase", ("hide",), True),
        (None, None, ("return",), False),
    ],
)
def test_bounds_tell_that_a_log_has_no_return(
    least: str | None, largest: str | None, names: tuple[str, ...], may: bool
) -> None:
    assert may_hold(lambda column: (least, largest), names) is may
    assert may_hold(anything, names)


def test_a_log_without_returns_is_the_same_frame(spark: SparkSession, tmp_path: Path) -> None:
    """Nearly all logs: a view of them costs nothing."""
    rows = spark.createDataFrame([event("purchase", 0)], LOG)
    assert taken(rows, DS, sections(tmp_path), lambda column: ("purchase", "purchase")) is rows
    nothing = unwanted(rows, DS, sections(tmp_path), lambda column: ("purchase", "purchase"))
    assert "LocalTableScan <empty>" in nothing._explain_string()


def test_a_weight_of_the_settings_takes_the_place_of_the_standard_one(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = spark.createDataFrame(
        [event("view", 0, 2.0), event("cart", 1), event("purchase", 2)], LOG
    )
    found = taken(rows, DS, sections(tmp_path, view=0.3, cart=0.0), anything)
    weights = {row.event_type: row.weight for row in found.collect()}
    assert weights == {
        "view": pytest.approx(0.3 * (1 + math.log(2))),
        "cart": 0.0,
        "purchase": 1.0,
    }
    assert weighed(rows, STANDARD_WEIGHTS) is rows


def test_the_last_word_of_a_user_counts(spark: SparkSession, tmp_path: Path) -> None:
    events = [
        event("dislike", 3, item="disliked"),
        event("purchase", 1, item="disliked"),
        event("dislike", 1, item="taken since"),
        event("view", 2, item="taken since"),
        event("hide", 1, item="hidden twice"),
        event("hide", 4, item="hidden twice"),
        event("dislike", 1, item="returned since"),
        event("return", 2, item="returned since"),
        event("view", 1, item="at one time"),
        event("hide", 1, item="at one time"),
        event("dislike", 1, item="at one time"),
        event("purchase", 1, item="taken"),
    ]
    rows = unwanted(spark.createDataFrame(events, LOG), DS, sections(tmp_path), anything)
    found = {r.item_id: (r.event_type, (r.event_date - NOON.date()).days) for r in rows.collect()}
    assert found == {
        "disliked": ("dislike", 3),
        "hidden twice": ("hide", 4),
        "returned since": ("dislike", 1),
        "at one time": ("dislike", 1),
    }


def test_weights_name_types_of_events_that_take(tmp_path: Path) -> None:
    assert EventSettings(weights={"view": 0.5}).weights == STANDARD_WEIGHTS | {"view": 0.5}
    with pytest.raises(ValueError, match="unknown dislike; known: view, click"):
        EventSettings(weights={"dislike": 0.5})
    with pytest.raises(ValueError, match=r"expected 0 to 1, found .'view': 2\.0"):
        EventSettings(weights={"view": 2.0})
