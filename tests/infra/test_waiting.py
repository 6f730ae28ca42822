"""Waiting for a server, and what is said when it does not come."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from infra.stack import waiting
from infra.stack.waiting import ServiceFailed, last_lines, wait_until_ready


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0)


def refuse() -> None:
    raise ConnectionError("connection refused")


def test_it_asks_until_the_server_answers(tmp_path: Path) -> None:
    answers = iter([ConnectionError("no"), ValueError("not yet"), None])

    def probe() -> None:
        if error := next(answers):
            raise error

    assert wait_until_ready("milvus", probe, lambda: True, tmp_path / "log", 60) < 60
    assert list(answers) == []


def test_a_server_that_dies_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "milvus.log"
    log.write_text("\n".join(f"line {n}" for n in range(1, 31)))
    with pytest.raises(ServiceFailed) as caught:
        wait_until_ready("milvus", refuse, lambda: False, log, 60)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"milvus ended by itself. The end of {log}:"
    assert lines[1:-1] == [f"line {n}" for n in range(16, 31)]
    assert lines[-1] == "Run `make demo` again to start it anew."


def test_a_server_that_is_silent_for_too_long_is_reported_with_the_last_error(
    tmp_path: Path,
) -> None:
    with pytest.raises(ServiceFailed, match=r"gave no answer in 0 s \(connection refused\)"):
        wait_until_ready("spark", refuse, lambda: True, tmp_path / "log", 0)


def test_an_interruption_ends_the_wait(tmp_path: Path) -> None:
    interrupted = threading.Event()
    interrupted.set()
    with pytest.raises(ServiceFailed, match="interrupted"):
        wait_until_ready("spark", refuse, lambda: True, tmp_path / "log", 600, interrupted)


def test_no_log_and_an_empty_log_are_said_to_be_so(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none") == "(no log)"
    (tmp_path / "empty").touch()
    assert last_lines(tmp_path / "empty") == "(empty log)"
