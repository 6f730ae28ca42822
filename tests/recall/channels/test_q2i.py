"""Items by the phrases that an LLM expects of a user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.channels.q2i import recall_by_phrases, user_phrases
from jobs.recall.sources.channels import Q2ISettings
from tests.recall.shop import DS, exact_index, interactions, item_vectors, items, rows_of

# Cosine of bread with rye 0.8 and with milk 0, of rye with milk 0.6.
BREAD, RYE, MILK = (1.0, 0.0), (0.8, 0.6), (0.0, 1.0)
SHOP = {
    "b1": ("bread", BREAD),
    "b2": ("bread", BREAD),
    "b3": ("bread", BREAD),
    "m1": ("milk", MILK),
    "r1": ("rye", RYE),
}
VECTORS = {"rye bread": RYE, "milk": MILK, "bread": BREAD}
SETTINGS = Q2ISettings(
    phrase_decay=0.5, interest_weight=0.5, min_score=0.5, items_per_text=2, exclude_seen_days=7
)
ANSWERS = (
    "user_id string, search_phrases array<string>, interests array<string>, "
    "interest_weights map<string,double>"
)


def answers_frame(spark: SparkSession, answers: list[tuple]) -> DataFrame:
    """Rows of (user_id, search_phrases, interests) or with interest_weights as well."""
    return spark.createDataFrame([(*row, None)[:4] for row in answers], ANSWERS)


def encoded(words: DataFrame, column: str) -> DataFrame:
    """The vectors of VECTORS; a word that is not there has none."""
    rows = [(word, list(vector)) for word, vector in VECTORS.items()]
    known = words.sparkSession.createDataFrame(rows, f"{column} string, embedding array<float>")
    return known.join(words.select(column).distinct(), column)


def recalled(
    spark: SparkSession, scratch: Path, answers: list[tuple], taken: list[tuple] = ()
) -> list[tuple]:
    found = recall_by_phrases(
        user_phrases(answers_frame(spark, answers), SETTINGS),
        encoded,
        item_vectors(spark, SHOP),
        exact_index(SHOP),
        interactions(spark, taken),
        items(spark, SHOP),
        DS,
        SETTINGS,
        Scratch(scratch),
    )
    return rows_of(found, "user_id", "rank", "item_id", "score", "because_item_id")


def test_phrases_count_less_the_later_they_come_and_interests_less_than_those(
    spark: SparkSession,
) -> None:
    answers = [
        ("u", ["Rye  Bread", "milk", "rye bread"], ["bread", "milk "]),
        ("v", [" "], None),
        ("w", None, ["milk"]),
    ]
    frame = answers_frame(spark, answers)
    phrases = rows_of(user_phrases(frame, SETTINGS), "user_id", "phrase", "weight")
    assert phrases == [
        ("u", "bread", 0.5),
        ("u", "milk", 0.5),
        ("u", "rye bread", 1.0),
        ("w", "milk", 0.5),
    ]
    without = user_phrases(frame, SETTINGS.model_copy(update={"interest_weight": 0.0}))
    assert rows_of(without, "user_id", "phrase") == [("u", "milk"), ("u", "rye bread")]


def test_a_weight_that_the_model_gave_an_interest_counts_in_place_of_its_place(
    spark: SparkSession,
) -> None:
    answers = [("u", None, ["Bread", "milk", "rye"], {"Bread": 1.0, "milk": 5.0})]
    phrases = rows_of(
        user_phrases(answers_frame(spark, answers), SETTINGS), "user_id", "phrase", "weight"
    )
    # interest_weight 0.5 times 1/5, 5/5 and, without a weight, 0.5^2 of the third place
    assert phrases == [("u", "bread", 0.1), ("u", "milk", 0.5), ("u", "rye", 0.125)]


def test_an_item_has_the_score_of_its_best_phrase(spark: SparkSession, tmp_path: Path) -> None:
    # rye bread, first: r1 1, breads 0.8 (two of the text), m1 0.6. milk, second: half of 1 and 0.6.
    found = recalled(spark, tmp_path, [("u", ["rye bread", "milk"], []), ("v", ["milk"], [])])
    assert found == [
        ("u", 1, "r1", 1.0, None),
        ("u", 2, "b1", 0.8, None),
        ("u", 3, "b2", 0.8, None),
        ("u", 4, "m1", 0.6, None),
        ("v", 1, "m1", 1.0, None),
        ("v", 2, "r1", 0.6, None),
    ]


def test_far_texts_and_what_was_just_taken_are_left_out(
    spark: SparkSession, tmp_path: Path
) -> None:
    # bread and milk are at a right angle; r1 was taken today, b1 longer ago than the channel minds.
    found = recalled(spark, tmp_path, [("u", ["bread"], [])], [("u", "r1", 0), ("u", "b1", 7)])
    assert [row[2] for row in found] == ["b1", "b2"]


def test_each_distinct_phrase_is_asked_once_and_without_phrases_nothing_is(
    spark: SparkSession, tmp_path: Path
) -> None:
    asked: list[np.ndarray] = []

    def search(vectors: np.ndarray, depth: int) -> tuple[list[list[str]], list[list[float]]]:
        asked.append(vectors)
        return exact_index(SHOP)(vectors, depth)

    for answers, expected in (
        ([("u", ["milk", "bread"], ["milk"]), ("v", ["milk"], [])], [2]),
        ([("u", None, [])], []),
    ):
        asked.clear()
        found = recall_by_phrases(
            user_phrases(answers_frame(spark, answers), SETTINGS),
            encoded,
            item_vectors(spark, SHOP),
            search,
            interactions(spark, []),
            items(spark, SHOP),
            DS,
            SETTINGS,
            Scratch(tmp_path),
        )
        assert bool(rows_of(found, "user_id")) is bool(expected)
        assert [len(vectors) for vectors in asked] == expected


def test_a_decay_of_one_forgets_the_order(spark: SparkSession) -> None:
    frame = answers_frame(spark, [("u", ["milk", "bread"], [])])
    same = user_phrases(frame, SETTINGS.model_copy(update={"phrase_decay": 1.0}))
    assert rows_of(same, "phrase", "weight") == [("bread", 1.0), ("milk", 1.0)]
    with pytest.raises(ValueError, match="less than or equal to 1"):
        Q2ISettings(phrase_decay=1.1)
