"""How a step of the lake becomes a task of Airflow: params, page, retries and body.

This is the only module of `jobs/` that imports Airflow. DAG files import it when they are parsed,
so it imports neither Spark nor a model.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    Asset,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    WeightRule,
    get_current_context,
    task,
    timezone,
)
from airflow.sdk.exceptions import (
    AirflowRescheduleException,
    AirflowSkipException,
    DownstreamTasksSkipped,
)

from jobs.lake.contract import Contract, load_contract
from jobs.lake.errors import Terminal
from jobs.lake.settings import chosen_slices
from jobs.settings import RunParams, get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.sdk import XComArg
    from pyspark.sql import SparkSession

    from jobs.lake import Lake


SPARK_CONNECTION = "spark_connect"
# The DAGs whose tasks pay for LLM calls.
PAYING_DAGS = ("recall_daily", "enrich_backlog")


class Impact(StrEnum):
    """DAG tag: how soon someone must act on a red run."""

    TODAY = "impact/today"
    THIS_WEEK = "impact/this_week"


class Triage(StrEnum):
    """DAG tag: what the person on call does with a red run."""

    RUNBOOK = "triage/follow_runbook"
    OWNER = "triage/tell_owner"


class DayNotOver(Terminal):
    """A run is for a day that has not ended."""


LOOK_AGAIN_AFTER = timedelta(minutes=1)

TASK_DEFAULTS: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=15),
    "retry_policy": ExceptionRetryPolicy(
        [RetryRule(Terminal, RetryAction.FAIL, reason="A retry fails the same way; see the log")]
    ),
    "execution_timeout": timedelta(hours=1),
    # All tasks weigh the same, so of two days the earlier one's tasks go first, and it ends first.
    "weight_rule": WeightRule.ABSOLUTE,
}


def step(
    name: str, slice: str = "", shards: XComArg | None = None, **task_arguments: Any
) -> XComArg:
    """The task that runs one step of the lake; its id is the step's `task_id`.

    A gold table is also an asset, so that other DAGs can be scheduled on it.
    shards: numbers of shards (`llm_shards`), each for a task instance of its own. task_arguments:
    arguments of the operator; without `doc_md` the task's page is made from the table's contract.
    """
    arguments: dict[str, Any] = {"task_id": f"{name}.{slice}" if slice else name}
    if name.startswith("gold."):
        address = f"delta://reclake/{name.replace('.', '/')}"
        arguments["outlets"] = [Asset(name=name, uri=address)]
    if "doc_md" not in task_arguments:
        arguments["doc_md"] = table_page(name)
    decorated: Any = _run.override(**arguments, **task_arguments)  # typed as if it took `spark`
    if shards is not None:
        mapped: XComArg = decorated.partial(name=name, slice=slice).expand(shard=shards)
        return mapped
    made: XComArg = decorated(name=name, slice=slice)
    return made


@task
def llm_shards() -> list[int]:
    """The numbers of the shards that the run's param asks for, 0 first."""
    return list(range(RunParams.model_validate(dict(get_current_context()["params"])).shards))


@task
def skip_unchosen() -> None:
    """Skip those of the tasks right after this one whose method or channel the run does not build.

    Airflow marks them without starting a process for each. Raises DownstreamTasksSkipped, which is
    how Airflow is told.
    """
    context = get_current_context()
    params = RunParams.model_validate(dict(context["params"]))
    unchosen = []
    following: Any = context["task"].downstream_list
    for after in following:
        name, slice = after.op_kwargs["name"], after.op_kwargs["slice"]
        if slice not in chosen_slices(params, get_settings(), _contract(name).slice or ""):
            unchosen.append(after.task_id)
    if unchosen:
        raise DownstreamTasksSkipped(tasks=unchosen)  # type: ignore[no-untyped-call]


@task
def _run(*, name: str, slice: str, shard: int | None = None) -> str:
    """Run the step for the task's day; the run record in one line is the task's XCom.

    Raises DayNotOver, pydantic's ValidationError on a bad param, and what `Lake.run` raises.
    """
    from jobs.lake.oplog import SKIPPED

    context = get_current_context()
    dag_run = context["dag_run"]
    ds = data_day(dag_run.logical_date, dag_run.run_after)
    if shard is not None:
        wait_for_other_days(context["ti"], dag_run.run_id, ds)
    with _lake() as lake:
        record = lake.run(
            name,
            ds=ds,
            params=RunParams.model_validate(dict(context["params"])),
            slice=slice,
            shard=shard,
            run_id=str(context["ti"].id),  # one a try: tasks of one DAG run work at the same time
        )
    if record.status == SKIPPED:
        raise AirflowSkipException(f"{record.summary()}: not chosen by a param, or no weight")
    return record.summary()


def between_days(name: str, of: str = "", **task_arguments: Any) -> XComArg:
    """The task that runs a step for the newest day whose inputs are all in the lake.

    For work between daily runs. The task and those after it are skipped when no day is there yet,
    or when an effect found nothing to do. of: the step whose inputs determine the day; by default
    the step itself. The arguments and the task's page are those of `step`.
    """
    arguments: dict[str, Any] = {"task_id": name, "doc_md": table_page(name)}
    decorated: Any = _run_newest.override(**arguments, **task_arguments)
    made: XComArg = decorated(name=name, of=of or name)
    return made


@task
def _run_newest(*, name: str, of: str) -> str:
    """Run the step for the newest day of `of`; the run record in one line is the task's XCom."""
    context = get_current_context()
    with _lake() as lake:
        ds = lake.newest_day(of)
        if ds is None:
            raise AirflowSkipException(f"{of}: no day of what it reads was published yet")
        wait_for_other_days(context["ti"], context["dag_run"].run_id, ds)
        params = RunParams.model_validate(dict(context["params"]))
        # An explicit known_on lets the run see answers that came after the day was published.
        params = params.model_copy(update={"known_on": params.known_on or ds})
        record = lake.run(name, ds=ds, params=params, run_id=str(context["ti"].id))
    if not record.rows_out:
        raise AirflowSkipException(f"{record.summary()}: there was nothing to do")
    return record.summary()


@contextmanager
def _lake() -> Iterator[Lake]:
    """The lake of a task's body, whose Spark session is opened when a step first needs it.

    The provider's `@task.pyspark` opens one before the body runs, which costs more than a step
    without pending input. The imports would slow down every parse of a DAG file.
    """
    from jobs.lake import Lake
    from jobs.spark import connect

    with ExitStack() as opened:

        def session() -> SparkSession:
            url, conf = _spark_connection()
            spark = connect(get_settings().model_copy(update={"spark_url": url}), conf)
            opened.callback(spark.stop)
            return spark

        yield Lake(session, get_settings())


def _spark_connection() -> tuple[str, dict[str, str]]:
    """The address in Airflow's connection `spark_connect`, and its extras as Spark's settings.

    A connection of type `spark_connect` is a Connect server; of another, a master URL.
    """
    from airflow.providers.apache.spark.hooks.spark_connect import SparkConnectHook
    from airflow.sdk import BaseHook

    connection = BaseHook.get_connection(SPARK_CONNECTION)
    if connection.conn_type == SparkConnectHook.conn_type:
        return SparkConnectHook(SPARK_CONNECTION).get_connection_url(), {}
    port = f":{connection.port}" if connection.port else ""
    return f"{connection.host}{port}", connection.extra_dejson


def wait_for_other_days(ti: Any, run_id: str, ds: date) -> None:
    """Reschedule the task while a task of the same name works for another DAG run.

    Shards of one run ask different questions, but two runs of paying DAGs may ask the same. So only
    one run at a time may pay, however many slots the pool has. When both look at the same moment,
    both wait; neighboring days wait for different times. Raises AirflowRescheduleException, which
    costs no retry.
    """
    working = {"task_ids": [ti.task_id], "states": ["running"]}
    everywhere = sum(ti.get_ti_count(dag_id=dag_id, **working) for dag_id in PAYING_DAGS)
    others = everywhere - ti.get_ti_count(dag_id=ti.dag_id, **working, run_ids=[run_id])
    if others > 0:
        wait = LOOK_AGAIN_AFTER * (1 + ds.toordinal() % 3)
        raise AirflowRescheduleException(timezone.utcnow() + wait)  # type: ignore[no-untyped-call]


def data_day(logical_date: datetime | None, run_after: datetime) -> date:
    """The `ds` of a run: the UTC day of its logical date, which has to be over by `run_after`.

    Raises DayNotOver: a day that was taken in never changes, so an unfinished day must wait.

    >>> from datetime import UTC
    >>> data_day(datetime(2017, 12, 28, tzinfo=UTC), datetime(2017, 12, 29, tzinfo=UTC))
    datetime.date(2017, 12, 28)
    """
    advice = "Nothing was read. Trigger a run for the logical date of a day that is over."
    if logical_date is None:
        raise DayNotOver(f"This run has no logical date, and so no ds. {advice}")
    ds = logical_date.date()
    end = datetime.combine(ds + timedelta(days=1), time(), tzinfo=logical_date.tzinfo)
    if run_after < end:
        raise DayNotOver(f"ds={ds} is not over at {run_after:%Y-%m-%d %H:%M} UTC. {advice}")
    return ds


def airflow_params(
    defaults: Mapping[str, object] | None = None, **choices: Sequence[str]
) -> dict[str, Param]:
    """The fields of `RunParams` as Airflow params: name, default, JSON schema and description.

    defaults: replace the fields' defaults. choices: for a field that is a list, the values that it
    may hold; Airflow refuses other values when the run is created.
    """
    fields = RunParams.model_json_schema()["properties"]
    own = RunParams(**(defaults or {})).model_dump(mode="json", include=set(defaults or {}))
    return {
        name: Param(
            own.get(name, field["default"]),
            description=field["description"],
            schema=_schema(field, choices.get(name, ())),
        )
        for name, field in fields.items()
    }


_NOT_SCHEMA = ("default", "description", "anyOf")


def _schema(field: Mapping[str, Any], choices: Sequence[str]) -> dict[str, Any]:
    """A field's JSON schema in the form that Airflow's trigger form understands."""
    schema = {key: value for key, value in field.items() if key not in _NOT_SCHEMA}
    if alternatives := field.get("anyOf"):  # a field that may be null: one list of types
        for alternative in alternatives:
            schema |= alternative
        schema["type"] = [alternative["type"] for alternative in alternatives]
    if choices:  # `examples` makes it a menu
        schema["items"] = {**schema["items"], "enum": list(choices)}
        schema["examples"] = list(choices)
    return schema


def table_page(table: str) -> str:
    """The page of a task that writes `table`, in Markdown. Raises ContractError."""
    contract = _contract(table)
    return (
        f"**{table}**: {contract.grain}. Owner: {contract.owner}. Schedule: {contract.schedule}.\n"
        "\nRerun: clear this task with its downstream; the same rows are published again.\n"
        "\nRed: `docs/runbooks/README.md`, by symptom.\n"
    )


def _contract(table: str) -> Contract:
    zone, _, file = table.partition(".")
    return load_contract(get_settings().contracts / zone / f"{file}.yaml")
