"""The landing: which files a run takes in, what stops it, and what it says then."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql import SparkSession

from jobs.lake import Run
from jobs.lake.errors import BadDrop, Terminal
from jobs.lake.intake import landing
from jobs.lake.intake.landing import DropsTaken, LandingFile
from jobs.lake.scratch import Scratch
from jobs.lake.settings import Sections
from jobs.settings import RunParams, Settings

D1, D2, D3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
MAPPINGS = {
    "shop_events": """
source: shop_events
entity: events
columns:
  user_id: {from: user}
  item_id: {from: item}
  event_ts: {from: at, time_zone: UTC}
  event_type: {constant: purchase}
  quantity: {from: n}
""",
    "shop_items": """
source: shop_items
entity: items
columns:
  item_id: {from: item}
  title: {from: title}
  is_sellable: {constant: true}
""",
    "shop_users": """
source: shop_users
entity: users
columns:
  user_id: {from: user}
attributes:
  tier: {from: tier}
  mail: {from: mail, personal: drop}
""",
}


class Shop:
    """A landing folder, the mappings of a shop, and runs that remember what they took in."""

    def __init__(self, spark: SparkSession, home: Path) -> None:
        self.spark = spark
        self.home = home
        self.sources = home / "sources"
        self.sources.mkdir()
        for name, text in MAPPINGS.items():
            (self.sources / f"{name}.yaml").write_text(text, encoding="utf-8")
        self.settings = Settings(home=home, sources=self.sources)
        self.recorded: list[LandingFile] = []

    def drop(self, file: str, content: bytes | str) -> Path:
        path = self.home / "landing" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def events(self, day: date, name: str, *rows: tuple[Any, ...]) -> Path:
        """An events drop in csv; a row is (user, item, time or hour of the day, quantity)."""
        lines = [
            f"{user},{item},{f'{day} {at:02}:00:00' if isinstance(at, int) else at},{n}"
            for user, item, at, n in rows
        ]
        text = "\n".join(["user,item,at,n", *lines]) + "\n"
        return self.drop(f"events/ds={day}/{name}.csv", text)

    def take_in(self, entity: str, ds: date, watermark: date | None = None) -> DropsTaken:
        scratch = self.home / "scratch" / f"{entity}-{ds}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        sections = Sections(self.settings)
        run = Run(ds, ds, watermark, RunParams(), sections, "run", Scratch(scratch))
        known = [asdict(file) for file in self.recorded if file.entity == entity]
        taken = landing.take_in(self.spark, self.settings, entity, run, known)
        self.recorded += taken.files
        return taken

    def stopped(self, entity: str, ds: date) -> str:
        """What the error says that stops the day."""
        with pytest.raises(BadDrop) as error:
            self.take_in(entity, ds)
        text = str(error.value)
        assert f"bronze.{entity} ds={ds}: " in text
        assert "Nothing was published" in text
        assert f"`reclake run bronze.{entity} --ds {ds}`" in text
        return text


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(spark, tmp_path)


def rows(taken: DropsTaken, *columns: str) -> list[tuple]:
    return sorted(tuple(row) for row in taken.rows.select(*columns).collect())


def rejected(taken: DropsTaken) -> list[dict[str, Any]]:
    order = ["source_file", "row_id"]
    return [row.asDict() for row in taken.rejected.orderBy(*order).collect()]


def statuses(taken: DropsTaken) -> dict[str, tuple[str, int]]:
    return {file.file: (file.status, file.rows) for file in taken.files}


def test_all_formats_of_a_drop_are_taken_in_with_file_and_row(shop: Shop) -> None:
    shop.events(D1, "a", ("u1", "i1", 9, 1), ("u2", "i2", 10, 2))
    shop.drop(
        f"events/ds={D1}/b.jsonl",
        json.dumps({"user": "u3", "item": 3, "at": f"{D1}T11:00:00Z", "n": 1.5}) + "\n",
    )
    table = pa.table(
        {"user": [4], "item": [5], "at": [datetime(2026, 1, 1, 12)], "n": [1], "more": ["x"]}
    )
    path = shop.drop(f"events/ds={D1}/c.parquet", b"")
    pq.write_table(table, path)
    taken = shop.take_in("events", D1)
    assert rows(
        taken, "source_file", "source_row", "user_id", "item_id", "event_ts", "quantity"
    ) == [
        (f"events/ds={D1}/a.csv", 2, "u1", "i1", datetime(2026, 1, 1, 9), 1.0),
        (f"events/ds={D1}/a.csv", 3, "u2", "i2", datetime(2026, 1, 1, 10), 2.0),
        (f"events/ds={D1}/b.jsonl", 1, "u3", "3", datetime(2026, 1, 1, 11), 1.5),
        (f"events/ds={D1}/c.parquet", 1, "4", "5", datetime(2026, 1, 1, 12), 1.0),
    ]
    assert taken.rejected.count() == 0
    assert taken.rows_in == 4
    assert {file.source for file in taken.files} == {"shop_events"}


def test_the_columns_are_those_of_the_bronze_contract(shop: Shop, lake: Any) -> None:
    for entity in ("events", "items", "users"):
        taken = shop.take_in(entity, D1)
        lake.tables.conform(f"bronze.{entity}", taken.rows, str(D1))
        assert taken.rejected.columns == [
            *("source_file", "row_id", "column", "reason", "payload", "rows")
        ]
    recorded = {*LandingFile.__dataclass_fields__, "run_id", "recorded_at"}
    assert recorded == set(lake.contracts["ops.landing_files"].column_names)


def test_the_first_run_takes_in_every_drop_up_to_its_day(shop: Shop) -> None:
    for day, user in ((D1, "a"), (D2, "b"), (D3, "c")):
        shop.events(day, "x", (user, "i", 9, 1))
    assert rows(shop.take_in("events", D2), "user_id", "ingest_ds") == [("a", D1), ("b", D2)]


def test_a_taken_in_file_is_not_taken_in_again(shop: Shop) -> None:
    shop.events(D1, "x", ("a", "i", 9, 1))
    assert shop.take_in("events", D1).rows_in == 1
    again = shop.take_in("events", D2, watermark=D1)
    assert (again.rows_in, again.rows.count(), again.files) == (0, 0, ())


def test_a_late_file_is_known_from_the_day_that_takes_it_in(shop: Shop) -> None:
    shop.events(D1, "x", ("a", "i", 9, 1))
    shop.take_in("events", D1)
    shop.events(D1, "late", ("b", "i", 9, 1))
    shop.events(D2, "x", ("c", "i", 9, 1))
    taken = shop.take_in("events", D3, watermark=D1)
    assert rows(taken, "user_id", "ingest_ds") == [("b", D3), ("c", D2)]


def test_a_late_file_is_recorded_under_the_day_that_took_it_in(shop: Shop) -> None:
    """As its rows are: people ask `ops.landing_files` which files a day took in."""
    shop.events(D1, "x", ("a", "i", 9, 1))
    shop.take_in("events", D1)
    shop.events(D1, "late", ("b", "i", 9, 1))
    shop.events(D2, "x", ("c", "i", 9, 1))
    taken = shop.take_in("events", D3, watermark=D1)
    recorded = {row["file"]: (row["drop_ds"], row["ingest_ds"]) for row in taken.log("run-7")[1]}
    assert recorded == {
        f"events/ds={D1}/late.csv": (D1, D3),
        f"events/ds={D2}/x.csv": (D2, D2),
    }


def test_a_day_without_a_drop_ends_well(shop: Shop) -> None:
    taken = shop.take_in("events", D1)
    assert (taken.rows_in, taken.rows.count(), taken.rejected.count()) == (0, 0, 0)
    (shop.home / "landing" / "events" / f"ds={D1}").mkdir(parents=True)
    assert shop.take_in("events", D1).rows_in == 0


def test_an_empty_file_is_recorded_as_empty(shop: Shop) -> None:
    shop.drop(f"events/ds={D1}/a.csv", "")
    shop.events(D1, "b")
    shop.events(D2, "b")
    taken = shop.take_in("events", D2)
    assert set(statuses(taken).values()) == {("empty", 0)}
    assert len(taken.files) == 3
    assert taken.rejected.count() == 0


def test_ids_that_were_respelled_are_counted(shop: Shop) -> None:
    """Three spellings of one user are one user; the run's record counts the changed rows."""
    shop.events(D1, "x", ("u", "i", 9, 1), ("u\u00a0", "i", 10, 1), ("\u200bu", "i", 11, 1))
    taken = shop.take_in("events", D1)
    assert rows(taken, "user_id") == [("u",)] * 3
    assert taken.counts == {"ids_respelled": 2}
    shop.events(D2, "x", ("u", "i", 9, 1))
    assert shop.take_in("events", D2, watermark=D1).counts == {}


def test_a_row_that_does_not_parse_is_rejected_with_its_place_and_reason(shop: Shop) -> None:
    shop.settings = shop.settings.model_copy(update={"max_bad_share": 0.5})
    shop.events(D1, "x", ("a", "i", 9, 1), ("b", "", "noon", 1), ("c", "i", 9, 1))
    taken = shop.take_in("events", D1)
    assert [row[0] for row in rows(taken, "user_id")] == ["a", "c"]
    assert rejected(taken) == [
        {
            "source_file": f"events/ds={D1}/x.csv",
            "row_id": "3",
            "column": "item",
            "reason": "item has no value; at 'noon' is not an ISO 8601 time, such as "
            "2026-01-15T10:00:00+01:00; say its `format`",
            "payload": '{"user":"b","item":"","at":"noon","n":"1"}',
            "rows": 1,
        }
    ]
    assert taken.rows_in == 3


def test_a_drop_for_the_wrong_day_stops_the_run(shop: Shop) -> None:
    shop.events(D1, "x", ("a", "i", f"{D2} 00:00:00", 1), ("b", "i", 9, 1))
    text = shop.stopped("events", D1)
    assert f"1 of 2 rows of events/ds={D1} can't be used, more than max_bad_share 5%" in text
    assert f"events/ds={D1}/x.csv:2 at {D2}T00:00:00Z is after the drop's day, {D1}" in text


def test_bad_rows_up_to_the_allowed_share_are_quarantined(shop: Shop) -> None:
    # 1 of 20 rows is 5 %, which is allowed; 1 of 19 is more.
    shop.events(D1, "x", *[("a", f"i{n}", 9, 1) for n in range(19)], ("b", "i", 9, "x"))
    assert shop.take_in("events", D1).rejected.count() == 1
    shop.events(D2, "x", *[("a", f"i{n}", 9, 1) for n in range(18)], ("b", "i", 9, "x"))
    assert "1 of 19 rows" in shop.stopped("events", D2)


def test_the_share_is_that_of_a_day_not_of_all_days_taken_in_together(shop: Shop) -> None:
    shop.events(D1, "x", *[("a", f"i{n}", 9, 1) for n in range(200)])
    shop.events(D2, "x", ("b", "i", 9, "x"), ("c", "i", 9, 1))
    assert f"1 of 2 rows of events/ds={D2}" in shop.stopped("events", D2)


def test_all_unreadable_files_are_named_at_once(shop: Shop) -> None:
    shop.events(D1, "good", ("a", "i", 9, 1))
    shop.drop(f"events/ds={D1}/cut.parquet", b"PAR1 and no more")
    shop.drop(f"events/ds={D1}/cut.csv", "user,item,at,n\na,i")
    shop.drop(f"events/ds={D1}/lacks.csv", "user,item,n\na,i,1\n")
    text = shop.stopped("events", D1)
    assert "3 of 4 new files can't be read" in text
    assert f"events/ds={D1}/cut.parquet: " in text
    assert f"events/ds={D1}/cut.csv: ends inside a row, at line 2" in text
    assert f"events/ds={D1}/lacks.csv: column at is missing; columns found: user, item, n" in text


def test_unreadable_files_after_the_fifth_are_counted(shop: Shop) -> None:
    for name in "abcdefg":
        shop.drop(f"events/ds={D1}/{name}.csv", f"user,item,n\na,{name},1\n")
    text = shop.stopped("events", D1)
    assert "7 of 7 new files can't be read" in text
    assert [name for name in "abcdefg" if f"events/ds={D1}/{name}.csv: " in text] == [*"abcde"]
    assert "; and 2 more" in text


def test_the_same_bytes_again_are_a_duplicate_drop(shop: Shop) -> None:
    # The duplicate comes within one run, and then in a later one.
    path = shop.events(D1, "x", ("a", "i", f"{D1} 09:00:00", 1), ("b", "i", f"{D1} 09:00:00", 1))
    shop.drop(f"events/ds={D2}/copy.csv", path.read_bytes())
    first = shop.take_in("events", D2)
    shop.drop(f"events/ds={D3}/copy.csv", path.read_bytes())
    later = shop.take_in("events", D3, watermark=D2)
    for taken, day in ((first, D2), (later, D3)):
        assert rejected(taken) == [
            {
                "source_file": f"events/ds={day}/copy.csv",
                "row_id": "",
                "column": None,
                "reason": "the whole file repeats a drop that was taken in already",
                "payload": None,
                "rows": 2,
            }
        ]
    assert statuses(first) == {
        f"events/ds={D1}/x.csv": ("taken_in", 2),
        f"events/ds={D2}/copy.csv": ("duplicate", 2),
    }
    assert (first.rows_in, first.rows.count()) == (4, 2)
    assert (later.rows_in, later.rows.count()) == (2, 0)


def test_an_unchanged_catalogue_may_be_sent_again(shop: Shop) -> None:
    shop.drop(f"items/ds={D1}/x.csv", "item,title\ni1,Tea\n")
    shop.drop(f"items/ds={D2}/x.csv", "item,title\ni1,Tea\n")
    taken = shop.take_in("items", D2)
    assert rows(taken, "item_id", "title", "ingest_ds") == [("i1", "Tea", D1), ("i1", "Tea", D2)]
    assert taken.rows.select("row_hash").distinct().count() == 1


def complete(shop: Shop, **keys: Any) -> None:
    """From now on the items of the shop come in complete drops."""
    path = shop.sources / "shop_items.yaml"
    path.write_text(f"complete: true\n{yaml.safe_dump(keys) if keys else ''}{path.read_text()}")


def test_a_complete_drop_names_its_source(shop: Shop) -> None:
    shop.drop(f"items/ds={D1}/x.csv", "item,title\ni1,Tea\n")
    assert rows(shop.take_in("items", D1), "complete_source") == [(None,)]
    complete(shop)
    shop.drop(f"items/ds={D2}/x.csv", "item,title\ni1,Tea\n")
    assert rows(shop.take_in("items", D2, watermark=D1), "complete_source") == [("shop_items",)]


def test_a_complete_drop_that_shrinks_too_far_stops_the_day(shop: Shop) -> None:
    complete(shop, may_shrink_by=0.5)
    catalogue = ["item,title", *(f"i{n},Tea" for n in range(4))]
    shop.drop(f"items/ds={D1}/x.csv", "\n".join(catalogue) + "\n")
    shop.take_in("items", D1)
    shop.drop(f"items/ds={D2}/x.csv", "item,title\ni1,Tea\n")
    text = shop.stopped("items", D2)
    assert f"items/ds={D2} of source shop_items is declared complete and has 1 rows" in text
    assert f"where ds={D1} had 4; may_shrink_by 50%" in text
    shop.drop(f"items/ds={D2}/y.csv", "item,title\ni2,Tea\n")
    assert shop.take_in("items", D2, watermark=D1).rows.count() == 2


def test_row_hashes_tell_null_from_nothing_and_columns_apart(shop: Shop) -> None:
    lines = [
        {"item": "1", "title": None},
        {"item": "1", "title": "null"},
        {"item": '1","x', "title": "y"},
        {"item": "1", "title": 'x","y'},
    ]
    shop.drop(f"items/ds={D1}/x.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert shop.take_in("items", D1).rows.select("row_hash").distinct().count() == 4


def test_personal_columns_never_enter(shop: Shop) -> None:
    shop.drop(f"users/ds={D1}/x.csv", "user,tier,mail\nu1,gold,ann@example.org\n")
    taken = shop.take_in("users", D1)
    assert rows(taken, "user_id") == [("u1",)]
    assert taken.rows.collect()[0]["attributes"] == {"tier": "gold"}


def test_work_in_progress_is_left_alone(shop: Shop) -> None:
    for name in ("_SUCCESS", ".x.csv.crc", "_upload.csv", ".hidden/x.csv"):
        shop.drop(f"events/ds={D1}/{name}", "junk")
    shop.drop("events/_tmp/x.csv", "junk")
    assert shop.take_in("events", D1).files == ()


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("events/2026-01-01/x.csv", "events/2026-01-01 is not a drop"),
        ("events/ds=2026-02-30/x.csv", "events/ds=2026-02-30 is not a drop"),
        ("events/x.csv", "events/x.csv is not a drop"),
        ("events/ds=2026-01-01/part/x.csv", "events/ds=2026-01-01/part is a folder"),
        ("events/ds=2026-01-01/x.xlsx", "x.xlsx is of an unknown format; expected .parquet, .csv"),
    ],
)
def test_what_is_no_drop_is_named(shop: Shop, file: str, expected: str) -> None:
    shop.drop(file, "user,item,at,n\n")
    assert expected in shop.stopped("events", D1)


def test_a_file_that_changed_after_it_was_taken_in_is_an_error(shop: Shop) -> None:
    path = shop.events(D1, "x", ("a", "i", 9, 1))
    shop.take_in("events", D1)
    path.write_bytes(path.read_bytes() + b"b,i,2026-01-01 10:00:00,1\n")
    text = shop.stopped("events", D2)
    assert f"events/ds={D1}/x.csv has 67 bytes, but had 41 when it was taken in" in text


def test_a_file_that_no_mapping_claims_is_named(shop: Shop) -> None:
    mapping = shop.sources / "shop_events.yaml"
    mapping.write_text(mapping.read_text() + "files: till-*\n", encoding="utf-8")
    shop.events(D1, "web-1", ("a", "i", 9, 1))
    text = shop.stopped("events", D1)
    assert f"events/ds={D1}/web-1.csv: no mapping claims it" in text
    assert "shop_events (till-*)" in text


def test_a_shop_without_users_takes_in_none_until_it_delivers_some(shop: Shop) -> None:
    (shop.sources / "shop_users.yaml").unlink()
    assert shop.take_in("users", D1).rows.count() == 0
    shop.drop(f"users/ds={D1}/x.csv", "user,tier\nu1,gold\n")
    assert "x.csv: no mapping claims it; mappings and their `files` patterns: none" in shop.stopped(
        "users", D1
    )


def test_two_sources_of_one_entity_come_together(shop: Shop) -> None:
    mapping = shop.sources / "shop_events.yaml"
    mapping.write_text(mapping.read_text() + "files: till-*\n", encoding="utf-8")
    other = MAPPINGS["shop_events"].replace("shop_events", "web_events")
    other = other.replace("from: user", "from: visitor") + "files: web-*\n"
    (shop.sources / "web_events.yaml").write_text(other, encoding="utf-8")
    shop.events(D1, "till-1", ("a", "i", 9, 1))
    shop.drop(f"events/ds={D1}/web-1.csv", f"visitor,item,at,n\nb,i,{D1} 10:00:00,1\n")
    taken = shop.take_in("events", D1)
    assert rows(taken, "user_id") == [("a",), ("b",)]
    assert {file.source for file in taken.files} == {"shop_events", "web_events"}


def test_file_names_may_hold_spaces_and_signs(shop: Shop) -> None:
    shop.events(D1, "Jan 1 + 100% (new)", ("a", "i", 9, 1))
    assert rows(shop.take_in("events", D1), "source_file") == [
        (f"events/ds={D1}/Jan 1 + 100% (new).csv",)
    ]


def test_the_rows_stay_the_same_when_the_file_changes_under_the_run(shop: Shop) -> None:
    path = shop.events(D1, "x", ("a", "i", 9, 1))
    taken = shop.take_in("events", D1)
    path.unlink()
    assert rows(taken, "user_id") == [("a",)]


def test_a_session_in_another_time_zone_is_refused(
    shop: Shop, spark: SparkSession, request: pytest.FixtureRequest
) -> None:
    before = spark.conf.get("spark.sql.session.timeZone")
    request.addfinalizer(lambda: spark.conf.set("spark.sql.session.timeZone", before))
    spark.conf.set("spark.sql.session.timeZone", "Europe/Paris")
    with pytest.raises(Terminal, match="expected 'UTC'"):
        shop.take_in("events", D1)


def test_what_is_recorded_of_a_file_is_enough_to_know_it_again(shop: Shop) -> None:
    shop.events(D1, "x", ("a", "i", 9, 1))
    taken = shop.take_in("events", D1)
    (row,) = taken.log("run-7")[1]
    assert row["run_id"] == "run-7"
    assert (row["drop_ds"], row["ingest_ds"], row["rows"], row["status"]) == (D1, D1, 1, "taken_in")
    assert len(row["sha256"]) == 64
