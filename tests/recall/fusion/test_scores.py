"""Weighted means of scaled scores, against a plain loop."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.recall.fusion.scores import strongest, weighted_scores, with_scores
from tests.recall.shop import rows_of


def fused(candidates: DataFrame, weights: dict[str, float]) -> DataFrame:
    """Scaled to the best of each source."""
    best = F.max("score").over(Window.partitionBy("group", "source"))
    of = ("group", "item", "source")
    rows = weighted_scores(candidates, *of, weights, best, carry=("note",))
    return with_scores(rows.withColumn("strongest", strongest(weights)), weights)


def test_a_method_of_weight_0_is_switched_off(spark: SparkSession) -> None:
    candidates = spark.createDataFrame(
        [("g", "a", "on", 1.0, 1), ("g", "b", "off", 9.0, 1)],
        "group string, item string, source string, score double, note int",
    )
    weights = {"on": 0.5, "off": 0.0}
    found = fused(candidates, weights)
    assert rows_of(found, "item", "strongest", "score") == [("a", "on", 1.0)]


def weighted_by_hand(
    cells: dict[tuple[str, str], float], weights: dict[str, float]
) -> dict[str, float]:
    best = {s: max(v for (_, t), v in cells.items() if t == s) for _, s in cells}
    found: dict[str, float] = {}
    for (item, source), score in cells.items():
        part = score / best[source] * weights[source] / sum(weights.values())
        found[item] = found.get(item, 0.0) + part
    return found


cells = st.dictionaries(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["p", "q", "r"])),
    st.floats(1e-6, 1e6),
    min_size=1,
)


@settings(deadline=None, max_examples=10)
@given(cells, st.tuples(*[st.floats(0.01, 1)] * 3))
def test_fused_scores_are_the_weighted_mean_of_scaled_scores(
    spark: SparkSession, cells: dict[tuple[str, str], float], values: tuple[float, ...]
) -> None:
    weights = dict(zip("pqr", values, strict=True))
    frame: DataFrame = spark.createDataFrame(
        [(item, source, score) for (item, source), score in cells.items()],
        "item string, source string, score double",
    ).withColumns({"group": F.lit("g"), "note": F.lit(1)})
    found = fused(frame, weights)
    scores = dict(rows_of(found, "item", "score"))
    assert scores == pytest.approx(weighted_by_hand(cells, weights), abs=1e-9)
