"""A history table as of a day is computed once, and never mistaken for another."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.snapshots import KEPT_SECONDS, Snapshots

D1, D2 = date(2026, 1, 1), date(2026, 1, 2)


def rows(spark: SparkSession, *names: str) -> DataFrame:
    return spark.createDataFrame([(name,) for name in names], "name string")


def names(frame: DataFrame) -> list[str]:
    return sorted(row.name for row in frame.collect())


def test_a_snapshot_is_made_once(spark: SparkSession, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    assert names(snapshots.of("items", 1, D1, rows(spark, "a", "b"))) == ["a", "b"]
    assert names(snapshots.of("items", 1, D1, rows(spark, "never computed"))) == ["a", "b"]
    assert [path.name for path in (tmp_path / "items").iterdir()] == ["1-2026-01-01"]


@pytest.mark.parametrize("other", [("items", 1, D2), ("items", 2, D1), ("remade", 1, D1)])
def test_another_day_version_or_table_has_a_snapshot_of_its_own(
    other: tuple[str, int, date], spark: SparkSession, tmp_path: Path
) -> None:
    snapshots = Snapshots(tmp_path)
    snapshots.of("items", 1, D1, rows(spark, "a"))
    assert names(snapshots.of(*other, rows(spark, "b"))) == ["b"]


def test_who_comes_second_takes_the_snapshot_of_the_first(
    spark: SparkSession, tmp_path: Path
) -> None:
    snapshots = Snapshots(tmp_path)

    class Slow:
        """Rows whose computation another process overtakes."""

        schema = rows(spark, "b").schema
        sparkSession = spark  # noqa: N815

        @property
        def write(self) -> object:
            snapshots.of("items", 1, D1, rows(spark, "a"))
            return rows(spark, "b").write

    assert names(snapshots.of("items", 1, D1, Slow())) == ["a"]  # type: ignore[arg-type]
    assert len(list((tmp_path / "items").iterdir())) == 1


def test_old_snapshots_are_deleted_when_a_new_one_is_made(
    spark: SparkSession, tmp_path: Path
) -> None:
    snapshots = Snapshots(tmp_path)
    for day in (D1, D2):
        snapshots.of("items", 1, day, rows(spark, "a"))
    old, young = tmp_path / "items" / f"1-{D1}", tmp_path / "items" / f"1-{D2}"
    moment = young.stat().st_mtime - KEPT_SECONDS - 60
    os.utime(old, (moment, moment))
    snapshots.of("items", 2, D2, rows(spark, "a"))
    assert not old.exists()
    assert young.exists()
