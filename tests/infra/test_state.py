"""What the stack remembers, and that only one command changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.stack.process import ProcessId
from infra.stack.state import Record, StackBusy, State, StateUnreadable, exclusive

SPARK = Record(ProcessId(71, 900, "boot", "token"), 15002, "abc")
MILVUS = Record(ProcessId(72, 901, "boot", "other"), None, "def")


def test_records_come_back_as_they_were_put(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert state.records() == {}
    state.put("spark", SPARK)
    state.put("milvus", MILVUS)
    assert State(tmp_path).records() == {"spark": SPARK, "milvus": MILVUS}


def test_a_forgotten_service_keeps_its_port_alone(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.put("spark", SPARK)
    state.forget("spark")
    state.forget("never there")
    (record,) = state.records().values()
    assert record.port == 15002
    assert not record.process.is_alive()
    assert record.fingerprint == ""


def test_a_second_command_on_the_same_home_is_told_to_wait(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        with pytest.raises(StackBusy, match="wait for it"), exclusive(tmp_path):
            pass
        with exclusive(tmp_path / "other"):
            pass
    with exclusive(tmp_path):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"services": {"spark": {"port": 1}}}'])
def test_a_damaged_file_says_how_to_go_on_without_it(tmp_path: Path, content: str) -> None:
    state = State(tmp_path)
    state.file.parent.mkdir()
    state.file.write_text(content)
    with pytest.raises(StateUnreadable) as raised:
        state.records()
    assert str(raised.value) == (
        f"{state.file} is damaged, so nobody knows what runs. End the processes that "
        "`grep -ls RECLAKE_STACK_MARK /proc/[0-9]*/environ` names, delete the file, and run "
        "`make demo` again."
    )
