"""DAGs in words: the reviewed snapshot of a graph, and the timetable page.

Renew both after a change that you meant, and read the diff:

    python -m tests.dags.described
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import DAG

HERE = Path(__file__).resolve().parent
DAGS = HERE.parents[1] / "dags"
TIMETABLE = DAGS / "README.md"
START, END = "<!-- timetable: made by tests/dags/described.py -->\n", "<!-- end of timetable -->\n"


def snapshot(dag: DAG) -> dict[str, Any]:
    """What a reviewer wants to see change: schedule, limits, params, and each task's edges."""
    return {
        "dag_id": dag.dag_id,
        "schedule": dag.timetable.expression,
        "start_date": f"{dag.start_date:%Y-%m-%d}",
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "tags": sorted(str(tag) for tag in dag.tags),
        "params": {name: dag.params[name] for name in dag.params},
        "tasks": {task.task_id: _task(task) for task in dag.topological_sort()},
    }


def _task(task: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"after": sorted(task.upstream_task_ids)}
    if task.pool != "default_pool":
        said["pool"] = task.pool
    if task.max_active_tis_per_dag:
        said["max_active_tis_per_dag"] = task.max_active_tis_per_dag
    if task.trigger_rule != "all_success":
        said["trigger_rule"] = str(task.trigger_rule.value)
    if task.is_mapped:
        said["one_for_each_of"] = sorted(o.task_id for o in task.iter_mapped_dependencies())
    if task.outlets:
        said["publishes"] = [asset.name for asset in task.outlets]
    minutes = task.execution_timeout.total_seconds() / 60
    return {**said, "retries": task.retries, "timeout_minutes": int(minutes)}


def snapshot_file(dag_id: str) -> Path:
    return HERE / f"{dag_id}.snapshot.yaml"


def section(dag: DAG, title: str) -> str:
    """The text below `## title` of a DAG's page, on one line; empty when there is none."""
    match = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", dag.doc_md or "", re.MULTILINE | re.DOTALL)
    return " ".join(match[1].split()) if match else ""


def timetable(dags: Iterable[DAG]) -> str:
    """The table of `dags/README.md`: one row a DAG, ordered by its id."""
    lines = [
        "| starts (UTC) | DAG | kind | inputs | outputs | ready by (UTC) |",
        "|---|---|---|---|---|---|",
    ]
    for dag in sorted(dags, key=lambda dag: dag.dag_id):
        minute, hour, *_ = dag.timetable.expression.split()
        starts = (
            f"every {minute[2:]} min" if minute.startswith("*/") else f"{hour:0>2}:{minute:0>2}"
        )
        ready = re.search(r"ready by (\d\d:\d\d) UTC", section(dag, "Outputs"))
        assets = sorted(asset.name for task in dag.tasks for asset in task.outlets)
        cells = [
            starts,
            f"[`{dag.dag_id}`]({Path(dag.fileloc).name})",
            section(dag, "Kind").split(":")[0].lower(),
            section(dag, "Inputs").split(", due")[0],
            ", ".join(f"`{name}`" for name in assets),
            ready[1] if ready else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def timetable_on_page() -> str:
    return TIMETABLE.read_text().split(START)[1].split(END)[0]


def _renew() -> None:
    import os
    import tempfile

    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="reclake-airflow-")
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(DAGS)
    if bag.import_errors:
        raise SystemExit("Nothing was renewed: a DAG file does not import; see above.")
    dags = bag.dags.values()
    for dag in dags:
        text = yaml.safe_dump(snapshot(dag), sort_keys=False, width=100)
        snapshot_file(dag.dag_id).write_text(text)
    before, rest = TIMETABLE.read_text().split(START)
    TIMETABLE.write_text(before + START + timetable(dags) + END + rest.split(END)[1])


if __name__ == "__main__":
    _renew()
