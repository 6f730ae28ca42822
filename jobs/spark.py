"""The Spark session of this process: a client of Spark Connect, or an application of its own."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
from pyspark.sql import SparkSession

from jobs.settings import Settings

logger = logging.getLogger(__name__)

# What Delta needs of a session; the Connect server has the same (jobs/spark_server.py).
DELTA_CONF = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
}

# The daemon from which Spark forks its Python workers.
PYTHON_WORKERS_CONF = {"spark.python.daemon.module": "jobs.python_workers"}

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
MANY_QUERIES_CONF = {"spark.sql.codegen.cache.maxEntries": "2000"}


def submitted() -> bool:
    """Whether `spark-submit` started this process, as the driver of an application of its own."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


# With one of these set, PySpark looks for a Connect server whatever the builder says.
_OF_CLIENTS = ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED")


def connect(settings: Settings, conf: Mapping[str, str] | None = None) -> SparkSession:
    """The session that `settings.spark_url` points to. conf: for an application of its own.

    `sc://host:port` is a Spark Connect server. Anything else is a master URL (`local[2]`,
    `spark://…`, `yarn`), for which this process becomes the driver, with Delta's JARs, which are
    downloaded once. Below `spark-submit` the submitted application's own session is used, whatever
    the URL says. Raises `jobs.delta_jars.JarsUnresolved`.
    """
    if settings.spark_url.startswith("sc://") and not submitted():
        return impatient(SparkSession.builder.remote(settings.spark_url).getOrCreate())
    builder = SparkSession.builder.appName("reclake")
    own: dict[str, str] = dict(DELTA_CONF)
    if not submitted():
        from jobs.delta_jars import delta_jars

        jars = delta_jars(Path(settings.home, "jars"), logger.warning)
        builder = builder.master(settings.spark_url)
        own |= PYTHON_WORKERS_CONF | {"spark.jars": ",".join(map(str, jars))}
        if settings.spark_url.startswith("local"):
            own |= _of_one_machine(settings.home / "spark")
    for key, value in {**own, **(conf or {})}.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def impatient(spark: SparkSession) -> SparkSession:
    """The session, made to give up after some 45 s without its Connect server.

    PySpark tries for more than ten minutes, also at the end of a process. But a session is gone
    once its server has died, and a network that only stumbles is back sooner.
    """
    # imported here: it takes half a second, and a process that only starts Spark does not need it
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    if isinstance(spark, ConnectSession):
        spark.client.set_retry_policies([DefaultPolicy(max_retries=8, max_backoff=10_000)])
    return spark


def local(folder: Path) -> SparkSession:
    """A session of this process alone, for work outside the lake: all cores, half of the memory.

    folder: where Spark keeps what does not fit in memory. Below `spark-submit` the submitted
    application's own session is used.
    """
    builder = SparkSession.builder.appName("reclake")
    if not submitted():
        builder = builder.master(f"local[{os.cpu_count() or 1}]")
        own = PYTHON_WORKERS_CONF | _of_one_machine(folder)
        for key, value in {**own, "spark.sql.session.timeZone": "UTC"}.items():
            builder = builder.config(key, value)
    return builder.getOrCreate()


def _of_one_machine(folder: Path) -> dict[str, str]:
    """The options of a Spark inside this process, whose environment is made ready for it: half of
    the memory, on loopback alone. folder: where Spark keeps what does not fit in memory."""
    os.environ.update(
        PYSPARK_PYTHON=sys.executable,
        SPARK_LOCAL_IP="127.0.0.1",
        SPARK_LOCAL_DIRS=str(folder / "local"),
    )
    for name in _OF_CLIENTS:
        os.environ.pop(name, None)
    return MANY_QUERIES_CONF | {
        "spark.driver.extraJavaOptions": " ".join(JAVA_OPTIONS),
        "spark.driver.memory": f"{psutil.virtual_memory().total // 2**21}m",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.shuffle.partitions": str(4 * (os.cpu_count() or 1)),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    }
