"""silver.interactions: weights, one row a key, and an account of every record."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.lake import Lake, Outcome, Read, Run
from jobs.lake.contract import load_contract
from jobs.lake.schema import struct_type
from jobs.lake.scratch import Scratch
from jobs.lake.settings import ROOT, Sections
from jobs.settings import RunParams, Settings
from jobs.silver.interactions import DUPLICATE, NEGATIVE, interactions

D1, D2, D3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
BRONZE = load_contract(ROOT / "expectations" / "bronze" / "events.yaml")
SILVER = load_contract(ROOT / "expectations" / "silver" / "interactions.yaml")

Record = dict[str, Any]


def record(user: str, item: str, day: date, hour: int = 9, **columns: Any) -> Record:
    """A bronze record that is received on the day it happened, unless said otherwise."""
    given = {
        "user_id": user,
        "item_id": item,
        "event_ts": datetime(day.year, day.month, day.day, hour),
        "event_type": "purchase",
        "quantity": 1.0,
        "amount": 2.0,
        "session_id": "s",
        "ingest_ds": day,
        "source_file": f"events/ds={day}/x.csv",
        "source_row": 1,
        "row_hash": "",
    }
    return given | columns


@pytest.fixture
def build(spark: SparkSession, tmp_path: Path) -> Callable[..., Outcome]:
    def run_once(received: Iterable[Record], held: Iterable[tuple] = ()) -> Outcome:
        names = [column.name for column in BRONZE.columns]
        rows = [tuple(row[name] for name in names) for row in received]
        run = Run(
            D3, D3, None, RunParams(), Sections(Settings(home=tmp_path)), "run", Scratch(tmp_path)
        )
        return interactions(
            run,
            spark.createDataFrame(rows, struct_type(BRONZE)),
            spark.createDataFrame(list(held), struct_type(SILVER)),
        )

    return run_once


def rows(outcome: Outcome, *columns: str) -> list[tuple]:
    return sorted(tuple(row) for row in outcome.rows.select(*columns).collect())


def quarantined(outcome: Outcome) -> list[tuple]:
    assert outcome.quarantined is not None
    columns = ("source_file", "row_id", "column", "reason")
    return sorted(tuple(row) for row in outcome.quarantined.select(*columns).collect())


def test_the_columns_are_those_of_the_contract(build: Callable[..., Outcome]) -> None:
    outcome = build([record("u", "i", D1)])
    found = {field.name: field.dataType for field in outcome.rows.schema}
    assert found == {field.name: field.dataType for field in struct_type(SILVER)}


def test_an_event_keeps_its_columns_and_its_utc_day(build: Callable[..., Outcome]) -> None:
    outcome = build([record("u", "i", D2, 23, quantity=2.0, ingest_ds=D3)])
    assert [row.asDict() for row in outcome.rows.collect()] == [
        {
            "user_id": "u",
            "item_id": "i",
            "event_ts": datetime(2026, 1, 2, 23),
            "event_type": "purchase",
            "event_date": D2,
            "weight": 1 + math.log(2),
            "quantity": 2.0,
            "amount": 2.0,
            "session_id": "s",
            "ingest_ds": D3,
        }
    ]


@pytest.mark.parametrize(
    ("event_type", "quantity", "expected"),
    [
        ("purchase", 1.0, 1.0),
        ("purchase", 0.0, 1.0),
        ("purchase", 0.25, 1.0),
        ("purchase", 3.0, 1 + math.log(3)),
        ("purchase", 10.0, 1 + math.log(10)),
        ("purchase", 17_000.0, 1 + math.log(10)),
        ("view", 1.0, 0.1),
        ("click", 1.0, 0.2),
        ("wishlist", 1.0, 0.5),
        ("cart", 2.0, 0.5 * (1 + math.log(2))),
    ],
)
def test_the_weight_grows_with_the_logarithm_of_the_quantity(
    build: Callable[..., Outcome], event_type: str, quantity: float, expected: float
) -> None:
    outcome = build([record("u", "i", D1, event_type=event_type, quantity=quantity)])
    assert rows(outcome, "weight", "quantity") == [(pytest.approx(expected), quantity)]


def test_the_first_record_of_a_key_counts(build: Callable[..., Outcome]) -> None:
    outcome = build(
        [
            record("u", "i", D1, ingest_ds=D2, amount=1.0),
            record("u", "i", D1, source_file="b.csv", source_row=1, amount=2.0),
            record("u", "i", D1, source_file="a.csv", source_row=9, amount=3.0),
            record("u", "i", D1, source_file="a.csv", source_row=10, amount=4.0),
        ]
    )
    assert rows(outcome, "amount") == [(3.0,)]
    assert quarantined(outcome) == [
        ("a.csv", "10", None, DUPLICATE),
        ("b.csv", "1", None, DUPLICATE),
        (f"events/ds={D1}/x.csv", "1", None, DUPLICATE),
    ]


def test_records_that_differ_in_any_part_of_the_key_all_count(
    build: Callable[..., Outcome],
) -> None:
    outcome = build(
        [
            record("u", "i", D1),
            record("v", "i", D1),
            record("u", "j", D1),
            record("u", "i", D1, 10),
            record("u", "i", D1, event_type="view"),
        ]
    )
    assert outcome.rows.count() == 5
    assert quarantined(outcome) == []


def test_two_orders_of_one_item_at_one_time_are_two_events(build: Callable[..., Outcome]) -> None:
    """A till that says the day alone: the order tells them apart, and an exact repeat is one."""
    at = datetime(2026, 1, 1, 9)
    held = [("u", "i", at, "purchase", D1, 1.0, 1.0, 2.0, "o1", D1)]
    outcome = build(
        [
            record("u", "i", D1, session_id="o1", source_row=1, ingest_ds=D2),
            record("u", "i", D1, session_id="o2", source_row=2, ingest_ds=D2),
            record("u", "i", D1, session_id="o2", source_row=3, ingest_ds=D2),
            record("u", "i", D1, session_id=None, source_row=4, ingest_ds=D2),
        ],
        held,
    )
    sessions = [row["session_id"] for row in outcome.rows.collect()]
    assert sorted(sessions, key=str) == [None, "o2"]
    assert [row_id for _, row_id, _, _ in quarantined(outcome)] == ["1", "3"]


def test_an_event_without_a_session_is_not_counted_again(build: Callable[..., Outcome]) -> None:
    at = datetime(2026, 1, 1, 9)
    held = [("u", "i", at, "purchase", D1, 1.0, 1.0, 2.0, None, D1)]
    outcome = build([record("u", "i", D1, ingest_ds=D2, session_id=None)], held)
    assert rows(outcome, "event_date") == []
    assert len(quarantined(outcome)) == 1


def test_a_key_of_an_earlier_run_is_not_counted_again(build: Callable[..., Outcome]) -> None:
    at = datetime(2026, 1, 1, 9)
    held = [("u", "i", at, "purchase", D1, 1.0, 1.0, 2.0, "s", D1)]
    outcome = build([record("u", "i", D1, ingest_ds=D2), record("u", "i", D2)], held)
    assert rows(outcome, "event_date") == [(D2,)]
    assert quarantined(outcome) == [(f"events/ds={D1}/x.csv", "1", None, DUPLICATE)]


def test_a_purchase_of_less_than_nothing_is_a_return(build: Callable[..., Outcome]) -> None:
    """As tills write it. A return that counts its pieces below 0 is no different."""
    at = datetime(2026, 1, 1, 9)
    held = [("v", "i", at, "return", D1, 0.0, 2.0, None, "s", D1)]
    outcome = build(
        [
            record("u", "i", D1, source_row=1, quantity=-2.0, amount=-4.0),
            record("u", "i", D1, source_row=2, quantity=2.0),
            record("w", "i", D1, source_row=3, event_type="return", quantity=-3.0),
            record("v", "i", D1, source_row=4, quantity=-2.0),
        ],
        held,
    )
    assert rows(outcome, "user_id", "event_type", "quantity", "amount", "weight") == [
        ("u", "purchase", 2.0, 2.0, 1 + math.log(2)),
        ("u", "return", 2.0, -4.0, 0.0),
        ("w", "return", 3.0, 2.0, 0.0),
    ]
    assert quarantined(outcome) == [(f"events/ds={D1}/x.csv", "4", None, DUPLICATE)]


@pytest.mark.parametrize("event_type", ["return", "dislike", "hide"])
def test_an_event_that_takes_nothing_weighs_nothing(
    build: Callable[..., Outcome], event_type: str
) -> None:
    outcome = build([record("u", "i", D1, event_type=event_type, quantity=3.0)])
    assert rows(outcome, "event_type", "weight", "quantity") == [(event_type, 0.0, 3.0)]


def test_a_negative_quantity_is_quarantined_and_takes_no_key(
    build: Callable[..., Outcome],
) -> None:
    outcome = build(
        [
            record("u", "i", D1, source_row=1, quantity=-1.0, event_type="view"),
            record("u", "i", D1, source_row=2, quantity=1.0, event_type="view"),
        ]
    )
    assert rows(outcome, "quantity") == [(1.0,)]
    assert quarantined(outcome) == [(f"events/ds={D1}/x.csv", "1", "quantity", NEGATIVE)]


def test_a_quarantined_record_is_kept_whole(build: Callable[..., Outcome]) -> None:
    outcome = build([record("u", "i", D1, quantity=-1.0, session_id=None, event_type="view")])
    assert outcome.quarantined is not None
    (row,) = outcome.quarantined.collect()
    assert json.loads(row["payload"]) == {
        "user_id": "u",
        "item_id": "i",
        "event_ts": "2026-01-01T09:00:00.000Z",
        "event_type": "view",
        "quantity": -1.0,
        "amount": 2.0,
        "session_id": None,
    }


def test_events_of_no_use_are_folded(build: Callable[..., Outcome]) -> None:
    outcome = build([record("u", "i", D1, event_type="other"), record("u", "i", D1)])
    assert outcome.folded is not None
    assert outcome.folded.count() == 1
    assert rows(outcome, "event_type") == [("purchase",)]


def test_items_and_users_unknown_to_the_catalogue_are_kept(build: Callable[..., Outcome]) -> None:
    assert build([record("nobody", "nothing", D1)]).rows.count() == 1


def test_no_records_give_no_rows(build: Callable[..., Outcome]) -> None:
    outcome = build([])
    assert outcome.rows.count() == 0
    assert quarantined(outcome) == []


def by_hand(received: list[Record], held: set[tuple]) -> tuple[set[tuple], int, int]:
    """Places of the records that count, and how many are quarantined and folded."""
    seen, counted, rejected, folded = set(held), set(), 0, 0
    for r in sorted(received, key=lambda r: (r["ingest_ds"], r["source_file"], r["source_row"])):
        is_return = r["event_type"] == "purchase" and r["quantity"] < 0
        what = "return" if is_return else r["event_type"]
        key = (r["user_id"], r["item_id"], r["event_ts"], what)
        if what == "other":
            folded += 1
        elif (r["quantity"] < 0 and not is_return) or key in seen:
            rejected += 1
        else:
            seen.add(key)
            counted.add((*key, r["amount"]))
    return counted, rejected, folded


@pytest.mark.parametrize("seed", range(3))
def test_any_records_are_judged_as_by_hand_and_none_vanishes(
    build: Callable[..., Outcome], seed: int
) -> None:
    dice = random.Random(seed)
    received = [
        record(
            dice.choice("uv"),
            dice.choice("ij"),
            dice.choice([D1, D2]),
            dice.choice([9, 10]),
            event_type=dice.choice(["purchase", "purchase", "view", "other"]),
            quantity=dice.choice([-1.0, 0.0, 1.0, 2.0]),
            amount=float(number),
            ingest_ds=dice.choice([D2, D3]),
            source_file=dice.choice(["a", "b"]),
            source_row=number,
        )
        for number in range(60)
    ]
    held = [("u", "i", datetime(2026, 1, 1, 9), "purchase", D1, 1.0, 1.0, 0.0, "s", D1)]
    counted, rejected, folded = by_hand(received, {held[0][:4]})
    outcome = build(received, held)
    assert set(rows(outcome, "user_id", "item_id", "event_ts", "event_type", "amount")) == counted
    assert len(quarantined(outcome)) == rejected
    assert outcome.folded is not None
    assert outcome.folded.count() == folded


def test_a_return_is_seen_from_the_day_on_which_it_is_known(
    make_lake: Callable[..., Lake], spark: SparkSession
) -> None:
    """Invariant 1: a day made again keeps the purchase that was taken back later."""
    lake = make_lake()
    morning = datetime(2026, 1, 1, 9)
    held = [
        ("u", "i", morning, "purchase", D1, 1 + math.log(3), 3.0, 6.0, "s", D1),
        ("u", "i", datetime(2026, 1, 2, 9), "return", D2, 0.0, 2.0, None, None, D2),
        ("v", "i", datetime(2026, 1, 3, 9), "dislike", D3, 0.0, 1.0, None, None, D3),
        ("v", "i", morning, "view", D1, 0.1, 1.0, None, None, D1),
    ]
    lake.tables.append("silver.interactions", spark.createDataFrame(held, struct_type(SILVER)))
    seen = {}
    for day in (D1, D2, D3):
        found = lake.read_as_of("silver.interactions", day).collect()
        seen[day] = sorted((row.user_id, row.event_type, row.quantity) for row in found)
    assert seen == {
        D1: [("u", "purchase", 3.0), ("v", "view", 1.0)],
        D2: [("u", "purchase", 1.0), ("v", "view", 1.0)],
        D3: [("u", "purchase", 1.0)],
    }
    refused = lake.reader.seen(Read("silver.interactions", view="unwanted"), lake.by_hand(D3))
    assert [tuple(row) for row in refused.collect()] == [("v", "i", "dislike", D3)]
