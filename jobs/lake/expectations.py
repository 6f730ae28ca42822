"""The checks that a contract may name: Great Expectations' own, and the ones we add.

Ours are Great Expectations expectations too (`jobs.lake.row_expectations`): a condition on each
row, or a query for broken rows. They are built late, because the library takes seconds to import.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

    from jobs.lake.contract import Check, Contract

# The names that a contract may use from Great Expectations, with the arguments each one needs.
# Listed here, so that a contract can be checked without importing the library; a test compares
# the list with the library. Left out: quantile checks, which fail to save on Spark.
GX_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "expect_column_values_to_be_between": ("column",),
    "expect_column_values_to_be_in_set": ("column", "value_set"),
    "expect_column_values_to_not_be_null": ("column",),
    "expect_column_values_to_match_regex": ("column", "regex"),
    "expect_column_value_lengths_to_be_between": ("column",),
    "expect_column_distinct_values_to_be_in_set": ("column", "value_set"),
    "expect_column_distinct_values_to_contain_set": ("column", "value_set"),
    "expect_column_unique_value_count_to_be_between": ("column",),
    "expect_column_proportion_of_unique_values_to_be_between": ("column",),
    "expect_column_max_to_be_between": ("column",),
    "expect_column_min_to_be_between": ("column",),
    "expect_column_mean_to_be_between": ("column",),
    "expect_column_sum_to_be_between": ("column",),
    "expect_column_pair_values_a_to_be_greater_than_b": ("column_A", "column_B"),
    "expect_table_row_count_to_be_between": (),
}
_GX_OPTIONAL = {
    "min_value",
    "max_value",
    "strict_min",
    "strict_max",
    "mostly",
    "or_equal",
    "row_condition",
    "condition_parser",
    "ignore_row_if",
}


@dataclass(frozen=True)
class AuditContext:
    """What a check of ours may need beyond the staged rows.

    past_row_counts: rows that earlier days published, newest first.
    """

    past_row_counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rows:
    """A check of ours: either a condition or a query, made from the check's arguments.

    condition: SQL that is true of every good row; null counts as broken.
    query: SQL that selects the rows or groups that break the check, `FROM {batch}`.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    condition: Callable[[dict[str, Any]], str] | None = None
    query: Callable[[dict[str, Any]], str] | None = None

    def broken_rows(self, arguments: dict[str, Any]) -> str:
        """A query over `{batch}` for the rows or groups that break the check."""
        if self.query:
            return self.query(arguments)
        assert self.condition
        return rows_that_break(self.condition(arguments))


def rows_that_break(condition: str) -> str:
    """A query over `{batch}` for the rows that break a condition."""
    return f"SELECT * FROM {{batch}} WHERE NOT coalesce({condition}, false)"


def _unique(a: dict[str, Any]) -> str:
    key = ", ".join(a["column_list"])
    return f"SELECT {key}, count(*) AS rows FROM {{batch}} GROUP BY {key} HAVING count(*) > 1"


def _ranked(a: dict[str, Any]) -> str:
    group, score, item = ", ".join(a["group"]), a["score"], a["item"]
    is_misplaced = (
        f"rank <> row_number() OVER list OR {score} > lag({score}) OVER list "
        f"OR ({score} = lag({score}) OVER list AND {item} <= lag({item}) OVER list)"
    )
    return (
        f"SELECT {group}, count(*) AS rows, count(*) - size(collect_set({item})) AS repeated, "
        f"cast(count_if(is_misplaced) AS bigint) AS misplaced FROM (SELECT {group}, {item}, "
        f"{is_misplaced} AS is_misplaced FROM {{batch}} "
        f"WINDOW list AS (PARTITION BY {group} ORDER BY rank)) "
        f"GROUP BY {group} HAVING repeated > 0 OR misplaced > 0"
    )


def _equally_long(a: dict[str, Any]) -> str:
    group = ", ".join(a["group"])
    sizes = f"SELECT count(*) AS size FROM {{batch}} GROUP BY {group}"
    return (
        f"SELECT {group}, count(*) AS rows FROM {{batch}} GROUP BY {group} "
        f"HAVING count(*) < (SELECT max(size) FROM ({sizes}))"
    )


def _unit_vectors(a: dict[str, Any]) -> str:
    column, tolerance = a["column"], float(a.get("tolerance", 0.01))
    norm = f"aggregate({column}, 0D, (s, x) -> s + x * x)"
    return f"size({column}) = {int(a['dimension'])} AND abs({norm} - 1) <= {tolerance}"


RANKED = "expect_lists_to_be_ranked"
OURS: dict[str, Rows] = {
    # Great Expectations' own check of unique keys runs a window over all columns, several times.
    "expect_compound_columns_to_be_unique": Rows(("column_list",), query=_unique),
    # An item stands once in a group. Ranks are 1, 2, 3, …; a better rank has a higher score, or the
    # smaller item id at the same score.
    RANKED: Rows(("group", "score", "item"), query=_ranked),
    # Lists that have to be full: none is shorter than the longest.
    "expect_lists_to_be_equally_long": Rows(("group",), query=_equally_long),
    "expect_column_pair_values_to_differ": Rows(
        ("column_A", "column_B"), condition=lambda a: f"{a['column_A']} <> {a['column_B']}"
    ),
    "expect_vectors_to_be_unit_length": Rows(
        ("column", "dimension"), ("tolerance",), condition=_unit_vectors
    ),
    "expect_array_to_not_be_empty": Rows(
        ("column",), condition=lambda a: f"size({a['column']}) > 0"
    ),
    "expect_column_to_be_null_exactly_when": Rows(
        ("column", "condition"), condition=lambda a: f"({a['column']} IS NULL) = ({a['condition']})"
    ),
    "expect_condition_to_hold": Rows(("condition",), condition=lambda a: a["condition"]),
}
# Every value names a slice that some function builds.
SLICES_OF = "expect_column_values_to_be_slices_of"
TRAILING_MEAN = "expect_row_count_near_trailing_mean"
# Not of the staged rows alone: the runtime asks the table's `jobs.lake.step.PublishGate`.
NO_WORSE = "expect_lists_no_worse_than_published"


def check_problem(check: Check, contract: Contract) -> str:
    """What is wrong with a contract's check, as `key: message`, or '' when it is fine."""
    import difflib

    given = set(check.arguments)
    if check.expect in GX_ARGUMENTS:
        required, optional = set(GX_ARGUMENTS[check.expect]), _GX_OPTIONAL
    elif check.expect in OURS:
        required, optional = set(OURS[check.expect].required), set(OURS[check.expect].optional)
    elif check.expect == SLICES_OF:
        required, optional = {"column", "table"}, set()
    elif check.expect == TRAILING_MEAN:
        required, optional = {"days", "within"}, set()
    elif check.expect == NO_WORSE:
        required, optional = {"days"}, set()
    else:
        known = [*GX_ARGUMENTS, *OURS, SLICES_OF, TRAILING_MEAN, NO_WORSE]
        near = difflib.get_close_matches(check.expect, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"expect: unknown check {check.expect!r}{hint}"
    if missing := sorted(required - given):
        return f"{missing[0]}: {check.expect} needs it"
    if unknown := sorted(given - required - optional):
        return f"{unknown[0]}: {check.expect} has no such argument"
    named: list[str] = []
    for argument in ("column", "column_A", "column_B", "column_list", "group", "score", "item"):
        value = check.arguments.get(argument, [])
        named += [value] if isinstance(value, str) else list(value)
    if absent := [name for name in named if name not in contract.column_names]:
        return f"{check.expect}: {contract.table} has no column {absent[0]!r}"
    return ""


def implied_checks(contract: Contract) -> list[dict[str, Any]]:
    """The checks that a contract's columns and key imply: not null, unique key."""
    checks: list[dict[str, Any]] = [
        {"expect": "expect_column_values_to_not_be_null", "column": column.name}
        for column in contract.columns
        if not column.nullable
    ]
    if len(contract.key) > 1 and not _lists_say(contract):
        unique = {
            "expect": "expect_compound_columns_to_be_unique",
            "column_list": list(contract.key),
        }
        checks.append(unique)
    return checks


def _lists_say(contract: Contract) -> bool:
    """Whether a check of ranked lists covers the key too: no item and no rank twice in a group."""
    shared = set(contract.partition) if contract.layout == "daily" else set()
    unique = [
        {*check.arguments["group"], column} - shared
        for check in contract.checks
        if check.expect == RANKED and check.severity == "error"
        for column in (check.arguments["item"], "rank")
    ]
    return set(contract.key) - shared in unique


def build(name: str, arguments: dict[str, Any], context: AuditContext) -> Expectation | None:
    """The Great Expectations object of one check, or None.

    expect_row_count_near_trailing_mean compares with the mean of the last `days` published days, so
    it has no object before the first. expect_lists_no_worse_than_published never has one: a gate
    answers it.
    """
    gxe: Any = importlib.import_module("great_expectations.expectations")
    if rows := OURS.get(name):
        ours: Any = importlib.import_module("jobs.lake.row_expectations")
        if rows.condition:
            return ours.ExpectNoRowToBreak(condition=rows.condition(arguments))
        return ours.ExpectNoRowToAnswer(query=rows.broken_rows(arguments))
    if name == NO_WORSE:
        return None
    if name == SLICES_OF:
        from jobs.lake.step import steps

        slices = [step.slice for step in steps().values() if step.name == arguments["table"]]
        return gxe.ExpectColumnValuesToBeInSet(column=arguments["column"], value_set=slices)
    if name == TRAILING_MEAN:
        past = context.past_row_counts[: int(arguments["days"])]
        if not past:
            return None
        mean, within = sum(past) / len(past), float(arguments["within"])
        return gxe.ExpectTableRowCountToBeBetween(
            min_value=int(mean * (1 - within)), max_value=int(mean * (1 + within)) + 1
        )
    return getattr(gxe, "".join(part.title() for part in name.split("_")))(**arguments)
