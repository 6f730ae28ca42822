"""Audit: a staged day against its contract, by Great Expectations, before anyone can read it.

A day of few rows is audited in this process, on Great Expectations' pandas engine: on Spark even
one row costs several jobs.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.lake.contract import Contract
from jobs.lake.expectations import OURS, AuditContext, build, implied_checks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckResult:
    """One check of one run. observed: what the check found; details: its arguments."""

    check: str
    severity: str
    success: bool
    observed: str
    details: str


@dataclass(frozen=True)
class _Planned:
    """One check, and its Great Expectations object."""

    check: str
    severity: str
    arguments: dict[str, Any]
    expectation: Any


# Beyond these, the rows would take more time and memory in this process than in Spark.
# 2.3 million rows of gold.i2i_daily (80 MB of files) take a gigabyte.
FEW_ROWS = 3_000_000
FEW_BYTES = 96 * 2**20
_SHOWN = 3
_WITHHELD = "(withheld)"


def audit(
    rows: DataFrame | pa.Table, contract: Contract, context: AuditContext
) -> list[CheckResult]:
    """Run every check of the contract, implied ones included, on the staged rows.

    rows: the staged rows with all the contract's columns, in Spark or in this process. The results
    are the same. They keep the contract's order, implied checks first. A check that cannot be
    evaluated counts as failed.
    """
    planned = _plan(contract, context)
    if not planned:
        return []
    with _batch(rows, contract) as batch:
        return _validated(batch, planned, rows, contract.personal)


def can_audit_here(contract: Contract, schema: pa.Schema) -> bool:
    """Whether all checks of ours can be asked without Spark."""
    from jobs.lake.row_expectations import can_ask_here

    stated = [(check.expect, check.arguments) for check in contract.checks]
    implied = [(check["expect"], check) for check in implied_checks(contract)]
    ours = [OURS[name].broken_rows(a) for name, a in [*implied, *stated] if name in OURS]
    return all(can_ask_here(schema, query) for query in ours)


@contextmanager
def _batch(rows: DataFrame | pa.Table, contract: Contract) -> Iterator[Any]:
    """Great Expectations' batch of the rows."""
    gx = import_great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    from jobs.lake.row_expectations import rows_here

    gx_context = gx.get_context(mode="ephemeral")
    gx_context.variables.progress_bars = ProgressBarsConfig(globally=False)
    if isinstance(rows, pa.Table):
        source = gx_context.data_sources.add_pandas("staged")
        frame: Any = rows.to_pandas(types_mapper=_nested_as_arrow)
    else:
        # Staged files are read again faster than Spark's cache of them is filled.
        source = gx_context.data_sources.add_spark("staged", persist=False)
        frame = rows
    day = source.add_dataframe_asset(contract.table).add_batch_definition_whole_dataframe("day")
    batch = day.get_batch(batch_parameters={"dataframe": frame})
    with rows_here(rows):
        yield batch


def _nested_as_arrow(type: pa.DataType) -> pd.ArrowDtype | None:
    """pandas would make Python objects of maps and arrays, which only checks of ours look into."""
    return pd.ArrowDtype(type) if pa.types.is_nested(type) else None


def _validated(
    batch: Any, planned: list[_Planned], rows: DataFrame | pa.Table, personal: frozenset[str]
) -> list[CheckResult]:
    import great_expectations as gx

    def validate(numbers: list[int], result_format: str) -> dict[int, Any]:
        if not numbers:
            return {}
        suite = gx.ExpectationSuite(name=uuid.uuid4().hex)
        for number in numbers:
            expectation = planned[number].expectation
            expectation.meta = {"number": number}
            suite.add_expectation(expectation)
        found = batch.validate(suite, result_format=result_format).results
        return {result.expectation_config.meta["number"]: result for result in found}

    # Great Expectations needs one more pass over the day to report what each check of values found.
    # So one pass for all checks tells which of them failed, and only these are reported on.
    values = [number for number, check in enumerate(planned) if _is_of_every_value(check)]
    found = validate(values, "BOOLEAN_ONLY")
    wanted = [n for n in range(len(planned)) if n not in found or not found[n].success]
    found |= validate(wanted, "SUMMARY")
    return [
        CheckResult(
            check.check,
            check.severity,
            bool(found[number].success),
            _observed(found[number], check, rows, personal),
            ", ".join(f"{key}={value}" for key, value in check.arguments.items()),
        )
        for number, check in enumerate(planned)
    ]


def _plan(contract: Contract, context: AuditContext) -> list[_Planned]:
    stated = [(c.expect, c.severity, c.arguments) for c in contract.checks]
    implied = [(c.pop("expect"), "error", c) for c in implied_checks(contract)]
    checks = [
        _Planned(name, severity, arguments, build(name, arguments, context))
        for name, severity, arguments in [*implied, *stated]
    ]
    return [check for check in checks if check.expectation is not None]


def _is_of_every_value(check: _Planned) -> bool:
    """Whether a check of Great Expectations' own must hold for every single value."""
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
    )

    maps = (ColumnMapExpectation, ColumnPairMapExpectation)
    return isinstance(check.expectation, maps) and check.arguments.get("mostly", 1) == 1


def import_great_expectations() -> Any:
    """The library, imported late (it takes seconds), without its chatter and its telemetry."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx
    from great_expectations.execution_engine import pandas_execution_engine

    # Frames above this size get no fingerprint. Nobody reads it, and it costs more than the checks.
    pandas_execution_engine.HASH_THRESHOLD = 0

    return gx


def _observed(
    result: Any, check: _Planned, rows: DataFrame | pa.Table, personal: frozenset[str]
) -> str:
    """What a check found. personal: columns whose values are not shown."""
    found = result.result or {}
    of_persons = not personal.isdisjoint(map(str, check.arguments.values()))
    if result.success and not found:
        return "0 rows"
    if "unexpected_count" in found:
        share = found.get("unexpected_percent") or 0
        sample = ", ".join(str(value) for value in found.get("partial_unexpected_list", [])[:5])
        text = f"{found['unexpected_count']} of {found.get('element_count')} rows ({share:.2f}%)"
        return f"{text}: {sample}" if sample and not of_persons else text
    if "observed_value" in found:
        text = str(found["observed_value"])
        if result.success or check.check not in OURS:
            return text
        broken = _some(rows, OURS[check.check].broken_rows(check.arguments))
        shown = ({n: _WITHHELD if n in personal else v for n, v in b.items()} for b in broken)
        return f"{text}: {', '.join(map(str, shown))}"
    errors = (result.exception_info or {}).values()
    messages = [e.get("exception_message") for e in errors if isinstance(e, dict)]
    return "; ".join(m for m in messages if m) or str(result.exception_info)


def _some(rows: DataFrame | pa.Table, query: str) -> list[dict[str, Any]]:
    """The first rows that answer a query."""
    from jobs.lake.row_expectations import ask, ask_here

    if isinstance(rows, pa.Table):
        return ask_here(rows, query).slice(0, _SHOWN).to_pylist()
    return [row.asDict() for row in ask(rows, query).limit(_SHOWN).collect()]
