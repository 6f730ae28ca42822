"""The counts of one list, from a log of a few rows."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.lists.uses import Measure, counted_uses
from jobs.recall.settings.lists import PopularSettings
from tests.recall.shop import interactions, users


def counted(
    spark: SparkSession,
    rows: list[tuple],
    attributes: Mapping[str, Mapping[str, str]],
    measure: Measure,
    settings: PopularSettings,
) -> DataFrame:
    """What `counted_uses` counts of one measure. rows: as `interactions` takes them."""
    with tempfile.TemporaryDirectory() as folder:
        found = counted_uses(
            interactions(spark, rows),
            users(spark, dict(attributes)),
            {"list": measure},
            settings,
            Scratch(Path(folder)),
        )["list"]
        return spark.createDataFrame(found.toArrow(), found.schema)
