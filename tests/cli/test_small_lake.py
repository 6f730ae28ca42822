"""The small lake's lists are what the fusion makes of its candidates, to the last word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.scratch import Scratch
from jobs.lake.sql import LakeSql
from jobs.recall.fusion.neighbors import fuse_neighbors
from jobs.recall.fusion.settings import I2ISettings, UserRecallSettings
from jobs.recall.fusion.user_lists import fuse_channels
from jobs.recall.lists.bundles import best_rules, with_reasons
from jobs.settings import Settings
from tests.cli.small_lake import D30

Day = Callable[[str], list[dict[str, Any]]]
ITEMS = (
    "SELECT item_id, arg_max(title, valid_from) AS title, arg_max(category, valid_from) AS "
    "category, arg_max(is_sellable, valid_from) AS is_sellable FROM silver.items GROUP BY item_id"
)
LIST_LENGTH = 2


@pytest.fixture(scope="module")
def day(small_lake: Path) -> Day:
    """The rows of a query that may name D30 as `$ds`."""
    lake = LakeSql(str(small_lake), Settings().contracts)
    return lambda query: lake.query(query, {"ds": D30}).records()


@pytest.fixture(scope="module")
def frame(spark: SparkSession, day: Day) -> Callable[[str], DataFrame]:
    return lambda query: spark.createDataFrame(pa.Table.from_pylist(day(query)))


def key(row: dict[str, Any], *columns: str) -> tuple[Any, ...]:
    return tuple(row[column] for column in columns)


def test_neighbors_are_fused_as_the_product_does(
    day: Day, frame: Callable[[str], DataFrame], tmp_path: Path
) -> None:
    fused = fuse_neighbors(
        frame("SELECT * EXCLUDE ds FROM silver.i2i_candidates WHERE ds = $ds"),
        frame(ITEMS),
        frame("SELECT item_id FROM silver.item_texts WHERE ds = $ds"),
        frame(
            "SELECT item_id, score FROM gold.popular_items_daily "
            "WHERE ds = $ds AND kind = 'popular'"
        ),
        # of five users content would speak for nearly all that behaviour leaves silent
        I2ISettings(neighbors=LIST_LENGTH, content_trust=0),
        Scratch(tmp_path),
    )
    # a list of one neighbor is filled by the product, and left short here
    found = {
        key(row, "item_id", "neighbor_item_id"): row
        for row in (row.asDict() for row in fused.collect())
        if row["methods"] != ["popular"]
    }
    rows = day("SELECT * EXCLUDE ds FROM gold.i2i_daily WHERE ds = $ds")
    assert found.keys() == {key(row, "item_id", "neighbor_item_id") for row in rows}
    for row in rows:
        made = found[key(row, "item_id", "neighbor_item_id")]
        assert key(row, "rank", "methods", "reason") == key(made, "rank", "methods", "reason")
        assert made["score"] == pytest.approx(row["score"])
        assert made["method_scores"] == pytest.approx(row["method_scores"])


def test_bundles_are_ranked_and_read_as_the_product_writes_them(
    day: Day, frame: Callable[[str], DataFrame]
) -> None:
    rows = day("SELECT * EXCLUDE ds FROM gold.item_bundles_daily WHERE ds = $ds ORDER BY rank")
    rules = "SELECT * EXCLUDE (ds, rank, reason) FROM gold.item_bundles_daily WHERE ds = $ds"
    made = with_reasons(best_rules(frame(rules), len(rows)), frame(ITEMS))
    words = ("rule_id", "rank", "reason")
    found = sorted((key(row.asDict(), *words) for row in made.collect()), key=lambda row: row[1])
    assert found == [key(row, *words) for row in rows]


def test_users_lists_are_fused_as_the_product_does(
    spark: SparkSession, day: Day, frame: Callable[[str], DataFrame], tmp_path: Path
) -> None:
    fused = fuse_channels(
        frame("SELECT * EXCLUDE ds FROM silver.user_candidates WHERE ds = $ds"),
        frame(ITEMS),
        frame("SELECT user_id FROM silver.user_profiles WHERE ds = $ds"),
        frame(
            "SELECT item_id, users_count FROM gold.popular_items_daily "
            "WHERE ds = $ds AND kind = 'popular'"
        ),
        frame("SELECT * EXCLUDE ds FROM gold.i2i_daily WHERE ds = $ds"),
        spark.createDataFrame(
            [], "user_id string, item_id string, event_type string, event_date date"
        ),
        D30,
        UserRecallSettings(items=LIST_LENGTH),
        Scratch(tmp_path),
    )
    words = ("user_id", "rank", "item_id", "channel", "because_item_id", "reason")
    found = sorted((row.asDict() for row in fused.collect()), key=lambda row: key(row, *words[:2]))
    rows = day(
        "SELECT * EXCLUDE ds FROM gold.user_recall_daily WHERE ds = $ds ORDER BY user_id, rank"
    )
    assert [key(row, *words) for row in found] == [key(row, *words) for row in rows]
    for made, row in zip(found, rows, strict=True):
        assert made["score"] == pytest.approx(row["score"])
        assert made["channel_scores"] == pytest.approx(row["channel_scores"])
