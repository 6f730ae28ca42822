"""What an effect commits, chunk by chunk; the tables are Delta tables, and no Spark is needed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.lake.contract import Contracts
from jobs.lake.errors import NoTable
from jobs.lake.sink import Sink
from jobs.lake.tables import Tables
from tests.lake import toy

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOTES, SHELF = "ops.toy_notes", "silver.toy_shelf"


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    toy.write_contracts(tmp_path / "expectations", toy.NOTES | toy.SHELF)
    contracts = Contracts(tmp_path / "expectations")
    tables = Tables(None, str(tmp_path / "lake"), contracts)  # type: ignore[arg-type]
    for contract in contracts:
        tables.create(contract)
    return tables


@pytest.fixture(autouse=True)
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.lake.oplog.write_time", lambda: NOON)


def notes(*said: str) -> pa.Table:
    return pa.table({"note": list(said)})


def held(tables: Tables) -> list[tuple[str, datetime]]:
    rows = tables.rows(NOTES, ["note", "recorded_at"], []).to_pylist()
    return sorted((row["note"], row["recorded_at"]) for row in rows)


def test_a_chunk_id_again_adds_nothing(tables: Tables) -> None:
    sink = Sink(tables)
    sink.append(NOTES, notes("one", "two"), "chunk-1")
    version = tables.version(NOTES)
    sink.append(NOTES, notes("one", "two"), "chunk-1")
    Sink(tables).append(NOTES, notes("a third"), "chunk-1")
    assert held(tables) == [("one", NOON), ("two", NOON)]
    assert tables.version(NOTES) == version


def test_another_chunk_id_adds_its_rows_though_they_are_the_same(tables: Tables) -> None:
    sink = Sink(tables)
    sink.append(NOTES, notes("one"), "chunk-1")
    sink.append(NOTES, notes("one"), "chunk-2")
    assert held(tables) == [("one", NOON), ("one", NOON)]


def test_one_chunk_id_serves_two_tables(tables: Tables) -> None:
    sink = Sink(tables)
    sink.append(NOTES, notes("one"), "chunk-1")
    sink.append(SHELF, pa.table({"item_id": ["a"]}), "chunk-1")
    assert held(tables) == [("one", NOON)]
    assert tables.rows(SHELF, ["item_id"], []).to_pylist() == [{"item_id": "a"}]


def test_the_moment_of_the_write_is_filled_in_unless_the_rows_have_one(tables: Tables) -> None:
    before = datetime(2025, 12, 31, tzinfo=UTC)
    own = pa.array([before], pa.timestamp("us", tz="UTC"))
    sink = Sink(tables)
    sink.append(NOTES, notes("new"), "chunk-1")
    sink.append(NOTES, pa.table({"recorded_at": own, "note": ["copied"]}), "chunk-2")
    assert held(tables) == [("copied", before), ("new", NOON)]


def test_the_schema_leaves_out_what_the_runtime_fills_in(tables: Tables) -> None:
    sink = Sink(tables)
    assert sink.schema(NOTES).names == ["note"]
    assert sink.schema(SHELF).names == ["item_id"]
    rows = pa.Table.from_pylist([{"note": "one"}], schema=sink.schema(NOTES))
    sink.append(NOTES, rows, "chunk-1")
    assert held(tables) == [("one", NOON)]


def test_a_table_without_a_contract_is_refused(tables: Tables) -> None:
    with pytest.raises(NoTable, match=r"ops\.nobody"):
        Sink(tables).schema("ops.nobody")
    with pytest.raises(NoTable, match=r"ops\.nobody"):
        Sink(tables).append("ops.nobody", notes("one"), "chunk-1")
