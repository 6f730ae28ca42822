"""The Spark Connect server: one warm JVM in front of `local[*]`, with Delta."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from infra.stack.jars import spark_submit
from infra.stack.paths import PYTHON, ROOT
from infra.stack.ports import LOOPBACK
from infra.stack.process import Command
from infra.stack.service import Service
from jobs.spark import PYTHON_WORKERS_CONF

NAME = "spark"
PREFERRED_PORT = 15002
MESSAGE_BYTES = 128 * 1024 * 1024
SHUFFLE_PARTITIONS = 8
LOG_REPLAY_PARTITIONS = 2
GIB = 1024**3
# A day runs hundreds of small queries, each with generated classes of its own. At its own
# thresholds C2 spends more on these than it saves; without C2, loops that run all day stay slow.
# So a method has to be ten times as hot before C2 compiles it (a loop, 25 times).
JAVA_OPTIONS = (
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=6000",
    "-XX:Tier4CompileThreshold=150000",
    "-XX:Tier4BackEdgeThreshold=1000000",
    "-XX:ReservedCodeCacheSize=512m",
    "-XX:+UseParallelGC",
)
# Classes generated for queries; the next day asks the same ones. Spark keeps 100.
GENERATED_CLASSES = 2000


def driver_memory(ram_bytes: int | None = None) -> str:
    """A quarter of the machine's memory, at least 1 and at most 6 GiB, as Spark writes it."""
    ram = psutil.virtual_memory().total if ram_bytes is None else ram_bytes
    mebibytes = max(GIB, min(6 * GIB, ram // 4)) // 1024**2
    return f"{mebibytes}m"


def command(
    home: Path,
    port: int,
    jars: Sequence[Path],
    *,
    master: str = "local[*]",
    memory: str,
) -> Command:
    """How to start the server. jars: Delta's, on the local disk. memory: the JVM's heap."""
    conf = {
        "spark.connect.grpc.binding.address": LOOPBACK,
        "spark.connect.grpc.binding.port": str(port),
        "spark.connect.grpc.maxInboundMessageSize": str(MESSAGE_BYTES),
        "spark.databricks.delta.snapshotPartitions": str(LOG_REPLAY_PARTITIONS),
        "spark.driver.bindAddress": LOOPBACK,
        "spark.driver.host": LOOPBACK,
        "spark.local.dir": str(home / "spark" / "tmp"),
        **PYTHON_WORKERS_CONF,
        "spark.scheduler.mode": "FAIR",
        # Otherwise each session, so each task, generates and compiles every class anew. Sessions
        # still have views and settings of their own; they share JARs and files, and we add none.
        "spark.sql.artifact.isolation.enabled": "false",
        "spark.sql.codegen.cache.maxEntries": str(GENERATED_CLASSES),
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(SHUFFLE_PARTITIONS),
        "spark.sql.warehouse.dir": str(home / "spark" / "warehouse"),
        "spark.ui.enabled": "false",
    }
    argv = [
        str(spark_submit()),
        "--master",
        master,
        "--driver-memory",
        memory,
        "--driver-java-options",
        " ".join(JAVA_OPTIONS),
        "--name",
        "reclake",
        "--jars",
        ",".join(str(jar) for jar in jars),
        "--class",
        "org.apache.spark.sql.connect.service.SparkConnectServer",
    ]
    for key in sorted(conf):
        argv += ["--conf", f"{key}={conf[key]}"]
    env = {
        "SPARK_HOME": str(spark_submit().parent.parent),
        "SPARK_LOCAL_IP": LOOPBACK,
        "PYSPARK_PYTHON": str(PYTHON),
        "PYTHONPATH": str(ROOT),
        "TZ": "UTC",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return Command((*argv, "spark-internal"), env, unset=("SPARK_CONF_DIR", "SPARK_REMOTE"))


def url(port: int) -> str:
    return f"sc://{LOOPBACK}:{port}"


def service(
    home: Path,
    port: int,
    jars: Sequence[Path],
    *,
    master: str = "local[*]",
    memory: str | None = None,
) -> Service:
    started = command(home, port, jars, master=master, memory=memory or driver_memory())
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
