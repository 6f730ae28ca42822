"""What goes with a rare item: its candidates, the question and the pairs, worked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.methods.companions import (
    companion_candidates,
    companion_pairs,
    name_of,
    questions,
    rare_contents,
)
from jobs.recall.sources.methods import AugmentedSettings
from jobs.settings import RecallSettings, RunParams
from jobs.vectors.encoder import Encoder
from tests.recall.shop import DS, exact_index, interactions, item_vectors, make_run, rows_of

# Cosines to TENT are 0.8 and 0.6 for the two, and those of the others lie outside the band.
TENT, LAMP, ROPE, SOUP = (1.0, 0.0), (0.8, 0.6), (0.6, 0.8), (0.0, 1.0)
SETTINGS = AugmentedSettings(candidates=3, min_cosine=0.5, max_cosine=0.9)
SHOP = {
    "tent": ("tent", TENT),
    "tent-xl": ("tent", TENT),
    "lamp-1": ("lamp 1", LAMP),
    "lamp-2": ("lamp 2", LAMP),
    "rope": ("rope", ROPE),
    "tin": ("tin", LAMP),
    "soup": ("soup", SOUP),
}
TITLES = {
    "tent": "Tent",
    "tent-xl": "Tent",
    "lamp-1": "Lamp",
    "lamp-2": "LAMP ",
    "rope": "Rope; 10 m",
    "tin": "tent",
    "soup": "Soup",
}


def catalogue(spark: SparkSession, unsellable: str = "") -> DataFrame:
    """silver.items; an item's content is its title, both sizes of the tent are one."""
    return spark.createDataFrame(
        [
            (item, title, f"c-{title}", None, None, None, None, item != unsellable, DS)
            for item, title in TITLES.items()
        ],
        "item_id string, title string, content_hash string, category string, department string, "
        "brand string, description string, is_sellable boolean, valid_from date",
    )


def asked(spark: SparkSession, *titles: str) -> DataFrame:
    rows = [(f"c-{title}", title) for title in titles]
    return spark.createDataFrame(rows, "content_hash string, title string")


def candidates(
    spark: SparkSession, folder: Path, unsellable: str = "", **changes: float
) -> list[tuple]:
    found = companion_candidates(
        asked(spark, "Tent"),
        catalogue(spark, unsellable),
        item_vectors(spark, SHOP),
        exact_index(SHOP),
        SETTINGS.model_copy(update=changes),
        Scratch(folder),
    )
    return rows_of(found, "content_hash", "place", "name", "neighbor_item_id")


def test_a_name_stands_once_and_never_for_the_item_itself(
    spark: SparkSession, tmp_path: Path
) -> None:
    # Both lamps are named alike, so the smaller id stands for them; the tin is called as the tent.
    expected = [("c-Tent", 1, "lamp", "lamp-1"), ("c-Tent", 2, "rope 10 m", "rope")]
    assert candidates(spark, tmp_path) == expected
    assert candidates(spark, tmp_path, candidates=1) == expected[:1]


def test_what_cannot_be_sold_is_no_candidate(spark: SparkSession, tmp_path: Path) -> None:
    found = candidates(spark, tmp_path, unsellable="lamp-1")
    assert [row[3] for row in found] == ["lamp-2", "rope"]


@pytest.mark.parametrize(
    ("band", "names"),
    [
        ({"min_cosine": 0.8}, ["lamp"]),
        ({"max_cosine": 0.7}, ["rope 10 m"]),
        ({"min_cosine": 0.0}, ["lamp", "rope 10 m", "soup"]),
    ],
)
def test_candidates_are_neither_too_far_nor_too_near(
    spark: SparkSession, tmp_path: Path, band: dict[str, float], names: list[str]
) -> None:
    assert [row[2] for row in candidates(spark, tmp_path, **band)] == names


def test_a_question_shows_two_names_or_more_in_their_order(spark: SparkSession) -> None:
    rows = [("c1", 2, "apple"), ("c1", 1, "rope"), ("c1", 10, "zip"), ("c2", 1, "rope")]
    near = spark.createDataFrame(rows, "content_hash string, place int, name string")
    contents = spark.createDataFrame(
        [("c1", 7), ("c2", 8), ("c3", 9)], "content_hash string, more int"
    )
    assert rows_of(questions(contents, near), "content_hash", "more", "candidates") == [
        ("c1", 7, "rope; apple; zip")
    ]


def test_pairs_are_of_every_item_of_the_content_and_never_of_one_with_itself(
    spark: SparkSession,
) -> None:
    shown = spark.createDataFrame([("c1", "rope; lamp")], "content_hash string, candidates string")
    near = spark.createDataFrame(
        [("c1", 1, "rope", "rope"), ("c1", 2, "lamp", "tent-xl")],
        "content_hash string, place int, name string, neighbor_item_id string",
    )
    of_content = spark.createDataFrame(
        [("tent", "c1"), ("tent-xl", "c1"), ("other", "c2")], "item_id string, content_hash string"
    )
    answers = spark.createDataFrame(
        [
            ("c1", "rope; lamp", "success", [" ROPE", "rope", "lamp", "a boat"]),
            ("c1", "lamp; rope", "success", ["lamp"]),
            ("c2", "rope; lamp", "success", ["rope"]),
        ],
        "content_hash string, candidates string, status string, also array<string>",
    )
    pairs = companion_pairs(shown, near, answers, of_content)
    assert rows_of(pairs, "item_id", "neighbor_item_id") == [
        ("tent", "rope"),
        ("tent", "tent-xl"),
        ("tent-xl", "rope"),
    ]


def test_a_name_has_nothing_that_separates_names_or_ends_a_text(spark: SparkSession) -> None:
    titles = {
        "Rope;  10 m": "rope 10 m",
        ' "TENT" {x} [y] <z> ': "tent x y z",
        "back\\slash": "back slash",
        "": "",
        None: "",
    }
    frame = spark.createDataFrame([(title,) for title in titles], "title string")
    found = frame.select("title", name_of("title").alias("name")).collect()
    assert {row["title"]: row["name"] for row in found} == titles


def test_a_day_asks_about_rare_items_within_its_budget(spark: SparkSession, tmp_path: Path) -> None:
    # u and v took the lamp, only u the tent and nobody the rope; of two users at most one counts.
    recall = RecallSettings().with_changes({"augmented": SETTINGS.model_dump() | {"max_users": 1}})
    run = make_run(tmp_path, recall, RunParams(companion_budget=1))
    vectors = item_vectors(spark, SHOP)
    encoder = Encoder.of(run.settings.encoder).name
    taken = [("u", "lamp-1", 0), ("v", "lamp-1", 0), ("u", "tent", 1)]
    contents, near = rare_contents(
        run,
        catalogue(spark),
        interactions(spark, taken),
        vectors.select("item_id", "text_hash"),
        vectors.selectExpr("*", f"'{encoder}' AS encoder"),
        exact_index(SHOP),
    )
    assert rows_of(contents, "content_hash", "title") == [("c-Tent", "Tent")]
    assert rows_of(near, "name", "neighbor_item_id") == [("lamp", "lamp-1"), ("rope 10 m", "rope")]
