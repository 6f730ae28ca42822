"""The Spark Connect server: one warm JVM in front of `local[*]`, with Delta."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from jobs.delta_jars import delta_jars, spark_submit
from jobs.lake.errors import Terminal
from jobs.spark import DELTA_CONF, JAVA_OPTIONS, MANY_QUERIES_CONF, PYTHON_WORKERS_CONF

PREFERRED_PORT = 15002
LOOPBACK = "127.0.0.1"
MESSAGE_BYTES = 128 * 1024 * 1024
SHUFFLE_PARTITIONS = 8
LOG_REPLAY_PARTITIONS = 2
GIB = 1024**3


def driver_memory(ram_bytes: int | None = None) -> str:
    """A quarter of the machine's memory, at least 1 and at most 6 GiB, as Spark writes it."""
    ram = psutil.virtual_memory().total if ram_bytes is None else ram_bytes
    mebibytes = max(GIB, min(6 * GIB, ram // 4)) // 1024**2
    return f"{mebibytes}m"


_PACKAGES = Path(__file__).resolve().parents[1]
_STARTS_WITHIN_SECONDS = 300


class ServerFailed(Terminal):
    """A Spark Connect server did not start, or another one runs already."""


def argv(
    home: Path, port: int, jars: Sequence[Path], *, master: str = "local[*]", memory: str
) -> tuple[str, ...]:
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
        **MANY_QUERIES_CONF,
        "spark.scheduler.mode": "FAIR",
        # Otherwise each session, so each task, generates and compiles every class anew. Sessions
        # still have views and settings of their own; they share JARs and files, and we add none.
        "spark.sql.artifact.isolation.enabled": "false",
        **DELTA_CONF,
        "spark.sql.shuffle.partitions": str(SHUFFLE_PARTITIONS),
        "spark.sql.warehouse.dir": str(home / "spark" / "warehouse"),
        "spark.ui.enabled": "false",
    }
    command = [
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
        command += ["--conf", f"{key}={conf[key]}"]
    return (*command, "spark-internal")


def environment() -> dict[str, str]:
    """The variables of the server's process, beside the caller's own."""
    return {
        "SPARK_HOME": str(spark_submit().parent.parent),
        "SPARK_LOCAL_IP": LOOPBACK,
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(_PACKAGES),
        "TZ": "UTC",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


# Variables that the server must not inherit.
UNSET = ("SPARK_CONF_DIR", "SPARK_REMOTE")


@dataclass(frozen=True)
class Server:
    """A server that `start` started. created: when its process began, in seconds since 1970."""

    pid: int
    created: float
    port: int

    @property
    def url(self) -> str:
        return url(self.port)


def url(port: int) -> str:
    return f"sc://{LOOPBACK}:{port}"


def running(home: Path) -> Server | None:
    """The server that was started for this home, if its process is still there."""
    try:
        server = Server(**json.loads(_note(home).read_text("utf-8")))
        process = psutil.Process(server.pid)
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    return server if abs(process.create_time() - server.created) < 1 else None


def start(
    home: Path, port: int, memory: str, say: Callable[[str], None], answers: Callable[[str], bool]
) -> Server:
    """Start a server in the background, and wait until it answers.

    say: called with a line for the person who waits. answers: whether a server answers at a URL.
    Raises ServerFailed, with the end of the log, and JarsUnresolved.
    """
    if (server := running(home)) is not None:
        raise ServerFailed(
            f"a server of this home runs already, at {server.url} (process {server.pid}). "
            "Use it, or end it with `reclake spark stop`."
        )
    if answers(url(port)):
        raise ServerFailed(
            f"another server answers at {url(port)}. Use it (RECLAKE_SPARK_URL={url(port)}), or "
            "give another --port."
        )
    jars = delta_jars(home / "jars", say)
    log = home / "logs" / "spark-server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv(home, port, jars, memory=memory),
            env=kept | environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(process.pid, psutil.Process(process.pid).create_time(), port)
    _note(home).parent.mkdir(parents=True, exist_ok=True)
    _note(home).write_text(
        json.dumps({"pid": server.pid, "created": server.created, "port": port}), "utf-8"
    )
    say(f"waiting for Spark at {server.url} (log: {log})")
    until = time.monotonic() + _STARTS_WITHIN_SECONDS
    while not answers(server.url):
        if process.poll() is not None or time.monotonic() > until:
            stop(home)
            tail = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-5:])
            raise ServerFailed(f"the server did not come up; the end of {log}:\n{tail}")
        time.sleep(0.5)
    return server


def stop(home: Path) -> Server | None:
    """End the server of this home and what it started; None where none runs."""
    server = running(home)
    _note(home).unlink(missing_ok=True)
    if server is None:
        return None
    process = psutil.Process(server.pid)
    members = [*process.children(recursive=True), process]
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    _, alive = psutil.wait_procs(members, timeout=20)
    for member in alive:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    return server


def _note(home: Path) -> Path:
    return home / "run" / "spark-server.json"
