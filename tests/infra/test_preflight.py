"""Each lack of the machine is one line that says what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from infra.stack import preflight
from infra.stack.ports import free_port, is_free
from infra.stack.preflight import (
    disk_lacks,
    java_lacks,
    java_version,
    memory_lacks,
    parse_java_version,
    port_lacks,
)

GIB = 1024**3


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_392"', 8),
        ("zsh: something else", None),
    ],
)
def test_the_version_is_read_from_what_java_says(answer: str, version: int | None) -> None:
    assert parse_java_version(answer) == version


def test_java_that_is_missing_or_old_says_how_to_get_one() -> None:
    assert list(java_lacks(17)) == []
    assert list(java_lacks(21)) == []
    assert list(java_lacks(11)) == [
        "Java is version 11, Spark needs 17: set JAVA_HOME to a newer one"
    ]
    assert list(java_lacks(None)) == [
        "Java 17 is missing: install it (Debian and Ubuntu: "
        "`apt-get install openjdk-17-jre-headless`) or set JAVA_HOME"
    ]


def test_a_java_home_without_java_counts_as_no_java(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java_version() is None


def test_java_is_found_by_java_home_before_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"19.0.1\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java_version() == 19


def test_a_short_disk_is_named_with_both_numbers() -> None:
    assert list(disk_lacks(Path("/srv"), 5 * GIB)) == []
    assert list(disk_lacks(Path("/srv"), 3 * GIB // 2)) == [
        "/srv has 1.5 GiB of free disk, the demo needs 5: "
        "free some, or set RECLAKE_HOME to a folder on a larger disk"
    ]


def test_the_disk_of_a_home_that_does_not_exist_yet_is_that_of_its_parent(tmp_path: Path) -> None:
    assert preflight.free_disk(tmp_path / "a" / "b") > 0


def test_short_memory_is_named_with_both_numbers() -> None:
    assert list(memory_lacks(8 * GIB, 8 * GIB)) == []
    assert list(memory_lacks(3 * GIB, 15 * GIB // 2)) == [
        "3.0 GiB of memory is available, the stack needs 7.5: end other programs, "
        "or set RECLAKE_LLM_URL and RECLAKE_MILVUS_URI to servers elsewhere"
    ]


def test_a_port_that_was_asked_for_and_is_taken_names_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert list(port_lacks({"RECLAKE_AIRFLOW_PORT": port})) == [
            f"port {port} (RECLAKE_AIRFLOW_PORT) is taken by another program: end that, choose "
            "another port, or unset RECLAKE_AIRFLOW_PORT to have a free one found"
        ]
        assert free_port(port) != port
    assert free_port(port) == port
    assert list(port_lacks({"RECLAKE_AIRFLOW_PORT": port})) == []


def test_a_running_service_asks_for_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "java_version", lambda: None)
    monkeypatch.setattr(preflight, "SERVE_PYTHON", tmp_path / "absent")
    monkeypatch.setattr(preflight, "DISK_BYTES", 0)
    assert list(preflight.lacks(tmp_path, starts=[], ports={})) == []
    lines = list(preflight.lacks(tmp_path, starts=["spark", "vllm"], ports={}))
    assert [line.split(" is ")[0] for line in lines if "memory" not in line] == ["Java 17", "vLLM"]
