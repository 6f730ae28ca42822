"""A mapping tried on a sample: what a person sees before the first drop."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from jobs.lake.intake.mapping import Source
from jobs.lake.intake.trial import ColumnTrial, try_mapping


def test_each_column_says_how_much_of_it_was_read(spark: SparkSession, tmp_path: Path) -> None:
    """Four rows: one with a time that is none, one that has too few cells, one without a price."""
    path = tmp_path / "x.csv"
    path.write_text("u,i,at,paid\n1,a,2026-01-02,2.5\n2,b,noon,3\n3,c\n4,d,2099-01-03,\n")
    source = Source.model_validate(
        {
            "source": "shop",
            "entity": "events",
            "columns": {
                "user_id": {"from": "u"},
                "item_id": {"from": "i"},
                "event_ts": {"from": "at", "time_zone": "UTC"},
                "event_type": {"constant": "purchase"},
                "quantity": {"constant": 1},
                "amount": {"from": "paid"},
            },
        }
    )
    trial = try_mapping(spark, source, path)
    assert (trial.rows, trial.usable) == (4, 2)
    assert trial.refused == "has 2 cells where the header has 4"
    found = {column.column: column for column in trial.columns}
    assert found["user_id"] == ColumnTrial("user_id", "u", 3, 1.0, ("1", "2", "4"), "")
    times = found["event_ts"]
    assert (times.sent, times.read) == (3, 2 / 3)
    assert times.examples == ("2026-01-02 00:00:00+00:00", "2099-01-03 00:00:00+00:00")
    assert times.refused.startswith("'noon' is not an ISO 8601 time")
    assert found["event_type"] == ColumnTrial("event_type", "always purchase", 4, 1.0, (), "")
    assert (found["amount"].sent, found["amount"].read) == (2, 1.0)


def test_attributes_of_users_are_shown_but_not_what_looks_personal(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "users.jsonl"
    path.write_text('{"u": 1, "t": "gold"}\n{"u": 2, "t": "ann@example.org"}\n')
    source = Source.model_validate(
        {
            "source": "shop",
            "entity": "users",
            "columns": {"user_id": {"from": "u"}},
            "attributes": {"tier": {"from": "t"}},
        }
    )
    _, tier = try_mapping(spark, source, path).columns
    reason = "looks like an address or a number of a person"
    assert tier == ColumnTrial("attributes.tier", "t", 2, 0.5, ("gold",), reason)


def test_a_file_that_cannot_be_read_says_why(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("u,t\n1,gold\n")
    columns = {"item_id": {"from": "sku"}, "is_sellable": {"constant": True}}
    source = Source.model_validate({"source": "shop", "entity": "items", "columns": columns})
    trial = try_mapping(spark, source, path)
    assert (trial.rows, trial.usable) == (0, 0)
    assert trial.refused == "column sku is missing; columns found: u, t"
