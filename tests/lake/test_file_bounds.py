"""The bounds of a column, as a Delta log tells them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession

from jobs.lake.file_bounds import column_bounds

SCHEMA = pa.schema([("word", pa.string()), ("day", pa.date32()), ("list", pa.list_(pa.int64()))])


def write(path: Path, words: list, days: list) -> None:
    rows = pa.table({"word": words, "day": days, "list": [[1]] * len(words)}, SCHEMA)
    write_deltalake(str(path), rows, mode="append")


def test_bounds_span_all_files_and_leave_out_nulls(tmp_path: Path) -> None:
    write(tmp_path, ["m", None], [None, None])
    write(tmp_path, ["c", "d"], [date(2026, 1, 2), None])
    bounds = column_bounds(DeltaTable(str(tmp_path)))
    assert bounds("word") == ("c", "m")
    assert bounds("day") == (date(2026, 1, 2), date(2026, 1, 2))


def test_a_column_without_a_value_has_no_bounds(tmp_path: Path) -> None:
    write(tmp_path, ["a"], [None])
    assert column_bounds(DeltaTable(str(tmp_path)))("day") == (None, None)
    empty = tmp_path / "empty"
    DeltaTable.create(str(empty), SCHEMA)
    assert column_bounds(DeltaTable(str(empty)))("word") == (None, None)


def test_what_the_log_does_not_say_is_not_known(tmp_path: Path) -> None:
    write(tmp_path, ["a"], [date(2026, 1, 2)])
    assert column_bounds(DeltaTable(str(tmp_path)))("list") is None


def test_files_that_spark_wrote_have_bounds_too(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.createDataFrame([("view", None), ("cart", None)], "word string, day date")
    rows.coalesce(1).write.format("delta").save(str(tmp_path / "t"))
    bounds = column_bounds(DeltaTable(str(tmp_path / "t")))
    assert (bounds("word"), bounds("day")) == (("cart", "view"), (None, None))
