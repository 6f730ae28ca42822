"""Audit: a staged day against its contract, by Great Expectations, before anyone can read it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame

from jobs.lake.contract import Contract
from jobs.lake.expectations import AuditContext, build, implied_checks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckResult:
    """One check of one run. observed: what was found; details: its arguments."""

    check: str
    severity: str
    success: bool
    observed: str
    details: str


def audit(frame: DataFrame, contract: Contract, context: AuditContext) -> list[CheckResult]:
    """Run every check of the contract, implied ones included, on the staged rows.

    frame: the staged rows with all the contract's columns. The results keep the contract's
    order, implied checks first. A check that cannot be evaluated counts as failed.
    """
    gx = import_great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    planned: list[tuple[str, str, dict[str, Any], Any]] = []
    stated = [(c.expect, c.severity, c.arguments) for c in contract.checks]
    implied = [(c.pop("expect"), "error", c) for c in implied_checks(contract)]
    for name, severity, arguments in [*implied, *stated]:
        expectation = build(name, arguments, context)
        if expectation is not None:
            planned.append((name, severity, arguments, expectation))
    if not planned:
        return []
    gx_context = gx.get_context(mode="ephemeral")
    gx_context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        gx_context.data_sources.add_spark("staged")
        .add_dataframe_asset(contract.table)
        .add_batch_definition_whole_dataframe("day")
        .get_batch(batch_parameters={"dataframe": frame})
    )
    results = []
    by_id = {}
    suite = gx.ExpectationSuite(name=contract.table)
    for number, (_, _, _, expectation) in enumerate(planned):
        expectation.meta = {"number": number}
        suite.add_expectation(expectation)
    for result in batch.validate(suite, result_format="SUMMARY").results:
        by_id[result.expectation_config.meta["number"]] = result
    for number, (name, severity, arguments, _) in enumerate(planned):
        found = by_id[number]
        details = ", ".join(f"{key}={value}" for key, value in arguments.items())
        results.append(CheckResult(name, severity, bool(found.success), _observed(found), details))
    return results


def import_great_expectations() -> Any:
    """The library, imported late (it takes seconds), without its chatter and its telemetry."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx

    return gx


def _observed(result: Any) -> str:
    found = result.result or {}
    if "unexpected_count" in found:
        share = found.get("unexpected_percent") or 0
        sample = ", ".join(str(value) for value in found.get("partial_unexpected_list", [])[:5])
        text = f"{found['unexpected_count']} of {found.get('element_count')} rows ({share:.2f}%)"
        return f"{text}: {sample}" if sample else text
    if "observed_value" in found:
        return str(found["observed_value"])
    errors = (result.exception_info or {}).values()
    messages = [e.get("exception_message") for e in errors if isinstance(e, dict)]
    return "; ".join(m for m in messages if m) or str(result.exception_info)
