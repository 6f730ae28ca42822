"""Counts of uses by item, worked by hand for two measures at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.lists.uses import Measure, counted_uses, in_units
from jobs.recall.settings.lists import PopularSettings
from tests.recall.shop import DS, interactions, rows_of, users

SEGMENTS = PopularSettings(segment_attribute="age", segment_min_users=2)
AGES = {"u": {"age": "young"}, "v": {"age": "young"}, "w": {"age": "old"}, "x": {"age": " "}}
COLUMNS = ("segment", "item_id", "part", "whole", "users_count")
ROWS = [
    # u took a on two days, twice on one of them
    ("u", "a", 0),
    ("u", "a", 0),
    ("u", "a", 5),
    ("v", "a", 5),
    ("w", "a", 0),
    ("x", "b", 5),
    ("v", "returned", 0, -1.0),
]


def measures() -> dict[str, Measure]:
    """Half a use a day, of one use; and the days that are today."""
    today = F.count_if(F.col("event_date") == F.lit(DS))
    ever = F.count("*")
    return {
        "days": Measure(
            F.sum(in_units(F.lit(0.5))), ever > 0, ever > 0, F.sum(in_units(F.lit(1.0)))
        ),
        "today": Measure(today * 2**24, today > 0, today > 0),
    }


def test_a_day_counts_once_for_all_users_and_for_each_large_segment(
    spark: SparkSession, tmp_path: Path
) -> None:
    found = counted_uses(
        interactions(spark, ROWS), users(spark, AGES), measures(), SEGMENTS, Scratch(tmp_path)
    )
    # a: two days of u, one each of v and w. Only the young are two; today, u alone is active.
    assert rows_of(found["days"], *COLUMNS) == [
        ("age=young", "a", 1.5, 3.0, 2),
        ("all", "a", 2.0, 4.0, 3),
        ("all", "b", 0.5, 1.0, 1),
    ]
    assert rows_of(found["today"], *COLUMNS) == [
        ("all", "a", 2.0, 0.0, 2),
        ("all", "b", 0.0, 0.0, 0),
    ]
    assert rows_of(found["today"], "item_id", "first_date") == [
        ("a", DS - timedelta(days=5)),
        ("b", DS - timedelta(days=5)),
    ]


def test_the_log_is_read_once_whatever_is_counted(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    interactions(spark, ROWS).write.parquet(str(folder))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    log = spark.read.parquet(str(folder))
    found = counted_uses(log, users(spark, AGES), measures(), SEGMENTS, Scratch(scratch))
    for counts in found.values():
        assert not any(str(folder) in file for file in counts.inputFiles())
