"""Waiting for a server: ask its real endpoint until it answers, its process dies or time is up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

POLL_SECONDS = 0.3
LOG_LINES = 15


class ServiceFailed(Exception):
    """A service of the embedded stack did not come up. The message says where its log is."""


def wait_until_ready(
    name: str,
    probe: Callable[[], None],
    is_alive: Callable[[], bool],
    log: Path,
    timeout_seconds: float,
    interrupted: threading.Event | None = None,
) -> float:
    """Calls `probe` until it returns; gives the seconds that took.

    probe: asks the server something that only a working one answers; any exception means not yet.
    is_alive: whether the server's process still runs.
    interrupted: set by another thread to give up at once.
    Raises ServiceFailed, with the end of `log`, when the process dies or time runs out.
    """
    interrupted = interrupted or threading.Event()
    started = time.monotonic()
    while True:
        try:
            probe()
        except Exception as error:  # a probe fails in as many ways as there are client libraries
            waited = time.monotonic() - started
            if not is_alive():
                raise ServiceFailed(_message(name, "ended by itself", log)) from error
            if waited > timeout_seconds:
                what = f"gave no answer in {timeout_seconds:.0f} s ({error})"
                raise ServiceFailed(_message(name, what, log)) from error
            if interrupted.wait(POLL_SECONDS):
                raise ServiceFailed(f"{name}: the start was interrupted") from error
        else:
            return time.monotonic() - started


def last_lines(log: Path, count: int = LOG_LINES) -> str:
    """The last `count` lines of a log, or a word that there are none."""
    if not log.is_file():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:]) or "(empty log)"


def _message(name: str, what: str, log: Path) -> str:
    end = f"The end of {log}:\n{last_lines(log)}"
    return f"{name} {what}. {end}\nRun `make demo` again to start it anew."
