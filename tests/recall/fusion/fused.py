"""One list of neighbors from rows written by hand."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.fusion.neighbors import fuse_neighbors
from jobs.recall.fusion.settings import I2ISettings
from tests.recall.shop import i2i_candidates, items, rows_of

I2I = ("item_id", "rank", "neighbor_item_id", "score", "methods", "method_scores", "reason")
CATEGORIES = dict.fromkeys("abcd", "BREAD") | {"m": "MILK", "n": "MILK"}


def fuse_i2i(
    spark: SparkSession,
    scratch: Path,
    candidates: list[tuple],
    k: int,
    sellable: str = "abcdmn",
    unsellable: str = "",
    texts: str = "",
    content_trust: float = 0.0,
    cold_users: float = 1.0,
) -> list[dict]:
    found = fuse_neighbors(
        i2i_candidates(spark, candidates or [("content", "-", "-", 1.0, None)]),
        items(spark, sellable, unsellable, CATEGORIES),
        spark.createDataFrame([(i,) for i in texts or ["-"]], "item_id string"),
        spark.createDataFrame([("a", 4.0), ("b", 2.0), ("m", 9.0)], "item_id string, score double"),
        I2ISettings(
            neighbors=k,
            weights={"cooccurrence": 0.75, "content": 0.25},
            content_trust=content_trust,
            cold_users=cold_users,
        ),
        Scratch(scratch),
    )
    return [dict(zip(I2I, row, strict=True)) for row in rows_of(found.orderBy("item_id"), *I2I)]
