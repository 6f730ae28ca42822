"""Newcomers: lifts of attributes worked by hand and by plain loops."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.channels.newcomer import recall_newcomers
from jobs.recall.sources.channels import NewcomerSettings
from tests.recall.shop import DS, interactions, items, rows_of, users

Attributes = Mapping[str, Mapping[str, str]]
SETTINGS = NewcomerSettings(
    max_items=1, value_min_users=2, max_values=4, smoothing=1, exclude_seen_days=0
)
# Two own their home and two rent; one of each has a child. All that they took was today.
HOMES = {
    "u1": {"home": "own", "kids": "1"},
    "u2": {"home": "own", "kids": "0"},
    "u3": {"home": "rent", "kids": "1"},
    "u4": {"home": "rent", "kids": "0"},
}
TAKEN = [
    *(("u1", "x", 0), ("u2", "x", 0)),
    *(("u3", "y", 0), ("u4", "y", 0)),
    *(("u1", "z", 0), ("u3", "z", 0)),
]
# What can no longer be sold changes no count: a newcomer's first item, and a second one of others.
FIRST = ("n", "gone", 5)
TAKEN += [("u2", "gone", 5), ("u4", "gone", 5)]


def recalled(
    spark: SparkSession,
    scratch: Path,
    attributes: Attributes,
    taken: list[tuple],
    settings: NewcomerSettings = SETTINGS,
) -> list[tuple]:
    active = spark.createDataFrame([(name,) for name in attributes], "user_id string")
    found = recall_newcomers(
        interactions(spark, taken),
        items(spark, "wxyz", unsellable=["gone"]),
        users(spark, attributes),
        active,
        DS,
        settings,
        Scratch(scratch),
    )
    return rows_of(found, "user_id", "rank", "item_id", "score", "because_item_id")


def test_the_lifts_of_all_attributes_are_multiplied(spark: SparkSession, tmp_path: Path) -> None:
    # home=own has half of all use: x (2 / (1/2) + 1) / (2 + 1) = 5/3, y 1/3, z (1 / (1/2) + 1) / 3
    # = 1. kids=1 has 2/3: x and y (1 / (2/3) + 1) / 3 = 5/6, z (2 / (2/3) + 1) / 3 = 4/3.
    # Each has two users. y is below 1.
    newcomer = {"n": {"home": "own", "kids": "1"}}
    assert recalled(spark, tmp_path, HOMES | newcomer, [*TAKEN, FIRST]) == [
        ("n", 1, "x", pytest.approx(2 * 5 / 3 * 5 / 6, rel=1e-8), None),
        ("n", 2, "z", pytest.approx(2 * 1 * 4 / 3, rel=1e-8), None),
    ]


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"home": "own"}, id="one attribute"),
        pytest.param({"home": " own ", "kids": ""}, id="blanks"),
        pytest.param({"home": "own", "kids": "7"}, id="a value of few"),
        pytest.param({"home": "own", "card": "n"}, id="a value of each user"),
    ],
)
def test_only_values_that_stand_for_a_group_speak(
    spark: SparkSession, tmp_path: Path, attributes: dict[str, str]
) -> None:
    cards = {user: values | {"card": user} for user, values in HOMES.items()}
    found = recalled(spark, tmp_path, cards | {"n": attributes}, [*TAKEN, FIRST])
    assert found == [("n", 1, "x", pytest.approx(2 * 5 / 3, rel=1e-8), None)]


def test_an_attribute_of_too_many_values_is_ignored_however_many_share_one(
    spark: SparkSession, tmp_path: Path
) -> None:
    towns = {f"t{n}": {"town": f"town {n}"} for n in range(3)}
    home = {user: {"town": "A" if user in ("u1", "u2") else "B"} for user in HOMES}
    everyone = home | towns | {"n": {"town": "A"}}
    assert recalled(spark, tmp_path, everyone, [*TAKEN, FIRST]) == []
    five = SETTINGS.model_copy(update={"max_values": 5})
    found = recalled(spark, tmp_path, everyone, [*TAKEN, FIRST], five)
    assert [row[:3] for row in found] == [("n", 1, "x")]


def test_the_settings_may_name_the_attributes(spark: SparkSession, tmp_path: Path) -> None:
    newcomer = {"n": {"home": "own", "kids": "1"}}
    only_kids = SETTINGS.model_copy(update={"attributes": ("kids",)})
    found = recalled(spark, tmp_path, HOMES | newcomer, [*TAKEN, FIRST], only_kids)
    assert found == [("n", 1, "z", pytest.approx(2 * 4 / 3, rel=1e-8), None)]


def test_a_rich_history_no_attributes_and_what_was_just_taken_get_no_rows(
    spark: SparkSession, tmp_path: Path
) -> None:
    others = {"rich": {"home": "own"}, "plain": {}, "knows": {"home": "own"}}
    taken = [*TAKEN, ("rich", "gone", 5), ("rich", "w", 5), ("plain", "gone", 5)]
    taken.append(("knows", "x", 3))
    week = SETTINGS.model_copy(update={"exclude_seen_days": 7})
    found = recalled(spark, tmp_path, HOMES | others, taken, week)
    # w was taken by one owner alone, so it may be listed; x was taken by `knows`.
    assert {row[0] for row in found} == {"knows"}
    assert "x" not in {row[2] for row in found}


def test_lists_equal_plain_loops(spark: SparkSession, tmp_path: Path) -> None:
    draw = random.Random(7)
    everyone = {
        f"u{n:02}": {"a": draw.choice("pq"), "b": draw.choice("rst"), "c": draw.choice("v")}
        for n in range(30)
    }
    taken = sorted({(user, draw.choice("wxyz"), 0) for user in everyone for _ in range(2)})
    settings = SETTINGS.model_copy(update={"max_items": 4, "smoothing": 3.0})

    uses = {(user, item) for user, item, _ in taken}
    expected = {}
    for user, own in everyone.items():
        for item in "wxyz":
            product = 1.0
            for name, value in own.items():
                part = sum(everyone[u][name] == value for u, i in uses if i == item)
                whole = sum(i == item for _, i in uses)
                share = sum(everyone[u][name] == value for u, _ in uses) / len(uses)
                product *= (part / share + 3) / (whole + 3)
            if math.log(product) > 1e-9:
                expected[user, item] = sum(i == item for _, i in uses) * product
    found = recalled(spark, tmp_path, everyone, taken, settings)
    assert {(row[0], row[2]): row[3] for row in found} == pytest.approx(expected, rel=1e-7)
    assert expected


def test_order_and_partitions_change_no_bit(spark: SparkSession, tmp_path: Path) -> None:
    everyone = HOMES | {"n": {"home": "own", "kids": "1"}}
    rows = [*TAKEN, FIRST, *(("u2", item, day) for item in "wyz" for day in (1, 3, 9))]
    spread = interactions(spark, rows).repartition(7)
    active = spark.createDataFrame([("n",)], "user_id string")
    shuffled = recall_newcomers(
        spread,
        items(spark, "wxyz"),
        users(spark, everyone),
        active,
        DS,
        SETTINGS,
        Scratch(tmp_path),
    )
    again = recalled(spark, tmp_path, everyone, rows[::-1])
    assert rows_of(shuffled, "user_id", "rank", "item_id", "score", "because_item_id") == [
        row for row in again if row[0] == "n"
    ]
