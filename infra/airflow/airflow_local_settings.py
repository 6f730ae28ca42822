"""Imports what every task needs once, in the process that Airflow forks its tasks from.

Airflow imports this module by its name when a component starts. Great Expectations, pyspark, the
encoder's torch and the table modules take more CPU to import than most steps take to run; a task
that is forked from a scheduler that has them starts with them. Nothing here opens a channel or
computes with torch, whose threads a fork would lose. For other executors the module does nothing.
"""

from __future__ import annotations

import sys


def preload() -> None:
    """Import the runtime, all table modules, and the libraries that they import late."""
    import airflow.providers.apache.spark.hooks.spark_connect  # noqa: F401
    import pyspark.sql.connect.session  # noqa: F401
    import sentence_transformers  # noqa: F401

    from jobs.lake.audit import import_great_expectations
    from jobs.lake.carry import code_digest
    from jobs.lake.step import steps

    steps()
    code_digest()
    import_great_expectations()


if "scheduler" in sys.argv:
    preload()
