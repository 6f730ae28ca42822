"""Popular items of two segments, and the users who read them."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

POPULAR = [
    ("all", 1, "a"),
    ("all", 2, "b"),
    ("all", 3, "c"),
    ("all", 4, "d"),
    ("age=young", 1, "c"),
    ("age=young", 2, "b"),
]


def users(spark: SparkSession, *names: str) -> DataFrame:
    return spark.createDataFrame([(name,) for name in names], "user_id string")
