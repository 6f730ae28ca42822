"""The day of a run, and the params that Airflow offers for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import (
    AirflowRescheduleException,
    AirflowSkipException,
    DownstreamTasksSkipped,
)

from jobs.airflow_task import (
    TASK_DEFAULTS,
    DayNotOver,
    _run_newest,
    _spark_connection,
    airflow_params,
    data_day,
    llm_shards,
    skip_unchosen,
    wait_for_other_days,
)
from jobs.lake.errors import AuditFailed, PublishConflict
from jobs.settings import RunParams

MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)


def test_a_scheduled_run_makes_the_day_of_its_logical_date() -> None:
    assert data_day(MIDNIGHT, datetime(2026, 11, 23, tzinfo=UTC)) == date(2026, 11, 22)


def test_a_logical_date_within_a_day_makes_that_day() -> None:
    noon = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
    assert data_day(noon, MIDNIGHT) == date(2026, 11, 20)


def test_a_run_of_today_is_refused_because_taking_it_in_would_freeze_it() -> None:
    pressed_trigger = datetime(2026, 11, 22, 11, 5, tzinfo=UTC)
    with pytest.raises(DayNotOver, match="ds=2026-11-22 is not over at 2026-11-22 11:05 UTC"):
        data_day(pressed_trigger, pressed_trigger)


def test_a_run_without_a_logical_date_is_refused() -> None:
    with pytest.raises(DayNotOver, match="no logical date"):
        data_day(None, MIDNIGHT)


def test_terminal_errors_are_not_retried_and_all_others_are() -> None:
    policy = TASK_DEFAULTS["retry_policy"]
    actions = {
        error: policy.evaluate(error, 1, 4).action.value
        for error in (AuditFailed("x"), DayNotOver("x"), PublishConflict("x"), OSError("x"))
    }
    assert list(actions.values()) == ["fail", "fail", "default", "default"]


def test_a_nullable_field_becomes_a_param_that_takes_a_date_or_nothing() -> None:
    known_on = airflow_params()["known_on"]
    assert known_on.resolve("2017-12-30") == "2017-12-30"
    assert known_on.resolve(None) is None
    with pytest.raises(ValueError, match="30 December"):
        known_on.resolve("30 December")


def test_a_budget_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 is less than the minimum"):
        airflow_params()["item_budget"].resolve(-1)


def test_what_the_params_accept_the_run_accepts() -> None:
    chosen = {name: param.resolve() for name, param in airflow_params().items()}
    assert RunParams.model_validate(chosen) == RunParams()


class RunningTasks:
    """A task instance that knows how many of its name run, by DAG run."""

    dag_id, task_id = "recall_daily", "silver.item_enrichments"

    def __init__(self, backlog: int = 0, **running: int) -> None:
        self.backlog, self.running = backlog, running

    def get_ti_count(
        self, dag_id: str, task_ids: list[str], states: list[str], run_ids: list[str] | None = None
    ) -> int:
        assert (task_ids, states) == ([self.task_id], ["running"])
        if dag_id != self.dag_id:
            return self.backlog
        return sum(n for run, n in self.running.items() if run_ids is None or run in run_ids)


def test_shards_of_one_run_work_at_once() -> None:
    wait_for_other_days(RunningTasks(mine=4), "mine", date(2026, 11, 20))


def test_a_shard_gives_way_while_another_run_pays_and_neighbouring_days_wait_unlike() -> None:
    waits = set()
    for day in (20, 21, 22):
        with pytest.raises(AirflowRescheduleException) as given_up:
            wait_for_other_days(RunningTasks(mine=1, other=1), "mine", date(2026, 11, day))
        seconds = (given_up.value.reschedule_date - datetime.now(UTC)).total_seconds()
        waits.add(round(seconds / 60))
    assert waits == {1, 2, 3}


def test_a_day_gives_way_to_the_backlog_that_pays() -> None:
    with pytest.raises(AirflowRescheduleException):
        wait_for_other_days(RunningTasks(backlog=1, mine=1), "mine", date(2026, 11, 20))


def test_a_run_has_as_many_shards_as_its_param_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for params, numbers in (({}, [0]), ({"shards": 3}, [0, 1, 2])):
        monkeypatch.setattr(
            "jobs.airflow_task.get_current_context", lambda params=params: {"params": params}
        )
        assert llm_shards.function() == numbers


@pytest.mark.parametrize(
    ("params", "skipped"),
    [
        ({}, ["silver.i2i_candidates.swing", "silver.user_candidates.seasonal"]),
        ({"methods": ["swing"]}, ["silver.i2i_candidates.slim", "silver.user_candidates.seasonal"]),
        (
            {"channels": ["popular", "seasonal"]},
            ["silver.i2i_candidates.swing", "silver.user_candidates.i2i"],
        ),
    ],
)
def test_sources_that_a_run_does_not_build_are_skipped_and_no_others(
    params: dict[str, list[str]], skipped: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        *("silver.i2i_candidates.slim", "silver.i2i_candidates.swing"),
        *("silver.user_candidates.i2i", "silver.user_candidates.popular"),
        "silver.user_candidates.seasonal",
    ]
    after = []
    for task_id in names:
        name, _, slice = task_id.rpartition(".")
        after.append(SimpleNamespace(task_id=task_id, op_kwargs={"name": name, "slice": slice}))
    context = {"params": params, "task": SimpleNamespace(downstream_list=after)}
    monkeypatch.setattr("jobs.airflow_task.get_current_context", lambda: context)
    with pytest.raises(DownstreamTasksSkipped) as told:
        skip_unchosen.function()
    assert list(told.value.tasks) == skipped


def test_a_run_that_builds_all_sources_skips_none(monkeypatch: pytest.MonkeyPatch) -> None:
    popular = {"name": "silver.user_candidates", "slice": "popular"}
    after = [SimpleNamespace(task_id="silver.user_candidates.popular", op_kwargs=popular)]
    context = {"params": {}, "task": SimpleNamespace(downstream_list=after)}
    monkeypatch.setattr("jobs.airflow_task.get_current_context", lambda: context)
    skip_unchosen.function()


@pytest.mark.parametrize(
    ("connection", "found"),
    [
        (
            '{"conn_type": "spark_connect", "host": "sc://spark", "port": 15002, "password": "t"}',
            ("sc://spark:15002/;token=t", {}),
        ),
        (
            '{"conn_type": "spark", "host": "spark://spark", "port": 7077, "extra": {"a.b": "1"}}',
            ("spark://spark:7077", {"a.b": "1"}),
        ),
        ('{"conn_type": "spark", "host": "local[2]"}', ("local[2]", {})),
    ],
)
def test_the_connection_names_a_connect_server_or_a_master(
    connection: str, found: tuple[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CONNECT", connection)
    assert _spark_connection() == found


class NewestDayLake:
    """A lake whose newest day of any step is `newest`, and whose runs make `rows` rows."""

    newest: date | None = date(2017, 12, 30)
    rows = 3

    def __init__(self, session: object, settings: object) -> None:
        self.asked: list[str] = []

    def newest_day(self, name: str) -> date | None:
        self.asked.append(name)
        return self.newest

    def run(self, name: str, *, ds: date, params: RunParams, run_id: str) -> SimpleNamespace:
        said = f"{name} ds={ds} by {self.asked}: {params.item_budget} at most"
        return SimpleNamespace(rows_out=self.rows, summary=lambda: said)


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a task of `between_days` in a lake like the one above."""

    def run(*, name: str, of: str = "silver.item_enrichments", **lake: object) -> str:
        kind = type("Lake", (NewestDayLake,), lake)
        monkeypatch.setattr("jobs.lake.Lake", kind)
        ti = RunningTasks(mine=1)
        ti.id = "run-1"  # type: ignore[attr-defined]
        context = {
            "ti": ti,
            "dag_run": SimpleNamespace(run_id="mine"),
            "params": {"item_budget": 400},
        }
        monkeypatch.setattr("jobs.airflow_task.get_current_context", lambda: context)
        return _run_newest.function(name=name, of=of)

    return run


def test_work_between_days_is_for_the_newest_day_of_what_the_first_step_reads(
    between: Callable[..., str],
) -> None:
    assert between(name="silver.item_enrichments") == (
        "silver.item_enrichments ds=2017-12-30 by ['silver.item_enrichments']: 400 at most"
    )
    said = between(name="gold.llm_quality_daily")
    assert said.startswith("gold.llm_quality_daily ds=2017-12-30 by ['silver.item_enrichments']")


def test_work_between_days_is_skipped_without_a_day_or_with_nothing_to_do(
    between: Callable[..., str],
) -> None:
    with pytest.raises(AirflowSkipException, match="no day of what it reads"):
        between(name="silver.item_enrichments", newest=None)
    with pytest.raises(AirflowSkipException, match="there was nothing to do"):
        between(name="silver.item_enrichments", rows=0)
