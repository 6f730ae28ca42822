"""Rows and arrays that a run computes once and reads several times, in a folder of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema


class Arrays(Protocol):
    """The input arrays of a kernel."""

    def save(self, folder: Path) -> None:
        """Write all arrays into a folder that does not exist yet."""


@dataclass(frozen=True)
class Computed:
    """Rows that were computed once. frame: the rows in Spark."""

    frame: DataFrame
    folder: Path

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(ds.dataset(self.folder, format="parquet").count_rows())

    def to_arrow(self) -> pa.Table:
        """The rows in this process, in no order.

        Strings are dictionary-encoded, so that ids take far less memory. Reading the files is far
        faster than fetching the rows through Spark.
        """
        schema = pq.ParquetDataset(self.folder).schema
        strings = [field.name for field in schema if pa.types.is_string(field.type)]
        return pq.read_table(self.folder, read_dictionary=strings)

    def parts(self, most: int) -> Iterator[pa.Table]:
        """The rows in this process, in no order, in parts of at most `most` rows."""
        part: list[pa.RecordBatch] = []
        for batch in ds.dataset(self.folder, format="parquet").to_batches(batch_size=most):
            if part and sum(map(len, [*part, batch])) > most:
                yield pa.Table.from_batches(part)
                part = []
            part += [batch] if len(batch) else []
        if part:
            yield pa.Table.from_batches(part)


@dataclass(frozen=True)
class Scratch:
    """A folder that this process and the Spark executors share; it lives as long as the run.

    path: the folder, which exists. Everything in it gets a name of its own, so that two callers
    never clash.
    """

    path: Path

    def once(self, frame: DataFrame) -> DataFrame:
        """The same rows, computed now; Spark would otherwise compute them for each use."""
        return self.computed(frame).frame

    def computed(self, frame: DataFrame) -> Computed:
        """As `once`, for rows that this process reads too."""
        folder = self.new_folder()
        frame.write.parquet(str(folder))
        rows = frame.sparkSession.read.schema(frame.schema).parquet(str(folder))
        return Computed(rows, folder)

    def from_arrow(
        self, spark: SparkSession, parts: Iterable[pa.Table], schema: pa.Schema
    ) -> DataFrame:
        """Rows of this process as a frame, written part by part; parts may be none."""
        folder = self.new_folder()
        folder.mkdir(parents=True)
        for number, part in enumerate(parts):
            pq.write_table(part, folder / f"part-{number:05d}.parquet")
        return spark.read.schema(from_arrow_schema(schema)).parquet(str(folder))

    def put(self, arrays: Arrays) -> Path:
        """Save arrays where tasks can map them; their folder."""
        folder = self.new_folder()
        arrays.save(folder)
        return folder

    def new_folder(self) -> Path:
        """A path for a folder that does not exist yet."""
        return self.path / uuid.uuid4().hex
