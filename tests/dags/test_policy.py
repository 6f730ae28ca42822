"""What every DAG of this repository must be, and that `recall_daily` is the registered steps."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from jobs.airflow_task import PAYING_DAGS, Impact, Triage, data_day
from jobs.lake.intake.drops import Drops
from jobs.lake.step import Read, Search, Step, steps
from jobs.settings import RunParams
from tests.dags.described import (
    DAGS,
    section,
    snapshot,
    snapshot_file,
    timetable,
    timetable_on_page,
)

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG
    from airflow.serialization.definitions.dag import SerializedDAG

EXPECTED_DAGS = {"recall_daily", "enrich_backlog"}
NOT_STEPS = {"drops_are_due", "llm_shards", "skip_unchosen"}
SECTIONS = [
    "Inputs",
    "Outputs",
    "Kind",
    "Rerun",
    "When it is red",
    "Owner",
    "Runbooks",
]
RENEW = "If you meant this change, run `python -m tests.dags.described` and commit the diff."
PARSE_CPU_SECONDS = 3.0
HEAVY = {"pyspark", "torch", "great_expectations", "sentence_transformers", "pymilvus", "aiohttp"}
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "days_ago"}


@pytest.fixture(scope="module")
def registry() -> dict[str, Step]:
    return steps()


def test_the_bag_holds_exactly_the_expected_dags_and_no_import_error(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == EXPECTED_DAGS, "list a new DAG in EXPECTED_DAGS"


def test_every_dag_page_has_all_sections(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        missing = [title for title in SECTIONS if not section(dag, title)]
        assert missing == [], f"{dag.dag_id}: its docstring lacks or leaves empty these sections"


def test_every_dag_has_one_impact_and_one_triage_tag_and_no_other(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        impact = [tag for tag in dag.tags if tag in set(Impact)]
        triage = [tag for tag in dag.tags if tag in set(Triage)]
        assert len(impact) == len(triage) == 1, f"{dag.dag_id}: {dag.tags}"
        assert len(dag.tags) == 2, f"{dag.dag_id}: tags come from Impact and Triage: {dag.tags}"


def test_every_dag_starts_on_a_fixed_day_without_catching_up(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        assert dag.start_date is not None, f"{dag.dag_id}: set start_date"
        assert not dag.catchup, (
            f"{dag.dag_id}: history is filled by a backfill that someone asks for"
        )
        assert dag.max_active_runs <= 3, f"{dag.dag_id}: too many days at once for one Spark server"


def test_every_task_has_an_owner_a_page_retries_and_a_timeout(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        for task in dag.tasks:
            name = f"{dag.dag_id}.{task.task_id}"
            assert task.owner == section(dag, "Owner"), f"{name}: owner differs from the DAG's page"
            assert task.doc_md, f"{name}: give it doc_md, or a table with a contract"
            assert task.retries >= 2, f"{name}: {task.retries} retries; use TASK_DEFAULTS"
            assert task.retry_exponential_backoff > 1, f"{name}: retries do not back off"
            assert task.retry_policy is not None, f"{name}: retries what cannot pass"
            assert task.execution_timeout is not None, f"{name}: may run for ever"


def test_every_pool_is_declared(dags: dict[str, DAG], pools: set[str]) -> None:
    for dag in dags.values():
        used = {task.pool for task in dag.tasks}
        assert used <= pools, f"{dag.dag_id}: add to dags/pools.json: {used - pools}"


def test_an_unknown_method_or_channel_is_refused_when_the_run_is_created(
    scheduled: SerializedDAG,
) -> None:
    for name in ("methods", "channels"):
        with pytest.raises(ValueError, match="swimming"):
            scheduled.params.deep_merge({name: ["swimming"]}).validate()


def test_channels_that_cannot_fill_a_list_are_refused_when_the_run_is_created(
    scheduled: SerializedDAG,
) -> None:
    scheduled.params.deep_merge({"channels": ["i2i", "popular"]}).validate()
    with pytest.raises(ValueError, match="i2i"):
        scheduled.params.deep_merge({"channels": ["i2i"]}).validate()


def test_a_backfill_from_one_day_to_another_makes_one_run_a_day_both_included(
    scheduled: SerializedDAG,
) -> None:
    first, last = datetime(2017, 12, 28, tzinfo=UTC), datetime(2017, 12, 30, tzinfo=UTC)
    runs = scheduled.iter_dagrun_infos_between(first, last)
    days = [data_day(run.logical_date, run.run_after) for run in runs]
    assert days == [date(2017, 12, 28), date(2017, 12, 29), date(2017, 12, 30)]


def test_every_registered_step_is_a_task_and_every_task_is_a_step(
    recall_daily: DAG, registry: dict[str, Step]
) -> None:
    assert set(recall_daily.task_ids) - NOT_STEPS == set(registry)


def test_every_task_runs_the_step_that_it_is_named_after(
    recall_daily: DAG, registry: dict[str, Step]
) -> None:
    for task_id, step in registry.items():
        task = recall_daily.get_task(task_id)
        arguments = task.partial_kwargs["op_kwargs"] if task.is_mapped else task.op_kwargs
        assert arguments == {"name": step.name, "slice": step.slice}


def test_the_steps_that_pay_for_llm_calls_are_shared_out_and_no_other(recall_daily: DAG) -> None:
    paying = {task.task_id for task in recall_daily.tasks if task.pool == "llm"}
    shared = {task.task_id for task in recall_daily.tasks if task.is_mapped}
    names = ("item_enrichments", "user_enrichments", "item_companions", "pair_reasons")
    assert paying == shared == {f"silver.{name}" for name in names}
    for task_id in shared:
        assert "llm_shards" in recall_daily.get_task(task_id).upstream_task_ids


def test_whoever_pays_for_llm_calls_waits_for_the_others(dags: dict[str, DAG]) -> None:
    paying = {dag_id for dag_id, dag in dags.items() if any(t.pool == "llm" for t in dag.tasks)}
    assert paying == set(PAYING_DAGS)


def test_a_method_or_channel_that_a_run_leaves_out_starts_no_process(
    recall_daily: DAG, registry: dict[str, Step]
) -> None:
    sources = {task_id for task_id, step in registry.items() if step.slice}
    assert recall_daily.get_task("skip_unchosen").downstream_task_ids == sources


def test_every_declared_read_is_made_upstream(recall_daily: DAG, registry: dict[str, Step]) -> None:
    missing = [
        f"{producer} before {task_id}"
        for task_id, step in registry.items()
        for producer in makers(step, registry)
        if producer not in upstream(recall_daily, task_id)
    ]
    assert missing == [], "add these edges"


def test_every_edge_carries_data(recall_daily: DAG, registry: dict[str, Step]) -> None:
    edges = {
        (before, task_id)
        for task_id in registry
        for before in recall_daily.get_task(task_id).upstream_task_ids
    }
    explained = {(m, task_id) for task_id, step in registry.items() for m in makers(step, registry)}
    explained |= {("llm_shards", task.task_id) for task in recall_daily.tasks if task.is_mapped}
    explained |= {("skip_unchosen", s.task_id) for s in registry.values() if s.slice}
    needless = sorted(f"{before} >> {task_id}" for before, task_id in edges - explained)
    assert needless == [], "no declared read explains these edges; they only make runs longer"


def test_the_methods_and_channels_that_a_run_may_choose_are_the_slices(
    recall_daily: DAG, registry: dict[str, Step]
) -> None:
    for param, table in {
        "methods": "silver.i2i_candidates",
        "channels": "silver.user_candidates",
    }.items():
        slices = {step.slice for step in registry.values() if step.name == table}
        schema = recall_daily.params.get_param(param).schema
        assert set(schema["items"]["enum"]) == slices


def test_params_are_the_run_params_with_their_defaults(recall_daily: DAG) -> None:
    defaults = RunParams().model_dump(mode="json")
    assert {name: recall_daily.params[name] for name in recall_daily.params} == defaults
    undescribed = [
        n for n in recall_daily.params if not recall_daily.params.get_param(n).description
    ]
    assert undescribed == [], "describe these in RunParams"


def test_dag_files_import_no_spark_and_no_model_and_parse_quickly() -> None:
    code = (
        "import json, runpy, sys, time, airflow.sdk\n"
        "start = time.process_time()\n"
        "runpy.run_path(sys.argv[1])\n"
        "seconds = time.process_time() - start\n"
        "print(json.dumps([seconds, sorted({m.split('.')[0] for m in sys.modules})]))"
    )
    for file in dag_files():
        ran = subprocess.run(
            [sys.executable, "-c", code, file], capture_output=True, text=True, check=True
        )
        seconds, modules = json.loads(ran.stdout.splitlines()[-1])
        assert HEAVY & set(modules) == set(), f"{file} imports these when it is parsed"
        assert seconds < PARSE_CPU_SECONDS, f"{file}: the scheduler parses it every few seconds"


def test_dag_files_read_no_clock() -> None:
    for file in dag_files():
        tree = ast.parse(file.read_text())
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls}
        assert names & CLOCKS == set(), f"{file}: a DAG must not change with the time of parsing"


def test_the_graph_is_the_reviewed_one(dags: dict[str, DAG]) -> None:
    for dag_id, dag in dags.items():
        assert snapshot(dag) == yaml.safe_load(snapshot_file(dag_id).read_text()), RENEW


def test_the_timetable_page_is_up_to_date(dags: dict[str, DAG]) -> None:
    assert timetable_on_page() == timetable(dags.values()), RENEW


def makers(step: Step, registry: dict[str, Step]) -> set[str]:
    """The tasks that make what a step reads: all slices of a table, the effect that serves a
    search, the wait for drops."""
    made = {"drops_are_due" for read in step.inputs if isinstance(read, Drops)}
    names = {read.table for read in step.inputs if isinstance(read, Read)}
    names |= {read.effect for read in step.inputs if isinstance(read, Search)}
    made |= {other.task_id for other in registry.values() if other.name in names}
    return made - {other.task_id for other in registry.values() if other.name == step.name}


def upstream(dag: DAG, task_id: str) -> set[str]:
    """All tasks that a task waits for, directly or not."""
    return set(dag.get_task(task_id).get_flat_relative_ids(upstream=True))


def dag_files() -> list[Path]:
    return sorted(DAGS.glob("*.py"))
