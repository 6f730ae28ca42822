"""One run of pytest in a process of its own, forked from one that has imported the libraries.

The libraries take longer to import than most tests take to run. What is ours is imported in the
fork, so that it is the mutant.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

_LIBRARIES = [
    "aiohttp",
    "deltalake",
    "httpx",
    "hypothesis",
    "jinja2",
    "jsonschema",
    "numba",
    "pandas",
    "pyarrow",
    "pydantic_settings",
    "pyspark.sql",
    "pytest",
    "scipy.sparse",
    "yaml",
]
# What a mutant may take, so that a loop without an end does not take the whole machine.
_MEMORY_BYTES = 6 * 1024**3
# Threads of the libraries would be lost in the fork (as in jobs/python_workers.py).
_ENVIRONMENT = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OPENBLAS_NUM_THREADS": "1",
    # Two mutants of one size within a second would be taken for the same.
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class Outcome:
    """passed: whether all tests did. in_time: whether they ended."""

    passed: bool
    in_time: bool
    output: str


class Runs:
    """Runs of pytest in the working directory. log: a file that each run overwrites."""

    def __init__(self, log: Path) -> None:
        os.environ.update(_ENVIRONMENT)
        self._log = log
        self._processes = get_context("forkserver")
        self._processes.set_forkserver_preload(_LIBRARIES)

    def run(
        self, arguments: Sequence[str], env: Mapping[str, str], timeout_seconds: float
    ) -> Outcome:
        """Run pytest with these arguments, and variables on top of this process's."""
        process = self._processes.Process(target=_run, args=([*arguments], {**env}, self._log))
        process.start()
        process.join(timeout_seconds)
        in_time = process.exitcode is not None
        if process.pid:
            with suppress(ProcessLookupError):  # also what the tests left behind
                os.killpg(process.pid, signal.SIGKILL)
        process.join()
        output = self._log.read_text(encoding="utf-8", errors="replace")
        return Outcome(in_time and process.exitcode == 0, in_time, output)


def _run(arguments: list[str], env: dict[str, str], log: Path) -> None:
    os.setsid()
    os.environ.update(env)
    with log.open("wb") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    import pytest

    code = int(pytest.main(arguments))
    sys.stdout.flush()
    os._exit(code)
