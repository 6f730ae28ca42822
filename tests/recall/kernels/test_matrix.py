"""The user × item matrix: the same numbers from Spark and from this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.kernels.matrix import fixed_point_bits, matrix_entries, matrix_in_memory
from jobs.recall.sources.methods import CooccurrenceSettings
from tests.recall.shop import rows_of

COLUMNS = ("user_id", "owner_id", "item_id", "left", "right", "row_scale")


@pytest.mark.parametrize("with_sellable", [True, False])
def test_both_ways_give_the_same_bits(
    spark: SparkSession, tmp_path: Path, with_sellable: bool
) -> None:
    draw = np.random.default_rng(5)
    pairs = {(int(u), int(i)) for u, i in (300 * draw.random((6_000, 2)) ** 2).astype(int)}
    rows = [(f"u{u}~{u % 7}", f"u{u}", f"i{i}", float(draw.random())) for u, i in sorted(pairs)]
    frame = spark.createDataFrame(
        rows, "user_id string, owner_id string, item_id string, strength double"
    )
    kept = Scratch(tmp_path).computed(frame)
    strengths = kept.frame
    sellable = None
    if with_sellable:
        sellable = strengths.where("item_id LIKE '%1%'").select("item_id").distinct()
    settings = CooccurrenceSettings(
        user_exponent=0.37, item_exponent=0.81, neighbor_exponent=0.19, min_support=3
    )
    entries, scale = matrix_entries(strengths, sellable, settings)
    matrix, same_scale = matrix_in_memory(
        spark,
        kept.to_arrow(),
        None if sellable is None else sellable.toArrow()["item_id"],
        settings,
    )
    in_spark = rows_of(entries, *COLUMNS)
    here = sorted(tuple(row[name] for name in COLUMNS) for row in matrix.to_pylist())
    assert scale == same_scale
    assert len({row[2] for row in in_spark}) < len({item for _, item in pairs})
    assert {row[4] is None for row in in_spark} == ({True, False} if with_sellable else {False})
    assert here == in_spark


def test_no_pair_makes_no_entry(spark: SparkSession) -> None:
    none = pa.table({"user_id": [], "item_id": [], "strength": []}).cast(
        pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("strength", pa.float64())])
    )
    matrix, _ = matrix_in_memory(spark, none, None, CooccurrenceSettings())
    assert matrix.num_rows == 0


@pytest.mark.parametrize(
    ("most_users", "bits"), [(1, 24), (31, 24), (32, 23), (2_469, 20), (10**6, 16)]
)
def test_the_sum_over_all_users_of_an_item_fits_in_53_bits(most_users: int, bits: int) -> None:
    assert fixed_point_bits(most_users) == bits
    assert most_users * (2**bits) ** 2 <= 2**53
