"""One service on free ports in a folder of its own, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.stack.paths import ROOT
from infra.stack.ports import free_port
from infra.stack.service import running
from infra.stack.services import airflow as airflow_service
from infra.stack.services import milvus as milvus_service
from infra.stack.services import spark as spark_service
from infra.stack.services import vllm as vllm_service
from infra.stack.services.airflow import Login
from infra.stack.services.postgres import postgres
from jobs import spark_server
from jobs.delta_jars import delta_jars


@contextmanager
def spark_connect(
    home: Path, *, jars: Path | None = None, master: str = "local[2]", memory: str = "1g"
) -> Iterator[str]:
    """A Spark Connect server with Delta; yields its `sc://` address.

    jars: folder with Delta's JARs, filled when empty; `<RECLAKE_HOME>/jars` when not given.
    """
    found = delta_jars(jars or _shared_jars())
    port = free_port()
    with running(spark_service.service(home, port, found, master=master, memory=memory), home):
        yield spark_server.url(port)


@contextmanager
def milvus(home: Path) -> Iterator[str]:
    """A milvus-lite server on an empty database; yields its `http://` address."""
    port = free_port()
    with running(milvus_service.service(home, port), home):
        yield milvus_service.url(port)


@contextmanager
def vllm(
    model_dir: Path, home: Path, *, name: str = "model", extra: Sequence[str] = ()
) -> Iterator[str]:
    """vLLM serving `model_dir` as `name`; yields its base URL, which ends in /v1."""
    port = free_port()
    with running(vllm_service.service(model_dir, name, port, extra=extra), home):
        yield vllm_service.url(port)


@contextmanager
def airflow(
    home: Path,
    env: Mapping[str, str] | None = None,
    *,
    spark_url: str = spark_server.url(spark_server.PREFERRED_PORT),
    dags: Path = ROOT / "dags",
) -> Iterator[Login]:
    """PostgreSQL and Airflow standalone; yields the UI's address with its login."""
    with postgres(home) as database_url:
        port = free_port()
        service = airflow_service.service(home, port, database_url, spark_url, dags=dags, env=env)
        with running(service, home):
            yield airflow_service.login(home, port)


def _shared_jars() -> Path:
    from jobs.settings import get_settings

    return get_settings().home / "jars"
