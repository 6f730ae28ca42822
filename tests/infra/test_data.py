"""The demo's drops: what each day has, and that it knows nothing of later days."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.demo.data import (
    SELLABLE_DAYS,
    OtherSample,
    daily_items,
    sample,
    sellable_changes,
    write_drops,
    write_frames,
)

FIRST = pd.Timestamp("2017-01-01")

PRODUCTS = pd.DataFrame(
    {
        "product_id": [30, 10, 20],
        "manufacturer_id": [1, 1, 2],
        "department": ["GROCERY", "GROCERY", "MEAT"],
        "brand": ["National", "Private", "National"],
        "product_category": ["SOUP", None, "BEEF"],
        "product_type": ["TOMATO", "PEA", "GROUND"],
        "package_size": ["1 LB", None, "2 LB"],
    }
)
HOUSEHOLDS = pd.DataFrame({"household_id": [1], "age": ["65+"]})


def sales(*product_and_day: tuple[int, int]) -> pd.DataFrame:
    """Transaction lines; days count from the first of January, 0 first."""
    return pd.DataFrame(
        {
            "household_id": [1] * len(product_and_day),
            "product_id": [product for product, _ in product_and_day],
            "quantity": [1] * len(product_and_day),
            "transaction_timestamp": [
                FIRST + pd.Timedelta(days=day, hours=12) for _, day in product_and_day
            ],
        }
    )


def changes(*product_and_day: tuple[int, int]) -> list[tuple[int, int, bool]]:
    found = sellable_changes(sales(*product_and_day))
    days = (found["day"] - FIRST).dt.days
    return sorted(zip(found["product_id"], days, found["is_sellable"], strict=True))


def test_a_product_begins_on_a_sale_and_stops_on_the_ninetieth_day_after_it() -> None:
    # 20 keeps the data going to day 200, and is itself sold again within 90 days each time
    assert changes((10, 0), (20, 0), (20, 90), (20, 180), (20, 200)) == [
        (10, 0, True),
        (10, 90, False),
        (20, 0, True),
    ]


def test_a_product_sold_again_on_the_ninety_first_day_was_away_for_one_day() -> None:
    assert changes((10, 0), (10, 91)) == [(10, 0, True), (10, 90, False), (10, 91, True)]


def test_the_first_drop_is_the_whole_catalogue_and_later_ones_what_changed() -> None:
    drops = dict(daily_items(sales((10, 0), (20, 3), (20, 90)), PRODUCTS))
    seen = {
        str(day): list(zip(rows["product_id"], rows["is_sellable"], strict=True))
        for day, rows in drops.items()
    }
    assert seen == {
        "2017-01-01": [(10, True), (20, False), (30, False)],
        "2017-01-04": [(20, True)],
        "2017-04-01": [(10, False)],  # day 90
    }


def test_files_have_the_shops_columns_and_land_by_day(tmp_path: Path) -> None:
    transactions = sales((10, 0), (20, 0), (30, 2))
    assert write_frames(tmp_path, transactions, PRODUCTS, HOUSEHOLDS) == 5
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*/*")) == [
        "events/ds=2017-01-01/transactions.parquet",
        "events/ds=2017-01-03/transactions.parquet",
        "items/ds=2017-01-01/products.parquet",
        "items/ds=2017-01-03/products.parquet",
        "users/ds=2017-01-01/households.parquet",
    ]
    events = pq.read_table(tmp_path / "events/ds=2017-01-01/transactions.parquet")
    assert events.column_names == list(transactions.columns)
    assert events["product_id"].to_pylist() == [10, 20]
    items = pq.read_table(tmp_path / "items/ds=2017-01-03/products.parquet")
    assert items.column_names == [*PRODUCTS.columns, "is_sellable"]
    assert items.to_pylist()[0]["product_id"] == 30


def test_a_drop_that_is_there_stays_and_one_that_is_missing_is_written(tmp_path: Path) -> None:
    transactions = sales((10, 0), (20, 1))
    write_frames(tmp_path, transactions, PRODUCTS, HOUSEHOLDS)
    kept = tmp_path / "events/ds=2017-01-01/transactions.parquet"
    gone = tmp_path / "events/ds=2017-01-02/transactions.parquet"
    before, content = kept.stat().st_mtime_ns, gone.read_bytes()
    gone.unlink()
    assert write_frames(tmp_path, transactions, PRODUCTS, HOUSEHOLDS) == 1
    assert kept.stat().st_mtime_ns == before
    assert gone.read_bytes() == content


def test_a_sample_is_a_part_of_each_larger_one_and_does_not_go_by_order() -> None:
    households = pd.Series([1, 2, 3, 4, 5, 6, 6, 7, 8])
    sizes = range(1, 10)
    samples = [sample(households, size) for size in sizes]
    assert [len(chosen) for chosen in samples] == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert all(some == more[: len(some)] for some, more in pairwise(samples))
    assert sorted(map(str, samples[-1])) == list("12345678")
    assert samples[-1] != sorted(samples[-1], key=str)
    assert sample(households[::-1], 3) == samples[2]


def test_the_demo_writes_the_whole_year_of_the_households_it_was_asked_for(tmp_path: Path) -> None:
    assert write_drops(tmp_path, 3) > 300
    assert write_drops(tmp_path, 3) == 0
    lines = pq.read_table(tmp_path / "events").to_pandas()
    assert lines["household_id"].nunique() == 3
    users = pq.read_table(tmp_path / "users").to_pandas()
    assert set(users["household_id"]) <= set(lines["household_id"])
    with pytest.raises(OtherSample, match="drops of 3 households, and 4 were asked for"):
        write_drops(tmp_path, 4)


def test_drops_without_a_note_are_of_all_households(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir(parents=True)
    with pytest.raises(OtherSample, match="`make demo DEMO_HOUSEHOLDS=2469` goes on"):
        write_drops(tmp_path, 500)


sale = st.tuples(st.sampled_from([10, 20, 30]), st.integers(0, 300))


@given(st.lists(sale, min_size=1, max_size=25), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_a_drop_does_not_change_when_later_data_come(
    made: list[tuple[int, int]], today: int
) -> None:
    known = [(product, day) for product, day in made if day <= today]
    if not known:
        return
    last_known = FIRST + pd.Timedelta(days=max(day for _, day in known))

    def up_to_today(transactions: pd.DataFrame) -> list[tuple[object, object]]:
        drops = daily_items(transactions, PRODUCTS)
        return [(d, r.to_dict("list")) for d, r in drops if pd.Timestamp(d) <= last_known]

    assert up_to_today(sales(*made)) == up_to_today(sales(*known))


@given(st.lists(sale, min_size=1, max_size=25), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_changes_add_up_to_sold_within_the_trailing_ninety_days(
    made: list[tuple[int, int]], today: int
) -> None:
    today = min(today, max(day for _, day in made))
    state = {product: False for product, _ in made}
    for product, day, is_sellable in sorted(changes(*made), key=lambda change: change[1]):
        if day <= today:
            assert state[product] != is_sellable, "not a change"
            state[product] = is_sellable
    assert state == {
        product: any(p == product and today - SELLABLE_DAYS < d <= today for p, d in made)
        for product in state
    }
