"""Each lack of the machine is one line that says what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra import machine
from infra.machine import (
    DISK_BYTES,
    GIB,
    disk_lacks,
    java_lacks,
    java_version,
    lacks_to_install,
    parse_java_version,
)
from infra.stack import preflight
from infra.stack.paths import ROOT
from infra.stack.ports import free_port, is_free
from infra.stack.preflight import memory_lacks, port_lacks, spark_url_lacks


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
    assert machine.free_disk(tmp_path / "a" / "b") > 0


@pytest.mark.parametrize(
    ("installed", "free_gib", "lack"),
    [
        ([], 17, None),
        ([], 16.5, "16.5 GiB of free disk, the demo with its Python environments needs 17"),
        ([".venv"], 9, "9.0 GiB of free disk, the demo with its Python environments needs 10"),
        ([".venv", ".venv-serve"], 5, None),
        ([".venv", ".venv-serve"], 4, "4.0 GiB of free disk, the demo needs 5"),
    ],
)
def test_the_disk_has_to_hold_what_is_not_installed_yet(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed: list[str],
    free_gib: float,
    lack: str | None,
) -> None:
    for name in installed:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(machine, "java_version", lambda: 17)
    monkeypatch.setattr(machine, "free_disk", lambda _: int(free_gib * GIB))
    lines = list(lacks_to_install(tmp_path, {}))
    assert [line.partition(": ")[0].partition(" has ")[2] for line in lines] == (
        [lack] if lack else []
    )


def test_a_home_on_another_disk_has_to_hold_the_demo_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setattr(machine, "java_version", lambda: 17)
    monkeypatch.setattr(machine, "on_one_disk", lambda *_: False)
    monkeypatch.setattr(
        machine, "free_disk", {tmp_path: 12 * GIB, home: DISK_BYTES - GIB}.__getitem__
    )
    (line,) = lacks_to_install(tmp_path, {"RECLAKE_HOME": str(home)})
    assert line.startswith(f"{home} has 4.0 GiB of free disk, the demo needs 5: ")


def test_what_is_elsewhere_is_not_asked_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {"RECLAKE_SPARK_URL": "sc://spark:15002", "RECLAKE_LLM_URL": "http://llm/v1"}
    monkeypatch.setattr(machine, "java_version", lambda: None)
    monkeypatch.setattr(machine, "free_disk", lambda _: 12 * GIB)
    assert list(lacks_to_install(tmp_path, elsewhere)) == []
    assert len(list(lacks_to_install(tmp_path, {}))) == 2


def test_make_demo_asks_the_machine_before_anything_is_installed(tmp_path: Path) -> None:
    plan = subprocess.run(
        ["make", "-n", "demo"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert plan.stdout.index("-m infra.machine") < plan.stdout.index("sync --frozen")
    without_packages = subprocess.run(
        [sys.executable, "-S", "-m", "infra.machine"],
        check=False,
        cwd=ROOT,
        env={"PATH": os.defpath, "JAVA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert without_packages.returncode == 1
    assert without_packages.stderr.startswith("Java 17 is missing: install it (")


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
            f"port {port} (RECLAKE_AIRFLOW_PORT) is taken by another program: end that program, "
            "choose another port, or unset RECLAKE_AIRFLOW_PORT to get a free port"
        ]
        assert free_port(port) != port
    assert free_port(port) == port
    assert list(port_lacks({"RECLAKE_AIRFLOW_PORT": port})) == []


def test_a_spark_that_airflows_connection_cannot_name_is_refused() -> None:
    assert list(spark_url_lacks("sc://spark.example.org:15002")) == []
    for url in ("local[2]", "spark://host:7077", "sc://host", "sc://host:15002/;token=t"):
        assert list(spark_url_lacks(url)) == [
            f"RECLAKE_SPARK_URL is {url}, but this Airflow reaches Spark only by sc://host:port: "
            "set it to the address of a Spark Connect server, or unset it to have a server started"
        ]


def test_a_running_service_asks_for_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "java_version", lambda: None)
    monkeypatch.setattr(preflight, "SERVE_PYTHON", tmp_path / "absent")
    monkeypatch.setattr(machine, "DISK_BYTES", 0)
    assert list(preflight.lacks(tmp_path, starts=[], ports={})) == []
    lines = list(preflight.lacks(tmp_path, starts=["spark", "vllm"], ports={}))
    assert [line.split(" is ")[0] for line in lines if "memory" not in line] == ["Java 17", "vLLM"]
