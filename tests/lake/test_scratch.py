"""What is computed once stays as it was, wherever it is looked at."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.scratch import Scratch

SCHEMA = pa.schema([pa.field("item_id", pa.string()), pa.field("rank", pa.int32())])


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path)


def drawn(spark: SparkSession) -> DataFrame:
    """Rows that are others whenever they are computed."""

    def draw(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            lots = pa.array([uuid.uuid4().hex for _ in range(batch.num_rows)])
            yield pa.RecordBatch.from_arrays([batch["id"], lots], ["id", "lot"])

    return spark.range(5).mapInArrow(draw, "id long, lot string")


def rows(frame: DataFrame) -> list[tuple]:
    return sorted(tuple(row) for row in frame.collect())


def test_rows_are_computed_once(spark: SparkSession, scratch: Scratch) -> None:
    frame = drawn(spark)
    assert rows(frame) != rows(frame), "else this test shows nothing"
    once = scratch.once(frame)
    assert rows(once) == rows(once)
    assert [number for number, _ in rows(once)] == [0, 1, 2, 3, 4]


def test_computed_rows_are_the_same_in_spark_and_in_this_process(
    spark: SparkSession, scratch: Scratch
) -> None:
    computed = scratch.computed(drawn(spark))
    table = computed.to_arrow()
    assert sorted(zip(*table.to_pydict().values(), strict=True)) == rows(computed.frame)
    assert table.schema.field("lot").type == pa.dictionary(pa.int32(), pa.string())


def test_parts_hold_every_row_once_and_no_part_too_many(
    spark: SparkSession, scratch: Scratch
) -> None:
    computed = scratch.computed(spark.range(0, 10, 1, 3))  # files of 3, 3 and 4 rows
    for most, parts in ((1, 10), (4, 3), (7, 2), (100, 1)):
        found = [part["id"].to_pylist() for part in computed.parts(most)]
        assert sorted(row for part in found for row in part) == list(range(10))
        assert (len(found), max(map(len, found)) <= most) == (parts, True)
    assert list(scratch.computed(spark.range(0)).parts(4)) == []


def test_no_rows_keep_their_columns_and_types(spark: SparkSession, scratch: Scratch) -> None:
    computed = scratch.computed(drawn(spark).limit(0))
    assert computed.frame.dtypes == [("id", "bigint"), ("lot", "string")]
    assert rows(computed.frame) == []
    assert (computed.to_arrow().num_rows, computed.to_arrow().column_names) == (0, ["id", "lot"])


def test_rows_of_this_process_become_a_frame_part_by_part(
    spark: SparkSession, scratch: Scratch
) -> None:
    parts = (
        pa.table({"item_id": [item], "rank": [rank]}, schema=SCHEMA)
        for rank, item in enumerate("ab", 1)
    )
    frame = scratch.from_arrow(spark, parts, SCHEMA)
    assert rows(frame) == [("a", 1), ("b", 2)]
    assert frame.dtypes == [("item_id", "string"), ("rank", "int")]


def test_no_part_at_all_is_an_empty_frame(spark: SparkSession, scratch: Scratch) -> None:
    frame = scratch.from_arrow(spark, [], SCHEMA)
    assert rows(frame) == []
    assert frame.dtypes == [("item_id", "string"), ("rank", "int")]


class Cells:
    """Arrays as a kernel keeps them."""

    def __init__(self, *values: int) -> None:
        self.values = np.array(values)

    def save(self, folder: Path) -> None:
        folder.mkdir()
        np.save(folder / "values.npy", self.values)


def test_arrays_lie_in_folders_of_their_own(scratch: Scratch) -> None:
    folders = [scratch.put(Cells(1, 2)), scratch.put(Cells(3))]
    found = [np.load(folder / "values.npy").tolist() for folder in folders]
    assert found == [[1, 2], [3]]
    assert {folder.parent for folder in folders} == {scratch.path}


def test_no_two_callers_meet(scratch: Scratch) -> None:
    folders = {scratch.new_folder() for _ in range(100)}
    assert len(folders) == 100
    assert not any(folder.exists() for folder in folders)
