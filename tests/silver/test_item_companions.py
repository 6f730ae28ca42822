"""What goes with a rare item: candidates by hand, the calls on real tables, the pairs they make."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake import EffectResult, Lake, Sink
from jobs.lake.scratch import Scratch
from jobs.recall.kernels.text_search import search_among_all
from jobs.recall.methods.augmented import augmented_neighbors
from jobs.recall.methods.companions import companion_candidates, companion_pairs, questions
from jobs.recall.sources.methods import AugmentedSettings
from jobs.settings import RunParams
from jobs.silver import item_companions
from tests.llm.faulty_server import Response, says, serve

DAY = date(2017, 12, 28)
# Angles to dog food, in degrees: cat food and two sizes of treats lie within the band.
ANGLES = {"food": 0, "food-large": 5, "cat": 40, "treats": 50, "treats-large": 51, "soap": 90}
TITLES = {
    "food": "DOG FOOD",
    "food-large": "DOG FOOD",
    "cat": "CAT; FOOD",
    "treats": "DOG TREATS",
    "treats-large": "DOG TREATS",
    "soap": "SOAP",
}
SETTINGS = AugmentedSettings(candidates=3, min_cosine=0.5, max_cosine=0.95)


@pytest.fixture
def items(spark: SparkSession) -> DataFrame:
    """Contents by title; both sizes of a product share one."""
    rows = [
        (i, title, f"c-{title.lower()}", "PETS", "GROCERY", None, None, True, DAY)
        for i, title in TITLES.items()
    ]
    return spark.createDataFrame(
        rows,
        "item_id string, title string, content_hash string, category string, department string, "
        "brand string, description string, is_sellable boolean, valid_from date",
    )


@pytest.fixture
def vectors(spark: SparkSession) -> DataFrame:
    rows = [(i, f"t-{i}", vector(a)) for i, a in ANGLES.items()]
    return spark.createDataFrame(rows, "item_id string, text_hash string, embedding array<float>")


def vector(angle: float) -> list[float]:
    return [float(np.cos(np.radians(angle))), float(np.sin(np.radians(angle)))]


def near() -> Callable:
    return search_among_all([*ANGLES], np.array([vector(a) for a in ANGLES.values()], np.float32))


def contents(items: DataFrame, *titles: str) -> DataFrame:
    one = items.dropDuplicates(["content_hash"]).select("content_hash", "title", "category")
    return one.where(one["title"].isin(*titles))


def test_candidates_are_near_but_not_the_same_and_named_once(
    items: DataFrame, vectors: DataFrame, tmp_path: Path
) -> None:
    asked = contents(items, "DOG FOOD")
    found = companion_candidates(asked, items, vectors, near(), SETTINGS, Scratch(tmp_path))
    # the other size of dog food is too near and soap too far
    rows = sorted(tuple(row) for row in found.collect())
    assert rows == [
        ("c-dog food", 1, "cat food", "cat"),
        ("c-dog food", 2, "dog treats", "treats"),
    ]
    (question,) = questions(asked, found).collect()
    assert question["candidates"] == "cat food; dog treats"


def test_a_content_with_fewer_than_two_candidates_is_not_asked_about(
    items: DataFrame, vectors: DataFrame, tmp_path: Path
) -> None:
    asked = contents(items, "SOAP")
    settings = SETTINGS.model_copy(update={"min_cosine": 0.77})
    found = companion_candidates(asked, items, vectors, near(), settings, Scratch(tmp_path))
    assert [row["name"] for row in found.collect()] == ["dog treats"]
    assert questions(asked, found).count() == 0


def test_pairs_are_what_was_chosen_of_the_same_list(
    spark: SparkSession, items: DataFrame, vectors: DataFrame, tmp_path: Path
) -> None:
    asked = contents(items, "DOG FOOD")
    found = companion_candidates(asked, items, vectors, near(), SETTINGS, Scratch(tmp_path))
    shown = questions(asked, found)
    said = "content_hash string, candidates string, status string, also array<string>"

    def pairs(*answers: tuple) -> list[tuple]:
        frame = spark.createDataFrame(list(answers), said)
        return sorted(tuple(r) for r in companion_pairs(shown, found, frame, items).collect())

    listed = "cat food; dog treats"
    assert pairs(("c-dog food", listed, "success", ["Dog treats", "bones"])) == [
        ("food", "treats"),
        ("food-large", "treats"),
    ]
    assert pairs(("c-dog food", listed, "rejected_by_gate", ["dog treats"])) == []
    assert pairs(("c-dog food", "cat food; bones", "success", ["cat food"])) == []


def test_a_pair_of_the_model_comes_before_what_it_described_alike(spark: SparkSession) -> None:
    described = spark.createDataFrame(
        [("a", ["x", "y"]), ("b", ["x", "z"]), ("c", ["q"])], "item_id string, tags array<string>"
    )
    sellable = spark.createDataFrame(
        [(i, True) for i in "abc"] + [("old", False)], "item_id string, is_sellable boolean"
    )
    taken = spark.createDataFrame(
        [("u1", "b", 1.0), ("u2", "b", 1.0)], "user_id string, item_id string, weight double"
    )
    pairs = spark.createDataFrame(
        [("a", "c", 0.9), ("a", "old", 0.9), ("b", "c", 0.9)],
        "item_id string, neighbor_item_id string, score double",
    )
    settings = AugmentedSettings(max_users=1)
    found = augmented_neighbors(described, sellable, taken, settings, pairs)
    rows = [
        (r["item_id"], r["rank"], r["neighbor_item_id"]) for r in found.orderBy("rank").collect()
    ]
    # what cannot be sold is no neighbor, and b has more users than one
    assert rows == [("a", 1, "c"), ("a", 2, "b")]


def answer(question: str, number: int) -> Response:
    """The last candidate, and one that is not in the list."""
    names = json.loads(question)["candidates"].split("; ")
    return says(json.dumps({"also": [names[-1], "quantum engine"]}))


def test_a_day_asks_within_its_budget_and_pays_once(
    make_lake: Callable[..., Lake],
    spark: SparkSession,
    items: DataFrame,
    vectors: DataFrame,
    tmp_path: Path,
) -> None:
    interactions = spark.createDataFrame(
        [("u", "food", DAY, 2.0)], "user_id string, item_id string, event_date date, weight double"
    )
    texts = vectors.select("item_id", "text_hash")
    runs = iter(range(10))

    def ask(lake: Lake, **params: object) -> EffectResult:
        scratch = tmp_path / f"run-{next(runs)}"
        scratch.mkdir()
        run = lake.by_hand(DAY, Scratch(scratch), RunParams(**params))  # type: ignore[arg-type]
        from jobs.vectors.encoder import Encoder

        encoder = Encoder.of(run.settings.encoder).name
        embeddings = vectors.selectExpr("*", f"'{encoder}' AS encoder")
        return item_companions.ask_companions(
            run,
            Sink(lake.tables),
            items,
            interactions,
            texts,
            embeddings,
            lake.tables.read(item_companions.TABLE),
            lake.tables.read("ops.llm_ledger"),
            near(),
        )

    with serve(answer) as server:
        lake = make_lake(llm_url=server.url, llm_model="double")
        assert ask(lake).rows_in == 0
        first = ask(lake, companion_budget=1)
        again = ask(lake, companion_budget=1)
    assert (first.counts["sent"], first.counts["success"]) == (1, 1)
    assert (again.counts["sent"], again.counts["cached"]) == (0, 1)
    assert len(server.requests) == 1
    (row,) = lake.tables.read(item_companions.TABLE).collect()
    # the content that sells is asked about; what is not in the list is left out
    assert row["content_hash"] == "c-dog food"
    assert row["also"] == [row["candidates"].split("; ")[-1]]
