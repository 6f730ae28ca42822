"""The Spark session of this process: a client of Spark Connect, or an application of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
from pyspark.sql import SparkSession

from jobs.settings import Settings

# What Delta needs of a session; the Connect server has the same (infra/stack/services/spark.py).
DELTA_CONF = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
}

# The daemon from which Spark forks its Python workers.
PYTHON_WORKERS_CONF = {"spark.python.daemon.module": "jobs.python_workers"}


def submitted() -> bool:
    """Whether `spark-submit` started this process, as the driver of an application of its own."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


# With one of these set, PySpark looks for a Connect server whatever the builder says.
_OF_CLIENTS = ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED")


def connect(settings: Settings, conf: Mapping[str, str] | None = None) -> SparkSession:
    """The session that `settings.spark_url` points to. conf: for an application of its own.

    `sc://host:port` is a Spark Connect server. Anything else is a master URL (`local[2]`,
    `spark://…`, `yarn`), for which this process becomes the driver. Below `spark-submit` the
    submitted application's own session is used, whatever the URL says.
    """
    if settings.spark_url.startswith("sc://") and not submitted():
        return impatient(SparkSession.builder.remote(settings.spark_url).getOrCreate())
    builder = SparkSession.builder.appName("reclake")
    if not submitted():
        jars = sorted(str(path) for path in Path(settings.home, "jars").glob("*.jar"))
        builder = builder.master(settings.spark_url).config("spark.jars", ",".join(jars))
    own = DELTA_CONF if submitted() else DELTA_CONF | PYTHON_WORKERS_CONF
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
        half = psutil.virtual_memory().total // 2**21
        cores = os.cpu_count() or 1
        options: dict[str, bool | float | int | str | None] = {
            "spark.driver.memory": f"{half}m",
            **PYTHON_WORKERS_CONF,
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": str(4 * cores),
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.log.level": "ERROR",
        }
        builder = builder.master(f"local[{cores}]").config(map=options)
        os.environ.update(
            PYSPARK_PYTHON=sys.executable,
            SPARK_LOCAL_IP="127.0.0.1",
            SPARK_LOCAL_DIRS=str(folder / "spark"),
        )
        for name in _OF_CLIENTS:
            os.environ.pop(name, None)
    return builder.getOrCreate()
