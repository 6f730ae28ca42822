"""How rows get into Delta: once, whole, and without doubles when two writers meet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.lake import Lake, Sink
from jobs.lake.errors import NoTable, PublishConflict
from jobs.lake.schema import arrow_schema
from jobs.lake.tables import _named_conflicts
from tests.lake.toy import HEAD, column, write_contracts

CACHE = HEAD | {
    "table": "silver.cache",
    "layout": "cache",
    "partition": [],
    "key": ["name"],
    "columns": [column("name", "string"), column("value", "long")],
    "checks": [],
}


@pytest.fixture
def cache_lake(make_lake, tmp_path: Path) -> Lake:
    write_contracts(tmp_path / "expectations", {"silver.cache": CACHE})
    lake = make_lake(contracts=tmp_path / "expectations")
    lake.create_all()
    return lake


def chunk(lake: Lake, *rows: tuple[str, int]) -> pa.Table:
    pairs = [{"name": name, "value": value} for name, value in rows]
    return pa.Table.from_pylist(pairs, schema=arrow_schema(lake.contracts["silver.cache"]))


def held(lake: Lake) -> list[tuple[str, int]]:
    return sorted(tuple(row) for row in lake.tables.read("silver.cache").collect())


def test_a_chunk_that_comes_twice_is_kept_once(cache_lake: Lake) -> None:
    sink = Sink(cache_lake.tables)
    sink.append("silver.cache", chunk(cache_lake, ("a", 1)), "chunk-1")
    sink.append("silver.cache", chunk(cache_lake, ("a", 1)), "chunk-1")
    sink.append("silver.cache", chunk(cache_lake, ("b", 2)), "chunk-2")
    assert held(cache_lake) == [("a", 1), ("b", 2)]


def test_many_appends_become_one_file_and_lose_nothing(
    cache_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.lake.tables.APPENDS_BETWEEN_COMPACTIONS", 3)
    sink = Sink(cache_lake.tables)
    files = []
    for number in range(3):
        sink.append("silver.cache", chunk(cache_lake, (f"n{number}", number)), f"chunk-{number}")
        files.append(len(cache_lake.tables.read("silver.cache").inputFiles()))
    assert files == [1, 2, 1]
    assert held(cache_lake) == [("n0", 0), ("n1", 1), ("n2", 2)]


def test_two_days_that_insert_the_same_key_leave_one_row(cache_lake: Lake) -> None:
    def insert(value: int) -> None:
        rows = cache_lake.tables.from_arrow(
            "silver.cache", chunk(cache_lake, ("a", value), (f"only-{value}", value))
        )
        cache_lake.tables.insert_new("silver.cache", rows)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(insert, [1, 2]))
    names = [name for name, _ in held(cache_lake)]
    assert names == ["a", "only-1", "only-2"]


def test_replacing_rows_leaves_the_others(cache_lake: Lake) -> None:
    sink = Sink(cache_lake.tables)
    sink.append("silver.cache", chunk(cache_lake, ("a", 1), ("b", 2)), "chunk-1")
    rows = cache_lake.tables.from_arrow("silver.cache", chunk(cache_lake, ("b", 3)))
    cache_lake.tables.replace("silver.cache", rows, "name = 'b'")
    assert held(cache_lake) == [("a", 1), ("b", 3)]


def test_delta_conflicts_are_transient_and_say_so() -> None:
    with (
        pytest.raises(PublishConflict, match=r"gold\.x: another run wrote the same files"),
        _named_conflicts("gold.x"),
    ):
        raise RuntimeError("[DELTA_CONCURRENT_APPEND] files were added")


def test_other_errors_pass_through() -> None:
    with pytest.raises(RuntimeError, match="disk full"), _named_conflicts("gold.x"):
        raise RuntimeError("disk full")


def test_column_comments_come_from_the_contract(lake: Lake) -> None:
    contract = lake.contracts["ops.runs"]
    described = lake.spark.sql(f"DESCRIBE TABLE delta.`{lake.tables.path('ops.runs')}`").collect()
    comments = {row.col_name: row.comment for row in described}
    for promised in contract.columns:
        assert comments[promised.name].startswith(promised.description)


def test_every_contract_type_survives_a_round_trip_through_delta(lake: Lake) -> None:
    for contract in lake.contracts:
        found = lake.tables.read(contract.table).schema
        expected = lake.tables.schema(contract.table)
        assert [(f.name, f.dataType.simpleString()) for f in found] == [
            (f.name, f.dataType.simpleString()) for f in expected
        ]


def test_a_days_old_version_can_be_read_again(cache_lake: Lake) -> None:
    sink = Sink(cache_lake.tables)
    sink.append("silver.cache", chunk(cache_lake, ("a", 1)), "chunk-1")
    version = cache_lake.tables.version("silver.cache")
    sink.append("silver.cache", chunk(cache_lake, ("b", 2)), "chunk-2")
    pinned = cache_lake.tables.read("silver.cache", version).collect()
    assert [tuple(row) for row in pinned] == [("a", 1)]


def test_a_table_without_a_contract_is_neither_read_nor_given_rows(cache_lake: Lake) -> None:
    tables, rows = cache_lake.tables, chunk(cache_lake, ("a", 1))
    stray = cache_lake.spark.createDataFrame(rows)
    stray.write.format("delta").save(f"{tables.lake}/silver/stray")
    with pytest.raises(NoTable, match=r"silver\.stray: no contract"):
        tables.read("silver.stray")
    with pytest.raises(NoTable, match=r"silver\.stray: no contract"):
        Sink(tables).append("silver.stray", rows, "chunk-1")
    with pytest.raises(NoTable, match=r"silver\.stray: no contract"):
        tables.insert_new("silver.stray", stray)
