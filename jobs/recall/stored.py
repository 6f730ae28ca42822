"""Frames that several parts of a step read: computed once, then read from files."""

from __future__ import annotations

from pyspark.sql import DataFrame


def stored(frame: DataFrame, path: str) -> DataFrame:
    """The same rows, read from the files that they were written to.

    path: a folder that this process and the executors share, which must not exist yet.
    """
    frame.write.parquet(path)
    return frame.sparkSession.read.schema(frame.schema).parquet(path)
