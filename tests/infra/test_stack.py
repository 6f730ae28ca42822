"""The stack as a whole: started, reused, mended and ended, with real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from infra.stack.ports import free_port
from infra.stack.process import ProcessId, members
from infra.stack.services import postgres
from infra.stack.settings import StackSettings
from infra.stack.stack import Endpoints, Event, NotReady, Stack
from jobs.settings import Settings

pytestmark = pytest.mark.server

# a language model and a Spark of the user's own, so that the stack starts neither
ELSEWHERE = {"llm_url": "http://127.0.0.1:9/v1", "spark_url": "sc://127.0.0.1:9"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def ports() -> StackSettings:
    """Ports that no demo of this machine has."""
    return StackSettings(airflow_port=free_port(), milvus_port=free_port())


class Teller:
    """A stack that remembers what it told."""

    def __init__(self, home: Path, choices: StackSettings) -> None:
        self.events: list[Event] = []
        self.stack = Stack(Settings(home=home, **ELSEWHERE), choices, self.events.append)  # type: ignore[arg-type]

    def up(self) -> Endpoints:
        with self.stack.starting({"RECLAKE_ENCODER": "minilm-l6"}) as (endpoints, _):
            pass
        return endpoints

    def told(self, service: str) -> list[str]:
        return [event.text.split(" on ")[0] for event in self.events if event.service == service]

    def pids(self) -> dict[str, int]:
        return {name: record.process.pid for name, record in self.stack.state.records().items()}


@pytest.fixture(scope="module", autouse=True)
def ended(home: Path, ports: StackSettings) -> Iterator[None]:
    yield
    Teller(home, ports).stack.down()


def test_a_second_start_reuses_what_runs_and_restarts_what_died(
    home: Path, ports: StackSettings
) -> None:
    first = Teller(home, ports)
    endpoints = first.up()
    assert endpoints.llm_url == ELSEWHERE["llm_url"]
    assert endpoints.spark_url == ELSEWHERE["spark_url"]
    assert endpoints.milvus_uri == f"http://127.0.0.1:{ports.milvus_port}"
    assert (first.told("airflow"), first.told("milvus")) == (["ready"], ["ready"])
    before = first.pids()
    assert set(before) == {"airflow", "milvus"}

    killed = psutil.Process(before["milvus"])
    killed.kill()
    killed.wait(timeout=60)
    second = Teller(home, ports)
    assert second.up() == endpoints
    assert (second.told("airflow"), second.told("milvus")) == (["was running"], ["ready"])
    after = second.pids()
    assert after["airflow"] == before["airflow"]
    assert after["milvus"] != before["milvus"]


def test_every_server_listens_on_loopback_alone(home: Path, ports: StackSettings) -> None:
    teller = Teller(home, ports)
    teller.up()
    records = teller.stack.state.records()
    listening = {
        connection.laddr.ip
        for record in records.values()
        for process in members(record.process)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening
    # a dual-stack socket shows IPv4's loopback in its IPv6 form
    assert all(ip_address(ip.removeprefix("::ffff:")).is_loopback for ip in listening)


def test_a_shell_that_reads_the_environment_file_uses_this_stack(
    home: Path, ports: StackSettings
) -> None:
    file = home / "stack" / "reclake.env"
    assert file.stat().st_mode & 0o777 == 0o600
    script = f"set -a; . {file}; set +a; {sys.executable} -m airflow dags list -o plain"
    path = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    listed = subprocess.run(
        ["bash", "-c", script], check=True, capture_output=True, text=True, env=path, cwd=home
    )
    assert "recall_daily" in listed.stdout
    settings = Settings(_env_file=file)  # type: ignore[call-arg]
    assert settings.milvus_uri == f"http://127.0.0.1:{ports.milvus_port}"


def test_down_ends_all_of_it_and_nothing_else(home: Path, ports: StackSettings) -> None:
    stack = Teller(home, ports).stack
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    services = [record.process for record in stack.state.records().values()]
    server = postgres.running_postmaster(postgres.data_dir(home))
    assert server is not None
    everything = [process.pid for one in [*services, server] for process in members(one)]
    assert len(everything) > 10  # Airflow's parts and PostgreSQL's are children

    ended = stack.down()
    assert set(ended) == {"airflow", "milvus", "postgres"}
    assert [pid for pid in everything if is_running(pid)] == []
    assert stranger.poll() is None
    assert stack.down() == {}
    stranger.kill()
    stranger.wait()


def test_an_asked_port_that_is_taken_stops_the_start_with_one_line(home: Path) -> None:
    stranger = subprocess.Popen(
        [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process = psutil.Process(stranger.pid)
        while not (found := process.net_connections("inet")):
            assert stranger.poll() is None
        port = found[0].laddr.port
        taken = Teller(home, StackSettings(milvus_port=port))
        with pytest.raises(NotReady, match=rf"port {port} \(RECLAKE_MILVUS_PORT\) is taken"):
            taken.up()
        assert taken.pids().get("milvus", 0) == 0
    finally:
        stranger.kill()
        stranger.wait()


def test_a_stale_postmaster_file_is_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    pid = os.getpid()  # alive, but no PostgreSQL
    (folder / "postmaster.pid").write_text(f"{pid}\n{folder}\n0\n5432\n{folder}\n\n\nready\n")
    assert postgres.running_postmaster(folder) is None
    assert postgres.stop_postgres(tmp_path) is False


def is_running(pid: int) -> bool:
    try:
        return ProcessId.of(pid).is_alive()
    except ProcessLookupError:
        return False
