"""Why a row is recommended, in the words of the source that found it."""

from __future__ import annotations

import pytest
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from jobs.recall.fusion.fill import FILL_METHOD
from jobs.recall.fusion.reasons import filled, neighbor_reason, user_reason
from jobs.recall.fusion.settings import I2ISettings, UserRecallSettings


def reasons(spark: SparkSession, sources: dict[str, str], reason: Column) -> dict[str, str]:
    """Of each source the reason of a row that it alone found."""
    rows = [({source: 1.0},) for source in sources]
    found = spark.createDataFrame(rows, "scores map<string,double>").select("scores", reason)
    return {next(iter(dict(scores))): why for scores, why in found.collect()}


def test_every_method_says_why_it_lists_a_neighbor(spark: SparkSession) -> None:
    expected = {
        "cooccurrence": "chosen together by 3 users",
        "session": "chosen together by 3 users",
        "slim": "chosen together by 3 users",
        "swing": "chosen together by 3 users",
        "transition": "users took it soon after",
        "augmented": "put together by a language model",
        "content": "similar product: Tea",
        "popular": "popular in DRINKS",
    }
    assert set(expected) == {*I2ISettings().weights, FILL_METHOD}
    words = (F.lit(3), F.lit("Tea"), F.lit("DRINKS"))
    assert reasons(spark, expected, neighbor_reason(F.col("scores"), *words)) == expected


def test_every_channel_says_why_it_recalls_an_item(spark: SparkSession) -> None:
    expected = {
        "i2i": "goes with your Tea",
        "similar_users": "users with a taste like yours took it",
        "repurchase": "you took it before",
        "vector": "fits your interests",
        "popular": "popular with 3 users lately",
        "trending": "taken more than usual lately",
        "new": "new in the shop",
        "seasonal": "in season",
        "newcomer": "users like you take it more than others do",
        "q2i": "fits what you may search for",
        "product_names": "may be what you buy next",
    }
    assert set(expected) == set(UserRecallSettings().weights)
    words = (F.lit("Tea"), F.lit(3))
    assert reasons(spark, expected, user_reason(F.col("scores"), *words)) == expected


def test_sources_of_one_reason_say_it_once_and_all_others_in_the_order_of_their_entries(
    spark: SparkSession,
) -> None:
    found = dict.fromkeys(["content", "swing", "slim", FILL_METHOD], 1.0)
    frame = spark.createDataFrame([(found,)], "scores map<string,double>")
    nothing = F.lit(None).cast("string")
    reason = neighbor_reason(F.col("scores"), F.lit(1), nothing, nothing)
    ((said,),) = frame.select(reason).collect()
    assert said == "chosen together by 1 user; similar product: untitled; popular in the shop"


def test_a_phrase_is_filled_with_columns_of_the_names_that_it_has(spark: SparkSession) -> None:
    values = {"title": F.lit("Tea"), "users": F.lit(None).cast("string")}
    phrases = ["{title}", "like {title}, as {title} is", "by {users}", "plain"]
    (row,) = spark.range(1).select(*(filled(phrase, values) for phrase in phrases)).collect()
    assert list(row) == ["Tea", "like Tea, as Tea is", None, "plain"]
    with pytest.raises(KeyError, match="colour"):
        filled("a {colour} one", values)
