"""Replay: quarantined rows become a drop in the source's own columns, and come in again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from jobs.lake import Lake
from jobs.lake.errors import NoTable
from jobs.lake.intake.mapping import Source
from jobs.lake.intake.requeue import NotReplayable, Requeued, in_source_columns, requeue
from jobs.lake.oplog import RunRecord

D1, D2, D3, D4 = (date(2026, 1, day) for day in (1, 2, 3, 4))
EVENTS = """
source: till
entity: events
columns:
  user_id: {from: user}
  item_id: {from: item}
  event_ts: {from: at, format: epoch_seconds}
  event_type: {from: kind, values: {sold: purchase}}
  quantity: {from: n}
"""


@pytest.fixture
def shop(make_lake: Callable[..., Lake], tmp_path: Path) -> Lake:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "till.yaml").write_text(EVENTS, encoding="utf-8")
    return make_lake(sources=sources, max_bad_share=1.0)


def at(day: date) -> int:
    """09:00 of a January day of 2026 in seconds since 1970."""
    return 1767225600 + (day.day - 1) * 86400 + 9 * 3600


def drop(lake: Lake, day: date, *rows: dict[str, Any]) -> None:
    path = Path(lake.settings.landing, "events", f"ds={day}", "x.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def sent(user: str, day: date, **columns: Any) -> dict[str, Any]:
    return {"user": user, "item": "i", "at": at(day), "kind": "sold", "n": 1} | columns


def again(lake: Lake, table: str, day: date, into: date, reason: str = "") -> Requeued:
    return requeue(lake.settings, lake.log.of_published("ops.quarantine"), table, day, into, reason)


def users(lake: Lake, table: str) -> list[str]:
    return sorted(row["user_id"] for row in lake.tables.read(table).select("user_id").collect())


def lines(lake: Lake, file: str) -> list[dict[str, Any]]:
    text = Path(lake.settings.landing, file).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_rows_come_in_through_a_mended_mapping(shop: Lake) -> None:
    drop(shop, D1, sent("u", D1), sent("v", D1, kind="vendu"), sent("w", D1, n="one"))
    shop.run("bronze.events", ds=D1)
    assert users(shop, "bronze.events") == ["u"]
    mapping = shop.settings.sources / "till.yaml"
    mapping.write_text(EVENTS.replace("sold: purchase", "sold: purchase, vendu: purchase"))

    first = again(shop, "bronze.events", D1, D2, reason="values")
    assert first.rows == 1
    assert again(shop, "bronze.events", D1, D2, reason="values") == first
    (line,) = lines(shop, first.files[0])
    run_id = line.pop("_replay_of").rpartition(" ")[2]
    assert line == {"user": "v", "item": "i", "at": str(at(D1)), "kind": "vendu", "n": "1"}
    assert shop.tables.read("ops.runs").where(f"run_id = '{run_id}'").count() == 1
    shop.run("bronze.events", ds=D2)
    assert users(shop, "bronze.events") == ["u", "v"]


def test_a_row_that_fails_again_can_be_replayed_again(shop: Lake) -> None:
    # The second replay must not look like a duplicate of the first one's drop.
    drop(shop, D1, sent("u", D1, n="one"))
    shop.run("bronze.events", ds=D1)
    first = again(shop, "bronze.events", D1, D2)
    shop.run("bronze.events", ds=D2)
    second = again(shop, "bronze.events", D2, D3)
    assert first.files != second.files
    record = shop.run("bronze.events", ds=D3)
    assert record.rows_quarantined == 1
    files = shop.tables.read("ops.landing_files").collect()
    assert {row["status"] for row in files} == {"taken_in"}


def test_rows_that_silver_rejected_go_back_in_the_sources_words(shop: Lake) -> None:
    drop(shop, D1, sent("u", D1, n=-2), sent("u", D1, n=-1), sent("v", D1))
    shop.run("bronze.events", ds=D1)
    shop.run("silver.interactions", ds=D1)
    done = again(shop, "silver.interactions", D1, D2)
    (line,) = lines(shop, done.files[0])
    del line["_replay_of"]
    assert line == {"user": "u", "item": "i", "at": str(at(D1)), "kind": "sold", "n": -1.0}


def test_rows_of_a_day_that_was_not_published_are_not_replayed(
    shop: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its next run takes the same rows in again; replayed, they would come in twice.
    def die(record: RunRecord) -> None:
        raise RuntimeError("killed")

    drop(shop, D1, sent("u", D1, n="one"))
    with monkeypatch.context() as patch:
        patch.setattr(shop.log, "record_run", die)
        with pytest.raises(RuntimeError, match="killed"):
            shop.run("bronze.events", ds=D1)
    assert again(shop, "bronze.events", D1, D2).rows == 0
    shop.run("bronze.events", ds=D1)
    assert again(shop, "bronze.events", D1, D2).rows == 1


def test_lines_and_whole_files_are_skipped_with_a_reason(shop: Lake) -> None:
    drop(shop, D1, sent("u", D1))
    drop(shop, D2, sent("u", D1))
    broken = Path(shop.settings.landing, "events", f"ds={D1}", "broken.jsonl")
    broken.write_text("{not json\n", encoding="utf-8")
    shop.run("bronze.events", ds=D2)
    done = again(shop, "bronze.events", D2, D3)
    assert (done.files, done.rows) == ((), 0)
    assert dict(done.skipped) == {
        f"events/ds={D1}/broken.jsonl:1": (
            "the line could not be split into columns; mend it at its source"
        ),
        f"events/ds={D2}/x.jsonl:": "a whole file was rejected; deliver it again under a new name",
    }


def test_a_table_that_quarantines_nothing_is_named(shop: Lake) -> None:
    with pytest.raises(NoTable, match=r"gold\.i2i_daily: has no quarantine"):
        again(shop, "gold.i2i_daily", D1, D2)


def source(**event_ts: str) -> Source:
    columns = {
        "user_id": {"from": "user"},
        "item_id": {"from": "item"},
        "event_ts": {"from": "at", **event_ts},
        "event_type": {"constant": "purchase"},
        "quantity": {"constant": 1},
    }
    return Source.model_validate({"source": "till", "entity": "events", "columns": columns})


@pytest.mark.parametrize(
    ("event_ts", "expected"),
    [
        ({"time_zone": "Europe/Paris"}, "2026-01-01T09:00:00.250Z"),
        ({"format": "epoch_seconds"}, "1767258000.250000"),
        ({"format": "epoch_millis"}, "1767258000250"),
    ],
)
def test_times_are_written_so_that_their_mapping_reads_them(
    event_ts: dict[str, str], expected: str
) -> None:
    row = {"user_id": "u", "item_id": "i", "event_ts": "2026-01-01T09:00:00.250Z"}
    assert in_source_columns(row, source(**event_ts)) == {
        "user": "u",
        "item": "i",
        "at": expected,
    }


def test_a_time_in_a_pattern_of_the_source_is_not_guessed() -> None:
    row = {"user_id": "u", "item_id": "i", "event_ts": "2026-01-01T09:00:00.000Z"}
    with pytest.raises(NotReplayable, match="written as d/M/yyyy"):
        in_source_columns(row, source(format="d/M/yyyy", time_zone="UTC"))


@pytest.mark.parametrize(
    ("event_type", "kind", "pieces"),
    [
        ({"constant": "purchase"}, None, "-2.0"),
        ({"from": "kind", "values": {"sold": "purchase"}}, "sold", "-2.0"),
        ({"from": "kind", "values": {"sold": "purchase", "back": "return"}}, "back", "2.0"),
        ({"from": "kind"}, "return", "2.0"),
    ],
)
def test_a_return_is_written_as_its_source_writes_returns(
    event_type: dict[str, Any], kind: str | None, pieces: str
) -> None:
    columns = {
        "user_id": {"from": "user"},
        "item_id": {"from": "item"},
        "event_ts": {"from": "at", "time_zone": "UTC"},
        "event_type": event_type,
        "quantity": {"from": "pieces"},
    }
    till = Source.model_validate({"source": "till", "entity": "events", "columns": columns})
    row = {"user_id": "u", "item_id": "i", "event_ts": "2026-01-01T09:00:00.000Z"}
    found = in_source_columns(row | {"event_type": "return", "quantity": 2.0}, till)
    assert (found.get("kind"), str(found["pieces"])) == (kind, pieces)
