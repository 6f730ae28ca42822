"""silver.items: one row a change, days in order, and an account of every record."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.lake import Lake, Outcome, Run
from jobs.lake.contract import load_contract
from jobs.lake.intake.landing import row_hash
from jobs.lake.intake.mapping import Entity
from jobs.lake.schema import struct_type
from jobs.lake.scratch import Scratch
from jobs.lake.settings import ROOT, Sections
from jobs.settings import RunParams, Settings
from jobs.silver.items import has_days_of_sale, items, on_sale

D1, D2, D3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
BRONZE = load_contract(ROOT / "expectations" / "bronze" / "items.yaml")
SILVER = load_contract(ROOT / "expectations" / "silver" / "items.yaml")


def record(item: str, day: date, title: str | None, row: int = 1, **columns: Any) -> dict[str, Any]:
    """A bronze record; its row hash stands for its title."""
    given = {
        "item_id": item,
        "title": title,
        "is_sellable": True,
        "ingest_ds": day,
        "source_file": f"items/ds={day}/x.csv",
        "source_row": row,
        "row_hash": f"hash of {title}",
    }
    return {column.name: None for column in BRONZE.columns} | given | columns


def version(item: str, day: date, title: str) -> dict[str, Any]:
    """A held version, as `record` would have made it."""
    given = {
        "item_id": item,
        "valid_from": day,
        "title": title,
        "is_sellable": True,
        "content_hash": "",
        "row_hash": f"hash of {title}",
    }
    return {column.name: None for column in SILVER.columns} | given


@pytest.fixture
def build(spark: SparkSession, tmp_path: Path) -> Callable[..., Outcome]:
    def run_once(
        received: Iterable[dict],
        held: Iterable[dict] = (),
        before: Iterable[dict] = (),
        watermark: date | None = None,
    ) -> Outcome:
        """before: records that earlier runs received."""
        scratch = Scratch(Path(tempfile.mkdtemp(dir=tmp_path)))  # each run has its own
        sections = Sections(Settings(home=tmp_path))
        run = Run(D3, D3, watermark, RunParams(), sections, "run", scratch)
        received = list(received)
        frames = (
            spark.createDataFrame([tuple(row.values()) for row in given], struct_type(contract))
            for given, contract in (
                (received, BRONZE),
                (held, SILVER),
                ([*before, *received], BRONZE),
            )
        )
        return items(run, *frames)

    return run_once


def versions(outcome: Outcome) -> list[tuple]:
    columns = ("item_id", "valid_from", "title")
    return sorted(tuple(row) for row in outcome.rows.select(*columns).collect())


def dropped(outcome: Outcome) -> tuple[list[str], list[str]]:
    """Row ids of the quarantined and of the folded records."""
    assert outcome.quarantined is not None
    assert outcome.folded is not None
    folded = [str(row["source_row"]) for row in outcome.folded.collect()]
    return sorted(row["row_id"] for row in outcome.quarantined.collect()), sorted(folded)


def test_the_columns_are_those_of_the_contract(build: Callable[..., Outcome]) -> None:
    found = {field.name: field.dataType for field in build([record("i", D1, "Tea")]).rows.schema}
    assert found == {field.name: field.dataType for field in struct_type(SILVER)}


def test_a_new_item_is_a_version_from_its_day(build: Callable[..., Outcome]) -> None:
    outcome = build([record("i", D1, "Tea"), record("j", D2, "Bread")])
    assert versions(outcome) == [("i", D1, "Tea"), ("j", D2, "Bread")]
    assert dropped(outcome) == ([], [])


def test_an_unchanged_record_is_folded(build: Callable[..., Outcome]) -> None:
    outcome = build([record("i", D2, "Tea"), record("i", D3, "Tea")], [version("i", D1, "Tea")])
    assert versions(outcome) == []
    assert dropped(outcome) == ([], ["1", "1"])


def test_days_pending_in_one_run_are_taken_in_order(build: Callable[..., Outcome]) -> None:
    # A change and its way back are two versions, although the last equals the one held.
    received = [record("i", D3, "Tea"), record("i", D2, "Green tea")]
    outcome = build(received, [version("i", D1, "Tea")])
    assert versions(outcome) == [("i", D2, "Green tea"), ("i", D3, "Tea")]


def full(item: str, day: date, source: str = "shop", **columns: Any) -> dict[str, Any]:
    """A record of a source whose drops are complete."""
    return record(item, day, item.upper(), complete_source=source, **columns)


def sold(outcome: Outcome) -> list[tuple]:
    columns = ("item_id", "valid_from", "is_sellable")
    return sorted(tuple(row) for row in outcome.rows.select(*columns).collect())


def test_an_item_that_a_complete_delivery_lacks_is_no_longer_sold(
    build: Callable[..., Outcome],
) -> None:
    """Gone on the second day and back on the third; its words stay."""
    received = [full("a", D1), full("b", D1), full("a", D2), full("a", D3), full("b", D3)]
    outcome = build(received)
    assert sold(outcome) == [
        ("a", D1, True),
        ("b", D1, True),
        ("b", D2, False),
        ("b", D3, True),
    ]
    assert {row["title"] for row in outcome.rows.where("item_id = 'b'").collect()} == {"B"}
    assert dropped(outcome) == ([], ["1", "1"])
    assert outcome.added is not None
    assert outcome.added.count() == 1


def test_only_the_deliveries_of_the_run_end_items(build: Callable[..., Outcome]) -> None:
    """b ended with an earlier run; a ends with this one."""
    before = [full("a", D1), full("b", D1), full("a", D2), full("c", D2)]
    outcome = build([full("c", D3)], before=before, watermark=D2)
    assert sold(outcome) == [("a", D3, False), ("c", D3, True)]


def test_other_sources_and_partial_deliveries_end_nothing(build: Callable[..., Outcome]) -> None:
    received = [
        full("a", D1),
        full("b", D1),
        full("b", D2, source="market"),  # the market delivers its own items
        full("c", D2),
        record("d", D1, "D"),  # a source that sends changes alone
        record("e", D2, "E"),
    ]
    outcome = build(received)
    assert ("a", D2, False) in sold(outcome)
    assert {item for item, _, sellable in sold(outcome) if not sellable} == {"a"}


def test_an_item_that_was_not_sold_does_not_end_again(build: Callable[..., Outcome]) -> None:
    received = [full("a", D1), full("b", D1, is_sellable=False), full("a", D2)]
    assert sold(build(received)) == [("a", D1, True), ("b", D1, False)]


def test_the_last_record_of_a_day_counts_and_another_is_quarantined(
    build: Callable[..., Outcome],
) -> None:
    outcome = build(
        [
            record("i", D1, "Te", 1),
            record("i", D1, "Tea", 2),
            record("i", D1, "Tea", 10),
            record("i", D1, "Tee", 1, source_file="items/ds=2026-01-01/a.csv"),
        ]
    )
    assert versions(outcome) == [("i", D1, "Tea")]
    assert dropped(outcome) == (["1", "1"], ["2"])
    assert outcome.quarantined is not None
    reasons = {row["reason"] for row in outcome.quarantined.collect()}
    assert reasons == {"a later row of the same day says something else"}


def test_a_quarantined_record_is_kept_whole(build: Callable[..., Outcome]) -> None:
    outcome = build([record("i", D1, "Te", 1, price=2.5), record("i", D1, "Tea", 2)])
    assert outcome.quarantined is not None
    (row,) = outcome.quarantined.collect()
    assert json.loads(row["payload"]) == {
        "item_id": "i",
        "title": "Te",
        "category": None,
        "department": None,
        "brand": None,
        "description": None,
        "size": None,
        "price": 2.5,
        "is_sellable": True,
        "sale_from": None,
        "sale_until": None,
    }


def content_hash(*content: str | None) -> str:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_content_hash_is_that_of_what_a_prompt_depends_on(
    build: Callable[..., Outcome],
) -> None:
    outcome = build(
        [
            record("i", D1, "Thé", category="Tea", brand="Own", size="20 bags", price=2.0),
            record("j", D1, "Thé", category="Tea", brand="Own", size="40 bags", price=3.0),
            record("k", D1, "Thé", category=None, department="Tea", brand="Own"),
        ]
    )
    hashes = {row["item_id"]: row["content_hash"] for row in outcome.rows.collect()}
    assert hashes["i"] == hashes["j"] == content_hash("Thé", "Tea", None, "Own", None)
    assert hashes["k"] == content_hash("Thé", None, "Tea", "Own", None)


def by_hand(received: list[dict], held: dict[str, str]) -> set[tuple]:
    last_of_day: dict[tuple, dict] = {}
    for r in sorted(received, key=lambda r: (r["source_file"], r["source_row"])):
        last_of_day[(r["item_id"], r["ingest_ds"])] = r
    now, found = dict(held), set()
    for (item, day), r in sorted(last_of_day.items()):
        if now.get(item) != r["title"]:
            found.add((item, day, r["title"]))
        now[item] = r["title"]
    return found


@pytest.mark.parametrize("seed", range(3))
def test_any_records_are_judged_as_by_hand_and_none_vanishes(
    build: Callable[..., Outcome], seed: int
) -> None:
    dice = random.Random(seed)
    received = [
        record(
            dice.choice("ijk"),
            D2 + timedelta(days=dice.randrange(3)),
            dice.choice(["Tea", "Bread"]),
            number,
            source_file=dice.choice(["a", "b"]),
        )
        for number in range(25)
    ]
    outcome = build(received, [version("i", D1, "Tea")])
    found = versions(outcome)
    assert set(found) == by_hand(received, {"i": "Tea"})
    rejected, folded = dropped(outcome)
    assert len(found) + len(rejected) + len(folded) == len(received)


def test_one_run_of_all_days_gives_what_a_run_a_day_gives(build: Callable[..., Outcome]) -> None:
    received = [
        record("i", D1, "Tea"),
        record("i", D2, "Tea"),
        record("i", D3, "Bread"),
        record("j", D2, "Tea"),
    ]
    at_once = versions(build(received))
    held: dict[str, dict] = {}
    one_by_one = []
    for day in (D1, D2, D3):
        found = versions(build([r for r in received if r["ingest_ds"] == day], held.values()))
        one_by_one += found
        held |= {item: version(item, valid_from, title) for item, valid_from, title in found}
    assert sorted(one_by_one) == at_once


def hashed(spark: SparkSession, **columns: Any) -> str:
    """The row hash of an item's record."""
    row = record("i", D1, "tea", **columns)
    frame = spark.createDataFrame([tuple(row.values())], struct_type(BRONZE))
    return str(frame.select(row_hash(Entity.items)).collect()[0][0])


def test_an_item_of_which_none_is_left_is_not_sellable(build: Callable[..., Outcome]) -> None:
    outcome = build(
        [
            record("none", D1, "a", stock=0.0),
            record("oversold", D1, "b", stock=-2.0),
            record("some", D1, "c", stock=0.5),
            record("unknown", D1, "d"),
            record("taken off", D1, "e", stock=4.0, is_sellable=False),
        ]
    )
    sold = {row.item_id for row in outcome.rows.where("is_sellable").collect()}
    assert sold == {"some", "unknown"}
    assert outcome.rows.count() == 5


def test_a_stock_makes_a_new_version_only_when_it_runs_out_or_comes_back(
    spark: SparkSession,
) -> None:
    none = hashed(spark)
    assert hashed(spark, stock=3.0) == none
    assert hashed(spark, stock=0.0) == hashed(spark, is_sellable=False) != none
    assert hashed(spark, sale_until=D2) not in (none, hashed(spark, sale_from=D2))


def test_the_hash_of_a_record_without_days_of_sale_is_that_of_earlier_releases(
    spark: SparkSession,
) -> None:
    """Else every item of a lake would get a new version with the next delivery."""
    told = ["i", "tea", None, None, None, None, None, None, "true"]
    assert (
        hashed(spark)
        == hashlib.sha256(json.dumps(told, separators=(",", ":")).encode()).hexdigest()
    )


def test_an_item_is_sold_from_its_first_day_to_its_last(
    make_lake: Callable[..., Lake], spark: SparkSession
) -> None:
    lake = make_lake()
    held = [
        version("always", D1, "a"),
        version("from the 2nd", D1, "b") | {"sale_from": D2},
        version("until the 2nd", D1, "c") | {"sale_until": D2},
        version("on the 2nd", D1, "d") | {"sale_from": D2, "sale_until": D2},
        version("off", D1, "e") | {"sale_from": D1, "is_sellable": False},
    ]
    rows = [tuple(row.values()) for row in held]
    lake.tables.append("silver.items", spark.createDataFrame(rows, struct_type(SILVER)))
    seen = {
        day: {
            r.item_id for r in lake.read_as_of("silver.items", day).where("is_sellable").collect()
        }
        for day in (D1, D2, D3)
    }
    assert seen == {
        D1: {"always", "until the 2nd"},
        D2: {"always", "from the 2nd", "until the 2nd", "on the 2nd"},
        D3: {"always", "from the 2nd"},
    }


def test_a_catalogue_without_days_of_sale_is_seen_as_it_is(spark: SparkSession) -> None:
    def nothing(column: str) -> tuple[None, None]:
        return None, None

    rows = spark.createDataFrame([tuple(version("i", D1, "a").values())], struct_type(SILVER))
    assert on_sale(rows, D1, Sections(Settings()), nothing) is rows
    assert not has_days_of_sale(nothing)
    assert has_days_of_sale(lambda column: (D1, D1))
    assert has_days_of_sale(lambda column: None)
