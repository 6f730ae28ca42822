"""How rows get into Delta: once, whole, and without doubles when two writers meet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import functions as F

from jobs.lake import Lake, Sink
from jobs.lake.errors import NoTable, PublishConflict
from jobs.lake.schema import arrow_schema
from jobs.lake.tables import Staged, _named_conflicts
from tests.lake.toy import HEAD, column, write_contracts

DAY = "2026-01-01"
DAILY = HEAD | {
    "table": "gold.daily",
    "layout": "daily",
    "partition": ["ds", "slice"],
    "slice": "slice",
    "key": ["ds", "slice", "name"],
    "columns": [column("ds", "date"), column("slice", "string"), column("name", "string")],
    "checks": [],
}
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
    contracts = {"silver.cache": CACHE, "gold.daily": DAILY}
    write_contracts(tmp_path / "expectations", contracts)
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


def test_a_chunk_that_comes_from_many_at_once_is_kept_once(cache_lake: Lake) -> None:
    sink = Sink(cache_lake.tables)

    def append(number: int) -> None:
        sink.append("silver.cache", chunk(cache_lake, ("a", 1)), f"chunk-{number % 2}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(8)))
    assert held(cache_lake) == [("a", 1), ("a", 1)]


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


def stage(lake: Lake, slice: str, *names: str) -> Staged:
    rows = [(date.fromisoformat(DAY), slice, name) for name in names]
    frame = lake.spark.createDataFrame(rows, schema=lake.tables.schema("gold.daily"))
    return lake.tables.stage("gold.daily", frame, {"ds": DAY, "slice": slice})


def published(lake: Lake) -> list[tuple[str, str]]:
    """(slice, name) of each row of DAY, as Spark, delta-rs and Polars all see them."""
    day = date.fromisoformat(DAY)
    by_spark = lake.tables.read("gold.daily").where(F.col("ds") == day).select("slice", "name")
    found = sorted(tuple(row) for row in by_spark.collect())
    by_arrow = lake.tables.rows("gold.daily", ["slice", "name"], [("ds", "=", day)])
    assert sorted(tuple(row.values()) for row in by_arrow.to_pylist()) == found
    by_polars = pl.scan_delta(lake.tables.path("gold.daily")).filter(pl.col("ds") == day)
    assert sorted(by_polars.select("slice", "name").collect().rows()) == found
    return found


def files_of(lake: Lake) -> set[str]:
    table = Path(lake.tables.path("gold.daily"))
    return {str(path.parent.relative_to(table)) for path in table.rglob("*.parquet")}


def test_staged_rows_are_seen_only_when_they_are_published(cache_lake: Lake) -> None:
    staged = stage(cache_lake, "x", "a", "b")
    assert (staged.rows, published(cache_lake)) == (2, [])
    assert sorted(row.name for row in staged.frame.collect()) == ["a", "b"]
    assert {(str(row.ds), row.slice) for row in staged.frame.collect()} == {(DAY, "x")}
    cache_lake.tables.publish(staged)
    assert published(cache_lake) == [("x", "a"), ("x", "b")]


def test_what_is_published_replaces_its_partition_alone(cache_lake: Lake) -> None:
    for slice, name in (("x", "a"), ("y", "a"), ("x", "b")):
        cache_lake.tables.publish(stage(cache_lake, slice, name))
    assert published(cache_lake) == [("x", "b"), ("y", "a")]
    cache_lake.tables.publish(stage(cache_lake, "y"))
    assert published(cache_lake) == [("x", "b")]


def test_only_files_that_no_commit_took_are_discarded(cache_lake: Lake) -> None:
    taken, left = stage(cache_lake, "x", "a"), stage(cache_lake, "x", "b")
    cache_lake.tables.publish(taken)
    assert files_of(cache_lake) == {taken.folder, left.folder}
    for staged in (taken, left):
        cache_lake.tables.discard(staged)
    assert files_of(cache_lake) == {taken.folder}
    assert published(cache_lake) == [("x", "a")]


def test_slices_are_published_side_by_side(cache_lake: Lake) -> None:
    slices = [stage(cache_lake, f"s{number}", "a") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(cache_lake.tables.publish, slices))
    assert [slice for slice, _ in published(cache_lake)] == [f"s{number}" for number in range(8)]


def test_two_runs_of_one_slice_leave_one_of_them(cache_lake: Lake) -> None:
    # without a new look at the table, each commit would keep the files of the others
    rivals = [stage(cache_lake, "x", f"n{number}") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(cache_lake.tables.publish, rivals))
    assert len(published(cache_lake)) == 1


def test_a_file_that_cannot_be_written_leaves_nothing(cache_lake: Lake) -> None:
    rows = cache_lake.spark.sql(
        f"SELECT DATE '{DAY}' AS ds, 'x' AS slice, raise_error('disk full') AS name"
    )
    with pytest.raises(Exception, match="disk full"):
        cache_lake.tables.stage("gold.daily", rows, {"ds": DAY, "slice": "x"})
    assert not list(Path(cache_lake.tables.path("gold.daily")).rglob("staged-*"))


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
    described = lake.spark.sql(f"DESCRIBE TABLE delta.`{lake.tables.path('ops.runs')}`").collect()
    comments = {row.col_name: row.comment for row in described}
    for promised in lake.contracts["ops.runs"].columns:
        assert comments[promised.name] == promised.comment


def test_what_a_contract_requires_a_table_requires(lake: Lake) -> None:
    for contract in lake.contracts:
        fields = {
            f.name: f.nullable for f in DeltaTable(lake.tables.path(contract.table)).schema().fields
        }
        assert fields == {column.name: column.nullable for column in contract.columns}


def test_a_table_that_exists_is_left_alone(cache_lake: Lake) -> None:
    cache_lake.tables.append_arrow("silver.cache", chunk(cache_lake, ("a", 1)))
    cache_lake.create_all()
    assert held(cache_lake) == [("a", 1)]


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
