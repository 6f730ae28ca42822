"""Steps of the daily run on a train part: which can be made, from what, and what is made again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from jobs.evaluation.data import INTERACTIONS
from jobs.evaluation.methods import Bench, UnknownMethod, check_methods, methods_for, prepare
from jobs.settings import RecallSettings, Settings
from jobs.vectors.encoder import Encoder
from tests.recall.shop import rows_of

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OF_ANY_DATA = [
    *("default", "i2i"),
    *("cooccurrence", "session", "slim", "swing", "transition"),
    *("repurchase", "similar_users", "trending", "new", "seasonal", "popular"),
]
TAKEN = [("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("v", "c"), ("w", "a")]
FACTS = "gold.data_report_daily"
COOCCURRENCE = "silver.i2i_candidates.cooccurrence"
BY_COOCCURRENCE = "silver.user_candidates.i2i of cooccurrence"


def interactions() -> pa.Table:
    rows = [(user, item, NOON, NOON.date(), None, 1.0, "purchase", 1.0) for user, item in TAKEN]
    columns = zip(*rows, strict=True)
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, INTERACTIONS, strict=True)],
        schema=INTERACTIONS,
    )


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    """A text that begins with b has the first direction, any other the second."""
    return np.array([[text[0] == "b", text[0] != "b"] for text in texts], np.float32)


@pytest.fixture
def started() -> list[str]:
    """The steps that began."""
    return []


@pytest.fixture
def bench(spark: SparkSession, tmp_path: Path, started: list[str]) -> Bench:
    settings = Settings(home=tmp_path / "home")
    users = pa.array(["u", "v", "w"])
    train = prepare(
        spark, interactions(), None, users, NOON.date(), settings, tmp_path, encode=encode
    )
    return Bench(train, tmp_path, started.append)


def recall(bench: Bench, **changes: dict[str, float]) -> RecallSettings:
    return bench.train.settings.recall.with_changes(changes)


def test_what_can_be_evaluated_follows_from_what_the_data_has() -> None:
    assert methods_for([]) == OF_ANY_DATA
    assert set(methods_for(["texts"])) == {*OF_ANY_DATA, "content"}
    assert set(methods_for(["texts", "tags"])) == {*OF_ANY_DATA, "content", "augmented"}
    assert "newcomer" in methods_for(["attributes of users"])


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("swimming", "swimming: no such method; one of default, i2i, cooccurrence, "),
        ("content", "content: needs the texts of the items; name them with --items"),
        ("augmented", "augmented: needs what an LLM said of the items: a column tags"),
        ("vector", "vector: needs texts of users, which files to evaluate on do not have"),
        ("newcomer", "newcomer: needs attributes of users, which files to evaluate on do not have"),
    ],
)
def test_what_cannot_be_evaluated_says_what_it_needs(method: str, message: str) -> None:
    with pytest.raises(UnknownMethod, match=message):
        check_methods(["popular", method], [])
    check_methods(["popular", "content"], ["texts"])


def test_the_tables_hold_the_train_part_and_one_answer_a_text(
    spark: SparkSession, tmp_path: Path
) -> None:
    encoded: list[list[str]] = []

    def watched(texts: Sequence[str]) -> NDArray[np.float32]:
        encoded.append(list(texts))
        return encode(texts)

    texts = pa.table({"item_id": ["c", "b", "new"], "text": ["beer", "milk", "beer"]})
    settings = Settings(home=tmp_path)
    train = prepare(
        spark, interactions(), texts, pa.array(["w"]), NOON.date(), settings, tmp_path, watched
    )
    assert encoded == [["beer", "milk"]]
    assert train.known == {"texts"}
    assert rows_of(train.tables["silver.items"], "item_id", "title", "is_sellable") == [
        ("a", None, True),
        ("b", "milk", True),
        ("c", "beer", True),
        ("new", "beer", True),
    ]
    for table in ("silver.users", "silver.user_profiles"):
        assert rows_of(train.tables[table], "user_id") == [("w",)]
    assert rows_of(train.tables["silver.interactions"], "user_id", "item_id") == TAKEN
    hashes = dict(rows_of(train.tables["silver.item_texts"], "item_id", "text_hash"))
    assert hashes.keys() == {"b", "c", "new"}
    assert hashes["c"] == hashes["new"] != hashes["b"]
    vectors = train.tables["silver.item_embeddings"]
    assert rows_of(vectors, "item_id", "encoder", "embedding") == [
        (item, Encoder.of(settings).name, vector)
        for item, vector in (("b", [0.0, 1.0]), ("c", [1.0, 0.0]), ("new", [1.0, 0.0]))
    ]
    # beer is the text of c and new
    assert train.search(np.array([[1, 0]], np.float32), 5) == ([["c", "b"]], [[1.0, 0.0]])


def test_a_methods_own_lists_stand_in_the_place_of_the_fused_ones(
    bench: Bench, started: list[str]
) -> None:
    # Two users took both a and b, one took c beside them. What was taken this week is left out.
    assert rows_of(bench.lists("cooccurrence"), "user_id", "rank", "item_id") == [("w", 1, "b")]
    assert started == [FACTS, COOCCURRENCE, BY_COOCCURRENCE]


def test_what_settings_do_not_change_is_not_made_again(bench: Bench, started: list[str]) -> None:
    bench.lists("cooccurrence")

    def began(**changes: dict[str, float]) -> list[str]:
        started.clear()
        bench.with_recall(recall(bench, **changes)).lists("cooccurrence")
        return list(started)

    assert began() == []
    assert began(swing={"alpha": 2.0}, user={"diversity": 0.5}) == []
    assert began(item_history={"history_length": 1}) == [BY_COOCCURRENCE]
    assert began(cooccurrence={"min_support": 1}) == [COOCCURRENCE, BY_COOCCURRENCE]
    # once more what is there already
    assert began(item_history={"history_length": 1}) == []


def test_a_method_costs_what_all_its_steps_cost(bench: Bench) -> None:
    bench.lists("popular")
    bench.lists("cooccurrence")
    of_one = bench.cost("cooccurrence")
    assert all(number > 0 for number in of_one)
    bench.with_recall(recall(bench, item_history={"history_length": 1})).lists("cooccurrence")
    # lists made under other settings are no cost of these
    assert bench.cost("cooccurrence") == of_one
