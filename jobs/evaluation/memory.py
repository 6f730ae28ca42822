"""The most memory that this process and its children held at once."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

_EVERY_SECONDS = 0.2


class PeakMemory:
    """A `with` block that watches resident memory; `gigabytes` has the peak, in 2^30 bytes.

    Memory that several processes share is counted in each of them, so this is an upper bound.
    """

    def __init__(self) -> None:
        self.gigabytes = 0.0
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._watch.join()

    def _look(self) -> None:
        process = psutil.Process()
        while True:
            held = 0
            for one in (process, *process.children(recursive=True)):
                try:
                    held += one.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.gigabytes = max(self.gigabytes, held / 2**30)
            if self._ended.wait(_EVERY_SECONDS):
                return
