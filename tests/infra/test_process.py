"""Ending exactly what was started: children included, strangers and recycled pids spared."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra.stack.process import (
    Command,
    ProcessId,
    cpu_seconds,
    end,
    launch,
    members,
    new_token,
    start_tick,
)

# A leader with three children that ignore SIGTERM: a plain one, one without the token (as programs
# that rename themselves overwrite it), and one in a session of its own.
FAMILY = """
import signal, subprocess, sys, time
ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
stubborn = ignore + "{say}; time.sleep(600)"
say = "import pathlib; pathlib.Path({path!r}).touch()"
folder = sys.argv[1]
subprocess.Popen([sys.executable, "-c", stubborn.format(say=say.format(path=folder + "/child"))])
subprocess.Popen(
    [sys.executable, "-c", stubborn.format(say=say.format(path=folder + "/renamed"))], env={}
)
subprocess.Popen(
    [sys.executable, "-c", stubborn.format(say=say.format(path=folder + "/apart"))],
    start_new_session=True,
)
time.sleep(600)
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.02)


def launched(tmp_path: Path, code: str) -> ProcessId:
    command = Command((sys.executable, "-c", code, str(tmp_path)))
    return launch(command, tmp_path / "log", tmp_path / "run", new_token())


@pytest.fixture
def family(tmp_path: Path) -> Iterator[ProcessId]:
    """A leader whose three children run and ignore SIGTERM."""
    leader = launched(tmp_path, FAMILY)
    until(lambda: all((tmp_path / name).exists() for name in ("child", "renamed", "apart")))
    yield leader
    end(leader, timeout_seconds=0)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not ours."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_end_takes_children_that_ignore_sigterm_and_one_in_a_session_of_its_own(
    family: ProcessId,
) -> None:
    pids = [process.pid for process in members(family)]
    assert len(pids) == 4
    assert end(family, timeout_seconds=0.5) == 4
    assert {start_tick(pid) for pid in pids} == {None}


def test_end_finds_the_children_of_a_leader_that_died_first(family: ProcessId) -> None:
    psutil.Process(family.pid).kill()
    until(lambda: not family.is_alive())
    assert end(family, timeout_seconds=0.5) == 3
    assert members(family) == []


def test_a_stranger_survives(family: ProcessId, stranger: subprocess.Popen[bytes]) -> None:
    end(family, timeout_seconds=0.5)
    assert stranger.poll() is None


def test_a_recycled_pid_is_not_ended(stranger: subprocess.Popen[bytes]) -> None:
    now = ProcessId.of(stranger.pid)
    earlier = dataclasses.replace(now, start_tick=now.start_tick - 1, token=new_token())
    assert not earlier.is_alive()
    assert end(earlier) == 0
    assert stranger.poll() is None


def test_a_pid_of_before_a_reboot_is_not_ended(stranger: subprocess.Popen[bytes]) -> None:
    before = dataclasses.replace(ProcessId.of(stranger.pid), boot_id="another boot")
    assert not before.is_alive()
    assert end(before) == 0
    assert stranger.poll() is None


def test_a_process_whose_launch_was_interrupted_is_found_by_its_token(tmp_path: Path) -> None:
    token = new_token()
    command = Command((sys.executable, "-c", "import time; time.sleep(600)"))
    process = launch(command, tmp_path / "log", tmp_path, token)
    until(lambda: bool(members(ProcessId.unborn(token))))
    assert end(ProcessId.unborn(token)) == 1
    assert not process.is_alive()


def test_ending_what_was_never_launched_ends_nothing() -> None:
    assert end(ProcessId.unborn(new_token())) == 0


def test_launch_sets_and_unsets_variables_and_keeps_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    monkeypatch.setenv("UNWANTED", "yes")
    code = "import os; print([os.environ.get(n) for n in ('INHERITED', 'UNWANTED', 'ADDED')])"
    command = Command((sys.executable, "-c", code), {"ADDED": "new"}, unset=("UNWANTED",))
    (tmp_path / "log").write_text("earlier\n")
    process = launch(command, tmp_path / "log", tmp_path, new_token())
    until(lambda: not process.is_alive())
    assert (tmp_path / "log").read_text() == "earlier\n['yes', None, 'new']\n"


def test_our_own_process_is_alive_and_a_dead_one_is_not(tmp_path: Path) -> None:
    assert ProcessId.of(os.getpid()).is_alive()
    process = launched(tmp_path, "")
    until(lambda: not process.is_alive())
    with pytest.raises(ProcessLookupError):
        ProcessId.of(process.pid)


def test_a_service_is_ended_when_its_program_is_killed(tmp_path: Path) -> None:
    program = """
import json, os, pathlib, sys
from dataclasses import asdict
from infra.stack.guard import guarded
from infra.stack.process import Command, launch, new_token
folder = pathlib.Path(sys.argv[1])
command = Command((sys.executable, "-c", "import time; time.sleep(600)"))
process = launch(command, folder / "log", folder, new_token())
with guarded(process):
    (folder / "started").write_text(json.dumps(asdict(process)))
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    process = ProcessId(**json.loads((tmp_path / "started").read_text()))
    until(lambda: not process.is_alive())


# A child that burns half a second of CPU and ends, which its parent waits for; then the parent
# burns as much itself.
BURNS = """
import pathlib, subprocess, sys, time
burn = "import time\\nwhile time.process_time() < 0.5: pass"
subprocess.run([sys.executable, "-c", burn], check=True)
exec(burn)
pathlib.Path(sys.argv[1] + "/burnt").touch()
time.sleep(600)
"""


def test_the_seconds_of_a_service_include_children_that_ended(tmp_path: Path) -> None:
    service = launched(tmp_path, BURNS)
    try:
        until((tmp_path / "burnt").exists)
        assert 0.95 < cpu_seconds(service) < 5
    finally:
        end(service)
