"""CPU seconds of a program and of everything that it started, servers that outlive it included."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

import psutil

from infra.stack.process import seconds_of

_PR_SET_CHILD_SUBREAPER = 36

# Words of a command line, and the kind of work that it does; the first that is found counts.
SPARK, VLLM, MILVUS = "Spark's JVM", "vLLM", "Milvus"
KINDS: Mapping[str, str] = {
    "SparkConnectServer": SPARK,
    "jobs.python_workers": "Python in Spark's tasks",
    "airflow worker": "Airflow's tasks",
    "airflow": "Airflow's servers",
    "infra.stack.standalone": "Airflow's servers",
    "postgres": "Airflow's servers",
    "vllm": VLLM,
    "VLLM": VLLM,
    "milvus": MILVUS,
}
OTHER = "the demo's own process"


def adopt_orphans() -> None:
    """From now on, servers whose parent ends become children of this process (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def by_kind() -> Counter[str]:
    """User and system CPU seconds of all descendants of this process, by kind of work.

    A process that ended counts for the one that waited for it: a task of Airflow for the worker
    that started it.
    """
    spent: Counter[str] = Counter()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            spent[kind_of(process)] += seconds_of(process)
    return spent


def kind_of(process: psutil.Process) -> str:
    """The kind of work of a process. Raises psutil.Error when it has ended."""
    words = " ".join(process.cmdline())
    return next((kind for word, kind in KINDS.items() if word in words), OTHER)
