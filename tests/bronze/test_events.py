"""bronze.events: bad rows of a good drop are quarantined, a bad drop stops its day."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from jobs.lake import Lake
from jobs.lake.errors import BadDrop
from jobs.lake.oplog import FAILED, PUBLISHED, UNCHANGED, RunRecord

D1, D2, D3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
MAPPING = """
source: shop
entity: events
columns:
  user_id: {from: user}
  item_id: {from: item}
  event_ts: {from: at, time_zone: UTC}
  event_type: {constant: purchase}
  quantity: {from: n}
  amount: {from: paid, optional: true}
"""


@pytest.fixture
def shop(make_lake: Callable[..., Lake], tmp_path: Path) -> Lake:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "shop.yaml").write_text(MAPPING, encoding="utf-8")
    return make_lake(sources=sources, max_bad_share=0.25)


def drop(lake: Lake, day: date, name: str, *lines: str, header: str = "user,item,at,n") -> Path:
    path = Path(lake.settings.landing, "events", f"ds={day}", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def users(lake: Lake) -> list[tuple]:
    rows = lake.tables.read("bronze.events").select("user_id", "ingest_ds")
    return sorted(tuple(row) for row in rows.collect())


def test_a_drop_is_published_with_its_bad_row_in_quarantine(shop: Lake) -> None:
    drop(shop, D1, "x.csv", *(f"u{n},i,{D1} 09:00,1" for n in range(3)), f"u,i,{D1} 09:00,one")
    record = shop.run("bronze.events", ds=D1)
    assert (record.status, record.rows_in, record.rows_out, record.rows_quarantined) == (
        *(PUBLISHED, 4, 3, 1),
    )
    assert users(shop) == [("u0", D1), ("u1", D1), ("u2", D1)]
    (row,) = shop.tables.read("bronze.events").where("user_id = 'u0'").collect()
    assert (row["event_ts"], row["quantity"], row["amount"], row["source_row"]) == (
        *(datetime(2026, 1, 1, 9), 1.0, None, 2),
    )
    (bad,) = shop.tables.read("ops.quarantine").drop("recorded_at").collect()
    assert bad.asDict() == {
        "table": "bronze.events",
        "ds": D1,
        "source_file": f"events/ds={D1}/x.csv",
        "row_id": "5",
        "column": "n",
        "reason": "n 'one' is not a number",
        "payload": '{"user":"u","item":"i","at":"2026-01-01 09:00","n":"one","paid":null}',
        "rows": 1,
        "run_id": record.run_id,
    }


def test_a_line_that_is_not_utf_8_is_in_quarantine_with_its_place_and_reason(shop: Lake) -> None:
    path = drop(shop, D1, "x.csv", *(f"u{n},i,{D1} 09:00,1" for n in range(3)))
    path.write_bytes(path.read_bytes() + f"café,i,{D1} 09:00,1\n".encode("latin-1"))
    record = shop.run("bronze.events", ds=D1)
    assert (record.rows_in, record.rows_out, record.rows_quarantined) == (4, 3, 1)
    assert users(shop) == [("u0", D1), ("u1", D1), ("u2", D1)]
    (bad,) = shop.tables.read("ops.quarantine").collect()
    assert (bad["source_file"], bad["row_id"], bad["column"], bad["reason"]) == (
        *(f"events/ds={D1}/x.csv", "5", "user", "user is not UTF-8"),
    )
    assert json.loads(bad["payload"])["user"] == "caf\\xe9"


@pytest.mark.parametrize(
    ("name", "header", "line", "expected"),
    [
        ("x.csv", "user,at,n", f"u,{D2} 09:00,1", "column item is missing"),
        ("x.parquet", "PAR1", "junk", "x.parquet: "),
        ("x.csv", "user,item,at,n", f"u,i,{D3} 09:00,1", "is after the drop's day"),
    ],
)
def test_a_bad_drop_stops_its_day_and_yesterday_stays(
    shop: Lake, name: str, header: str, line: str, expected: str
) -> None:
    drop(shop, D1, "x.csv", f"u,i,{D1} 09:00,1")
    shop.run("bronze.events", ds=D1)
    bad = drop(shop, D2, name, line, header=header)
    drop(shop, D2, "good.csv", f"v,i,{D2} 09:00,1", f"w,i,{D2} 09:00,1")
    with pytest.raises(BadDrop, match=expected):
        shop.run("bronze.events", ds=D2)
    assert users(shop) == [("u", D1)]
    assert shop.tables.read("ops.landing_files").count() == 1
    runs = shop.tables.read("ops.runs").where(F.col("ds") == F.lit(D2)).collect()
    assert [run["status"] for run in runs] == [FAILED]
    # The file is moved away, and the same run goes through.
    bad.rename(bad.with_name(f"_{bad.name}"))
    assert shop.run("bronze.events", ds=D2).status == PUBLISHED
    assert users(shop) == [("u", D1), ("v", D2), ("w", D2)]


def test_a_day_that_was_taken_in_is_frozen(shop: Lake) -> None:
    drop(shop, D1, "x.csv", f"u,i,{D1} 09:00,1")
    shop.run("bronze.events", ds=D1)
    drop(shop, D1, "late.csv", f"late,i,{D1} 10:00,1")
    assert shop.run("bronze.events", ds=D1).status == UNCHANGED
    assert users(shop) == [("u", D1)]
    drop(shop, D3, "x.csv", f"v,i,{D3} 09:00,1")
    shop.run("bronze.events", ds=D3)
    assert users(shop) == [("late", D3), ("u", D1), ("v", D3)]


def test_a_repeated_file_is_quarantined_whole(shop: Lake) -> None:
    drop(shop, D1, "x.csv", f"u,i,{D1} 09:00,1")
    drop(shop, D2, "x.csv", f"u,i,{D1} 09:00,1")
    record = shop.run("bronze.events", ds=D2)
    assert (record.rows_in, record.rows_out, record.rows_quarantined) == (2, 1, 1)
    files = shop.tables.read("ops.landing_files").orderBy("file").collect()
    assert [(f["drop_ds"], f["status"], f["rows"]) for f in files] == [
        (D1, "taken_in", 1),
        (D2, "duplicate", 1),
    ]


class Killed(Exception):
    """Stands for the process dying where it is raised."""


def run_killed_before_its_record(lake: Lake, ds: date, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a run but its last write, the run record."""

    def die(record: RunRecord) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(lake.log, "record_run", die)
        with pytest.raises(Killed):
            lake.run("bronze.events", ds=ds)


def test_a_day_that_was_killed_before_its_record_comes_out_the_same(
    shop: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(shop, D1, "x.csv", f"u,i,{D1} 09:00,1")
    drop(shop, D2, "copy.csv", f"u,i,{D1} 09:00,1")
    run_killed_before_its_record(shop, D2, monkeypatch)
    assert users(shop) == [("u", D1)]
    record = shop.run("bronze.events", ds=D2)
    assert (record.rows_in, record.rows_out, record.rows_quarantined) == (2, 1, 1)
    assert users(shop) == [("u", D1)]
    # Files of a finished run are known, though the killed one recorded them as well.
    drop(shop, D3, "copy.csv", f"u,i,{D1} 09:00,1")
    record = shop.run("bronze.events", ds=D3)
    assert (record.rows_in, record.rows_out, record.rows_quarantined) == (1, 0, 1)
    assert users(shop) == [("u", D1)]


def test_a_file_that_only_a_killed_run_saw_may_be_replaced(
    shop: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(shop, D1, "x.csv", f"u,i,{D1} 09:00,1")
    run_killed_before_its_record(shop, D1, monkeypatch)
    drop(shop, D1, "x.csv", f"mended,i,{D1} 09:00,1")
    shop.run("bronze.events", ds=D1)
    assert users(shop) == [("mended", D1)]
    # Nor is the file that was never taken in what another one repeats.
    drop(shop, D2, "y.csv", f"u,i,{D1} 09:00,1")
    shop.run("bronze.events", ds=D2)
    assert users(shop) == [("mended", D1), ("u", D2)]


def test_a_day_without_a_drop_is_published_empty(shop: Lake) -> None:
    assert shop.run("bronze.events", ds=D1).rows_out == 0
