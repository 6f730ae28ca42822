"""The day of a run, and the params that Airflow offers for it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from jobs.lake.airflow_task import TASK_DEFAULTS, DayNotOver, airflow_params, data_day
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
