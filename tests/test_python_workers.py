"""The process that Python workers are forked from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.python_workers import PollUntilIdle

IMPORTED = "import os, jobs.python_workers as workers; workers.import_for_tasks(); "


def said_after_import(expression: str) -> str:
    """What an expression gives in a fresh process that has imported what tasks run."""
    command = [sys.executable, "-c", f"{IMPORTED}print({expression})"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    return ended.stdout.strip()


def test_no_thread_is_there_when_it_forks() -> None:
    assert said_after_import("len(os.listdir('/proc/self/task'))") == "1"


def test_workers_have_what_tasks_run_and_no_model() -> None:
    """torch takes seconds and hundreds of megabytes, which only the encoder's tasks are to pay."""
    loaded = "[name in __import__('sys').modules for name in ('pandas', 'numba', 'torch')]"
    assert said_after_import(loaded) == "[True, True, False]"


def daemon_of_a_task(spark: SparkSession) -> tuple[str, int]:
    """Module and process id of the daemon that a task's worker was forked from."""

    def parent(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            command = Path(f"/proc/{os.getppid()}/cmdline").read_text().split("\0")
            columns = {"module": [command[2]], "pid": [os.getppid()]}
            yield pa.RecordBatch.from_pydict(columns)

    # Spark keeps no worker that it did not read to the end.
    lists = spark.range(0, 200_000, numPartitions=1).mapInArrow(parent, "module string, pid long")
    ((module, pid),) = lists.limit(1).collect()
    return module, pid


@pytest.fixture
def own_session(spark_url: str) -> Iterator[SparkSession]:
    """A session beside the shared one, whose daemon has no workers of other tests."""
    session = SparkSession.builder.remote(spark_url).create()
    yield session
    session.stop()


def test_spark_starts_another_when_one_has_ended(own_session: SparkSession) -> None:
    module, pid = daemon_of_a_task(own_session)
    assert module == "jobs.python_workers"
    os.killpg(pid, signal.SIGKILL)
    again, other = daemon_of_a_task(own_session)
    assert (again, other == pid) == ("jobs.python_workers", False)


def test_it_ends_when_it_has_no_worker() -> None:
    """Spark holds its standard input open, and asks for nothing."""
    command = [sys.executable, "-c", "import jobs.python_workers as w; w.main(idle_seconds=0.1)"]
    secret = {"PYTHON_WORKER_FACTORY_SECRET": "secret"}
    started = subprocess.Popen(
        command, env=os.environ | secret, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        started.wait(timeout=60)
    finally:
        started.kill()
        started.communicate()


def test_it_knows_whether_it_has_a_worker() -> None:
    worker = "__import__('subprocess').Popen(['cat'], stdin=-1)"
    both = f"workers.has_children(), [{worker}, workers.has_children()][1]"
    assert said_after_import(both) == "False True"


def test_a_worker_keeps_it() -> None:
    now, busy = [0.0], [True]
    poll = PollUntilIdle(60.0, clock=lambda: now[0], is_busy=lambda: busy[0])
    now[0] = 1000.0
    assert poll.poll(0) == []
    busy[0] = False
    now[0] = 1060.0
    assert poll.poll(0) == []
    now[0] = 1061.0
    with pytest.raises(SystemExit):
        poll.poll(0)
