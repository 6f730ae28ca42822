"""The few calls of Airflow's REST API that the demo makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import httpx

from infra.stack import Login


class AirflowRefused(Exception):
    """Airflow answered with an error, or not at all."""


class AirflowApi:
    """One DAG of one Airflow, as its user. Every call raises AirflowRefused when it fails."""

    def __init__(self, login: Login, dag_id: str, transport: httpx.BaseTransport | None = None):
        self.dag_id = dag_id
        self.url = f"{login.url}/dags/{dag_id}"
        self.login = login
        self._client = httpx.Client(base_url=login.url, timeout=60, transport=transport)

    def dag(self) -> dict[str, Any] | None:
        """What Airflow knows of the DAG, None while it has not been parsed."""
        answer = self._send("GET", f"/api/v2/dags/{self.dag_id}", accept=(404,))
        return None if answer.status_code == 404 else answer.json()

    def import_errors(self) -> list[str]:
        """Why DAG files could not be parsed; empty when all could."""
        found = self._send("GET", "/api/v2/importErrors").json()
        return [error["stack_trace"] for error in found["import_errors"]]

    def unpause(self) -> None:
        path = f"/api/v2/dags/{self.dag_id}"
        self._send("PATCH", path, params={"update_mask": "is_paused"}, json={"is_paused": False})

    def put_pool(self, name: str, definition: Mapping[str, Any]) -> None:
        """Creates the pool, or changes it to this definition."""
        pool = {"name": name, **definition}
        if self._send("POST", "/api/v2/pools", json=pool, accept=(409,)).status_code == 409:
            self._send("PATCH", f"/api/v2/pools/{name}", json=pool)

    def runs(self, days: Iterable[date]) -> dict[date, dict[str, Any]]:
        """The DAG's run of each day that has one."""
        wanted = set(days)
        found = self._send(
            "GET",
            f"/api/v2/dags/{self.dag_id}/dagRuns",
            params={
                "limit": 100,
                "logical_date_gte": _midnight(min(wanted)),
                "logical_date_lte": _midnight(max(wanted)),
            },
        ).json()["dag_runs"]
        by_day = {datetime.fromisoformat(run["logical_date"]).date(): run for run in found}
        return {day: by_day[day] for day in sorted(wanted & by_day.keys())}

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """The task instances of one run."""
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{run_id}/taskInstances"
        tasks: list[dict[str, Any]] = self._send("GET", path, params={"limit": 100}).json()[
            "task_instances"
        ]
        return tasks

    def backfill(
        self, first: date, last: date, max_active_runs: int, reprocess: str = "none"
    ) -> bool:
        """Creates the runs that are missing in a range; False while another backfill runs.

        reprocess: which runs that exist are run again: none, failed (those that failed), or
        completed (all that have ended).
        """
        body = {
            "dag_id": self.dag_id,
            "from_date": _midnight(first),
            "to_date": _midnight(last),
            "max_active_runs": max_active_runs,
            "reprocess_behavior": reprocess,
        }
        answer = self._send("POST", "/api/v2/backfills", json=body, accept=(409,))
        return answer.status_code != 409

    def clear(self, run_id: str, *, only_failed: bool = False, first: str | None = None) -> None:
        """Has a run's failed tasks, or all of its tasks, run again.

        first: the task from which on they are meant, with its downstream; without it all are.
        """
        body = {
            "dag_run_id": run_id,
            "dry_run": False,
            "only_failed": only_failed,
            "reset_dag_runs": True,
            "run_on_latest_version": True,
        }
        if first:
            body |= {"task_ids": [first], "include_downstream": True}
        self._send("POST", f"/api/v2/dags/{self.dag_id}/clearTaskInstances", json=body)

    def log_lines(self, run_id: str, task_id: str, attempt: int, map_index: int = -1) -> list[str]:
        """What one attempt of a task logged, the error last.

        map_index: which instance of a mapped task; -1 for a task that isn't mapped.
        """
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        content = self._send(
            "GET", path, params={"map_index": map_index}, headers={"Accept": "application/json"}
        ).json()["content"]
        return [line for entry in content for line in _log_entry(entry)]

    def page_of(self, run_id: str, task_id: str, map_index: int = -1) -> str:
        """Where a person sees the task, or one instance of a mapped one."""
        instance = f"/mapped/{map_index}" if map_index >= 0 else ""
        return f"{self.url}/runs/{run_id}/tasks/{task_id}{instance}"

    def _send(
        self, method: str, path: str, *, accept: tuple[int, ...] = (), **request: Any
    ) -> httpx.Response:
        """One request, with a new token when the last one has expired."""
        try:
            if "Authorization" not in self._client.headers:
                self._authorize()
            answer = self._client.request(method, path, **request)
            if answer.status_code == 401:
                self._authorize()
                answer = self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise AirflowRefused(
                f"Airflow does not answer at {self.login.url} ({error}). Its log is "
                "logs/airflow.log in RECLAKE_HOME; `make demo` starts Airflow again and goes on."
            ) from error
        if answer.is_error and answer.status_code not in accept:
            raise AirflowRefused(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer

    def _authorize(self) -> None:
        user = {"username": self.login.user, "password": self.login.password}
        answer = self._client.post("/auth/token", json=user)
        if answer.is_error:
            raise AirflowRefused(
                f"{self.login.url} refuses the login of {self.login.user}: another Airflow is "
                "on that port. `make down`, then `make demo`, chooses a new port."
            )
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _midnight(day: date) -> str:
    return datetime.combine(day, time(), tzinfo=UTC).isoformat()


def _log_entry(entry: Any) -> list[str]:
    """One entry of a structured log as lines: its message, then `Type: text` of each error."""
    if isinstance(entry, str):
        return [entry]
    event = str(entry.get("event", ""))
    if event.startswith(("::group", "::endgroup")):
        return []
    errors = [f"{e['exc_type']}: {e['exc_value']}" for e in entry.get("error_detail") or []]
    return [event, *errors]
