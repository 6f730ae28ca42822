"""Content neighbors and the vector channel through a real Milvus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from infra.stack import milvus
from jobs.lake import Run
from jobs.lake.errors import UpstreamMissing
from jobs.lake.settings import Sections
from jobs.milvus.items import items_index, search_of_day
from jobs.recall.channels.q2i import candidates as q2i
from jobs.recall.channels.vector import candidates as vector
from jobs.recall.methods.content import candidates as content
from jobs.settings import Settings
from jobs.vectors.encoder import GRID, Encoder
from jobs.vectors.hits import TextSearch
from tests.recall.shop import (
    DS,
    column_types,
    contract_types,
    interactions,
    items,
    make_run,
    rows_of,
)

pytestmark = pytest.mark.server

# item → the direction of its text; b1 to b3 share one text. Cosine of bread with rye is 0.8.
BREAD, RYE, MILK = (1.0, 0.0), (0.8, 0.6), (0.0, 1.0)
DIRECTIONS = {"b1": BREAD, "b2": BREAD, "b3": BREAD, "m1": MILK, "r1": RYE}


@pytest.fixture(scope="module")
def milvus_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with milvus(tmp_path_factory.mktemp("milvus")) as uri:
        yield uri


@pytest.fixture
def run(milvus_uri: str, tmp_path: Path) -> Run:
    """A run with an approximate index. With an exact one nothing has to be asked for the lists."""
    settings = Settings(home=tmp_path, milvus_uri=milvus_uri, milvus_index="HNSW")
    return replace(make_run(tmp_path), settings=Sections(settings))


def search(run: Run) -> TextSearch:
    """What the runtime opens for the run."""
    return search_of_day(run.settings, run.ds)


def texts(spark: SparkSession, id_column: str, directions: dict[str, tuple]) -> DataFrame:
    rows = [(name, f"text {direction}") for name, direction in directions.items()]
    return spark.createDataFrame(rows, f"{id_column} string, text_hash string")


def embeddings(
    spark: SparkSession, id_column: str, directions: dict[str, tuple], encoder: str
) -> DataFrame:
    rows = [
        (name, f"text {direction}", encoder, (np.rint(np.array(direction) * GRID) / GRID).tolist())
        for name, direction in directions.items()
    ]
    return spark.createDataFrame(
        rows, f"{id_column} string, text_hash string, encoder string, embedding array<float>"
    )


def test_neighbors_and_user_hits_come_from_the_index_of_the_day(
    spark: SparkSession, run: Run
) -> None:
    encoder = Encoder.of(run.settings.encoder).name
    item_texts = texts(spark, "item_id", DIRECTIONS)
    item_embeddings = embeddings(spark, "item_id", DIRECTIONS, encoder)
    catalogue = items(spark, DIRECTIONS)
    items_index(run, None, item_texts, item_embeddings)

    found = content(run, catalogue, item_texts, item_embeddings, search(run))
    assert column_types(found) == contract_types("silver.i2i_candidates")
    assert rows_of(found, "item_id", "rank", "neighbor_item_id") == [
        ("b1", 1, "b2"),
        ("b1", 2, "b3"),
        ("b1", 3, "r1"),
        ("b2", 1, "b1"),
        ("b2", 2, "b3"),
        ("b2", 3, "r1"),
        ("b3", 1, "b1"),
        ("b3", 2, "b2"),
        ("b3", 3, "r1"),
        ("m1", 1, "r1"),
        ("r1", 1, "b1"),
        ("r1", 2, "b2"),
        ("r1", 3, "b3"),
        ("r1", 4, "m1"),
    ]

    tastes = {"u": MILK, "v": RYE}
    recalled = vector(
        run,
        interactions(spark, [("v", "r1", 0)]),
        catalogue,
        item_texts,
        item_embeddings,
        texts(spark, "user_id", tastes),
        embeddings(spark, "user_id", tastes, encoder),
        search(run),
    )
    assert column_types(recalled) == contract_types("silver.user_candidates")
    assert rows_of(recalled, "user_id", "rank", "item_id") == [
        ("u", 1, "m1"),
        ("u", 2, "r1"),
        ("v", 1, "b1"),
        ("v", 2, "b2"),
        ("v", 3, "b3"),
        ("v", 4, "m1"),
    ]


def test_phrases_of_the_llm_find_items_in_the_index_of_the_day(
    spark: SparkSession, run: Run
) -> None:
    tomorrow = replace(run, ds=DS + timedelta(days=1))
    encoder = Encoder.of(run.settings.encoder)
    words = {"bun": "hamburger buns, bread", "cat": "cat food", "oil": "motor oil, automotive"}
    item_texts = spark.createDataFrame(list(words.items()), "item_id string, text_hash string")
    item_embeddings = spark.createDataFrame(
        [
            (item, words[item], encoder.name, vector.tolist())
            for item, vector in zip(words, encoder.encode([*words.values()]), strict=True)
        ],
        "item_id string, text_hash string, encoder string, embedding array<float>",
    )
    items_index(tomorrow, None, item_texts, item_embeddings)
    said = "user_id string, profile_hash string, prompt_version string, model string"
    found = q2i(
        tomorrow,
        interactions(spark, []),
        items(spark, words),
        item_texts,
        spark.createDataFrame([("u", "p", "v1", "llm"), ("v", "p", None, None)], said),
        spark.createDataFrame(
            [
                ("u", "p", "v1", "llm", ["kittens"], ["burger buns"], [], None),
                ("v", "p", "v1", "llm", [], ["motor oil"], [], None),
            ],
            f"{said}, interests array<string>, search_phrases array<string>, "
            "next_products array<string>, interest_weights map<string,double>",
        ),
        search(tomorrow),
    )
    assert column_types(found) == contract_types("silver.user_candidates")
    # u's answer is in the day's text, v's came after it.
    assert rows_of(found, "user_id", "rank", "item_id") == [("u", 1, "bun"), ("u", 2, "cat")]


def test_a_day_that_is_not_loaded_is_refused_and_says_what_to_run(
    spark: SparkSession, run: Run
) -> None:
    yesterday = replace(run, ds=DS.replace(day=1))
    encoder = Encoder.of(run.settings.encoder).name
    with pytest.raises(UpstreamMissing, match=r"reclake run milvus\.items --ds 2026-11-01"):
        content(
            yesterday,
            items(spark, DIRECTIONS),
            texts(spark, "item_id", DIRECTIONS),
            embeddings(spark, "item_id", DIRECTIONS, encoder),
            search(yesterday),
        )


def test_a_day_without_texts_needs_no_index(spark: SparkSession, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    nothing = texts(spark, "item_id", DIRECTIONS).limit(0)
    vectors = embeddings(spark, "item_id", DIRECTIONS, Encoder.of(run.settings.encoder).name)
    assert (
        rows_of(content(run, items(spark, DIRECTIONS), nothing, vectors, search(run)), "item_id")
        == []
    )
