"""Airflow standalone: scheduler, DAG processor, API server and triggerer on one database."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from infra.stack.paths import PYTHON, ROOT
from infra.stack.ports import LOOPBACK
from infra.stack.process import Command
from infra.stack.service import Service

NAME = "airflow"
PREFERRED_PORT = 8080
USER = "admin"
PARALLELISM = 4
# how soon after a kill a task that ran is seen to be gone and is tried again
ORPHAN_SECONDS = 30
DEAD_TASK_SECONDS = 120
# a task fails when the API server takes longer than this; the default 5 are few on 2 busy cores
API_SECONDS = 60
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


@dataclass(frozen=True)
class Keys:
    """What Airflow's parts must share; each would make up its own, and refuse the others'."""

    fernet_key: str
    jwt_secret: str
    secret_key: str


@dataclass(frozen=True)
class Login:
    """The one user of the demo's Airflow."""

    url: str
    user: str
    password: str


def command(
    home: Path,
    port: int,
    database_url: str,
    spark_url: str,
    keys: Keys,
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
    base_url = f"http://{LOOPBACK}:{port}"
    folder = home / "airflow"
    settings = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW_CONN_SPARK_CONNECT": spark_connection(spark_url),
        "AIRFLOW__API__BASE_URL": base_url,
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__SECRET_KEY": keys.secret_key,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": keys.jwt_secret,
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base_url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": keys.fernet_key,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(home)),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        # a file that changed is parsed at once; the others cost a second of CPU each time
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": str(ORPHAN_SECONDS),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(DEAD_TASK_SECONDS),
        # the demo's data ends in 2017: runs come from backfills, none from the clock
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": str(API_SECONDS),
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
        # standalone starts its parts by the name `airflow`
        "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        # the second holds airflow_local_settings
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'infra' / 'airflow'}",
        "TZ": "UTC",
    }
    return Command((str(PYTHON), "-m", "infra.stack.standalone"), {**settings, **(env or {})})


def spark_connection(spark_url: str) -> str:
    """Airflow's JSON form of a `sc://host:port` address."""
    host, _, port = spark_url.removeprefix("sc://").rpartition(":")
    connection = {"conn_type": "spark_connect", "host": f"sc://{host}", "port": int(port)}
    return json.dumps(connection)


def password_file(home: Path) -> Path:
    return home / "airflow" / "passwords.json"


def login(home: Path, port: int) -> Login:
    """The demo's user; a password is made on the first call and kept, readable by its owner."""
    kept = _keep(password_file(home), lambda: {USER: secrets.token_urlsafe(9)})
    return Login(f"http://{LOOPBACK}:{port}", USER, kept[USER])


def shared_keys(home: Path) -> Keys:
    """Keys that are made on the first call and kept, readable by their owner."""

    def make() -> dict[str, str]:
        fernet_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        return asdict(Keys(fernet_key, secrets.token_urlsafe(64), secrets.token_urlsafe(32)))

    return Keys(**_keep(home / "airflow" / "keys.json", make))


def _keep(file: Path, make: Callable[[], dict[str, str]]) -> dict[str, str]:
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text(json.dumps(make()) + "\n")
        partial.replace(file)
    kept: dict[str, str] = json.loads(file.read_text())
    return kept


def service(
    home: Path,
    port: int,
    database_url: str,
    spark_url: str,
    *,
    dags: Path = ROOT / "dags",
    env: Mapping[str, str] | None = None,
) -> Service:
    login(home, port)
    keys = shared_keys(home)
    started = command(home, port, database_url, spark_url, keys, dags=dags, env=env)
    return Service(NAME, started, lambda: ask_health(port), timeout_seconds=480)


def ask_health(port: int) -> None:
    """Asks Airflow's own monitor; raises unless all four components are healthy."""
    url = f"http://{LOOPBACK}:{port}/api/v2/monitor/health"
    health = httpx.get(url, timeout=10).raise_for_status().json()
    states = {name: (health.get(name) or {}).get("status") for name in COMPONENTS}
    if set(states.values()) != {"healthy"}:
        raise ConnectionError(f"Airflow is not healthy yet: {states}")
