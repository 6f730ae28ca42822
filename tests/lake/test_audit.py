"""Each check is seen to pass on good rows and to fail on a row that breaks it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.lake.audit import CheckResult, audit, can_audit_here
from jobs.lake.contract import Contract, Contracts
from jobs.lake.expectations import OURS, TRAILING_MEAN, AuditContext, implied_checks
from jobs.lake.row_expectations import ask_here
from jobs.lake.schema import arrow_schema
from jobs.settings import get_settings
from tests.lake.toy import HEAD, column

GOOD = [
    # user, rank, item, other, score, vector, names, note
    ("u1", 1, "a", "b", 0.9, [1.0, 0.0], ["x"], None),
    ("u1", 2, "b", "a", 0.5, [0.6, 0.8], ["x", "y"], "said"),
    ("u2", 1, "a", "c", 0.5, [0.0, 1.0], ["x"], None),
]
COLUMNS = (
    "user string, rank int, item string, other string, score double, "
    "vector array<float>, names array<string>, note string"
)
CASES: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "expect_lists_to_be_ranked": (
        {"group": ["user"], "score": "score", "item": "item"},
        ("u2", 3, "b", "a", 0.4, [0.0, 1.0], ["x"], None),
    ),
    "expect_lists_to_be_equally_long": (
        {"group": ["other"]},
        ("u1", 3, "c", "a", 0.4, [0.0, 1.0], ["x"], None),
    ),
    "expect_column_pair_values_to_differ": (
        {"column_A": "item", "column_B": "other"},
        ("u2", 2, "b", "b", 0.4, [0.0, 1.0], ["x"], None),
    ),
    "expect_vectors_to_be_unit_length": (
        {"column": "vector", "dimension": 2},
        ("u2", 2, "b", "a", 0.4, [0.5, 0.5], ["x"], None),
    ),
    "expect_array_to_not_be_empty": (
        {"column": "names"},
        ("u2", 2, "b", "a", 0.4, [0.0, 1.0], [], None),
    ),
    "expect_column_to_be_null_exactly_when": (
        {"column": "note", "condition": "score <> 0.5 OR user = 'u2'"},
        ("u2", 2, "b", "a", 0.4, [0.0, 1.0], ["x"], "said"),
    ),
    "expect_condition_to_hold": (
        {"condition": "score <= 1 AND user IS NOT NULL"},
        ("u2", 2, "b", "a", 1.5, [0.0, 1.0], ["x"], None),
    ),
    "expect_compound_columns_to_be_unique": (
        {"column_list": ["user", "item"]},
        ("u2", 2, "a", "b", 0.4, [0.0, 1.0], ["x"], None),
    ),
    "expect_column_values_to_be_in_set": (
        {"column": "item", "value_set": ["a", "b"]},
        ("u2", 2, "c", "b", 0.4, [0.0, 1.0], ["x"], None),
    ),
    "expect_column_values_to_be_between": (
        {"column": "score", "min_value": 0, "max_value": 1},
        ("u2", 2, "b", "a", 1.1, [0.0, 1.0], ["x"], None),
    ),
}


def contract(checks: list[dict[str, Any]], **nullable: bool) -> Contract:
    types = dict(part.strip().split(" ") for part in COLUMNS.split(","))
    columns = [
        column(name, type, nullable=nullable.get(name, True)) for name, type in types.items()
    ]
    day = {"columns": [*columns, column("recorded_at", "timestamp", nullable=True)]}
    head = HEAD | {"table": "ops.toy", "layout": "log", "partition": [], "key": []}
    return Contract.model_validate(head | day | {"checks": checks})


def results(
    spark: SparkSession, rows: list[tuple[Any, ...]], promised: Contract, *past: int
) -> dict[str, bool]:
    return {r.check: r.success for r in audited(spark, rows, promised, *past)}


def audited(
    spark: SparkSession, rows: list[tuple[Any, ...]], promised: Contract, *past: int
) -> list[CheckResult]:
    """The results on Spark, which are those in this process."""
    schema = arrow_schema(promised, without=["recorded_at"])
    here = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
    on_spark = audit(spark.createDataFrame(rows, COLUMNS), promised, AuditContext(past))
    assert audit(here, promised, AuditContext(past)) == on_spark
    return on_spark


def test_good_rows_pass_every_check(spark: SparkSession) -> None:
    checks = [
        {"expect": name, "severity": "error"} | arguments for name, (arguments, _) in CASES.items()
    ]
    assert results(spark, GOOD, contract(checks)) == dict.fromkeys(CASES, True)


def test_every_check_of_ours_has_a_row_that_breaks_it() -> None:
    assert set(OURS) <= set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_row_that_breaks_the_check_is_found(spark: SparkSession, name: str) -> None:
    arguments, broken = CASES[name]
    promised = contract([{"expect": name, "severity": "error"} | arguments])
    assert results(spark, [*GOOD, broken], promised) == {name: False}


@pytest.mark.parametrize(
    ("rank", "item", "score"),
    [(3, "b", 0.4), (1, "b", 0.4), (0, "b", 0.9), (2, "b", 0.6), (2, "A", 0.5), (2, "a", 0.4)],
    ids=[
        "a gap",
        "a rank twice",
        "no first",
        "a better score below",
        "equals out of order",
        "an item twice",
    ],
)
def test_a_list_out_of_order_is_found_and_shown(
    spark: SparkSession, rank: int, item: str, score: float
) -> None:
    name = "expect_lists_to_be_ranked"
    check = {"expect": name, "severity": "error"} | CASES[name][0]
    broken = ("u2", rank, item, "a", score, [0.0, 1.0], ["x"], None)
    (result,) = audited(spark, [*GOOD, broken], contract([check]))
    assert not result.success
    assert "'user': 'u2'" in result.observed


def test_what_breaks_a_check_is_shown(spark: SparkSession) -> None:
    observed = {}
    for name in ("expect_condition_to_hold", "expect_column_values_to_be_between"):
        arguments, broken = CASES[name]
        promised = contract([{"expect": name, "severity": "error"} | arguments])
        (result,) = audited(spark, [*GOOD, broken], promised)
        observed[name] = result.observed
    assert observed["expect_condition_to_hold"].startswith("1 rows: {'user': 'u2', 'rank': 2")
    assert observed["expect_column_values_to_be_between"] == "1 of 4 rows (25.00%): 1.1"


def test_values_that_stand_for_a_person_are_not_shown(spark: SparkSession) -> None:
    of_user = {"column": "user", "value_set": ["u1"], "severity": "error"}
    checks = [
        {"expect": "expect_column_values_to_be_in_set", **of_user},
        {"expect": "expect_condition_to_hold", "condition": "user = 'u1'", "severity": "error"},
    ]
    promised = contract(checks)
    columns = [c.model_copy(update={"personal": c.name == "user"}) for c in promised.columns]
    promised = promised.model_copy(update={"columns": (*columns,)})
    observed = {result.check: result.observed for result in audited(spark, GOOD, promised)}
    assert observed["expect_column_values_to_be_in_set"] == "1 of 3 rows (33.33%)"
    assert "'user': '(withheld)', 'rank': 1" in observed["expect_condition_to_hold"]


def test_a_null_in_a_required_column_is_found_without_a_stated_check(spark: SparkSession) -> None:
    promised = contract([], item=False)
    name = "expect_column_values_to_not_be_null"
    assert results(spark, GOOD, promised) == {name: True}
    broken = ("u3", 1, None, "b", 0.4, [0.0, 1.0], ["x"], None)
    assert results(spark, [*GOOD, broken], promised) == {name: False}


@pytest.mark.parametrize(
    ("key", "severity", "asked"),
    [
        (("user", "item"), "error", False),
        (("user", "rank"), "error", False),
        (("user", "item"), "warn", True),
        (("user", "other"), "error", True),
    ],
)
def test_a_list_check_stands_in_for_the_key_that_it_holds(
    key: tuple[str, ...], severity: str, asked: bool
) -> None:
    check = {"expect": "expect_lists_to_be_ranked", "severity": severity}
    promised = contract([check | CASES["expect_lists_to_be_ranked"][0]])
    implied = implied_checks(promised.model_copy(update={"key": key}))
    assert (unique_key(*key) in implied) is asked


def unique_key(*columns: str) -> dict[str, Any]:
    return {"expect": "expect_compound_columns_to_be_unique", "column_list": list(columns)}


def test_the_row_count_is_compared_with_the_days_before(spark: SparkSession) -> None:
    check = {"expect": TRAILING_MEAN, "days": 2, "within": 0.3, "severity": "warn"}
    promised = contract([check])
    assert results(spark, GOOD, promised) == {}
    # three rows today; the mean of the last two days is 4, and 3 is within 30% of it
    name = "expect_row_count_near_trailing_mean"
    assert results(spark, GOOD, promised, 5, 3, 1000) == {name: True}
    assert results(spark, GOOD, promised, 10, 8, 3) == {name: False}


def test_a_check_that_cannot_be_evaluated_counts_as_failed(spark: SparkSession) -> None:
    check = {"expect": "expect_condition_to_hold", "condition": "no_such_column > 1"}
    frame = spark.createDataFrame(GOOD, schema=COLUMNS)
    (result,) = audit(frame, contract([check | {"severity": "error"}]), AuditContext())
    assert not result.success
    assert "no_such_column" in result.observed


def test_every_contract_of_the_repository_can_be_audited_without_spark() -> None:
    contracts = Contracts(get_settings().contracts)
    assert [c.table for c in contracts if not can_audit_here(c, arrow_schema(c))] == []


def test_a_condition_that_only_spark_knows_is_left_to_spark() -> None:
    condition = {"expect": "expect_condition_to_hold", "severity": "error"}
    promised = contract([condition | {"condition": "xxhash64(user) <> 0"}])
    assert not can_audit_here(promised, arrow_schema(promised))


@pytest.mark.parametrize("table", ["silver.item_embeddings", "silver.user_embeddings"])
def test_a_null_or_a_value_off_the_grid_breaks_a_vector(table: str) -> None:
    checks = Contracts(get_settings().contracts)[table].checks
    (grid,) = (c.arguments for c in checks if c.expect == "expect_condition_to_hold")
    vectors = [[0.5, -1.0], [0.5, None], [0.3, 0.0]]
    rows = pa.table({"embedding": pa.array(vectors, pa.list_(pa.float32()))})
    broken = ask_here(rows, OURS["expect_condition_to_hold"].broken_rows(grid))
    assert broken["embedding"].to_pylist() == rows["embedding"].to_pylist()[1:]
