"""# enrich_backlog

Pays for LLM answers between daily runs, about item contents that were never described. Half of a
run's budget goes to the most urgent contents, half to the newest. Later days find these answers
paid.

## Inputs
The newest day of `silver.interactions` and `silver.items` that `recall_daily` has published.

## Outputs
Answers in `silver.item_enrichments`, requests in `ops.llm_ledger`, and the day's partition of
`gold.llm_quality_daily`, built again to count and audit these answers too. No list changes: a day
uses an answer only if its own `item_budget` selects that content.

## Kind
Nearline: every 15 minutes a run works for the newest day that the lake holds, whatever the time. A
run that finds every content answered sends nothing and is skipped after some seconds.

## Rerun
Not needed; the next run goes on where this one stopped. No answer is paid twice, and a killed run
loses at most one chunk of calls.

## When it is red
Nothing waits for this DAG, and daily runs pay for what they need themselves. Look at it when a day
asks for more than usual, or when the cost stands still: `reclake llm cost --by day,status`.

## Owner
enrichment

## Runbooks
`docs/runbooks/llm-server-down.md`
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from jobs.airflow_task import TASK_DEFAULTS, Impact, Triage, airflow_params, between_days

# Ten times the daily budget, and an end before the next run begins.
BUDGET = {"item_budget": 400, "minutes_budget": 10, "only_unanswered": True}

with DAG(
    "enrich_backlog",
    description="LLM answers for items that a day's own budget does not reach",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("*/15 * * * *", timezone="UTC"),
    start_date=datetime(2017, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=airflow_params(BUDGET),
    tags=[Impact.THIS_WEEK, Triage.OWNER],
    default_args={"owner": "enrichment", **TASK_DEFAULTS},
):
    asked = between_days(
        "silver.item_enrichments", pool="llm", execution_timeout=timedelta(minutes=30)
    )
    asked >> between_days("gold.llm_quality_daily", of="silver.item_enrichments")
