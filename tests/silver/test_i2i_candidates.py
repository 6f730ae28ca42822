"""silver.i2i_candidates: what each method hands to the fusion."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.recall.methods.augmented import candidates as augmented
from jobs.recall.methods.cooccurrence import candidates as cooccurrence
from jobs.recall.methods.slim import candidates as slim
from jobs.recall.methods.swing import candidates as swing
from jobs.recall.methods.transition import candidates as transition
from jobs.recall.sources.methods import (
    AugmentedSettings,
    CooccurrenceSettings,
    SlimSettings,
    SwingSettings,
    TransitionSettings,
)
from jobs.settings import RecallSettings
from jobs.vectors.hits import TextHits
from tests.recall.shop import (
    column_types,
    contract_types,
    interactions,
    items,
    make_run,
    rows_of,
)

ROWS = [(user, item, 0) for user in "uv" for item in "abc"]


def test_cooccurrence_follows_its_contract_and_its_settings(
    spark: SparkSession, tmp_path: Path
) -> None:
    recall = RecallSettings(cooccurrence=CooccurrenceSettings(neighbors=1))
    found = cooccurrence(
        make_run(tmp_path, recall), interactions(spark, ROWS), items(spark, "ab", unsellable="c")
    )
    assert column_types(found) == contract_types("silver.i2i_candidates")
    assert rows_of(found, "item_id", "rank", "neighbor_item_id", "support") == [
        ("a", 1, "b", 2),
        ("b", 1, "a", 2),
        ("c", 1, "a", 2),
    ]


def test_slim_follows_its_contract_and_its_settings(spark: SparkSession, tmp_path: Path) -> None:
    # Every strength is 1/2; both users of b took a, which a third took as well. With a penalty of
    # one user, a by b is (2 · 1/4) / (2 · 1/4 + 1/4) = 2/3; b is not on sale, so a has no neighbor.
    rows = [(user, item, 0) for user in "uv" for item in "ab"]
    recall = RecallSettings(slim=SlimSettings(penalty=1, user_exponent=0))
    found = slim(
        make_run(tmp_path, recall),
        interactions(spark, [*rows, ("w", "a", 0)]),
        items(spark, "a", unsellable="b"),
    )
    assert column_types(found) == contract_types("silver.i2i_candidates")
    assert rows_of(found, "item_id", "rank", "neighbor_item_id", "score", "support") == [
        ("b", 1, "a", pytest.approx(2 / 3), 2),
    ]


def test_swing_follows_its_contract_and_its_settings(spark: SparkSession, tmp_path: Path) -> None:
    # Every strength is 1/2, so the only pair of users counts (1/2)^4 / (2 + 3 items in common), and
    # each item has two users.
    recall = RecallSettings(
        swing=SwingSettings(
            alpha=2, user_exponent=0, item_exponent=1, neighbor_exponent=1, neighbors=1
        )
    )
    found = swing(
        make_run(tmp_path, recall), interactions(spark, ROWS), items(spark, "ab", unsellable="c")
    )
    assert column_types(found) == contract_types("silver.i2i_candidates")
    assert rows_of(found, "item_id", "rank", "neighbor_item_id", "score", "support") == [
        ("a", 1, "b", pytest.approx(1 / 80 / 4), 2),
        ("b", 1, "a", pytest.approx(1 / 80 / 4), 2),
        ("c", 1, "a", pytest.approx(1 / 80 / 4), 2),
    ]


def test_transition_follows_its_contract_and_its_settings(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [(user, item, days) for user in "uv" for item, days in (("a", 2), ("b", 1), ("c", 0))]
    recall = RecallSettings(transition=TransitionSettings(window=1))
    found = transition(make_run(tmp_path, recall), interactions(spark, rows), items(spark, "abc"))
    assert column_types(found) == contract_types("silver.i2i_candidates")
    assert rows_of(found, "item_id", "rank", "neighbor_item_id", "support") == [
        ("a", 1, "b", 2),
        ("b", 1, "c", 2),
    ]


TEXTS = "item_id string, content_hash string, prompt_version string, model string"
ANSWERS = (
    "content_hash string, prompt_version string, model string, standard_name string, "
    "keywords array<string>, attributes map<string,string>, occasions array<string>"
)


def without_companions(spark: SparkSession) -> dict[str, Any]:
    """What a run without a companion_budget does not look at."""

    def no_index(vectors: object, depth: int) -> TextHits:
        raise AssertionError("the index was asked")

    return {
        "search": no_index,
        "embeddings": spark.createDataFrame([], "item_id string"),
        "companions": spark.createDataFrame([], "content_hash string"),
    }


def test_augmented_follows_its_contract_and_sees_what_the_texts_of_the_day_see(
    spark: SparkSession, tmp_path: Path
) -> None:
    # c was answered as well, but no text of the day uses it.
    answered = ("v1", "m")
    texts = [("a", "1", *answered), ("b", "2", *answered), ("c", "3", None, None)]
    answers = [
        ("1", *answered, "corn flakes", ["cereal"], {"type": "cereals"}, ["breakfast"]),
        ("2", *answered, "oat flakes", ["cereal"], None, None),
        ("3", *answered, "corn flakes", ["cereal"], None, None),
    ]
    given: dict[str, Any] = {
        "interactions": interactions(spark, ROWS),
        "items": items(spark, "abc"),
        "texts": spark.createDataFrame(texts, TEXTS),
        "enrichments": spark.createDataFrame(answers, ANSWERS),
        **without_companions(spark),
    }
    found = augmented(make_run(tmp_path), **given)
    assert column_types(found) == contract_types("silver.i2i_candidates")
    # ln(1 + 2/2) of "cereal", which both say, and ln(1 + 2/1) of four that one says
    score = pytest.approx(log(2) / (log(2) + 4 * log(3)))
    assert rows_of(found, "item_id", "rank", "neighbor_item_id", "score", "support") == [
        ("a", 1, "b", score, None),
        ("b", 1, "a", score, None),
    ]
    strict = RecallSettings(augmented=AugmentedSettings(max_users=1))
    assert augmented(make_run(tmp_path, strict), **given).count() == 0


def test_a_day_without_an_answer_has_no_augmented_rows(spark: SparkSession, tmp_path: Path) -> None:
    found = augmented(
        make_run(tmp_path),
        interactions(spark, ROWS),
        items(spark, "abc"),
        texts=spark.createDataFrame([("a", "1", None, None)], TEXTS),
        enrichments=spark.createDataFrame([], ANSWERS),
        **without_companions(spark),
    )
    assert column_types(found) == contract_types("silver.i2i_candidates")
    assert found.count() == 0
