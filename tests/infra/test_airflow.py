"""The demo's way with backfills, on a real Airflow and a DAG whose second task fails at first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from infra.demo.airflow_api import AirflowApi
from infra.demo.backfill import TaskEnd, follow, prepare, request_days
from infra.stack import airflow

pytestmark = pytest.mark.server

DAYS = (date(2017, 12, 28), date(2017, 12, 29))

DAG = """
from datetime import UTC, datetime
from pathlib import Path
from airflow.sdk import DAG, CronDataIntervalTimetable, task

mended = Path({mended!r})

@task
def first(): ...

@task(pool="llm")
def second():
    if not mended.exists():
        raise ValueError("the cause is not mended yet")

with DAG(
    "recall_daily",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2017, 1, 1, tzinfo=UTC),
    catchup=False,
):
    first() >> second()
"""


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cause") / "mended"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, mended: Path) -> Iterator[AirflowApi]:
    home = tmp_path_factory.mktemp("home")
    dags = home / "dags"
    dags.mkdir()
    (dags / "recall_daily.py").write_text(DAG.format(mended=str(mended)))
    with airflow(home, dags=dags) as login:
        yield AirflowApi(login, "recall_daily")


def test_a_backfill_that_fails_goes_on_where_it_stopped(
    api: AirflowApi, mended: Path, tmp_path: Path
) -> None:
    pools = tmp_path / "pools.json"
    pools.write_text(
        json.dumps({"llm": {"slots": 1, "description": "one", "include_deferred": False}})
    )
    prepare(api, pools)
    prepare(api, pools)  # a second demo finds the pool there

    def run(published: set[date]) -> tuple[set[tuple[date, str, str]], list[str]]:
        ends: list[TaskEnd] = []
        failures = follow(api, request_days(api, DAYS, published), ends.append, lambda _: None)
        said = [failure.log[-1] for failure in failures]
        return {(end.day, end.task_id, end.state) for end in ends}, said

    ends, said = run(published=set())
    assert ends == {(day, "first", "success") for day in DAYS} | {
        (day, "second", "failed") for day in DAYS
    }
    assert said == ["ValueError: the cause is not mended yet"] * 2

    mended.touch()
    tries_before = {task["task_id"]: task["try_number"] for task in all_tasks(api, DAYS[0])}
    assert run(published=set())[1] == []
    tries = {task["task_id"]: task["try_number"] for task in all_tasks(api, DAYS[0])}
    assert tries["first"] == tries_before["first"]
    assert tries["second"] == tries_before["second"] + 1

    assert request_days(api, DAYS, published=set(DAYS)) == []
    runs = api.runs(DAYS)
    assert [(run["run_type"], run["state"]) for run in runs.values()] == [
        ("backfill", "success"),
        ("backfill", "success"),
    ]
    # unpaused, and yet no run that the clock made
    assert set(api.runs([date(2017, 1, 1), *DAYS, date(2100, 1, 1)])) == set(DAYS)


def all_tasks(api: AirflowApi, day: date) -> list[dict[str, object]]:
    return api.tasks(api.runs([day])[day]["dag_run_id"])
