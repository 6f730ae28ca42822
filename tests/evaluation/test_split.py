"""The validation part: what is held out, of whom, and that nothing else moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from jobs.evaluation.data import INTERACTIONS, UNDATED, BadData
from jobs.evaluation.split import cut
from jobs.evaluation.vocabulary import Split

START = datetime(2020, 1, 1, tzinfo=UTC)


def taken(rows: list[tuple[str, str, float | None]]) -> pa.Table:
    """Interactions from (user, item, days after START or None)."""
    events = []
    for user, item, days in rows:
        at = UNDATED if days is None else START + timedelta(days=days)
        events.append(
            {
                "user_id": user,
                "item_id": item,
                "event_ts": at,
                "event_date": at.date(),
                "session_id": None,
                "weight": 1.0,
            }
        )
    return pa.Table.from_pylist(events, schema=INTERACTIONS)


def pairs(rows: pa.Table) -> set[tuple[str, str]]:
    return set(zip(rows["user_id"].to_pylist(), rows["item_id"].to_pylist(), strict=True))


TIMED = [
    # ten times: a fifth is two; the last time holds two items
    *(("u", f"i{day}", day) for day in range(10)),
    ("u", "also", 9),
    # two times: one stays
    ("v", "a", 0),
    ("v", "b", 5),
    # one time: it stays
    ("w", "a", 3),
    ("w", "b", 3),
]


@pytest.mark.parametrize("split", [Split.last, Split.auto])
def test_the_newest_times_of_each_user_are_held_out(split: Split) -> None:
    train, validation = cut(taken(TIMED), split, seed=7, most_users=10)
    assert pairs(validation) == {("u", "i8"), ("u", "i9"), ("u", "also"), ("v", "b")}
    assert pairs(train) == pairs(taken(TIMED)) - pairs(validation)


def test_the_newest_time_of_each_user_alone_is_held_out() -> None:
    train, validation = cut(taken(TIMED), Split.one, seed=7, most_users=10)
    assert pairs(validation) == {("u", "i9"), ("u", "also"), ("v", "b")}
    assert pairs(train) == pairs(taken(TIMED)) - pairs(validation)


def test_the_newest_fifth_of_all_is_held_out_between_two_days() -> None:
    # Of 15 rows 12 are kept: the 12th oldest is of day 7, and days after it are held out.
    train, validation = cut(taken(TIMED), Split.time, seed=7, most_users=10)
    assert pairs(validation) == {("u", "i8"), ("u", "i9"), ("u", "also")}
    assert train.num_rows + validation.num_rows == len(TIMED)


def test_a_fifth_of_the_items_of_each_user_is_held_out_at_random() -> None:
    rows = [(user, f"i{n}", None) for user in "uv" for n in range(10)] + [("w", "i0", None)]
    train, validation = cut(taken(rows), Split.auto, seed=7, most_users=10)
    held_out = pairs(validation)
    assert sorted(user for user, _ in held_out) == ["u", "u", "v", "v"]
    assert pairs(train) == pairs(taken(rows)) - held_out
    reordered = taken(list(reversed(rows)))
    assert pairs(cut(reordered, Split.random, seed=7, most_users=10)[1]) == held_out
    assert pairs(cut(taken(rows), Split.random, seed=8, most_users=10)[1]) != held_out


def test_of_too_many_users_a_sample_is_asked_and_all_teach() -> None:
    rows = [(f"u{n}", item, None) for n in range(50) for item in "ab"]
    train, validation = cut(taken(rows), Split.random, seed=7, most_users=8)
    assert len({user for user, _ in pairs(validation)}) == 8
    assert train.num_rows == 50


def test_what_cannot_be_cut_says_why() -> None:
    with pytest.raises(BadData, match="--split last: all interactions have one time"):
        cut(taken([("u", "a", None), ("u", "b", None)]), Split.last, seed=7, most_users=10)
    with pytest.raises(BadData, match="nothing is left to learn from or to hold out, of 1 "):
        cut(taken([("u", "a", None)]), Split.auto, seed=7, most_users=10)
