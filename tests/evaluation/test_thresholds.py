"""Theta and epsilon: a grid worked by hand on three items, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.evaluation.thresholds import Kept, Sweep, sentence, sweep, sweep_lake
from jobs.lake import Lake
from jobs.lake.scratch import Scratch
from jobs.recall.channels.product_names import compare_names
from jobs.recall.sources.channels import ProductNamesSettings
from tests.recall.shop import DS, interactions

# Butter has a cosine of 0.8 with margarine and 0 with milk; an item's text is its name.
VECTORS = {"butter": (1.0, 0.0), "margarine": (0.8, 0.6), "milk": (0.0, 1.0)}
NAMES = {"b1": "butter", "b2": "butter", "g1": "margarine"}
SETTINGS = ProductNamesSettings(
    theta=0.9,
    epsilon=0.6,
    half_life_days=1e9,
    exclude_seen_days=0,
    weights={"text": 0.5, "popularity": 0.5, "brand": 0.0, "price": 0.0},
)
TAKEN_NEXT = [("u", "b2"), ("u", "g1"), ("w", "b1")]


@pytest.fixture
def swept(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Sweep]:
    monkeypatch.setattr("jobs.evaluation.thresholds.THETAS", (0.7,))
    monkeypatch.setattr("jobs.evaluation.thresholds.EPSILONS", (0.5,))

    def vectors(column: str, of: dict[str, str]) -> DataFrame:
        rows = [(key, list(VECTORS[name])) for key, name in of.items()]
        return spark.createDataFrame(rows, f"{column} string, embedding array<float>")

    def encode(words: DataFrame, column: str) -> DataFrame:
        known = vectors(column, {name: name for name in VECTORS})
        return known.join(words.select(column).distinct(), column)

    def run(wanted: list[tuple[str, str]], after: list[tuple[str, str]]) -> Sweep:
        taken = interactions(spark, [("v", "b1", 0)])
        products = compare_names(
            spark.createDataFrame(
                [(*pair, 1.0) for pair in wanted], "user_id string, name string, weight double"
            ),
            spark.createDataFrame(list(NAMES.items()), "item_id string, name string"),
            vectors("item_id", NAMES),
            encode,
            taken,
            DS,
            SETTINGS,
            Scratch(tmp_path),
        )
        items = spark.createDataFrame(
            [(item, None, None, None) for item in NAMES],
            "item_id string, brand string, category string, price double",
        ).withColumn("is_sellable", F.lit(True))
        pairs = spark.createDataFrame(after, "user_id string, item_id string")
        return sweep(
            products,
            taken,
            items,
            pairs,
            DS,
            SETTINGS,
            20,
            Scratch(tmp_path),
            started=lambda step: None,
        )

    return run


def test_each_theta_and_epsilon_says_what_it_keeps_and_finds(
    swept: Callable[..., Sweep],
) -> None:
    # The LLM named butter for u, and milk, which no item is called, for z, who took nothing next.
    # Theta 0.7 lets margarine in. b1 suits by (1 + 1) / 2, b2 and g1, which nobody uses, by 1 / 2.
    found = swept([("u", "butter"), ("z", "milk")], TAKEN_NEXT)
    assert found == Sweep(
        asked=2,
        judged=1,
        k=20,
        kept=[
            Kept(0.7, 0.5, 2, 1, 3, 1.0, False),
            Kept(0.7, 0.6, 2, 1, 1, 0.0, False),
            Kept(0.9, 0.5, 1, 1, 2, 0.5, False),
            Kept(0.9, 0.6, 1, 1, 1, 0.0, True),
        ],
    )
    assert sentence(found) == (
        "With theta 0.9 and epsilon 0.6, as set, the channel product_names lists 1 items for 1 of "
        "the 2 users for whom the LLM named products. Its recall on what 1 of them took next is "
        "0.0000; theta 0.7 and epsilon 0.5 reach the most, 1.0000."
    )
    best = replace(found, kept=[replace(kept, recall=0.0) for kept in found.kept])
    assert sentence(best).endswith("no other thresholds of the grid reach more.")


def test_users_who_took_nothing_next_make_no_recall(swept: Callable[..., Sweep]) -> None:
    found = swept([("z", "butter")], TAKEN_NEXT)
    assert (found.asked, found.judged) == (1, 0)
    assert {kept.recall for kept in found.kept} == {None}
    assert "none of these users took anything in the days after" in sentence(found)


def test_a_lake_without_an_answer_about_a_user_has_no_data(lake: Lake, tmp_path: Path) -> None:
    found = sweep_lake(lake, date(2017, 12, 28), 1, 20, tmp_path, started=lambda step: None)
    assert found == Sweep(0, 0, 20, [])
    assert "No user's text of the day holds an LLM answer" in sentence(found)
