"""Day: what the demo and a day cost, in CPU seconds of all processes and minutes on the clock.

The demo runs as `make demo` does, in a folder of its own, after all downloads, with 500 of the
data's 2,469 households unless `DEMO_HOUSEHOLDS` says another number. A usual day is the
day after the demo's last; the last drop, a small one, comes on the day behind it, which is made
step by step to see what each one costs. Then two days have no drop: on the first one caches and LLM
steps look once whether the days before left anything to do, the second one is a quiet day.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

import psutil
from deltalake import DeltaTable

from infra.airflow.airflow_local_settings import preload
from infra.demo import backfill
from infra.demo.airflow_api import AirflowApi
from infra.demo.run import DAYS
from infra.stack.model import ensure_model
from infra.stack.settings import StackSettings
from infra.stack.stack import Stack
from jobs.delta_jars import delta_jars
from jobs.settings import RunParams, Settings, get_settings
from tests.benchmarks import by_duckdb
from tests.benchmarks.cpu import MILVUS, OTHER, SPARK, VLLM, adopt_orphans, by_kind, kind_of
from tests.benchmarks.profile import BEFORE_ROWS, ROWS, Jvm, profile, run_forked, steps_of_a_day
from tests.benchmarks.result import Result

# What the demo prints when its first day is there.
FIRST_DAY = "is there to be looked at"
USUAL_DAY, LAST_DROP = date(2017, 12, 31), date(2018, 1, 1)
FIRST_WITHOUT_DROP, QUIET_DAY = date(2018, 1, 2), date(2018, 1, 3)
_SERVERS = ("RECLAKE_LLM_URL", "RECLAKE_MILVUS_URI", "RECLAKE_SPARK_URL")


def measure() -> Iterator[Result]:
    adopt_orphans()
    home = _home(get_settings().home)
    try:
        yield from _demo(home)
        api = AirflowApi(_stack(home).endpoints().airflow, backfill.DAG_ID)  # type: ignore[union-attr]
        yield from _day(api, "a usual day", USUAL_DAY, cpu_target=240)
        over_the_log = yield from _profile(home, LAST_DROP)
        yield from _day(api, "the first day without a drop", FIRST_WITHOUT_DROP)
        yield from _day(api, "a quiet day", QUIET_DAY, cpu_target=60, seconds_target=60)
        yield from _steps()
        # Last, since a process that used delta-rs cannot fork.
        for step, seconds in over_the_log.items():
            yield from _beside_duckdb(step, seconds, LAST_DROP)
    finally:
        subprocess.run(_infra_demo("down"), env=_environment(home), check=False)


def _home(shared: Path) -> Path:
    """A new home that has what is downloaded and converted once."""
    delta_jars(shared / "jars")
    ensure_model(shared)
    home = shared / "bench" / "day"
    if home.exists():
        subprocess.run(_infra_demo("down"), env=_environment(home), check=False)
        shutil.rmtree(home)
    home.mkdir(parents=True)
    for name in ("jars", "models"):
        (home / name).symlink_to(shared / name)
    return home


def _demo(home: Path) -> Iterator[Result]:
    log, started = home / "demo.log", time.monotonic()
    before, first_day, until_then = by_kind(), None, 0.0
    with log.open("wb") as output:
        demo = subprocess.Popen(_infra_demo("up"), env=_environment(home), stdout=output)
        while demo.poll() is None:
            spent = by_kind()
            if first_day is None and FIRST_DAY in log.read_text("utf-8", errors="replace"):
                first_day, until_then = (spent - before).total(), time.monotonic() - started
                yield Result("demo, to its first day", first_day, "CPU s", 500, at_most=True)
                yield Result("demo, to its first day", until_then / 60, "min")
            time.sleep(1)
    if demo.returncode:
        raise RuntimeError(f"the demo failed: {log.read_text('utf-8')[-2000:]}")
    minutes = (time.monotonic() - started) / 60
    # What the ended process spent itself is lost; the last look before its end has most of it.
    now = by_kind()
    now[OTHER] += spent[OTHER]
    yield Result("demo", (now - before).total(), "CPU s", 1500, at_most=True)
    yield Result("demo", minutes, "min", 15, at_most=True)
    others = (minutes - until_then / 60) / (len(DAYS) - 1)
    yield Result("a day of the demo's backfill, two at once", others, "min", 4, at_most=True)
    yield from _shares("demo", now - before)


def _day(
    api: AirflowApi,
    name: str,
    day: date,
    cpu_target: float | None = None,
    seconds_target: float | None = None,
) -> Iterator[Result]:
    before, started = by_kind(), time.monotonic()
    days = backfill.request_days(api, [day], [])
    if failures := backfill.follow(api, days, lambda _: None, lambda _: None):
        raise RuntimeError(f"{name}: {failures[0]}")
    spent, seconds = by_kind() - before, time.monotonic() - started
    yield Result(name, spent.total(), "CPU s", cpu_target, at_most=True)
    yield Result(name, seconds, "s", seconds_target, at_most=True)
    yield from _shares(name, spent)


def _profile(home: Path, day: date) -> Generator[Result, None, dict[str, float]]:
    """A day step by step, without Airflow: each step that costs a second, then all of them by kind
    of work, and by part of a step. Returns the CPU seconds for the rows of each step over the
    log."""
    _use(home)
    kinds: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    made: dict[str, float] = {}
    spark, servers = _servers()
    with Jvm(spark) as jvm:
        for name, of_kind, of_part in profile(steps_of_a_day(), day, jvm, servers, RunParams()):
            kinds += of_kind
            parts += of_part
            if of_kind.total() >= 1:
                yield Result(f"step {name}", of_kind.total(), "CPU s")
            if name in by_duckdb.QUERIES:
                made[name] = of_part[BEFORE_ROWS] + of_part[ROWS]
    yield Result("all steps of a day", kinds.total(), "CPU s")
    for title, spent in (("all steps, by kind", kinds), ("all steps, by part", parts)):
        yield from _shares(title, spent)
    return made


def _beside_duckdb(step: str, seconds: float, day: date) -> Iterator[Result]:
    """What Spark spent on the rows of a step, without audit and commit, beside DuckDB."""
    theirs, spent = by_duckdb.rows_of(step, _following(day), day)
    peer = "DuckDB" if theirs is not None else "DuckDB, ended before its rows"
    yield Result(f"{step}, its rows", seconds, "CPU s", 5, peer, spent, True, True)
    if theirs is None:
        return
    table, slice = (step.rpartition(".")[::2]) if step.count(".") > 1 else (step, "")
    column = "method" if table == "silver.i2i_candidates" else "channel"
    filters = [("ds", "=", day), *([(column, "=", slice)] if slice else [])]
    lake = get_settings().of_lake.lake
    ours = DeltaTable(f"{lake}/{table.replace('.', '/')}").to_pyarrow_table(filters=filters)
    equal = by_duckdb.share_of_equal(ours, theirs)
    yield Result(f"{step}, rows that DuckDB makes too", equal, "share", 0.999)


def _following(day: date) -> Settings:
    """The settings as they follow the day's facts."""
    table = DeltaTable(f"{get_settings().of_lake.lake}/gold/data_report_daily")
    facts = table.to_pyarrow_table(["measure", "value"], filters=[("ds", "=", day)])
    return get_settings().following({row["measure"]: row["value"] for row in facts.to_pylist()})


def _servers() -> tuple[psutil.Process, list[psutil.Process]]:
    """Spark's JVM, and the other servers that work for steps."""
    first_of: dict[str, psutil.Process] = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            first_of.setdefault(kind_of(process), process)
    return first_of[SPARK], [first_of[MILVUS], first_of[VLLM]]


def _use(home: Path) -> None:
    """From now on this process works on the demo's lake, with all imports that a task has."""
    os.environ["RECLAKE_HOME"] = str(home)
    os.environ.update(_stack(home).endpoints().environment())  # type: ignore[union-attr]
    get_settings.cache_clear()
    preload()


def _steps() -> Iterator[Result]:
    """Single steps, each in a process forked from one with all imports, as Airflow's tasks are."""
    for name, table, again, target in (
        ("a step that finds nothing", "bronze.events", False, 1.0),
        ("a step that is carried over", "gold.item_bundles_daily", False, 1.0),
        ("a step that publishes one row", "gold.llm_quality_daily", True, 3.0),
    ):
        spent = min(_cost_of(table, again) for _ in range(3))
        yield Result(name, spent, "CPU s", target, at_most=True, repetitions=3)


def _cost_of(table: str, recompute: bool) -> float:
    """CPU seconds of a forked process that runs a step for the quiet day, and of Spark for it."""
    before = by_kind()
    client, _ = run_forked((table, "", None), QUIET_DAY, RunParams(recompute=recompute))
    spark = sum((by_kind() - before)[kind] for kind in (SPARK, "Python in Spark's tasks"))
    return client + spark


def _shares(name: str, spent: Counter[str]) -> Iterator[Result]:
    for kind, seconds in spent.most_common():
        yield Result(f"{name}: {kind}", seconds, "CPU s")


def _stack(home: Path) -> Stack:
    return Stack(Settings(home=home), StackSettings())


def _infra_demo(command: str) -> list[str]:
    return [sys.executable, "-m", "infra.demo", command]


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _SERVERS}
    return kept | {"RECLAKE_HOME": str(home), "COLUMNS": "160"}
