"""The demo's days, run by Airflow: created, resumed where they stopped, and followed to the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from infra.demo.airflow_api import AirflowApi

DAG_ID = "recall_daily"
MAX_ACTIVE_RUNS = 2
PARSE_SECONDS = 180
# one that is about to end does so within seconds; a paused one never does
BACKFILL_SECONDS = 900
# one whose runs have just ended is seen to be over within half a minute; of a longer wait we tell
TELL_AFTER_SECONDS = 40
POLL_SECONDS = 4.0
DONE = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
LOG_LINES = 12


class NoDag(Exception):
    """Airflow has not taken in the DAG."""


class BackfillBusy(Exception):
    """Airflow runs one backfill of a DAG at a time, and another one does not end."""


@dataclass(frozen=True)
class TaskEnd:
    """A task that came to an end. seconds: its last attempt, None when it never ran.

    done, total: tasks of its run.
    """

    day: date
    task_id: str
    state: str
    seconds: float | None
    done: int
    total: int


@dataclass(frozen=True)
class Failure:
    """A failed task with the end of its log."""

    day: date
    task_id: str
    log: Sequence[str]
    page: str


def prepare(api: AirflowApi, pools: Path, pause: Callable[[float], None] = time.sleep) -> None:
    """Waits until Airflow has parsed the DAG, creates its pools and unpauses it. Raises NoDag."""
    waited = 0.0
    while api.dag() is None:
        if broken := api.import_errors():
            raise NoDag(f"Airflow cannot import the DAG files:\n{broken[0]}")
        if waited >= PARSE_SECONDS:
            raise NoDag(f"Airflow did not find {DAG_ID} within {PARSE_SECONDS} s")
        pause(POLL_SECONDS)
        waited += POLL_SECONDS
    for name, definition in json.loads(pools.read_text()).items():
        api.put_pool(name, definition)
    api.unpause()


def request_days(
    api: AirflowApi,
    days: Collection[date],
    published: Collection[date],
    say: Callable[[str], None] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
) -> list[date]:
    """Has Airflow run what is not done yet; gives the days that need waiting for.

    say: called with one line when another backfill has to end first and takes a while. Raises
    BackfillBusy when it does not end.

    A day with no run gets one by a backfill. Of a failed run, the failed tasks run again. A run
    that Airflow calls a success, but whose day is not in the lake (it was deleted), runs again as
    a whole. A run under way is left alone.
    """
    waited = 0.0
    while True:
        runs = api.runs(days)
        missing = [day for day in sorted(days) if day not in runs]
        if not missing or api.backfill(missing[0], missing[-1], MAX_ACTIVE_RUNS):
            break
        if waited == TELL_AFTER_SECONDS:
            say(f"waiting for another backfill of {DAG_ID} to end: {api.url}")
        if waited >= BACKFILL_SECONDS:
            raise BackfillBusy(
                f"Another backfill of {DAG_ID} did not end within {BACKFILL_SECONDS // 60} min, "
                f"and Airflow runs one at a time. Look at it in {api.url}: wait for it, unpause it "
                "or cancel it, then run `make demo` again."
            )
        pause(POLL_SECONDS)
        waited += POLL_SECONDS
    for day, run in runs.items():
        if run["state"] == "failed":
            api.clear(run["dag_run_id"], only_failed=True)
        elif run["state"] == "success" and day not in published:
            api.clear(run["dag_run_id"])
    return [day for day in sorted(days) if day in missing or not _is_done(runs[day], published)]


def follow(
    api: AirflowApi,
    days: Collection[date],
    on_end: Callable[[TaskEnd], None],
    on_tick: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> list[Failure]:
    """Waits until each day's run has ended; gives the tasks that failed.

    on_end: called once for each task that ends, in the order seen. on_tick: called with one line
    on what runs now.
    """
    seen: set[tuple[str, str, int]] = set()
    while True:
        runs = api.runs(days)
        tasks = {day: api.tasks(run["dag_run_id"]) for day, run in runs.items()}
        for day, found in tasks.items():
            done = sum(task["state"] in DONE for task in found)
            for task in sorted(found, key=lambda task: task["end_date"] or ""):
                key = (str(day), task["task_id"], task["try_number"])
                if task["state"] in DONE and key not in seen:
                    seen.add(key)
                    end = (task["task_id"], task["state"], task["duration"], done, len(found))
                    on_end(TaskEnd(day, *end))
        if len(runs) == len(set(days)) and all(
            run["state"] in ("success", "failed") for run in runs.values()
        ):
            return [
                _failure(api, day, runs[day], task)
                for day, found in tasks.items()
                for task in found
                if task["state"] == "failed"
            ]
        on_tick(_under_way(tasks))
        pause(POLL_SECONDS)


def _is_done(run: dict[str, Any], published: Collection[date]) -> bool:
    return run["state"] == "success" and date.fromisoformat(run["logical_date"][:10]) in published


def _under_way(tasks: dict[date, list[dict[str, Any]]]) -> str:
    running = [
        f"{day} {task['task_id']}"
        + (" (will be tried again)" if task["state"] == "up_for_retry" else "")
        for day, found in tasks.items()
        for task in found
        if task["state"] in ("running", "deferred", "up_for_retry")
    ]
    return ", ".join(running) or "waiting for Airflow's scheduler"


def _failure(api: AirflowApi, day: date, run: dict[str, Any], task: dict[str, Any]) -> Failure:
    run_id, task_id = run["dag_run_id"], task["task_id"]
    map_index = task.get("map_index", -1)
    lines = api.log_lines(run_id, task_id, max(task["try_number"], 1), map_index)
    return Failure(day, task_id, lines[-LOG_LINES:], api.page_of(run_id, task_id, map_index))
