"""Whether the servers that reclake uses answer a real question within seconds."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.lake.errors import Transient

if TYPE_CHECKING:
    from jobs.settings import Settings

TIMEOUT_SECONDS = 3.0


class ServerSilent(Transient):
    """A server that the command needs does not answer."""


@dataclass(frozen=True)
class Service:
    """One server: `state` is up, down or off (not configured, so not needed here)."""

    name: str
    address: str
    state: str
    detail: str


def ask_all(settings: Settings, airflow_url: str) -> list[Service]:
    """Asks each service in turn, whether or not another one fails."""
    return [
        _ask("spark", settings.spark_url, lambda: _spark(settings.spark_url)),
        _ask("milvus", settings.milvus_uri, lambda: _milvus(settings)),
        _ask("llm", settings.llm_url, lambda: _llm(settings)),
        _ask("airflow", airflow_url, lambda: _airflow(airflow_url)),
    ]


def require_spark(url: str) -> None:
    """Raises ServerSilent when `url` names a Connect server that does not answer.

    Asked before a session is opened, because the Spark client itself tries for ten minutes.
    """
    spark = _ask("spark", url, lambda: _spark(url))
    if spark.state == "down":
        raise ServerSilent(
            f"Spark Connect does not answer at {url} ({spark.detail}). Nothing was run. "
            "`reclake spark start` starts one; RECLAKE_SPARK_URL points to a server of your own, "
            "or is `local[2]` for a Spark inside each command."
        )


def answers(url: str) -> bool:
    """Whether a Connect server answers at a URL."""
    return _ask("spark", url, lambda: _spark(url)).state == "up"


def _ask(name: str, address: str, question: Callable[[], str]) -> Service:
    if not address:
        return Service(name, "", "off", "not configured")
    try:
        return Service(name, address, "up", question())
    except Exception as error:
        return Service(name, address, "down", _short(error))


def _short(error: Exception) -> str:
    """The end of an error's first line, which is where clients put the cause."""
    details = getattr(error, "details", None)  # gRPC's own text is many lines long
    said = str(details() if callable(details) else error).strip() or type(error).__name__
    return said.splitlines()[0].rsplit("last error: ", 1)[-1].rsplit("to remote host: ")[-1][:200]


def _spark(url: str) -> str:
    if not url.startswith("sc://"):
        return "a Spark master; each command starts an application of its own"
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.proto import base_pb2, base_pb2_grpc

    session, user = str(uuid.uuid4()), base_pb2.UserContext(user_id="reclake-status")
    server = DefaultChannelBuilder(url)  # knows the URL's token and ssl, too
    with server.toChannel() as channel:
        stub = base_pb2_grpc.SparkConnectServiceStub(channel)  # type: ignore[no-untyped-call]
        version = base_pb2.AnalyzePlanRequest.SparkVersion()
        question = base_pb2.AnalyzePlanRequest(
            session_id=session, user_context=user, spark_version=version
        )
        options = {"timeout": TIMEOUT_SECONDS, "metadata": server.metadata()}
        answer = stub.AnalyzePlan(question, **options)
        goodbye = base_pb2.ReleaseSessionRequest(session_id=session, user_context=user)
        stub.ReleaseSession(goodbye, **options)
    return f"Spark {answer.spark_version.version}"


def _milvus(settings: Settings) -> str:
    from pymilvus import MilvusClient

    from jobs.vectors.index import LIVE, ItemIndex

    token = settings.milvus_token.get_secret_value()
    # first with a timeout of our own, because the index waits longer for a server that is gone
    MilvusClient(uri=settings.milvus_uri, token=token, timeout=TIMEOUT_SECONDS).close()
    index = ItemIndex(settings)
    live = index.aliases().get(LIVE)
    if live is None:
        return f"no alias {LIVE} yet"
    days = [day for day, collection in index.days().items() if collection == live]
    return f"{LIVE} -> {live}, ds={max(days, default='unknown')}"


def _llm(settings: Settings) -> str:
    from jobs.llm.engine import SCHEME

    if settings.llm_url.startswith(SCHEME):
        if not settings.llm_engine_python.exists():
            raise LookupError(f"no Python at {settings.llm_engine_python}")
        return "starts with a run"
    for url in settings.llm_urls:
        _serves_model(settings, url)
    return f"serves {settings.llm_model}"


def _serves_model(settings: Settings, url: str) -> None:
    import httpx

    key = settings.llm_api_key.get_secret_value()
    answer = httpx.get(
        f"{url.rstrip('/')}/models",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=TIMEOUT_SECONDS,
    )
    answer.raise_for_status()
    served = sorted(model["id"] for model in answer.json()["data"])
    if settings.llm_model not in served:
        raise LookupError(f"{url} serves {', '.join(served)}, but not {settings.llm_model}")


def _airflow(url: str) -> str:
    import httpx

    answer = httpx.get(f"{url.rstrip('/')}/api/v2/monitor/health", timeout=TIMEOUT_SECONDS)
    answer.raise_for_status()
    parts = {name: (part or {}).get("status") for name, part in answer.json().items()}
    if sick := sorted(name for name, state in parts.items() if state == "unhealthy"):
        raise LookupError(f"unhealthy: {', '.join(sick)}")
    return "healthy"
