"""Which runs the demo asks Airflow for, and how it follows them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from infra.demo import backfill
from infra.demo.airflow_api import AirflowApi, AirflowRefused
from infra.demo.backfill import (
    BackfillBusy,
    NoDag,
    TaskEnd,
    follow,
    prepare,
    request_days,
)
from infra.stack import Login
from tests.infra.airflow_double import AirflowDouble, task

D28, D29, D30 = DAYS = (date(2017, 12, 28), date(2017, 12, 29), date(2017, 12, 30))


@pytest.fixture
def double() -> AirflowDouble:
    return AirflowDouble()


@pytest.fixture
def api(double: AirflowDouble) -> AirflowApi:
    login = Login("http://airflow", "admin", "secret")
    return AirflowApi(login, "recall_daily", double.transport())


def no_pause(_: float) -> None:
    """Waits for nothing: the double moves on with each question."""


def test_a_first_demo_asks_for_all_days_in_one_backfill(
    double: AirflowDouble, api: AirflowApi
) -> None:
    assert request_days(api, DAYS, published=set()) == [D28, D29, D30]
    assert double.backfills == [
        {
            "dag_id": "recall_daily",
            "from_date": "2017-12-28T00:00:00+00:00",
            "to_date": "2017-12-30T00:00:00+00:00",
            "max_active_runs": backfill.MAX_ACTIVE_RUNS,
            "reprocess_behavior": "none",
        }
    ]
    assert double.cleared == []


def test_a_finished_demo_asks_for_nothing(double: AirflowDouble, api: AirflowApi) -> None:
    double.states = {str(day): "success" for day in DAYS}
    assert request_days(api, DAYS, published=set(DAYS)) == []
    assert (double.backfills, double.cleared) == ([], [])


def test_an_interrupted_demo_waits_for_what_runs_and_asks_for_what_is_missing(
    double: AirflowDouble, api: AirflowApi
) -> None:
    double.states = {"2017-12-28": "success", "2017-12-29": "running"}
    assert request_days(api, DAYS, published={D28}) == [D29, D30]
    (body,) = double.backfills
    assert (body["from_date"][:10], body["to_date"][:10]) == ("2017-12-30", "2017-12-30")
    assert double.cleared == []


def test_of_a_failed_day_only_what_failed_runs_again(
    double: AirflowDouble, api: AirflowApi
) -> None:
    double.states = {"2017-12-28": "success", "2017-12-29": "failed", "2017-12-30": "success"}
    assert request_days(api, DAYS, published={D28, D30}) == [D29]
    assert double.cleared == [("backfill__2017-12-29", True)]
    assert double.backfills == []


def test_a_day_that_is_gone_from_the_lake_runs_again_as_a_whole(
    double: AirflowDouble, api: AirflowApi
) -> None:
    double.states = {str(day): "success" for day in DAYS}
    assert request_days(api, DAYS, published={D28, D29}) == [D30]
    assert double.cleared == [("backfill__2017-12-30", False)]


@pytest.mark.parametrize(("polls", "told"), [(2, False), (12, True)])
def test_a_backfill_under_way_is_waited_for_and_not_doubled(
    double: AirflowDouble, api: AirflowApi, polls: int, told: bool
) -> None:
    double.backfill_runs = True

    def runs_appear() -> None:
        double.states = dict.fromkeys(map(str, DAYS), "queued")

    double.ticks = [*[lambda: None] * polls, runs_appear]
    said: list[str] = []
    assert request_days(api, DAYS, set(), said.append, no_pause) == [D28, D29, D30]
    assert double.backfills == []
    line = "waiting for another backfill of recall_daily to end: http://airflow/dags/recall_daily"
    assert said == ([line] if told else [])


def test_a_backfill_that_does_not_end_is_not_waited_for_for_ever(
    double: AirflowDouble, api: AirflowApi
) -> None:
    double.backfill_runs = True
    pauses: list[float] = []
    with pytest.raises(BackfillBusy) as raised:
        request_days(api, DAYS, published=set(), pause=pauses.append)
    assert sum(pauses) == backfill.BACKFILL_SECONDS
    assert str(raised.value) == (
        "Another backfill of recall_daily did not end within 15 min, and Airflow runs one at a "
        "time. Look at it in http://airflow/dags/recall_daily: wait for it, unpause it or cancel "
        "it, then run `make demo` again."
    )


def test_following_tells_each_end_once_and_returns_when_all_runs_ended(
    double: AirflowDouble, api: AirflowApi
) -> None:
    def first() -> None:
        double.states = {"2017-12-28": "running"}
        double.tasks = {
            "2017-12-28": [
                task("bronze", "success", seconds=4.0, end="T1"),
                task("silver", "running"),
                task("gold", None),
            ]
        }

    def then() -> None:
        double.tasks["2017-12-28"][1] = task("silver", "skipped", end="T2")

    def last() -> None:
        double.states = {"2017-12-28": "success"}
        double.tasks["2017-12-28"][2] = task("gold", "success", seconds=2.5, end="T3")

    double.ticks = [lambda: None, first, then, last]
    ends: list[TaskEnd] = []
    ticks: list[str] = []
    assert follow(api, [D28], ends.append, ticks.append, no_pause) == []
    assert ends == [
        TaskEnd(D28, "bronze", "success", 4.0, 1, 3),
        TaskEnd(D28, "silver", "skipped", None, 2, 3),
        TaskEnd(D28, "gold", "success", 2.5, 3, 3),
    ]
    assert ticks == [
        "waiting for Airflow's scheduler",
        "2017-12-28 silver",
        "waiting for Airflow's scheduler",
    ]


def test_a_failed_task_comes_with_the_end_of_its_log_and_its_page(
    double: AirflowDouble, api: AirflowApi
) -> None:
    double.states = {"2017-12-28": "failed", "2017-12-29": "success"}
    double.tasks = {
        "2017-12-28": [
            task("bronze", "failed", seconds=1.0, tries=2),
            task("silver", "upstream_failed"),
        ]
    }
    error = {"exc_type": "BadDrop", "exc_value": "items ds=2017-12-28: no column title"}
    double.logs["2017-12-28", "bronze", 2] = [
        {"event": "::group::Log message source details"},
        *({"event": f"line {n}"} for n in range(20)),
        {"event": "Task failed with exception", "error_detail": [error]},
    ]
    (failure,) = follow(api, [D28, D29], lambda _: None, lambda _: None, no_pause)
    assert (failure.day, failure.task_id) == (D28, "bronze")
    assert failure.log[-2:] == [
        "Task failed with exception",
        "BadDrop: items ds=2017-12-28: no column title",
    ]
    assert len(failure.log) == backfill.LOG_LINES
    assert failure.page == (
        "http://airflow/dags/recall_daily/runs/backfill__2017-12-28/tasks/bronze"
    )


def test_a_task_that_waits_for_its_retry_is_said_to(double: AirflowDouble, api: AirflowApi) -> None:
    double.states = {"2017-12-28": "running"}
    double.tasks = {"2017-12-28": [task("bronze", "up_for_retry")]}
    double.ticks = [lambda: None, lambda: double.states.update({"2017-12-28": "success"})]
    ticks: list[str] = []
    follow(api, [D28], lambda _: None, ticks.append, no_pause)
    assert ticks == ["2017-12-28 bronze (will be tried again)"]


def test_preparing_waits_for_the_dag_then_makes_pools_and_unpauses(
    double: AirflowDouble, api: AirflowApi, tmp_path: Path
) -> None:
    double.parsed_after = 3
    double.pools = {"llm": {"name": "llm", "slots": 9}}
    pools: dict[str, dict[str, Any]] = {"llm": {"slots": 1}, "milvus": {"slots": 2}}
    file = tmp_path / "pools.json"
    file.write_text(json.dumps(pools))
    prepare(api, file, no_pause)
    assert double.pools == {
        "llm": {"name": "llm", "slots": 1},
        "milvus": {"name": "milvus", "slots": 2},
    }
    assert not double.paused


def test_a_dag_that_cannot_be_imported_says_why(
    double: AirflowDouble, api: AirflowApi, tmp_path: Path
) -> None:
    double.parsed_after = 1000
    with pytest.raises(NoDag, match="did not find recall_daily within 180 s"):
        prepare(api, tmp_path / "pools.json", no_pause)
    double.import_errors = [{"stack_trace": "ImportError: no module named jobs"}]
    with pytest.raises(NoDag, match="ImportError: no module named jobs"):
        prepare(api, tmp_path / "pools.json", no_pause)


def test_an_expired_token_is_renewed(double: AirflowDouble, api: AirflowApi) -> None:
    assert api.runs(DAYS) == {}
    double.token = "second"
    assert api.runs(DAYS) == {}


def test_a_wrong_password_and_a_refusal_are_explained(double: AirflowDouble) -> None:
    login = Login("http://airflow", "admin", "wrong")
    with pytest.raises(AirflowRefused, match="another Airflow is on that port"):
        AirflowApi(login, "recall_daily", double.transport()).runs(DAYS)
    silent = AirflowApi(Login("http://127.0.0.1:1", "admin", "secret"), "recall_daily")
    with pytest.raises(AirflowRefused, match="`make demo` starts Airflow again"):
        silent.runs(DAYS)
