"""The whole stack, as `make demo` starts it, with two days of a small shop run by a backfill."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from infra.demo import backfill
from infra.demo.airflow_api import AirflowApi
from infra.stack.paths import PYTHON, ROOT
from infra.stack.ports import free_port
from infra.stack.settings import StackSettings
from infra.stack.stack import Endpoints, Stack
from jobs.lake.sql import LakeSql
from jobs.settings import Settings, get_settings
from tests.end_to_end import shop

ENVIRONMENT = {
    "RECLAKE_RECALL__BUNDLES__MIN_BASKETS": "2",
    "RECLAKE_RECALL__BUNDLES__MIN_SUPPORT": "2",
    "RECLAKE_RECALL__I2I__NEIGHBORS": str(shop.LIST_LENGTH),
    "RECLAKE_RECALL__USER__ITEMS": str(shop.LIST_LENGTH),
}


class Airflow(AirflowApi):
    """The demo's calls of Airflow, and what else a person does in its UI."""

    def trigger(self, day: date, params: dict[str, Any]) -> None:
        """`Trigger` with a logical date and params, when its day has been over for a while."""
        logical_date, run_after = (f"{d}T00:00:00+00:00" for d in (day, day + timedelta(days=3)))
        body = {"logical_date": logical_date, "conf": params, "run_after": run_after}
        self._send("POST", f"/api/v2/dags/{self.dag_id}/dagRuns", json=body)

    @retry(
        retry=retry_if_result(lambda made: not made), wait=wait_fixed(2), stop=stop_after_delay(180)
    )
    def repeat(self, day: date) -> bool:
        """`Backfill` of a day with `All Runs`, as soon as Airflow has closed the one before."""
        return self.backfill(day, day, 1, reprocess="completed")

    def clear_task(self, day: date, task_id: str) -> None:
        """`Clear` of one task of a day with its downstream."""
        self.clear(self.runs([day])[day]["dag_run_id"], first=task_id)

    def states(self, day: date) -> dict[str, str]:
        """The state of each task of a day, once its run has ended well."""
        failures = backfill.follow(self, [day], lambda _: None, lambda _: None)
        assert failures == []
        run = self.runs([day])[day]
        assert run["state"] == "success"
        return {task["task_id"]: task["state"] for task in self.tasks(run["dag_run_id"])}


@dataclass(frozen=True)
class Shop:
    """A running stack whose lake holds the days of `shop.DAYS`."""

    settings: Settings
    endpoints: Endpoints
    airflow: Airflow

    def environment(self) -> dict[str, str]:
        """Variables that make a process work on this stack as Airflow's tasks do."""
        # the Spark session of the tests leaves variables that would speak to the new process
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("SPARK_")}
        home = {"RECLAKE_HOME": str(self.settings.home)}
        return inherited | ENVIRONMENT | home | self.endpoints.environment()

    @property
    def sql(self) -> LakeSql:
        return LakeSql(self.settings.lake, self.settings.contracts)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.sql.query(query).rows]


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("reclake")
    shared = get_settings().home
    for kept in ("jars", "models"):  # downloaded or made once, and only read by the servers
        (shared / kept).mkdir(parents=True, exist_ok=True)
        (home / kept).symlink_to(shared / kept)
    settings = Settings(home=home)
    ports = {f"{name}_port": free_port() for name in ("airflow", "milvus", "spark", "vllm")}
    stack = Stack(settings, StackSettings(spark_memory="1500m", **ports))  # type: ignore[arg-type]
    shop.write_landing(Path(settings.landing))
    try:
        with stack.starting(ENVIRONMENT | {"RECLAKE_HOME": str(home)}) as (endpoints, _):
            pass
        yield Shop(settings, endpoints, Airflow(endpoints.airflow, backfill.DAG_ID))
    finally:
        stack.down()


@pytest.fixture(scope="package")
def published(running: Shop) -> Shop:
    """The shop after a backfill over its two days."""
    subprocess.run(
        [str(PYTHON), "-m", "jobs.cli", "init"],
        check=True,
        cwd=ROOT,
        env=running.environment(),
        capture_output=True,
    )
    backfill.prepare(running.airflow, ROOT / "dags" / "pools.json")
    days = backfill.request_days(running.airflow, shop.DAYS, published=set())
    assert days == list(shop.DAYS)
    assert backfill.follow(running.airflow, days, lambda _: None, lambda _: None) == []
    return running
