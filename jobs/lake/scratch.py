"""Frames that are computed once and then looked at several times within one run."""

from __future__ import annotations

from pyspark.sql import DataFrame


def computed_once(frame: DataFrame, path: str) -> DataFrame:
    """The same rows, written to files and read from there.

    Spark would otherwise compute a frame again for each look at it. path: a folder that does not
    exist yet, below one that this process and the executors share.
    """
    frame.write.parquet(path)
    return frame.sparkSession.read.schema(frame.schema).parquet(path)
