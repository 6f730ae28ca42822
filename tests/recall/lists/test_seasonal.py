"""Seasonal items: shares of use in the same weeks of earlier years, worked by hand."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from jobs.recall.lists.seasonal import seasonal_items, seasonal_measure
from jobs.recall.settings.lists import PopularSettings, SeasonalSettings
from tests.recall.lists.counted import counted
from tests.recall.shop import DS, items, rows_of

COLUMNS = ("segment", "rank", "item_id", "score", "users_count")
SETTINGS = SeasonalSettings(window_days=7, years=2, min_users=2, smoothing=1)
SEGMENTS = PopularSettings(segment_attribute="age", segment_min_users=2)
AGES = {"u": {"age": "young"}, "v": {"age": "young"}, "w": {}}


def seasonal(spark: SparkSession, rows: list[tuple], **settings: float) -> list[tuple]:
    chosen = SETTINGS.model_copy(update=settings)
    counts = counted(spark, rows, AGES, seasonal_measure(DS, chosen), SEGMENTS)
    found = seasonal_items(counts, items(spark, "abcd", unsellable=["gone"]), chosen)
    return [row for row in rows_of(found, *COLUMNS) if row[0] == "all"]


ROWS = [
    # 52 weeks ago, and a week from it on either side
    ("u", "a", 364),
    ("v", "a", 357),
    ("u", "b", 371),
    # the same year, out of season
    *((user, "b", day) for user, day in (("u", 300), ("v", 250), ("w", 200))),
    # two years ago
    ("u", "d", 728),
    ("v", "d", 728),
]


def test_use_in_the_season_is_held_against_that_of_the_whole_years(spark: SparkSession) -> None:
    # In season 2 of a, 1 of b, 2 of d; in the years 2, 4 and 2: 5/8 is the share of the season.
    # a and d: (2 / (5/8) + 1) / (2 + 1) = 1.4. b: (1 / (5/8) + 1) / (4 + 1), below 1.
    expected = [("all", 1, "a", 1.4, 2), ("all", 2, "d", 1.4, 2)]
    assert seasonal(spark, ROWS) == expected
    # This half year, the third year, the same day again and a return change nothing.
    more = [("u", "c", 0), ("v", "c", 181), ("w", "c", 3 * 364), ("u", "a", 364)]
    assert seasonal(spark, [*ROWS, *more, ("w", "b", 364, -1.0)]) == expected


@pytest.mark.parametrize(
    ("days_ago", "is_in_season"),
    [(356, False), (357, True), (371, True), (372, False), (721, True), (736, False)],
)
def test_a_season_ends_with_its_window(
    spark: SparkSession, days_ago: int, is_in_season: bool
) -> None:
    rows = [("u", "a", days_ago), ("v", "a", days_ago), ("w", "b", 200), ("w", "c", 364)]
    assert [row[2] for row in seasonal(spark, rows)] == (["a"] if is_in_season else [])


def test_one_year_forgets_the_one_before_it(spark: SparkSession) -> None:
    assert [row[2] for row in seasonal(spark, ROWS, years=1)] == ["a"]


def test_without_an_earlier_year_there_is_nothing(spark: SparkSession) -> None:
    assert seasonal(spark, [(user, "a", day) for user in "uvw" for day in (0, 30, 181)]) == []


def test_few_users_and_what_cannot_be_sold_are_left_out(spark: SparkSession) -> None:
    rows = [("u", "gone", 364), ("v", "gone", 364), ("w", "c", 364), ("w", "c", 363)]
    assert seasonal(spark, [*ROWS, *rows]) == [
        ("all", 1, "a", pytest.approx((2 / 0.75 + 1) / 3, abs=1e-6), 2),
        ("all", 2, "d", pytest.approx((2 / 0.75 + 1) / 3, abs=1e-6), 2),
    ]
