"""The part of Airflow's REST API that the demo uses, in memory, with the same rules.

`tests/infra/test_airflow.py` asks the same questions of a real Airflow.
"""

from __future__ import annotations

import json
from typing import Any

import httpx

DAG = "/api/v2/dags/recall_daily"


class AirflowDouble:
    """One DAG. `ticks` are applied one by one, each time its runs are listed."""

    def __init__(self) -> None:
        self.parsed_after = 0
        self.import_errors: list[dict[str, str]] = []
        self.paused = True
        self.pools: dict[str, dict[str, Any]] = {}
        self.states: dict[str, str] = {}
        self.tasks: dict[str, list[dict[str, Any]]] = {}
        self.backfill_runs = False
        self.backfills: list[dict[str, Any]] = []
        self.cleared: list[tuple[str, bool]] = []
        self.logs: dict[tuple[str, str, int], list[Any]] = {}
        self.ticks: list[Any] = []
        self.token = "first"

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def run_id(self, day: str) -> str:
        return f"backfill__{day}"

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path, method = request.url.path, request.method
        body = json.loads(request.content) if request.content else {}
        if path == "/auth/token":
            if body != {"username": "admin", "password": "secret"}:
                return httpx.Response(401)
            return httpx.Response(201, json={"access_token": self.token})
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return httpx.Response(401)
        if path == "/api/v2/importErrors":
            return httpx.Response(200, json={"import_errors": self.import_errors})
        if path == DAG and method == "GET":
            self.parsed_after -= 1
            found = self.parsed_after < 0
            return httpx.Response(200 if found else 404, json={"is_paused": self.paused})
        if path == DAG and method == "PATCH":
            self.paused = body["is_paused"]
            return httpx.Response(200, json={})
        if path == "/api/v2/pools":
            taken = body["name"] in self.pools
            if not taken:
                self.pools[body["name"]] = body
            return httpx.Response(409 if taken else 201, json={})
        if path.startswith("/api/v2/pools/"):
            self.pools[body["name"]] = body
            return httpx.Response(200, json={})
        if path == "/api/v2/backfills":
            if self.backfill_runs:
                return httpx.Response(409, json={})
            self.backfills.append(body)
            return httpx.Response(200, json={})
        if path == f"{DAG}/clearTaskInstances":
            self.cleared.append((body["dag_run_id"], body["only_failed"]))
            return httpx.Response(200, json={})
        if path == f"{DAG}/dagRuns":
            if self.ticks:
                self.ticks.pop(0)()
            return httpx.Response(200, json={"dag_runs": self._runs(request)})
        run_id, _, rest = path.removeprefix(f"{DAG}/dagRuns/").partition("/taskInstances")
        if not rest:
            tasks = self.tasks.get(run_id.removeprefix("backfill__"), [])
            return httpx.Response(200, json={"task_instances": tasks})
        _, task_id, _, attempt = rest.split("/")
        content = self.logs[run_id.removeprefix("backfill__"), task_id, int(attempt)]
        return httpx.Response(200, json={"content": content})

    def _runs(self, request: httpx.Request) -> list[dict[str, str]]:
        first = request.url.params["logical_date_gte"][:10]
        last = request.url.params["logical_date_lte"][:10]
        return [
            {
                "dag_run_id": self.run_id(day),
                "logical_date": f"{day}T00:00:00Z",
                "state": state,
            }
            for day, state in self.states.items()
            if first <= day <= last
        ]


def task(
    task_id: str, state: str | None, *, seconds: float | None = None, tries: int = 1, end: str = ""
) -> dict[str, Any]:
    """A task instance as Airflow lists it."""
    return {
        "task_id": task_id,
        "state": state,
        "duration": seconds,
        "try_number": tries,
        "end_date": end or None,
    }
