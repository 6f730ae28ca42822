"""What every item similarity method promises, on a checkerboard whose answer needs no model.

Even users take even items and odd users odd ones, so every neighbor has the parity of its item.
They take them on two days, so that each item also follows each other. In the same shop: `hot`
takes everything many times over, `gone` is even and no longer sellable, `unseen` is even and nobody
took it yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.fusion.neighbors import fuse_neighbors
from jobs.recall.fusion.settings import I2ISettings
from jobs.recall.lists.popular import count_uses, recent_uses
from jobs.recall.methods.augmented import augmented_neighbors
from jobs.recall.methods.content import content_neighbors
from jobs.recall.methods.cooccurrence import cooccurrence_neighbors
from jobs.recall.methods.slim import slim_neighbors
from jobs.recall.methods.swing import swing_neighbors
from jobs.recall.methods.transition import transition_neighbors
from jobs.recall.settings.lists import PopularSettings
from jobs.recall.sources.methods import (
    AugmentedSettings,
    ContentSettings,
    CooccurrenceSettings,
    SlimSettings,
    SwingSettings,
    TransitionSettings,
)
from tests.recall.shop import DS, exact_index, interactions, item_vectors, items, rows_of

K = 3
EVEN = ["i0", "i2", "i4", "i6", "i8"]
ODD = ["i1", "i3", "i5", "i7", "i9"]
SELLABLE = [*EVEN, *ODD, "unseen"]
COLUMNS = ("item_id", "rank", "neighbor_item_id", "score")

CHECKERBOARD = [
    *(
        (f"even{n}", item, n + day)
        for day in range(2)
        for n in range(3)
        for item in [*EVEN, "gone"]
        if item != EVEN[n]
    ),
    *(
        (f"odd{n}", item, n + day)
        for day in range(2)
        for n in range(3)
        for item in ODD
        if item != ODD[n]
    ),
    *(("hot", item, days) for item in [*EVEN, *ODD, "gone"] for days in range(9)),
]


class Shop:
    """The inputs of any method, from one list of interactions."""

    def __init__(self, spark: SparkSession, rows: list[tuple], scratch: Path) -> None:
        self.interactions = interactions(spark, rows)
        self.items = items(spark, SELLABLE, unsellable=["gone"])
        self.scratch = Scratch(scratch)
        vectors = dict.fromkeys([*EVEN, "unseen"], (1.0, 0.0)) | dict.fromkeys(ODD, (0.0, 1.0))
        texts = {item: (f"text {vector}", vector) for item, vector in vectors.items()}
        self.texts = item_vectors(spark, texts if rows else {})
        self.search = exact_index(texts)
        # Every item has a tag of its side and one of its own, as "gone" has, which is not on sale.
        sides = {**dict.fromkeys([*EVEN, "unseen", "gone"], "even"), **dict.fromkeys(ODD, "odd")}
        said = [(item, [side, item]) for item, side in sides.items()] if rows else []
        self.described = spark.createDataFrame(said, "item_id string, tags array<string>")


def in_tasks(shop: Shop) -> DataFrame:
    settings = CooccurrenceSettings(neighbors=K)
    return cooccurrence_neighbors(shop.interactions, shop.items, settings, shop.scratch)


def by_shuffle(shop: Shop) -> DataFrame:
    settings = CooccurrenceSettings(neighbors=K, max_matrix_entries=0)
    return cooccurrence_neighbors(shop.interactions, shop.items, settings, shop.scratch)


def slim_in_tasks(shop: Shop) -> DataFrame:
    settings = SlimSettings(neighbors=K)
    return slim_neighbors(shop.interactions, shop.items, settings, shop.scratch)


def slim_by_shuffle(shop: Shop) -> DataFrame:
    settings = SlimSettings(neighbors=K, max_matrix_entries=0)
    return slim_neighbors(shop.interactions, shop.items, settings, shop.scratch)


def swing_in_tasks(shop: Shop) -> DataFrame:
    settings = SwingSettings(neighbors=K)
    return swing_neighbors(shop.interactions, shop.items, settings, shop.scratch)


def swing_by_shuffle(shop: Shop) -> DataFrame:
    settings = SwingSettings(neighbors=K, max_matrix_entries=0)
    return swing_neighbors(shop.interactions, shop.items, settings, shop.scratch)


def transitions(shop: Shop) -> DataFrame:
    settings = TransitionSettings(neighbors=K)
    return transition_neighbors(shop.interactions, shop.items, settings, shop.scratch)


def augmented(shop: Shop) -> DataFrame:
    settings = AugmentedSettings(neighbors=K)
    return augmented_neighbors(shop.described, shop.items, shop.interactions, settings)


def content(shop: Shop) -> DataFrame:
    return content_neighbors(shop.texts, shop.search, ContentSettings(neighbors=K), shop.scratch)


def fused(shop: Shop) -> DataFrame:
    candidates = (
        in_tasks(shop)
        .withColumn("method", F.lit("cooccurrence"))
        .unionByName(slim_in_tasks(shop).withColumn("method", F.lit("slim")))
        .unionByName(content(shop).withColumn("method", F.lit("content")))
    )
    popularity = count_uses(recent_uses(shop.interactions, DS, PopularSettings()))
    return fuse_neighbors(
        candidates, shop.items, shop.texts, popularity, I2ISettings(neighbors=K), shop.scratch
    )


Method = Callable[[Shop], DataFrame]
METHODS: list[Method] = [
    in_tasks,
    by_shuffle,
    slim_in_tasks,
    slim_by_shuffle,
    swing_in_tasks,
    swing_by_shuffle,
    transitions,
    augmented,
    content,
    fused,
]


@pytest.fixture(scope="module", params=METHODS, ids=lambda method: method.__name__)
def method(request: pytest.FixtureRequest) -> Method:
    return request.param


@pytest.fixture(scope="module")
def rows(
    method: Method, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple]:
    """What the method lists on the checkerboard."""
    shop = Shop(spark, CHECKERBOARD, tmp_path_factory.mktemp("checkerboard"))
    return rows_of(method(shop), *COLUMNS)


def lists(rows: Iterable[tuple]) -> dict[str, list[str]]:
    """Each item's neighbors in rank order."""
    found: dict[str, list[str]] = {}
    for item, _, neighbor, _ in rows:
        found.setdefault(item, []).append(neighbor)
    return found


def test_neighbors_have_the_parity_of_their_item(rows: list[tuple]) -> None:
    sides = [{*EVEN, "gone", "unseen"}, set(ODD)]
    assert {item for item, *_ in rows} >= {*EVEN, *ODD}
    assert all({item, neighbor} <= sides[item in ODD] for item, _, neighbor, _ in rows)


def test_no_item_is_its_own_neighbor(rows: list[tuple]) -> None:
    assert all(item != neighbor for item, _, neighbor, _ in rows)


def test_a_neighbor_is_listed_once(rows: list[tuple]) -> None:
    assert all(len(set(found)) == len(found) for found in lists(rows).values())


def test_lists_have_k_neighbors_ranked_from_1_with_falling_scores(rows: list[tuple]) -> None:
    for item, found in lists(rows).items():
        mine = [row for row in rows if row[0] == item]
        assert len(found) == K
        assert [rank for _, rank, _, _ in mine] == [1, 2, 3]
        assert mine == sorted(mine, key=lambda row: (-row[3], row[2]))
        assert all(score > 0 for *_, score in mine)


def test_what_is_not_sellable_is_never_a_neighbor(rows: list[tuple]) -> None:
    assert "gone" not in {neighbor for _, _, neighbor, _ in rows}


def test_an_item_that_nobody_took_is_found_by_its_text_or_its_description_alone(
    method: Method, rows: list[tuple]
) -> None:
    assert ("unseen" in lists(rows)) == (method in (content, augmented, fused))


def test_the_order_of_the_input_does_not_change_a_row(
    method: Method, rows: list[tuple], spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(spark, CHECKERBOARD[::-1], tmp_path)
    shop.interactions = shop.interactions.repartition(3)
    assert rows_of(method(shop), *COLUMNS) == rows


def test_no_interactions_and_no_texts_give_no_neighbors(
    method: Method, spark: SparkSession, tmp_path: Path
) -> None:
    assert rows_of(method(Shop(spark, [], tmp_path)), *COLUMNS) == []
