"""Frames that are computed once and then looked at several times within one run."""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake.step import Run


def computed_once(frame: DataFrame, run: Run, name: str) -> DataFrame:
    """The same rows, written below the run's scratch folder and read from there.

    A step that both publishes and counts what it dropped would otherwise compute its input once
    for each. name: distinct within the run.
    """
    path = f"{run.scratch}/{name}"
    frame.write.mode("overwrite").parquet(path)
    return frame.sparkSession.read.schema(frame.schema).parquet(path)
