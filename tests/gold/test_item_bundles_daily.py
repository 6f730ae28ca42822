"""gold.item_bundles_daily has the columns of its contract, and the sessions' rules."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from jobs.gold.item_bundles_daily import item_bundles_daily
from jobs.settings import RecallSettings
from tests.recall.shop import (
    column_types,
    contract_types,
    interactions,
    items,
    make_run,
    rows_of,
)


def test_it_has_the_rules_that_enough_users_stand_behind(
    spark: SparkSession, tmp_path: Path
) -> None:
    recall = RecallSettings.model_validate({"bundles": {"min_baskets": 2, "min_support": 2}})
    # 2 of 4 baskets hold a and b, none holds one alone
    both = [(user, item, 0) for user in "uv" for item in "ab"]
    rows = [*both, ("w", "c", 0), ("w", "d", 9)]
    found = item_bundles_daily(
        make_run(tmp_path, recall), interactions(spark, rows), items(spark, "acd", ["b"])
    )
    assert column_types(found) == contract_types("gold.item_bundles_daily")
    assert rows_of(found, *contract_types("gold.item_bundles_daily")) == [
        (
            '["b"] => a',
            1,
            ["b"],
            "a",
            2,
            2,
            1.0,
            2.0,
            1.0,
            "100% of baskets with Product b also hold Product a, 2.0 times as often as usual",
        )
    ]
