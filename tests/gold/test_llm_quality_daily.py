"""gold.llm_quality_daily: shares, scores and lengths worked by hand, and the limits of drift."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.lake import Lake
from jobs.lake.errors import AuditFailed
from tests.cli.small_lake import write_table

DAY = date(2017, 12, 28)
EARLIER = DAY - timedelta(days=3)
LONG_AGO = DAY - timedelta(days=8)
VERSION = {"prompt_version": "v1-0a1b2c3d", "model": "small"}


def request(ds: date, status: str, tokens: int | None = 10, **others: Any) -> dict[str, Any]:
    return {
        "ds": ds,
        "prompt": "item",
        **VERSION,
        "subject": "c",
        "status": status,
        "attempt": 1,
        "prompt_tokens": tokens,
        "completion_tokens": tokens,
        "latency_ms": 2000.0,
        "server": "s",
        "run_id": "r",
    } | others


def scored(ds: date, content: str, score: float | None) -> dict[str, Any]:
    status = "invalid_output" if score is None else "success"
    said = {"summary": "S.", "standard_name": "s"} if score is not None else {}
    return {
        "content_hash": content,
        "message_hash": content,
        **VERSION,
        "status": status,
        "gate_score": score,
        "selected_ds": ds,
        **said,
    }


@pytest.fixture
def asked(lake: Lake) -> Callable[..., Lake]:
    """A lake with requests and answers; each request gets an id of its own."""

    def make(requests: list[dict[str, Any]], answers: list[dict[str, Any]]) -> Lake:
        from datetime import UTC, datetime

        stamp = datetime(2026, 11, 22, tzinfo=UTC)
        rows = [{**row, "call_id": f"{n}", "recorded_at": stamp} for n, row in enumerate(requests)]
        folder = Path(lake.settings.lake)
        write_table(folder, lake.contracts["ops.llm_ledger"], rows)
        write_table(folder, lake.contracts["silver.item_enrichments"], answers)
        return lake

    return make


def test_a_day_is_measured_beside_the_week_before(asked: Callable[..., Lake]) -> None:
    lake = asked(
        [
            request(DAY, "retried", None, error="busy"),
            request(DAY, "success", 10, cost=0.5),
            request(DAY, "rejected_by_gate", 20, cost=0.25),
            request(DAY, "invalid_output", 60, error="not JSON"),
            request(DAY, "error", None, error="gone"),
            request(DAY, "skipped_budget", None, attempt=0, latency_ms=0.0, error="budget"),
            request(EARLIER, "success", 40),
            request(LONG_AGO, "success", 1000),
        ],
        [
            scored(DAY, "c1", 0.9),
            scored(DAY, "c2", 0.5),
            scored(DAY, "c3", None),
            scored(EARLIER, "c4", 0.8),
            scored(LONG_AGO, "c5", 0.1),
        ],
    )
    assert lake.run("gold.llm_quality_daily", ds=DAY).status == "published"
    (row,) = lake.tables.read("gold.llm_quality_daily").collect()
    assert row.asDict() == {
        "ds": DAY,
        "prompt": "item",
        **VERSION,
        "calls": 4,
        "success_share": 0.25,
        "readable_share": pytest.approx(2 / 3),
        "error_share": 0.25,
        "gate_score": pytest.approx(0.7),
        "completion_tokens": 30.0,
        "seconds": 2.0,
        "cost": 0.75,
    }


def test_a_day_on_which_nothing_was_asked_is_published_empty(lake: Lake) -> None:
    record = lake.run("gold.llm_quality_daily", ds=DAY)
    assert (record.status, record.rows_out) == ("published", 0)


def test_what_drifts_is_told_and_what_is_gross_is_refused(asked: Callable[..., Lake]) -> None:
    later = DAY + timedelta(days=1)
    lake = asked(
        [
            *(request(EARLIER, "success", 10) for _ in range(20)),
            # longer than twice, a quarter unreadable, and another score
            *(request(DAY, "success", 30) for _ in range(15)),
            *(request(DAY, "invalid_output", 30, error="not JSON") for _ in range(5)),
            *(request(later, "invalid_output", 30, error="not JSON") for _ in range(20)),
        ],
        [scored(EARLIER, "c1", 0.9), scored(DAY, "c2", 0.7)],
    )
    lake.run("gold.llm_quality_daily", ds=EARLIER)
    failed = lake.tables.read("ops.audits").where("NOT success")
    assert failed.count() == 0
    lake.run("gold.llm_quality_daily", ds=DAY)
    drift, shares = sorted(failed.collect(), key=lambda audit: audit.check, reverse=True)
    assert {drift.severity, shares.severity} == {"warn"}
    name = "item/v1-0a1b2c3d/small"
    assert drift.observed == (
        f"{name}: readable 0.75, before 1.00; {name}: gate score 0.70, before 0.90; "
        f"{name}: 30 tokens an answer, before 10"
    )
    # the same rows again, though the day itself was published meanwhile
    lake.run("gold.llm_quality_daily", ds=DAY)
    with pytest.raises(AuditFailed, match=r"readable_share.*0\.5"):
        lake.run("gold.llm_quality_daily", ds=later)


def test_few_calls_are_compared_with_nothing(asked: Callable[..., Lake]) -> None:
    lake = asked(
        [
            *(request(EARLIER, "success", 10) for _ in range(19)),
            *(request(DAY, "success", 90) for _ in range(20)),
        ],
        [],
    )
    for day in (EARLIER, DAY):
        lake.run("gold.llm_quality_daily", ds=day)
    assert lake.tables.read("ops.audits").where("NOT success").count() == 0
