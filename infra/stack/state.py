"""What the stack remembers between commands: `<home>/stack/state.json`.

A record is written before its process starts, so that an interruption at any point leaves
nothing that `make down` could not find by its token.
"""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.stack.process import MARK_VARIABLE, ProcessId


class StackBusy(Exception):
    """Another command is starting or ending this stack."""


class StateUnreadable(Exception):
    """The file of the records holds something else."""


@dataclass(frozen=True)
class Record:
    """One service that was started. `fingerprint` changes when its command or environment does."""

    process: ProcessId
    port: int | None
    fingerprint: str


class State:
    """The records by service name, safe to change from several threads."""

    def __init__(self, home: Path) -> None:
        self.file = home / "stack" / "state.json"
        self._mutex = threading.Lock()

    def records(self) -> dict[str, Record]:
        """What is remembered; nothing when there is no file yet. Raises StateUnreadable."""
        if not self.file.is_file():
            return {}
        try:
            stored = json.loads(self.file.read_text())["services"]
            return {
                name: Record(ProcessId(**record["process"]), record["port"], record["fingerprint"])
                for name, record in stored.items()
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StateUnreadable(
                f"{self.file} is damaged, so nobody knows what runs. End the processes that "
                f"`grep -ls {MARK_VARIABLE} /proc/[0-9]*/environ` names, delete the file, and run "
                "`make demo` again."
            ) from error

    def put(self, name: str, record: Record) -> None:
        with self._mutex:
            self._write(self.records() | {name: record})

    def forget(self, name: str) -> None:
        """Keeps the port, which the next start prefers, and drops the process."""
        with self._mutex:
            records = self.records()
            if name in records:
                gone = ProcessId(0, 0, "")
                self._write(records | {name: Record(gone, records[name].port, "")})

    def _write(self, records: dict[str, Record]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        content = {"services": {name: asdict(record) for name, record in records.items()}}
        partial.write_text(json.dumps(content, indent=2) + "\n")
        partial.replace(self.file)


@contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """Only one command at a time starts or ends the stack of `home`. Raises StackBusy."""
    folder = home / "stack"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackBusy(
                f"another `make demo` or `make down` works on {home}: wait for it, or end it"
            ) from None
        yield
