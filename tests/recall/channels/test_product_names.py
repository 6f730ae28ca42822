"""Named products: two stages, worked by hand on a shop of five items."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.channels.product_names import (
    brand_habits,
    compare_names,
    match_names,
    name_search,
    price_habits,
    price_levels,
    recall_named,
    select_items,
    text_cosines,
    used_names,
    weighted_mean,
)
from jobs.recall.sources.channels import ProductNamesSettings
from tests.recall.shop import DS, interactions, rows_of

# Cosine of butter with margarine 0.8 and with milk 0, of margarine with milk 0.6.
BUTTER, MARGARINE, MILK = (1.0, 0.0), (0.8, 0.6), (0.0, 1.0)
VECTORS = {"butter": BUTTER, "butter sticks": BUTTER, "margarine": MARGARINE, "milk": MILK}
# Names of the catalogue, and the vector of each item's text.
NAMES = {"b1": "butter", "b2": "butter", "g1": "margarine", "m1": "milk"}
TEXTS = {"b1": BUTTER, "b2": MARGARINE, "g1": MARGARINE, "m1": MILK}
SETTINGS = ProductNamesSettings(theta=0.7, epsilon=0.0, half_life_days=1e9, exclude_seen_days=0)


def vectors(spark: SparkSession, column: str, of: dict[str, tuple]) -> DataFrame:
    rows = [(name, list(vector)) for name, vector in of.items()]
    return spark.createDataFrame(rows, f"{column} string, embedding array<float>")


def names(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(list(NAMES.items()), "item_id string, name string")


def uses(spark: SparkSession, *pairs: tuple[str, str]) -> DataFrame:
    """user_id and item_id of uses that count 1."""
    rows = [(*pair, 1.0) for pair in pairs]
    return spark.createDataFrame(rows, "user_id string, item_id string, use double")


def catalogue(spark: SparkSession, *rows: tuple) -> DataFrame:
    """From (item_id, brand, category, price); all are sellable."""
    columns = "item_id string, brand string, category string, price double"
    return spark.createDataFrame(list(rows), columns).withColumn("is_sellable", F.lit(True))


# Two butters, b2 e times as dear as b1: half a logarithm below and above their mean.
BUTTERS = (("b1", "Own", "butter", 2.0), ("b2", " Best ", "butter", 2.0 * math.e))


def test_names_have_their_most_used_items_and_the_share_of_the_first(spark: SparkSession) -> None:
    taken = uses(spark, ("u", "b1"), ("v", "b1"), ("u", "b2"), ("u", "g1"))
    found = used_names(names(spark), taken, SETTINGS)
    assert rows_of(found, "name", "item_id", "popularity") == [
        ("butter", "b1", 1.0),
        ("butter", "b2", 0.5),
        ("margarine", "g1", 1.0),
        ("milk", "m1", 0.0),
    ]


def test_only_so_many_names_and_items_of_a_name_are_looked_at(spark: SparkSession) -> None:
    taken = uses(spark, ("u", "b2"), ("u", "m1"))
    few = SETTINGS.model_copy(update={"catalogue_names": 2, "skus": 1})
    found = used_names(names(spark), taken, few)
    assert rows_of(found, "name", "item_id") == [("butter", "b2"), ("milk", "m1")]
    # Without any use the names come first that are first by name.
    unused = used_names(names(spark), uses(spark, ("u", "other")), few)
    assert rows_of(unused, "name", "item_id") == [("butter", "b1"), ("margarine", "g1")]


def test_the_nearest_names_come_by_cosine_then_name(spark: SparkSession) -> None:
    search = name_search(vectors(spark, "name", VECTORS))
    found, scores = search(np.array([BUTTER, MILK], np.float32), 2)
    assert found == [["butter", "butter sticks"], ["milk", "margarine"]]
    assert scores == [[1.0, 1.0], [1.0, pytest.approx(0.6)]]
    nothing = name_search(vectors(spark, "name", VECTORS).limit(0))
    assert nothing(np.array([BUTTER, MILK], np.float32), 2) == ([[], []], [[], []])


def test_a_product_matches_the_names_that_are_near_enough(
    spark: SparkSession, tmp_path: Path
) -> None:
    # butter sticks, named first: butter 1, margarine 0.8, milk 0. milk, named second: half of 1;
    # its 0.6 with margarine is below theta.
    wanted = spark.createDataFrame(
        [("u", "butter sticks", 1.0), ("u", "milk", 0.5), ("v", "milk", 1.0)],
        "user_id string, name string, weight double",
    )
    known = vectors(spark, "name", {n: VECTORS[n] for n in ("butter", "margarine", "milk")})
    found = match_names(
        wanted, vectors(spark, "name", VECTORS), name_search(known), SETTINGS, Scratch(tmp_path)
    )
    assert rows_of(found, "user_id", "name", "match") == [
        ("u", "butter", 1.0),
        ("u", "margarine", 0.8),
        ("u", "milk", 0.5),
        ("v", "milk", 1.0),
    ]


def test_a_text_against_its_item_has_no_cosine_below_0(spark: SparkSession) -> None:
    items = names(spark).where("name IN ('butter', 'milk')")
    against = TEXTS | {"m1": (0.0, -1.0)}
    found = text_cosines(items, vectors(spark, "name", VECTORS), vectors(spark, "item_id", against))
    assert rows_of(found, "item_id", "name", "text") == [
        ("b1", "butter", 1.0),
        ("b2", "butter", pytest.approx(0.8)),
        ("m1", "milk", 0.0),
    ]


def test_habits_are_shares_of_brands_and_the_usual_level_of_prices(spark: SparkSession) -> None:
    items = catalogue(spark, *BUTTERS, ("m1", "", "milk", 0.0), ("m2", "best", None, None))
    taken = uses(spark, ("u", "b1"), ("u", "b2"), ("u", "m2"), ("v", "m1"), ("w", "b2"))
    brands = rows_of(brand_habits(taken, items), "user_id", "brand_shares")
    assert [(user, dict(shares)) for user, shares in brands] == [
        ("u", {"own": pytest.approx(1 / 3), "best": pytest.approx(2 / 3)}),
        ("w", {"best": 1.0}),
    ]
    levels = price_levels(items)
    assert rows_of(levels, "item_id", "level") == [
        ("b1", pytest.approx(-0.5, abs=1e-6)),
        ("b2", pytest.approx(0.5, abs=1e-6)),
    ]
    assert rows_of(price_habits(taken, levels), "user_id", "user_level") == [
        ("u", pytest.approx(0.0, abs=1e-6)),
        ("w", pytest.approx(0.5, abs=1e-6)),
    ]


def selected(spark: SparkSession, epsilon: float, **settings: object) -> list[tuple]:
    """Both butters for u, who took b1 alone, and for a stranger; b3 has no brand and no price."""
    matches = spark.createDataFrame(
        [("stranger", "butter", 1.0), ("u", "butter", 0.5)],
        "user_id string, name string, match double",
    )
    named = spark.createDataFrame(
        [("b1", "butter", 1.0, 0.5), ("b2", "butter", 0.0, 0.5), ("b3", "butter", 0.5, 1.0)],
        "item_id string, name string, popularity double, text double",
    )
    found = select_items(
        matches,
        named,
        uses(spark, ("u", "b1")),
        catalogue(spark, *BUTTERS, ("b3", None, "butter", None)),
        SETTINGS.model_copy(update={"epsilon": epsilon} | settings),
    )
    return rows_of(found, "user_id", "item_id", "score")


def test_items_are_selected_by_what_is_known_of_them_and_of_the_user(spark: SparkSession) -> None:
    # Weights 0.4, 0.3, 0.2 and 0.1. u: b1 0.4 · 0.5 + 0.3 + 0.2 + 0.1 = 0.8, and b2, of another
    # brand and a logarithm dearer, 0.4 · 0.5 + 0.1 / e. b3 and all of the stranger have two parts.
    b3 = (0.4 * 1.0 + 0.3 * 0.5) / 0.7
    assert selected(spark, epsilon=0.0) == [
        ("stranger", "b1", pytest.approx(0.5 / 0.7)),
        ("stranger", "b2", pytest.approx(0.2 / 0.7)),
        ("stranger", "b3", pytest.approx(b3)),
        ("u", "b1", pytest.approx(0.5 * 0.8, rel=1e-6)),
        ("u", "b2", pytest.approx(0.5 * (0.2 + 0.1 / math.e), rel=1e-6)),
        ("u", "b3", pytest.approx(0.5 * b3)),
    ]


def test_what_suits_too_little_and_what_is_too_many_of_a_name_is_left_out(
    spark: SparkSession,
) -> None:
    # b2 suits u by 0.24 and the stranger by 0.29.
    assert [row[:2] for row in selected(spark, epsilon=0.25) if row[1] == "b2"] == [
        ("stranger", "b2")
    ]
    assert [row[:2] for row in selected(spark, epsilon=0.0, items_per_name=1)] == [
        ("stranger", "b3"),
        ("u", "b1"),
    ]


def test_parts_without_a_known_weight_make_no_score(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(None, 0.5), (1.0, 0.5)], "brand double, text double")
    suits = weighted_mean(
        {"brand": F.col("brand"), "text": F.col("text")}, {"brand": 1.0, "text": 0.0}
    )
    assert [row[0] for row in frame.select(suits).collect()] == [None, 1.0]


def recalled(spark: SparkSession, scratch: Path, wanted: list[tuple]) -> tuple[list, list[str]]:
    """The channel's rows, and the words that were encoded."""
    encoded: list[str] = []

    def encode(words: DataFrame, column: str) -> DataFrame:
        encoded.extend(row[0] for row in words.select(column).distinct().collect())
        known = vectors(spark, column, VECTORS)
        return known.join(words.select(column).distinct(), column)

    settings = SETTINGS.model_copy(
        update={
            "weights": {"text": 0.5, "popularity": 0.5, "brand": 0.0, "price": 0.0},
            "epsilon": 0.45,
            "exclude_seen_days": 7,
        }
    )
    taken = interactions(spark, [("v", "b1", 0), ("v", "m1", 3), ("u", "m1", 8)])
    products = compare_names(
        spark.createDataFrame(wanted, "user_id string, name string, weight double"),
        names(spark),
        vectors(spark, "item_id", TEXTS),
        encode,
        taken,
        DS,
        settings,
        Scratch(scratch),
    )
    items = catalogue(spark, *BUTTERS, ("g1", None, "butter", 1.0), ("m1", None, "milk", 1.0))
    found = recall_named(products, taken, items, DS, settings, Scratch(scratch))
    return rows_of(found, "user_id", "rank", "item_id", "score", "because_item_id"), encoded


def test_a_named_product_brings_the_items_of_the_nearest_names(
    spark: SparkSession, tmp_path: Path
) -> None:
    # butter sticks match butter by 1 and margarine by 0.8. b1 suits by (1 + 1) / 2, g1 by
    # (1 + 0) / 2, b2 by (0.8 + 0) / 2, which is below epsilon. v took b1 and m1 this week.
    wanted = [("u", "butter sticks", 1.0), ("u", "milk", 0.5), ("v", "milk", 1.0)]
    rows, encoded = recalled(spark, tmp_path, [*wanted, ("v", "butter sticks", 0.5)])
    assert rows == [
        ("u", 1, "b1", pytest.approx(1.0), None),
        ("u", 2, "m1", pytest.approx(0.5), None),
        ("u", 3, "g1", pytest.approx(0.4), None),
        ("v", 1, "g1", pytest.approx(0.2), None),
    ]
    assert sorted(encoded) == ["butter", "butter sticks", "margarine", "milk"]


def test_without_a_named_product_nothing_is_encoded(spark: SparkSession, tmp_path: Path) -> None:
    assert recalled(spark, tmp_path, []) == ([], [])
