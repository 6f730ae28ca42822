"""One DagBag for all DAG tests, parsed without a running Airflow, in an AIRFLOW_HOME of its own."""

from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.dags.described import DAGS

# Airflow makes its home when it is first imported, which is before any fixture.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="reclake-airflow-")

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG
    from airflow.serialization.definitions.dag import SerializedDAG


@pytest.fixture(scope="session")
def pools() -> set[str]:
    """The pools of `dags/pools.json`, and the one that Airflow always has."""
    return {"default_pool", *json.loads((DAGS / "pools.json").read_text())}


@pytest.fixture(scope="session")
def bag(pools: set[str]) -> DagBag:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(DAGS, known_pools=pools)


@pytest.fixture(scope="session")
def dags(bag: DagBag) -> dict[str, DAG]:
    """All DAGs by id. An empty bag fails here, so that no rule holds only for lack of a DAG."""
    assert bag.import_errors == {}
    assert bag.dags
    return bag.dags


@pytest.fixture(scope="session")
def recall_daily(dags: dict[str, DAG]) -> DAG:
    return dags["recall_daily"]


@pytest.fixture(scope="session")
def scheduled(recall_daily: DAG) -> SerializedDAG:
    """`recall_daily` as the scheduler knows it, read back from what the DAG processor stores."""
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.from_dict(DagSerialization.to_dict(recall_daily))
