"""What each step of a day costs, in CPU seconds, by kind of work and by part of the step.

The steps run one after the other, each in a process forked from one that has all imports, as
Airflow's tasks are. A thread of the JVM tells by its name what it works for.
"""

from __future__ import annotations

import json
import os
import runpy
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from infra.stack.paths import ROOT
from infra.stack.process import seconds_of
from jobs.lake import Lake, publishing
from jobs.lake.oplog import OpLog
from jobs.lake.publishing import Publisher
from jobs.lake.tables import Tables
from jobs.settings import RunParams, get_settings
from jobs.spark import connect

# How the names of a JVM's threads begin, and the kind of work that such a thread does.
_THREADS: Mapping[str, str] = {
    "C1 Compiler": "compiling",
    "C2 Compiler": "compiling",
    "GC Thread": "collecting garbage",
    "Executor task": "tasks",
}
_PLANNING = "planning"
CLIENT, WORKERS, SERVERS = "the step's process", "Python in tasks", "other servers"
_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE_SECONDS = 0.5

# What a step does in turn. The rows that a table function describes are computed when they are
# staged, or, where it asks for them itself, before.
ROWS, BEFORE_ROWS = "the rows", "before the rows"
_PARTS = (
    (Tables, "stage", ROWS),
    (publishing, "audit", "audit"),
    (Publisher, "_judged", "gate"),
    (Publisher, "_commit", "commit"),
    (OpLog, "record_run", "record"),
    (OpLog, "record_audit", "record"),
)


class Jvm:
    """CPU seconds of Spark's server by kind of work. Threads that ended count as last seen."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._threads: dict[str, tuple[str, float]] = {}
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Jvm:
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._sampler.join()

    def by_kind(self) -> Counter[str]:
        self._look()
        spent: Counter[str] = Counter()
        for kind, seconds in list(self._threads.values()):
            spent[kind] += seconds
        times = self._process.cpu_times()
        spent[_PLANNING] = times.user + times.system - spent.total()
        spent[WORKERS] = _with_children(self._process) - times.user - times.system
        return spent

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        for stat in Path(f"/proc/{self._process.pid}/task").glob("*/stat"):
            try:
                text = stat.read_text()
            except OSError:
                continue
            name, fields = text[text.index("(") + 1 : text.rindex(")")], text.rsplit(")", 1)[1]
            kind = next((k for begin, k in _THREADS.items() if name.startswith(begin[:15])), None)
            if kind:
                user, system = fields.split()[11:13]
                self._threads[stat.parent.name] = kind, (int(user) + int(system)) / _TICKS


def steps_of_a_day() -> list[tuple[str, str, int | None]]:
    """The steps of the DAG `recall_daily` in the order of its edges: name, slice, and shard 0
    where the step shares out its work."""
    last = runpy.run_path(str(ROOT / "dags" / "recall_daily.py"))["recall_metrics"]
    found = []
    for task in last.operator.dag.topological_sort():
        given = task.partial_kwargs if task.is_mapped else vars(task)
        named = given.get("op_kwargs") or {}
        if "name" in named:
            found.append((named["name"], named["slice"], 0 if task.is_mapped else None))
    return found


def profile(
    steps: list[tuple[str, str, int | None]],
    ds: date,
    jvm: Jvm,
    servers: list[psutil.Process],
    params: RunParams,
) -> Iterator[tuple[str, Counter[str], Counter[str]]]:
    """Runs the steps for a day. Of each: its name, its CPU seconds by kind, and by part.

    servers: processes other than Spark's that work for steps. Raises RuntimeError when a step
    fails.
    """
    for step in steps:
        before = jvm.by_kind(), sum(map(_with_children, servers))
        client, parts = run_forked(
            step, ds, params, lambda: seconds_of(psutil.Process()) + jvm.by_kind().total()
        )
        spent = jvm.by_kind() - before[0]
        spent[SERVERS] = sum(map(_with_children, servers)) - before[1]
        spent[CLIENT] = client
        parts[BEFORE_ROWS] = spent.total() - spent[SERVERS] - parts.total()
        name, slice, _ = step
        yield (f"{name}.{slice}" if slice else name), spent, parts


def run_forked(
    step: tuple[str, str, int | None],
    ds: date,
    params: RunParams,
    clock: Callable[[], float] | None = None,
) -> tuple[float, Counter[str]]:
    """Run a step in a process forked from this one: the CPU seconds of that process, and, with a
    clock, what the clock showed for each part. Raises RuntimeError when the step fails."""
    name, slice, shard = step
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            parts: Counter[str] = Counter()
            for owner, function, part in _PARTS if clock else ():
                _count(owner, function, part, parts, clock)
            settings = get_settings()
            lake = Lake(lambda: connect(settings), settings)
            lake.run(name, slice=slice, shard=shard, ds=ds, params=params)
            os.write(writer, json.dumps(parts).encode())
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as told:
        parts = Counter(json.loads(told.read() or "{}"))
    _, status, usage = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"{name} {slice} failed for {ds}; see above")
    return usage.ru_utime + usage.ru_stime, parts


def _count(
    owner: Any, name: str, part: str, parts: Counter[str], clock: Callable[[], float]
) -> None:
    """Have a function add what it spends to a part."""
    original = getattr(owner, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        started = clock()
        made = original(*arguments, **named)
        parts[part] += clock() - started
        return made

    setattr(owner, name, counted)


def _with_children(process: psutil.Process) -> float:
    """CPU seconds of a process and its descendants, ended ones that were waited for included."""
    return sum(map(seconds_of, (process, *process.children(recursive=True))))
