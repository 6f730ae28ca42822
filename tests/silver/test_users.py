"""silver.users: one row a change of a user's attributes (the rules are those of silver.items)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.lake import Outcome, Run
from jobs.lake.contract import load_contract
from jobs.lake.schema import struct_type
from jobs.lake.scratch import Scratch
from jobs.lake.settings import ROOT, Sections
from jobs.settings import RunParams, Settings
from jobs.silver.users import users

D1, D2 = date(2026, 1, 1), date(2026, 1, 2)
BRONZE = load_contract(ROOT / "expectations" / "bronze" / "users.yaml")
SILVER = load_contract(ROOT / "expectations" / "silver" / "users.yaml")


@pytest.fixture
def build(spark: SparkSession, tmp_path: Path) -> Callable[..., Outcome]:
    def run_once(received: list[tuple], held: list[tuple]) -> Outcome:
        run = Run(
            D2, D2, None, RunParams(), Sections(Settings(home=tmp_path)), "run", Scratch(tmp_path)
        )
        return users(
            run,
            spark.createDataFrame(received, struct_type(BRONZE)),
            spark.createDataFrame(held, struct_type(SILVER)),
        )

    return run_once


def test_only_changed_users_get_a_new_version(build: Callable[..., Outcome]) -> None:
    held = [("u", D1, {"tier": "gold"}, "h1"), ("v", D1, {}, "h2")]
    outcome = build(
        [
            ("u", {"tier": "gold"}, D2, "x.csv", 2, "h1"),
            ("v", {"tier": "new"}, D2, "x.csv", 3, "h3"),
            ("w", {}, D2, "x.csv", 4, "h4"),
        ],
        held,
    )
    found = [row.asDict() for row in outcome.rows.orderBy("user_id").collect()]
    assert found == [
        {"user_id": "v", "attributes": {"tier": "new"}, "valid_from": D2, "row_hash": "h3"},
        {"user_id": "w", "attributes": {}, "valid_from": D2, "row_hash": "h4"},
    ]
    assert outcome.folded is not None
    assert outcome.folded.count() == 1
    found_types = {field.name: field.dataType for field in outcome.rows.schema}
    assert found_types == {field.name: field.dataType for field in struct_type(SILVER)}


def test_an_earlier_record_of_the_same_day_is_quarantined(build: Callable[..., Outcome]) -> None:
    outcome = build(
        [("u", {"tier": "a"}, D2, "x.csv", 2, "h1"), ("u", {"tier": "b"}, D2, "x.csv", 3, "h2")], []
    )
    assert [row["attributes"] for row in outcome.rows.collect()] == [{"tier": "b"}]
    assert outcome.quarantined is not None
    assert [tuple(row) for row in outcome.quarantined.select("row_id", "payload").collect()] == [
        ("2", '{"user_id":"u","attributes":{"tier":"a"}}')
    ]
