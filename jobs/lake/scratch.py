"""Frames that are computed once and then looked at several times within one run."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame


def computed_once(frame: DataFrame, path: str) -> DataFrame:
    """The same rows, written to files and read from there.

    Spark would otherwise compute a frame again for each look at it. path: a folder that does not
    exist yet, below one that this process and the executors share.
    """
    frame.write.parquet(path)
    return frame.sparkSession.read.schema(frame.schema).parquet(path)


def computed(path: str) -> pa.Table:
    """The rows that `computed_once` wrote to `path`, brought to this process; order: none.

    Strings are dictionary-encoded: ids take far less memory that way, and they come from the files
    far faster than through Spark.
    """
    dataset = pq.ParquetDataset(path)
    strings = [field.name for field in dataset.schema if pa.types.is_string(field.type)]
    return pq.read_table(path, read_dictionary=strings)
