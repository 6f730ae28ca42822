"""The demo's last page, on the small lake of the command line's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.demo.page import ledger, published_days, published_rows, sections
from jobs.lake.sql import LakeSql
from jobs.settings import get_settings
from tests.cli.small_lake import D28, D29, D30, write_small_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> LakeSql:
    folder = tmp_path_factory.mktemp("page") / "lake"
    write_small_lake(folder)
    return LakeSql(str(folder), get_settings().contracts)


def test_rows_are_counted_by_gold_table_and_day(lake: LakeSql) -> None:
    def row(table: str, *counts: int) -> dict[str, object]:
        days = ("2017-12-28", "2017-12-29", "2017-12-30")
        return {"table": table, **dict(zip(days, counts, strict=True))}

    assert published_rows(lake, [D30, D28, D29]) == [
        row("gold.i2i_daily", 0, 6, 6),
        row("gold.user_recall_daily", 0, 2, 4),
        row("gold.popular_items_daily", 0, 2, 3),
        row("gold.item_bundles_daily", 0, 3, 3),
    ]


def test_a_day_counts_as_published_when_both_recommendation_tables_have_it(
    lake: LakeSql, tmp_path: Path
) -> None:
    assert published_days(lake, [D28, D29, D30]) == {D29, D30}
    empty = LakeSql(str(tmp_path), get_settings().contracts)
    assert published_days(empty, [D28, D29, D30]) == set()


def test_the_page_is_about_the_last_day_and_names_items(lake: LakeSql) -> None:
    found = sections(lake, [D29, D30])
    assert [section.title for section in found] == [
        "Published rows by day",
        "Neighbors of five best sellers, 2017-12-30",
        "Recalled for user ann, 2017-12-30",  # two channels, so she comes first
        "Recalled for user bob, 2017-12-30",
        "LLM requests by prompt",
    ]
    neighbors = [(row["item"], row["rank"], row["neighbor"]) for row in found[1].rows]
    assert neighbors == [
        ("MILK 2% GALLON", 1, "WHITE BREAD"),
        ("MILK 2% GALLON", 2, "BUTTER STICKS"),
        ("WHITE BREAD", 1, "MILK 2% GALLON"),
        ("WHITE BREAD", 2, "STRAWBERRY JAM"),
    ]
    assert found[1].rows[0]["reason"] == (
        "chosen together by 41 users; similar product: WHITE BREAD"
    )
    assert found[1].rows[0]["methods"] == "content, cooccurrence, slim"
    recalled = [(row["rank"], row["item"], row["channel"]) for row in found[2].rows]
    assert recalled == [(1, "BUTTER STICKS", "i2i"), (2, "MILK 2% GALLON", "similar_users")]


def test_the_ledger_is_added_up_by_prompt(lake: LakeSql) -> None:
    assert ledger(lake)[0] == {
        "prompt": "item",
        "requests": 3,
        "sent": 900,
        "cached": 768,
        "received": 180,
        "success": 1,
        "rejected": 1,
        "repeated": 0,
        "failed": 1,
    }
