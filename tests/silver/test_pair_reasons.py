"""Reasons for the pairs that are seen most: which pairs, the calls, the sentences in a list."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake import EffectResult, Lake, Sink
from jobs.lake.scratch import Scratch
from jobs.recall.fusion.pair_reasons import (
    head_pairs,
    most_used,
    with_written_reasons,
    written_reasons,
)
from jobs.recall.fusion.settings import PairReasonsSettings
from jobs.settings import RunParams
from jobs.silver.pair_reasons import TABLE, ask_pair_reasons
from tests.llm.faulty_server import Response, says, serve

DAY = date(2017, 12, 28)
# Two sizes of chips are one content; `plain` has no title.
TITLES = {
    "chips": "CORN CHIPS",
    "chips-large": "CORN CHIPS",
    "salsa": "SALSA DIP",
    "beer": "BEER",
    "plain": " ",
}
USERS = {"gone": 9.0, "chips": 5.0, "salsa": 4.0, "chips-large": 3.0, "plain": 2.0, "beer": 1.0}
NEIGHBORS = {
    "chips": ["chips-large", "salsa", "beer"],
    "salsa": ["chips", "plain", "beer"],
    "chips-large": ["beer"],
    "beer": ["salsa"],
}


@pytest.fixture
def items(spark: SparkSession) -> DataFrame:
    rows = [(i, f"c-{title.lower().strip()}", title, "SNACKS", True) for i, title in TITLES.items()]
    return spark.createDataFrame(
        rows,
        "item_id string, content_hash string, title string, category string, is_sellable boolean",
    )


@pytest.fixture
def popularity(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(list(USERS.items()), "item_id string, score double")


@pytest.fixture
def neighbors(spark: SparkSession) -> DataFrame:
    rows = [(i, n, rank) for i, names in NEIGHBORS.items() for rank, n in enumerate(names, 1)]
    return spark.createDataFrame(rows, "item_id string, neighbor_item_id string, rank int")


def test_the_most_used_items_are_of_the_catalogue(popularity: DataFrame, items: DataFrame) -> None:
    found = [tuple(row) for row in most_used(popularity, items, 2).collect()]
    assert found == [("chips", 5.0), ("salsa", 4.0)]


def test_a_day_asks_about_the_nearest_neighbors_of_its_most_used_items(
    neighbors: DataFrame, popularity: DataFrame, items: DataFrame
) -> None:
    def pairs(budget: int, most: int = 3) -> list[tuple]:
        heads = most_used(popularity, items, budget)
        settings = PairReasonsSettings(neighbors=most)
        found = head_pairs(neighbors, heads, items, budget, settings).orderBy("rank").collect()
        assert [row["rank"] for row in found] == [*range(1, len(found) + 1)]
        assert {row["category"] for row in found} <= {"SNACKS"}
        return [(row["title"], row["neighbor_title"]) for row in found]

    # The other size is no pair. Of chips, beer is nearest: it stands first in the list of the large
    # ones. An item without a title is neither asked about nor counted.
    assert pairs(3) == [
        ("CORN CHIPS", "BEER"),
        ("CORN CHIPS", "SALSA DIP"),
        ("SALSA DIP", "CORN CHIPS"),
    ]
    # with one head, chips, its second neighbor is its first of another content
    assert pairs(1) == [("CORN CHIPS", "SALSA DIP")]
    assert pairs(10, most=1) == [
        ("CORN CHIPS", "BEER"),
        ("SALSA DIP", "CORN CHIPS"),
        ("BEER", "SALSA DIP"),
    ]


def test_a_sentence_stands_before_the_template_of_every_size(
    spark: SparkSession, items: DataFrame
) -> None:
    asked = spark.createDataFrame(
        [("c-corn chips", "c-salsa dip"), ("c-salsa dip", "c-beer")],
        "content_hash string, neighbor_content_hash string",
    )
    answers = spark.createDataFrame(
        [
            ("c-corn chips", "c-salsa dip", "success", "Salsa for chips.", "v1-a", "m"),
            ("c-salsa dip", "c-beer", "rejected_by_gate", "Beer.", "v1-a", "m"),
            ("c-beer", "c-salsa dip", "success", "Never asked about on this day.", "v1-a", "m"),
        ],
        "content_hash string, neighbor_content_hash string, status string, reason string, "
        "prompt_version string, model string",
    )
    rows = spark.createDataFrame(
        [(i, "salsa", "template") for i in ("chips", "chips-large", "beer")]
        + [("salsa", "beer", "template")],
        "item_id string, neighbor_item_id string, reason string",
    )
    found = with_written_reasons(rows, written_reasons(asked, answers, items))
    assert {tuple(row) for row in found.collect()} == {
        ("chips", "salsa", "Salsa for chips; template", "v1-a", "m"),
        ("chips-large", "salsa", "Salsa for chips; template", "v1-a", "m"),
        ("beer", "salsa", "template", None, None),
        ("salsa", "beer", "template", None, None),
    }


def answer(question: str, number: int) -> Response:
    """A sentence about both products; of beer, one that leaves the other out."""
    pair = json.loads(question)
    title, neighbor = pair["title"], pair["neighbor_title"]
    said = "Cold beer in a can." if neighbor == "beer" else f"{neighbor.capitalize()} for {title}."
    return says(json.dumps({"reason": said}))


def test_a_day_asks_within_its_budget_and_pays_once(
    make_lake: Callable[..., Lake], spark: SparkSession, items: DataFrame, tmp_path: Path
) -> None:
    interactions = spark.createDataFrame(
        [(f"u{n}", "chips", DAY, 1.0) for n in range(3)] + [("u0", "salsa", DAY, 1.0)],
        "user_id string, item_id string, event_date date, weight double",
    )
    candidates = spark.createDataFrame(
        [
            ("cooccurrence", i, n, 1.0 / rank, 3, rank)
            for i, names in NEIGHBORS.items()
            for rank, n in enumerate(names, 1)
        ],
        "method string, item_id string, neighbor_item_id string, score double, support bigint, "
        "rank int",
    )
    runs = iter(range(10))

    def ask(lake: Lake, **params: object) -> EffectResult:
        scratch = tmp_path / f"run-{next(runs)}"
        scratch.mkdir()
        run = lake.by_hand(DAY, Scratch(scratch), RunParams(**params))  # type: ignore[arg-type]
        return ask_pair_reasons(
            run,
            Sink(lake.tables),
            candidates,
            items,
            interactions,
            lake.tables.read(TABLE),
            lake.tables.read("ops.llm_ledger"),
        )

    with serve(answer) as server:
        lake = make_lake(llm_url=server.url, llm_model="double")
        assert ask(lake).rows_in == 0
        first = ask(lake, reason_budget=2)
        again = ask(lake, reason_budget=2)
    assert (first.counts["sent"], first.counts["success"], first.counts["rejected"]) == (2, 1, 1)
    assert (again.counts["sent"], again.counts["cached"]) == (0, 2)
    asked = [json.loads(question) for question in server.questions()]
    assert sorted(asked, key=lambda q: q["neighbor_title"]) == [
        {
            "title": "corn chips",
            "category": "snacks",
            "neighbor_title": neighbor,
            "neighbor_category": "snacks",
        }
        for neighbor in ("beer", "salsa dip")
    ]
    rows = {row["neighbor_content_hash"]: row for row in lake.tables.read(TABLE).collect()}
    assert rows["c-salsa dip"]["reason"] == "Salsa dip for corn chips."
    assert (rows["c-salsa dip"]["status"], rows["c-salsa dip"]["model"]) == ("success", "double")
    assert rows["c-beer"]["status"] == "rejected_by_gate"
