"""Airflow standalone: scheduler, DAG processor, API server and triggerer on the embedded database."""

from __future__ import annotations

import json
import os
import secrets
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.stack.paths import PYTHON, ROOT
from infra.stack.ports import LOOPBACK
from infra.stack.process import Command
from infra.stack.service import Service

NAME = "airflow"
PREFERRED_PORT = 8080
PREFERRED_LOG_PORT = 8793
PREFERRED_TRIGGER_LOG_PORT = 8794
USER = "admin"
PARALLELISM = 4
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


@dataclass(frozen=True)
class Ports:
    """api: the UI and the REST API. log, trigger_log: where the API server fetches live logs."""

    api: int
    log: int
    trigger_log: int


@dataclass(frozen=True)
class Login:
    """The one user of the demo's Airflow."""

    url: str
    user: str
    password: str


def command(
    home: Path,
    ports: Ports,
    database_url: str,
    spark_url: str,
    *,
    dags: Path = ROOT / "dags",
    env: Mapping[str, str] | None = None,
) -> Command:
    """How to start Airflow.

    home: AIRFLOW_HOME is `<home>/airflow`.
    database_url: SQLAlchemy address of a PostgreSQL database (SQLite locks under backfills).
    spark_url: `sc://host:port` of a Spark Connect server, the connection `spark_connect`.
    env: more variables for every component and task, such as RECLAKE_*.
    """
    base_url = f"http://{LOOPBACK}:{ports.api}"
    folder = home / "airflow"
    settings = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW_CONN_SPARK_CONNECT": spark_connection(spark_url),
        "AIRFLOW__API__BASE_URL": base_url,
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(ports.api),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base_url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(home)),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(ports.trigger_log),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports.log),
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
        # standalone starts its parts by the name `airflow`
        "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(ROOT),
        "TZ": "UTC",
    }
    return Command((str(PYTHON), "-m", "airflow", "standalone"), {**settings, **(env or {})})


def spark_connection(spark_url: str) -> str:
    """Airflow's JSON form of a `sc://host:port` address."""
    host, _, port = spark_url.removeprefix("sc://").rpartition(":")
    connection = {"conn_type": "spark_connect", "host": f"sc://{host}", "port": int(port)}
    return json.dumps(connection)


def password_file(home: Path) -> Path:
    return home / "airflow" / "passwords.json"


def login(home: Path, port: int) -> Login:
    """The demo's user; a password is made on the first call and kept, readable by its owner."""
    file = password_file(home)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text(json.dumps({USER: secrets.token_urlsafe(9)}) + "\n")
        partial.replace(file)
    password = json.loads(file.read_text())[USER]
    return Login(f"http://{LOOPBACK}:{port}", USER, password)


def service(
    home: Path,
    ports: Ports,
    database_url: str,
    spark_url: str,
    *,
    dags: Path = ROOT / "dags",
    env: Mapping[str, str] | None = None,
) -> Service:
    login(home, ports.api)
    started = command(home, ports, database_url, spark_url, dags=dags, env=env)
    return Service(NAME, started, lambda: ask_health(ports.api), timeout_seconds=240)


def ask_health(port: int) -> None:
    """Asks Airflow's own monitor; raises unless all four components are healthy."""
    url = f"http://{LOOPBACK}:{port}/api/v2/monitor/health"
    with urllib.request.urlopen(url, timeout=10) as answer:
        health = json.load(answer)
    states = {name: (health.get(name) or {}).get("status") for name in COMPONENTS}
    if set(states.values()) != {"healthy"}:
        raise ConnectionError(f"Airflow is not healthy yet: {states}")
