"""Audit: a staged day against its contract, by Great Expectations, before anyone can read it."""

from __future__ import annotations

import logging
import os
import uuid
from dataclasses import dataclass
from typing import Any

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


def audit(frame: DataFrame, contract: Contract, context: AuditContext) -> list[CheckResult]:
    """Run every check of the contract, implied ones included, on the staged rows.

    frame: the staged rows with all the contract's columns. The results keep the contract's
    order, implied checks first. A check that cannot be evaluated counts as failed.
    """
    gx = import_great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    planned = _plan(contract, context)
    if not planned:
        return []
    gx_context = gx.get_context(mode="ephemeral")
    gx_context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        # Staged files are read again faster than Spark's cache of them is filled.
        gx_context.data_sources.add_spark("staged", persist=False)
        .add_dataframe_asset(contract.table)
        .add_batch_definition_whole_dataframe("day")
        .get_batch(batch_parameters={"dataframe": frame})
    )

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
            _observed(found[number], check, frame),
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

    return gx


def _observed(result: Any, check: _Planned, frame: DataFrame) -> str:
    found = result.result or {}
    if result.success and not found:
        return "0 rows"
    if "unexpected_count" in found:
        share = found.get("unexpected_percent") or 0
        sample = ", ".join(str(value) for value in found.get("partial_unexpected_list", [])[:5])
        text = f"{found['unexpected_count']} of {found.get('element_count')} rows ({share:.2f}%)"
        return f"{text}: {sample}" if sample else text
    if "observed_value" in found:
        text = str(found["observed_value"])
        if result.success or check.check not in OURS:
            return text
        from jobs.lake.row_expectations import ask

        broken = ask(frame, OURS[check.check].broken_rows(check.arguments)).limit(3)
        return f"{text}: {', '.join(str(row.asDict()) for row in broken.collect())}"
    errors = (result.exception_info or {}).values()
    messages = [e.get("exception_message") for e in errors if isinstance(e, dict)]
    return "; ".join(m for m in messages if m) or str(result.exception_info)
