"""silver.user_candidates: what each channel hands to the fusion."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.recall.channels.i2i import candidates as i2i
from jobs.recall.channels.new import candidates as new
from jobs.recall.channels.newcomer import candidates as newcomer
from jobs.recall.channels.popular import candidates as popular
from jobs.recall.channels.product_names import candidates as product_names
from jobs.recall.channels.q2i import candidates as q2i
from jobs.recall.channels.seasonal import candidates as seasonal
from jobs.recall.channels.similar_users import candidates as similar_users
from jobs.recall.channels.trending import candidates as trending
from jobs.recall.sources.channels import SimilarUsersSettings
from jobs.settings import RecallSettings
from jobs.vectors.encoder import Encoder
from jobs.vectors.hits import TextHits
from tests.recall.shop import (
    column_types,
    contract_types,
    interactions,
    items,
    make_run,
    rows_of,
    users,
)

EVENTS = [("u", "a", 0), ("v", "b", 40)]
LISTED = "kind string, segment string, rank int, item_id string"


def test_i2i_recalls_the_neighbors_of_what_active_users_took(
    spark: SparkSession, tmp_path: Path
) -> None:
    neighbors = spark.createDataFrame(
        [("a", "c", 0.8), ("b", "c", 0.4), ("b", "gone", 0.9)],
        "item_id string, neighbor_item_id string, score double",
    )
    found = i2i(
        make_run(tmp_path),
        interactions(spark, [*EVENTS, ("inactive", "a", 0)]),
        neighbors,
        items(spark, "abc", unsellable=["gone"]),
        spark.createDataFrame([("u",), ("v",)], "user_id string"),
    )
    assert column_types(found) == contract_types("silver.user_candidates")
    assert rows_of(found, "user_id", "rank", "item_id", "because_item_id") == [
        ("u", 1, "c", "a"),
        ("v", 1, "c", "b"),
    ]


def test_similar_users_recalls_what_a_user_like_this_one_took(
    spark: SparkSession, tmp_path: Path
) -> None:
    # Every strength is 1/2. u and v share a and b: 2 · 1/2 · 1/2 = 1/2 without the exponents, and
    # v's c is worth half of it, 1/4. v is inactive: listened to, but without a list.
    channel = SimilarUsersSettings(likeness_exponent=0, user_exponent=0, popularity_exponent=0)
    taken = [("u", "a", 0), ("u", "b", 0), *(("v", item, 0) for item in "abc"), ("w", "c", 0)]
    found = similar_users(
        make_run(tmp_path, RecallSettings(similar_users=channel)),
        interactions(spark, taken),
        items(spark, "abc"),
        spark.createDataFrame([("u",)], "user_id string"),
    )
    assert column_types(found) == contract_types("silver.user_candidates")
    assert rows_of(found, "user_id", "rank", "item_id", "score", "because_item_id") == [
        ("u", 1, "c", pytest.approx(1 / 4, rel=1e-5), None),
    ]


def test_popular_fills_the_list_of_every_active_user(spark: SparkSession, tmp_path: Path) -> None:
    listed = [("popular", "all", rank, f"i{rank:03}") for rank in range(1, 101)]
    listed += [("trending", "all", rank, f"t{rank}") for rank in range(1, 9)]
    recall = RecallSettings.model_validate({"user": {"items": 5}})
    found = popular(
        make_run(tmp_path, recall),
        interactions(spark, [("u", "i002", 0), ("v", "i001", 30)]),
        spark.createDataFrame(listed, LISTED),
        users(spark, {"u": {"age": "65+"}}),
        spark.createDataFrame([("u",), ("v",), ("new",)], "user_id string"),
    )
    assert column_types(found) == contract_types("silver.user_candidates")
    first_five = ["i001", "i002", "i003", "i004", "i005"]
    assert rows_of(found, "user_id", "rank", "item_id") == [
        (user, rank, item)
        for user, expected in (
            ("new", first_five),
            ("u", ["i001", "i003", "i004", "i005", "i006"]),
            ("v", first_five),
        )
        for rank, item in enumerate(expected, start=1)
    ]


def test_each_kind_of_list_has_its_channel(spark: SparkSession, tmp_path: Path) -> None:
    listed = [
        *(("popular", "all", rank, item) for rank, item in enumerate("abc", 1)),
        *(("trending", "all", rank, item) for rank, item in enumerate("cab", 1)),
        ("trending", "age=65+", 1, "b"),
        ("new", "all", 1, "c"),
        ("new", "all", 2, "a"),
    ]
    by_channel = {}
    for name, channel in {"trending": trending, "new": new, "seasonal": seasonal}.items():
        found = channel(
            make_run(tmp_path),
            interactions(spark, [("u", "c", 30), ("v", "c", 0)]),
            spark.createDataFrame(listed, LISTED),
            users(spark, {"v": {"age": "65+"}}),
            spark.createDataFrame([("u",), ("v",)], "user_id string"),
        )
        assert column_types(found) == contract_types("silver.user_candidates")
        by_channel[name] = rows_of(found, "user_id", "rank", "item_id")
    # u took c a month ago: known for longer than a week, and so no longer new to u.
    assert by_channel == {
        "trending": [("u", 1, "c"), ("u", 2, "a"), ("u", 3, "b"), ("v", 1, "b"), ("v", 2, "a")],
        "new": [("u", 1, "a"), ("v", 1, "a")],
        "seasonal": [],
    }


def test_newcomer_recalls_what_users_with_the_same_attributes_take(
    spark: SparkSession, tmp_path: Path
) -> None:
    ages = {f"{age}{n}": {"age": age} for age in ("young", "old") for n in range(10)}
    taken = [(user, user.rstrip("0123456789"), 0) for user in ages]
    found = newcomer(
        make_run(tmp_path),
        interactions(spark, [*taken, ("n", "a", 0)]),
        items(spark, ["young", "old", "a"]),
        users(spark, ages | {"n": {"age": "young"}}),
        spark.createDataFrame([("n",)], "user_id string"),
    )
    assert column_types(found) == contract_types("silver.user_candidates")
    assert rows_of(found, "user_id", "rank", "item_id") == [("n", 1, "young")]


TEXTS = "text_hash string, prompt_version string, model string"


def user_texts(spark: SparkSession, enriched: list[str], plain: list[str]) -> DataFrame:
    """silver.user_texts of users whose text is made with the LLM's answer, and of others."""
    rows = [(user, f"profile {user}", "t", "v1", "llm") for user in enriched]
    rows += [(user, f"profile {user}", "t", None, None) for user in plain]
    return spark.createDataFrame(rows, f"user_id string, profile_hash string, {TEXTS}")


def user_enrichments(spark: SparkSession, said: dict[str, str]) -> DataFrame:
    """silver.user_enrichments of users, each with one phrase, interest and product."""
    rows = [
        (user, profile, "v1", model, *([words] for _ in range(3)), None)
        for user, words in said.items()
        for profile, model in ((f"profile {user}", "llm"), ("old profile", "llm"))
    ]
    return spark.createDataFrame(
        rows,
        "user_id string, profile_hash string, prompt_version string, model string, "
        "interests array<string>, search_phrases array<string>, next_products array<string>, "
        "interest_weights map<string,double>",
    )


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> dict[str, DataFrame]:
    """Three items; the LLM named one of them, and its answer about another came after the day."""
    titles = {"bun": "HMBRGR BNS 8CT", "ale": "BEER/ALES", "cat": "CAT FOOD"}
    encoder = Encoder.of(make_run(tmp_path).settings.encoder)
    vectors = encoder.encode(["hamburger buns", "beer ales", "cat food"])
    return {
        "interactions": interactions(spark, [("u", "cat", 0)]),
        "items": spark.createDataFrame(
            [(item, title, "c", None, None, True) for item, title in titles.items()],
            "item_id string, title string, category string, brand string, price double, "
            "is_sellable boolean",
        ),
        "item_texts": spark.createDataFrame(
            [
                ("bun", "content bun", "text bun", "v1", "llm"),
                ("ale", "content ale", "text ale", None, None),
                ("cat", "content cat", "text cat", None, None),
            ],
            f"item_id string, content_hash string, {TEXTS}",
        ),
        "item_embeddings": spark.createDataFrame(
            [
                (item, f"text {item}", encoder.name, vector.tolist())
                for item, vector in zip(titles, vectors, strict=True)
            ],
            "item_id string, text_hash string, encoder string, embedding array<float>",
        ),
        "item_enrichments": spark.createDataFrame(
            [
                ("content bun", "v1", "llm", "Hamburger  buns"),
                ("content ale", "v1", "llm", "hamburger buns"),
            ],
            "content_hash string, prompt_version string, model string, standard_name string",
        ),
    }


def test_product_names_recalls_items_by_the_names_that_the_days_answers_give(
    spark: SparkSession, tmp_path: Path, shop: dict[str, DataFrame]
) -> None:
    # The answer about ale is not in the day's text, and v's is not in v's: both were paid later.
    found = product_names(
        make_run(tmp_path),
        **shop,
        user_texts=user_texts(spark, ["u"], ["v"]),
        user_enrichments=user_enrichments(spark, {"u": "burger buns", "v": "cat food"}),
    )
    assert column_types(found) == contract_types("silver.user_candidates")
    assert rows_of(found, "user_id", "rank", "item_id") == [("u", 1, "bun")]


def test_answers_of_the_day_are_needed_by_q2i_and_product_names(
    spark: SparkSession, tmp_path: Path, shop: dict[str, DataFrame]
) -> None:
    # No index has to be there for the day either.
    def no_index(vectors: object, depth: int) -> TextHits:
        raise AssertionError("the index was asked")

    read_by_q2i = ("interactions", "items", "item_texts")
    later = {
        "user_texts": user_texts(spark, [], ["u"]),
        "user_enrichments": user_enrichments(spark, {"u": "cat food"}),
    }
    for number, (channel, reads) in enumerate(
        [
            (q2i, {n: shop[n] for n in read_by_q2i} | {"search": no_index}),
            (product_names, shop),
        ]
    ):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        found = channel(make_run(scratch), **reads, **later)
        assert column_types(found) == contract_types("silver.user_candidates")
        assert rows_of(found, "user_id") == []
