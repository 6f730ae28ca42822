"""The daemon from which Spark forks its Python workers, with the workers' modules imported.

Named in Spark's setting `spark.python.daemon.module`. It differs from Spark's own daemon in two
ways. First, Spark's daemon imports only PySpark, lest a library start a thread before the fork. So
each worker imports pandas, pyarrow and numba anew, which takes longer than most tasks of a day.
This daemon imports them, and tells them to start no threads. Second, Spark's daemon never ends.
Every session of Spark Connect has its own, which outlives the session (SPARK-54055), so a server
loses some 100 MB with each task of a day. This daemon ends when it has had no worker for a while;
Spark starts another when it needs one.
"""

from __future__ import annotations

import importlib
import os
import select
import time
from collections.abc import Callable
from types import SimpleNamespace

from jobs.recall.sources import MODULES_IN_TASKS

# Modules with functions that run in tasks, except modules that load a model.
IN_TASKS = (
    "pandas",
    "pyspark.worker",
    "jobs.lake.intake.raw_rows",
    "jobs.recall.fusion.reorder",
    "jobs.recall.kernels.text_search",
    *MODULES_IN_TASKS,
)
# A task has one core. The second is for the allocator of pyarrow.
NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
# Counted from the end of the last worker, which Spark ends after an idle minute.
IDLE_SECONDS = 60.0


def import_for_tasks() -> None:
    """Import IN_TASKS without starting a thread, which a fork would lose."""
    os.environ.update(NO_THREADS)
    for name in IN_TASKS:
        importlib.import_module(name)


def has_children() -> bool:
    """Whether this process has a child that has not ended."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


class PollUntilIdle:
    """`select.poll` that ends the process when it has had no child for `idle_seconds`.

    It ends where Spark's daemon looks for requests, so it holds none at that point. A request that
    comes at this very moment is refused, and Spark starts a daemon for it. clock: seconds, only
    ever forward. is_busy: whether there is a child.
    """

    def __init__(
        self,
        idle_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        is_busy: Callable[[], bool] = has_children,
    ) -> None:
        self._poll = select.poll()
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._is_busy = is_busy
        self._busy_at = clock()
        self.register, self.unregister = self._poll.register, self._poll.unregister

    def poll(self, timeout_ms: float) -> list[tuple[int, int]]:
        """As `select.poll`'s. Raises SystemExit."""
        ready = self._poll.poll(timeout_ms)
        if ready or self._is_busy():
            self._busy_at = self._clock()
        elif self._clock() - self._busy_at > self._idle_seconds:
            raise SystemExit(0)
        return ready


def main(idle_seconds: float = IDLE_SECONDS) -> None:
    """Be Spark's daemon: answer its requests for workers until it closes standard input."""
    from pyspark import daemon

    import_for_tasks()
    waiting = {name: getattr(select, name) for name in ("POLLIN", "POLLHUP", "select")}
    setattr(  # noqa: B010
        daemon, "select", SimpleNamespace(poll=lambda: PollUntilIdle(idle_seconds), **waiting)
    )
    daemon.manager()


if __name__ == "__main__":
    main()
