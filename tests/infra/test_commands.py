"""How each server is started, word for word."""

from __future__ import annotations

import json
from pathlib import Path

from infra.stack.paths import PYTHON, ROOT, SERVE_PYTHON
from infra.stack.service import Service
from infra.stack.services import airflow, milvus, spark, vllm
from jobs import spark_server
from jobs.spark import JAVA_OPTIONS

HOME = Path("/srv/reclake")
GIB = 1024**3


def conf_of(argv: tuple[str, ...]) -> dict[str, str]:
    """The `--conf key=value` options of a command."""
    pairs = (argv[i + 1] for i, word in enumerate(argv) if word == "--conf")
    return dict(pair.split("=", 1) for pair in pairs)


def test_spark_is_a_connect_server_on_loopback_with_delta_and_no_session_of_its_own() -> None:
    jars = [Path("/jars/delta-spark.jar"), Path("/jars/delta-storage.jar")]
    command = spark.command(HOME, 15002, jars, memory="1024m")
    options = [word for word in command.argv[1:-1] if not word.startswith("spark.")]
    assert command.argv[0].endswith("pyspark/bin/spark-submit")
    assert options[:12] == [
        "--master",
        "local[*]",
        "--driver-memory",
        "1024m",
        "--driver-java-options",
        " ".join(JAVA_OPTIONS),
        "--name",
        "reclake",
        "--jars",
        "/jars/delta-spark.jar,/jars/delta-storage.jar",
        "--class",
        "org.apache.spark.sql.connect.service.SparkConnectServer",
    ]
    assert set(options[12:]) == {"--conf"}
    assert command.argv[-1] == "spark-internal"
    assert conf_of(command.argv) == {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": "15002",
        "spark.connect.grpc.maxInboundMessageSize": "134217728",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": "/srv/reclake/spark/tmp",
        "spark.python.daemon.module": "jobs.python_workers",
        "spark.scheduler.mode": "FAIR",
        "spark.sql.artifact.isolation.enabled": "false",
        "spark.sql.codegen.cache.maxEntries": "2000",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.warehouse.dir": "/srv/reclake/spark/warehouse",
        "spark.ui.enabled": "false",
    }


def test_sparks_python_workers_are_this_environment_and_see_the_repository() -> None:
    command = spark.command(HOME, 15002, [], memory="1g")
    assert command.env["PYSPARK_PYTHON"] == str(PYTHON)
    assert command.env["PYTHONPATH"] == str(ROOT)
    assert command.env["TZ"] == "UTC"
    assert command.unset == ("SPARK_CONF_DIR", "SPARK_REMOTE")


def test_sparks_heap_is_a_quarter_of_the_memory_within_bounds() -> None:
    assert spark_server.driver_memory(2 * GIB) == "1024m"  # a quarter would be half a GiB
    assert spark_server.driver_memory(16 * GIB) == "4096m"
    assert spark_server.driver_memory(256 * GIB) == "6144m"


def test_milvus_serves_one_folder_on_loopback() -> None:
    assert milvus.command(HOME, 19530).argv == (
        str(PYTHON.parent / "milvus-lite"),
        "server",
        "--data-dir",
        "/srv/reclake/milvus",
        "--host",
        "127.0.0.1",
        "--port",
        "19530",
    )


def test_vllm_runs_eagerly_offline_in_its_own_environment() -> None:
    command = vllm.command(Path("/models/m"), "smollm2", 8001, extra=["--seed", "7"])
    assert command.argv == (
        str(SERVE_PYTHON),
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        "/models/m",
        "--served-model-name",
        "smollm2",
        "--dtype",
        "bfloat16",
        "--max-model-len",
        "4096",
        "--enforce-eager",
        "--enable-prompt-tokens-details",
        "--structured-outputs-config",
        '{"backend":"xgrammar","disable_any_whitespace":true}',
        "--host",
        "127.0.0.1",
        "--port",
        "8001",
        "--seed",
        "7",
    )
    assert command.env == {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_HOST_IP": "127.0.0.1",
    }
    assert command.unset == ("PYTHONPATH", "VIRTUAL_ENV")


def test_airflow_runs_backfills_on_postgres_and_makes_no_runs_by_the_clock() -> None:
    database = "postgresql+psycopg2://postgres:@/airflow?host=/srv/reclake/postgres"
    keys = airflow.Keys(fernet_key="f", jwt_secret="j", secret_key="s")
    env = {"RECLAKE_LLM_URL": "http://llm/v1"}
    command = airflow.command(HOME, 8080, database, "sc://127.0.0.1:15002", keys, env=env)
    assert command.argv == (str(PYTHON), "-m", "infra.stack.standalone")
    found = dict(command.env)
    assert found.pop("PATH").startswith(f"{PYTHON.parent}:")
    assert json.loads(found.pop("AIRFLOW_CONN_SPARK_CONNECT")) == {
        "conn_type": "spark_connect",
        "host": "sc://127.0.0.1",
        "port": 15002,
    }
    assert found == {
        "AIRFLOW_HOME": "/srv/reclake/airflow",
        "AIRFLOW__API__BASE_URL": "http://127.0.0.1:8080",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": "8080",
        "AIRFLOW__API__SECRET_KEY": "s",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "j",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:8080/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": "f",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "/srv/reclake/airflow/passwords.json",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT}/infra/airflow",
        "RECLAKE_LLM_URL": "http://llm/v1",
        "TZ": "UTC",
    }


def test_airflows_password_and_keys_are_made_once_and_are_their_owners_alone(
    tmp_path: Path,
) -> None:
    first = airflow.login(tmp_path, 8080)
    second = airflow.login(tmp_path, 9090)
    assert (first.user, first.url, second.url) == (
        "admin",
        "http://127.0.0.1:8080",
        "http://127.0.0.1:9090",
    )
    assert first.password == second.password
    assert airflow.login(tmp_path / "other", 8080).password != first.password
    keys = airflow.shared_keys(tmp_path)
    assert airflow.shared_keys(tmp_path) == keys != airflow.shared_keys(tmp_path / "other")
    files = list((tmp_path / "airflow").iterdir())
    assert {file.name: file.stat().st_mode & 0o777 for file in files} == {
        "passwords.json": 0o600,
        "keys.json": 0o600,
    }


def test_a_fingerprint_changes_with_the_command_and_with_its_environment() -> None:
    def fingerprint(port: int, model: str) -> str:
        command = vllm.command(Path("/m"), model, port)
        return Service("vllm", command, lambda: None, 1).fingerprint()

    assert fingerprint(8001, "a") == fingerprint(8001, "a")
    assert len({fingerprint(8001, "a"), fingerprint(8002, "a"), fingerprint(8001, "b")}) == 3
