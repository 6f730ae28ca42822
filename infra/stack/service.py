"""What every service has in common: a command, a question that it must answer, a log."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.stack.guard import guarded
from infra.stack.process import Command, ProcessId, launch, new_token
from infra.stack.waiting import wait_until_ready


@dataclass(frozen=True)
class Service:
    """One server.

    name: also the name of its log and of its working folder.
    command: how to start it.
    probe: returns when the server answers its real endpoint, raises otherwise.
    timeout_seconds: how long a start may take on a slow machine.
    """

    name: str
    command: Command
    probe: Callable[[], None]
    timeout_seconds: float

    def fingerprint(self) -> str:
        """Changes when the command or its environment does."""
        content = [self.command.argv, sorted(self.command.env.items()), self.command.unset]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def log_path(home: Path, name: str) -> Path:
    return home / "logs" / f"{name}.log"


def start(service: Service, home: Path, token: str) -> ProcessId:
    """Starts a service without waiting for it."""
    log = log_path(home, service.name)
    return launch(service.command, log, home / "run" / service.name, token)


def wait(
    service: Service, process: ProcessId, home: Path, interrupted: threading.Event | None = None
) -> float:
    """Waits until a started service answers; gives the seconds waited. Raises ServiceFailed."""
    return wait_until_ready(
        service.name,
        service.probe,
        process.is_alive,
        log_path(home, service.name),
        service.timeout_seconds,
        interrupted,
    )


@contextmanager
def running(service: Service, home: Path) -> Iterator[ProcessId]:
    """The service, healthy inside the block and ended with all its children after it."""
    process = start(service, home, new_token())
    with guarded(process):
        wait(service, process, home)
        yield process
