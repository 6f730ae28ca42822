"""Processes that outlive the program that started them, and can be ended exactly.

Each service is started as the leader of a session of its own, with a random token in its
environment. To know it again later, we keep its pid together with the kernel's start tick and
the boot id: a pid alone is given to a stranger sooner or later.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

MARK_VARIABLE = "RECLAKE_STACK_MARK"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Command:
    """What to start: the argument list, and what its environment has beyond the caller's own.

    env: variables to set. unset: variables that must not be inherited.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProcessId:
    """One process of one boot of this machine. `start_tick`: clock ticks from boot to its start."""

    pid: int
    start_tick: int
    boot_id: str
    token: str = ""

    @classmethod
    def unborn(cls, token: str) -> ProcessId:
        """A process that is about to be launched with this token, and may never be."""
        return cls(0, 0, boot_id(), token)

    @classmethod
    def of(cls, pid: int, token: str = "") -> ProcessId:
        """The identity of a process that runs now. Raises ProcessLookupError when there is none."""
        tick = start_tick(pid)
        if tick is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(pid, tick, boot_id(), token)

    def is_alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return self.boot_id == boot_id() and start_tick(self.pid) == self.start_tick


def boot_id() -> str:
    return _BOOT_ID.read_text().strip()


def start_tick(pid: int) -> int | None:
    """The kernel's start tick of a process, None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before may hold spaces and parentheses
    state, tick = fields[0], int(fields[19])
    return None if state in "ZX" else tick


def new_token() -> str:
    return secrets.token_hex(16)


def launch(command: Command, log: Path, cwd: Path, token: str) -> ProcessId:
    """Starts a command as the leader of its own session; output is appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    cwd.mkdir(parents=True, exist_ok=True)
    env = {k: v for k, v in os.environ.items() if k not in command.unset}
    env |= {**command.env, MARK_VARIABLE: token}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command.argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    identity = ProcessId.of(process.pid, token)
    process.returncode = 0  # it is meant to outlive us: no warning when this handle is dropped
    return identity


def members(leader: ProcessId) -> list[psutil.Process]:
    """Every process that belongs to a service, its leader first if that still runs.

    A process belongs when it descends from the leader, carries the service's token, or is in the
    session of a leader that is known to be ours. Programs that rename themselves overwrite their
    environment, so the token alone would miss them; the session alone would trust a recycled pid.
    """
    if leader.boot_id != boot_id():
        return []
    found: dict[int, psutil.Process] = {}
    leader_is_ours = leader.is_alive()
    # Linux keeps a session's number from being reused while it has members, so a session whose
    # leader is gone is still ours, unless the number now belongs to a living stranger.
    session_is_ours = leader_is_ours or (leader.pid > 0 and start_tick(leader.pid) is None)
    if leader_is_ours:
        root = psutil.Process(leader.pid)
        found[root.pid] = root
        found |= {child.pid: child for child in _children(root)}
    for process in psutil.process_iter():
        if process.pid in found or process.pid == os.getpid():
            continue
        by_session = session_is_ours and _session(process.pid) == leader.pid
        if (by_session and _started_after(process, leader)) or _has_token(process, leader.token):
            found[process.pid] = process
            found |= {child.pid: child for child in _children(process)}
    return list(found.values())


def cpu_seconds(leader: ProcessId) -> float:
    """User and system seconds of a service, of its processes that ended included."""
    return sum(map(seconds_of, members(leader)))


def seconds_of(process: psutil.Process) -> float:
    """User and system seconds of a process and of the children that it waited for; 0 when it is
    gone."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def end(leader: ProcessId, timeout_seconds: float = 20.0) -> int:
    """Ends a service with all its children, politely first; gives the number of processes ended."""
    ended: set[int] = set()
    for signal_number, patience in ((signal.SIGTERM, timeout_seconds), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience
        signalled: set[int] = set()
        while remaining := [p for p in members(leader) if start_tick(p.pid) is not None]:
            new = [p for p in remaining if p.pid not in signalled]
            _signal(new, signal_number)
            signalled |= {p.pid for p in new}
            ended |= signalled
            if time.monotonic() > deadline:
                break
            psutil.wait_procs(remaining, timeout=0.2)
        else:
            _reap(leader.pid)
            return len(ended)
    left = [p.pid for p in members(leader)]
    if left:
        raise RuntimeError(f"processes {left} survive SIGKILL; end them by hand")
    return len(ended)


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _reap(pid: int) -> None:
    """Takes the exit status of a child of ours, so that no zombie is left."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _started_after(process: psutil.Process, leader: ProcessId) -> bool:
    tick = start_tick(process.pid)
    return tick is not None and tick >= leader.start_tick


def _has_token(process: psutil.Process, token: str) -> bool:
    if not token:
        return False
    try:
        return process.environ().get(MARK_VARIABLE) == token
    except (psutil.Error, OSError):
        return False
