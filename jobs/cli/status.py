"""`reclake status`: whether the lake is well, and what to do next."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from jobs.cli.terminal.options import Json
from jobs.cli.terminal.output import counted, print_json, print_records, print_table, say

if TYPE_CHECKING:
    from jobs.cli.terminal.services import Service
    from jobs.lake.sql import LakeSql
    from jobs.settings import Settings

_LAST_RUNS = """
    SELECT "table", slice, ds, status, rows_out, rows_quarantined, seconds, error, recorded_at
    FROM ops.runs WHERE status NOT IN ('dry_run', 'skipped')
    QUALIFY row_number() OVER (PARTITION BY "table", slice ORDER BY recorded_at DESC, ds DESC) = 1
    ORDER BY "table", slice
"""
# Of each (table, slice, day) the newest run counts: a red check that was mended is history.
_FAILED_CHECKS = """
    SELECT a."table", a.slice, a.ds, a."check", a.severity, a.observed
    FROM ops.audits a JOIN (
        SELECT "table", slice, ds, arg_max(run_id, recorded_at) AS run_id
        FROM ops.audits GROUP BY ALL
    ) newest USING (run_id, "table", slice, ds)
    WHERE NOT a.success
    ORDER BY a.ds DESC, a."table", a.slice, a."check"
"""
# Rows of a run that published nothing are kept to look at; the day's next run rejects them again.
_QUARANTINE = """
    SELECT "table", reason, sum(rows)::BIGINT AS rows, min(ds) AS first_ds, max(ds) AS last_ds
    FROM ops.quarantine
    WHERE run_id IN (SELECT run_id FROM ops.runs WHERE status = 'published')
    GROUP BY ALL ORDER BY rows DESC, "table", reason
"""
_REPORT = """
    SELECT ds, measure, value, text FROM gold.data_report_daily
    WHERE ds = (SELECT max(ds) FROM gold.data_report_daily)
"""
_LLM_SPEND = """
    SELECT prompt, model, count(*) AS calls,
           count(*) FILTER (status = 'success') AS success,
           count(*) FILTER (status = 'rejected_by_gate') AS rejected_by_gate,
           count(*) FILTER (status NOT IN ('success', 'rejected_by_gate')) AS other,
           sum(prompt_tokens)::BIGINT AS prompt_tokens,
           sum(cached_tokens)::BIGINT AS cached_tokens,
           sum(completion_tokens)::BIGINT AS completion_tokens,
           max(ds) AS last_ds
    FROM ops.llm_ledger GROUP BY ALL ORDER BY prompt, model
"""


_RUN_COLUMNS = (
    "table",
    "slice",
    "ds",
    "status",
    "rows_out",
    "rows_quarantined",
    "seconds",
    "recorded_at",
)


@dataclass(frozen=True)
class Next:
    """The one command to run now, and why."""

    command: str
    why: str


@dataclass(frozen=True)
class Status:
    """All that `reclake status` knows. Rows of the lake are dicts; absent: tables not created."""

    lake: str
    services: list[Service]
    absent: list[str]
    published: dict[str, list[date]]
    last_runs: list[dict[str, Any]]
    failed_checks: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]
    llm: list[dict[str, Any]]
    report: list[dict[str, Any]]
    example_user: str | None


def add_to(app: typer.Typer) -> None:
    app.command("status")(status)


def status(as_json: Json = False) -> None:
    """Show servers, last runs, failed checks and LLM spend.

    Also shows quarantined rows, what the log is like and which settings follow it, and at the end
    the one command to run next. Seconds are wall time, tokens are the LLM's. Works with every
    server down.

    \b
    Example:
      reclake status
    """
    from jobs.cli.terminal.services import ask_all
    from jobs.cli.terminal.session import reader, settings

    current = settings()
    found = read_status(current, reader(), ask_all(current, airflow_url(current.home)))
    step = next_command(found)
    if as_json:
        print_json({**asdict(found), "next": asdict(step)})
    else:
        _print(found, step)


def airflow_url(home: Path) -> str:
    """Airflow's address: from its own variable, else that of `make demo`, else ''."""
    if given := os.environ.get("AIRFLOW__API__BASE_URL"):
        return given
    demo = home / "stack" / "state.json"
    if not demo.is_file():
        return ""
    port = json.loads(demo.read_text(encoding="utf-8"))["services"].get("airflow", {}).get("port")
    return f"http://127.0.0.1:{port}" if port else ""


def read_status(settings: Settings, lake: LakeSql, services: list[Service]) -> Status:
    """What the ops tables say, with the answers of the services."""
    gold = [name for name in lake.tables if name.startswith("gold.")]
    lists = "gold.user_recall_daily"
    users = (
        lake.query("SELECT min(user_id) FROM gold.user_recall_latest").rows
        if lake.exists(lists)
        else [(None,)]
    )
    return Status(
        lake=settings.lake,
        services=services,
        absent=[name for name in lake.tables if not lake.exists(name)],
        published={name: lake.days(name) for name in gold if lake.exists(name)},
        last_runs=lake.rows_if_there(_LAST_RUNS),
        failed_checks=lake.rows_if_there(_FAILED_CHECKS),
        quarantine=lake.rows_if_there(_QUARANTINE),
        llm=lake.rows_if_there(_LLM_SPEND),
        report=lake.rows_if_there(_REPORT),
        example_user=users[0][0],
    )


def next_command(now: Status) -> Next:
    """What to do first: a missing lake comes before a failed run, a failed run before a server
    that is down."""
    if "ops.runs" in now.absent:
        return Next("make demo", "there is no lake yet; this fills one with three published days")
    if now.absent:
        return Next("reclake init", f"not created yet: {', '.join(now.absent)}")
    if failed := [run for run in now.last_runs if run["status"] == "failed"]:
        newest = max(failed, key=lambda run: run["recorded_at"])
        part = f" --slice {newest['slice']}" if newest["slice"] else ""
        return Next(
            f"reclake run {newest['table']}{part} --ds {newest['ds']}",
            "its last run failed; mend the cause shown above first",
        )
    if not any(now.published.values()):
        return Next("make demo", "no day is published yet")
    if down := [service for service in now.services if service.state == "down"]:
        names = ", ".join(service.name for service in down)
        return Next("make demo", f"{names} does not answer; this starts what is missing")
    if now.example_user is not None:
        return Next(f"reclake explain user {now.example_user}", "all is well; see what it made")
    return Next("reclake tables", "all is well; see what there is")


def _print(now: Status, step: Next) -> None:
    say(f"lake {now.lake}")
    print_table(
        ("service", "state", "address", "says"),
        ((s.name, s.state, s.address, s.detail) for s in now.services),
    )
    for table, days in now.published.items():
        span = f"{counted(len(days), 'day')}, {days[0]} to {days[-1]}" if days else "no day yet"
        say(f"  {table}: {span}")
    if now.last_runs:
        say("\nLast run of each table")
        print_records(now.last_runs, _RUN_COLUMNS, indent=2)
        for run in now.last_runs:
            if run["status"] == "failed":
                say(f"  {run['table']} ds={run['ds']}: {run['error']}")
    if now.failed_checks:
        say("\nFailed checks, in the newest run of each day")
        print_records(now.failed_checks, tuple(now.failed_checks[0]), indent=2)
    if now.quarantine:
        say("\nQuarantined rows")
        print_records(now.quarantine, tuple(now.quarantine[0]), indent=2)
    if now.report:
        _print_report(now.report)
    if now.llm:
        say("\nLLM calls and tokens, in all")
        print_records(now.llm, tuple(now.llm[0]), indent=2)
    say(f"\nNext: {step.command}")
    say(f"  {step.why}")


def _print_report(rows: list[dict[str, Any]]) -> None:
    from jobs.cli.terminal.log_facts import print_facts
    from jobs.cli.terminal.session import settings
    from jobs.recall.facts import Facts

    facts = Facts.of({row["measure"]: row["value"] for row in rows})
    said = {row["measure"]: row["text"] for row in rows if row["text"]}
    say(f"\nWhat the log is like, as of {rows[0]['ds']}")
    print_facts(facts, said, settings().recall)
