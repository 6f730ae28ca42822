"""The Spark Connect server: one warm JVM in front of `local[*]`, with Delta."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.stack.ports import LOOPBACK
from infra.stack.process import Command
from infra.stack.service import Service
from jobs import spark_server

NAME = "spark"


def command(
    home: Path,
    port: int,
    jars: Sequence[Path],
    *,
    master: str = "local[*]",
    memory: str,
) -> Command:
    """How to start the server. jars: Delta's, on the local disk. memory: the JVM's heap."""
    started = spark_server.argv(home, port, jars, master=master, memory=memory)
    return Command(started, spark_server.environment(), unset=spark_server.UNSET)


def service(
    home: Path,
    port: int,
    jars: Sequence[Path],
    *,
    master: str = "local[*]",
    memory: str | None = None,
) -> Service:
    started = command(
        home, port, jars, master=master, memory=memory or spark_server.driver_memory()
    )
    return Service(NAME, started, lambda: ask_version(port), timeout_seconds=300)


def ask_version(port: int) -> None:
    """Asks the server for Spark's version, and closes the session which that opened."""
    import grpc
    from pyspark.sql.connect.proto import base_pb2, base_pb2_grpc

    session = str(uuid.uuid4())
    user = base_pb2.UserContext(user_id="reclake-stack")
    version = base_pb2.AnalyzePlanRequest.SparkVersion()
    question = base_pb2.AnalyzePlanRequest(
        session_id=session, user_context=user, spark_version=version
    )
    release = base_pb2.ReleaseSessionRequest(session_id=session, user_context=user)
    with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        stub: Any = base_pb2_grpc.SparkConnectServiceStub(channel)  # type: ignore[no-untyped-call]
        stub.AnalyzePlan(question, timeout=20)
        stub.ReleaseSession(release, timeout=20)
