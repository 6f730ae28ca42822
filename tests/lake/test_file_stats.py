"""The statistics of a data file: what they say, and that readers find the file's rows by them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.transaction import AddAction
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lake.file_stats import column_stats, rows_only

LONG = "x" * 40
ROWS = pa.table(
    {
        "day": [date(2026, 1, 3), None, date(2026, 1, 1)],
        "at": pa.array(
            [
                datetime(2026, 1, 1, 9, 0, 0, 1500, tzinfo=UTC),
                None,
                datetime(2026, 1, 2, tzinfo=UTC),
            ],
            pa.timestamp("us", "UTC"),
        ),
        "name": ["a", LONG, None],
        "sold": [True, False, True],
        "price": [2.5, -1.0, 0.0],
        "pieces": pa.array([3, 2, 1], pa.int64()),
        "never": pa.nulls(3, pa.string()),
        "words": [["a"], [], None],
    }
)


def stats_of(folder: Path, **options: object) -> dict[str, dict[str, object]]:
    path = folder / "file.parquet"
    pq.write_table(ROWS, path, **options)
    with pq.ParquetFile(path) as file:
        found: dict[str, dict[str, object]] = json.loads(column_stats(file))
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"row_group_size": 1},
        {"write_statistics": False},
        {"use_deprecated_int96_timestamps": True},
    ],
    ids=str,
)
def test_every_column_has_its_bounds_and_nulls_wherever_the_file_keeps_them(
    tmp_path: Path, options: dict[str, object]
) -> None:
    found = stats_of(tmp_path, **options)
    assert found["numRecords"] == 3
    assert found["minValues"] == {
        "day": "2026-01-01",
        "at": "2026-01-01T09:00:00.001Z",
        "name": "a",
        "sold": False,
        "price": -1.0,
        "pieces": 1,
    }
    assert found["maxValues"] == {
        "day": "2026-01-03",
        "at": "2026-01-02T00:00:00.000Z",
        "name": "x" * 32 + "\U0010ffff",
        "sold": True,
        "price": 2.5,
        "pieces": 3,
    }
    assert found["nullCount"] == {
        "day": 1,
        "at": 1,
        "name": 1,
        "sold": 0,
        "price": 0,
        "pieces": 0,
        "never": 3,
    }


def test_a_bound_never_cuts_off_a_moment_within_a_millisecond(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 1, 9, 0, 0, 1500, tzinfo=UTC)
    pq.write_table(pa.table({"at": [moment]}), tmp_path / "file.parquet")
    with pq.ParquetFile(tmp_path / "file.parquet") as file:
        found = json.loads(column_stats(file))
    assert found["minValues"]["at"] == "2026-01-01T09:00:00.001Z"
    assert found["maxValues"]["at"] == "2026-01-01T09:00:00.002Z"


CONDITIONS = {
    "day": date(2026, 1, 1),
    "at": datetime(2026, 1, 1, 9, 0, 0, 1500, tzinfo=UTC),
    "name": LONG,
    "sold": True,
    "price": -1.0,
    "pieces": 2,
}


@pytest.fixture
def table(tmp_path: Path) -> DeltaTable:
    """ROWS in a Delta table that has the statistics."""
    delta = DeltaTable.create(str(tmp_path / "table"), schema=ROWS.schema)
    path = tmp_path / "table" / "file.parquet"
    pq.write_table(ROWS, path, row_group_size=2, use_deprecated_int96_timestamps=True)
    with pq.ParquetFile(path) as file:
        stats = column_stats(file)
    add = AddAction("file.parquet", path.stat().st_size, {}, 0, True, stats)
    delta.create_write_transaction([add], "append", delta.schema())
    return DeltaTable(str(tmp_path / "table"))


@pytest.mark.parametrize("column", CONDITIONS)
def test_readers_find_a_row_by_each_column(
    table: DeltaTable, spark: SparkSession, column: str
) -> None:
    value = CONDITIONS[column]
    wanted = sum(found == value for found in ROWS[column].to_pylist())
    assert wanted
    assert table.to_pyarrow_table(filters=[(column, "=", value)]).num_rows == wanted
    rows = spark.read.format("delta").load(table.table_uri)
    assert rows.where(F.col(column) == F.lit(value)).count() == wanted


def test_a_file_may_say_nothing_but_its_rows() -> None:
    assert json.loads(rows_only(7)) == {"numRecords": 7}
