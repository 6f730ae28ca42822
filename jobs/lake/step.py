"""A table is a function: what it reads is declared, what it returns is the day's rows.

`@table` and `@effect` only register a function; they leave it callable, so a test passes frames
by hand. The runtime (`jobs.lake.runtime`) does everything that touches storage.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from jobs.lake.errors import NoTable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.settings import RunParams, Settings


@dataclass(frozen=True)
class Read:
    """One declared input, read as of the run (see `jobs.lake.contract.Layout`).

    days_back: for a `daily` table, how many earlier partitions come along (0: only the day).
    pending: for a `received` table, only rows that the reading table has not taken in yet:
        `ingest_ds` after its watermark and ≤ the run's day.
    A table that reads itself sees its state up to its own watermark.
    """

    table: str
    days_back: int = 0
    pending: bool = False


@dataclass(frozen=True)
class Drops:
    """The landing files of one entity (`landing/<entity>/ds=D/*`) that no run has taken in yet."""

    entity: str


@dataclass(frozen=True)
class Run:
    """One run of one table function: the day, what was known, and what the caller chose.

    watermark: for an incremental table, the newest day that it has taken in; None before the
        first run.
    scratch: a folder that this process and the Spark executors share; removed after the run.
    shard: which of `params.shards` parts of its work an effect does; None for all of it.
    """

    ds: date
    known_on: date
    watermark: date | None
    params: RunParams
    settings: Settings
    run_id: str
    scratch: str
    shard: int | None = None


@dataclass(frozen=True)
class Outcome:
    """The rows of a table function that can drop rows, with an account of those it dropped.

    rows: what is published. quarantined: rows that cannot be used, with columns (source_file
    string, row_id string, column string, reason string, payload string: the row as JSON).
    folded: rows that repeat what the table holds already (an unchanged catalogue row); counted
    only, since they stay in bronze.
    """

    rows: DataFrame
    quarantined: DataFrame | None = None
    folded: DataFrame | None = None


@dataclass(frozen=True)
class EffectResult:
    """What a side effect did, for its run record: rows handled and any counts worth showing."""

    rows_in: int
    rows_out: int
    counts: Mapping[str, int | float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What a gate says of a day, and what it saw."""

    success: bool
    observed: str


@dataclass(frozen=True)
class Gate:
    """Judges a day of a daily table by an earlier published day, of which more is known by now.

    judge: `judge(run, made_on, rows, published, **frames) -> Verdict`. published: what readers got
    for day `made_on`. reads: argument name to declared input, as of the run.
    rebuilds: whether `rows` are day `made_on` again, as the function makes it now of what was known
    then; made_on is the oldest trailing day. Otherwise `rows` are those of the run's own day, and
    made_on is the newest.
    The contract says how far back a day may lie: `expect_lists_no_worse_than_published`.
    """

    judge: Callable[..., Verdict]
    reads: Mapping[str, Read]
    rebuilds: bool


@dataclass(frozen=True)
class Step:
    """A registered function. `name` is the table or effect, `slice` its slice value or ''."""

    name: str
    slice: str
    slice_column: str
    kind: str
    reads: Mapping[str, Read | Drops]
    accounts_for: str
    function: Callable[..., Any]
    gate: Gate | None = None

    @property
    def task_id(self) -> str:
        """The Airflow task of this step: `silver.i2i_candidates.content`."""
        return f"{self.name}.{self.slice}" if self.slice else self.name

    @property
    def inputs(self) -> tuple[Read | Drops, ...]:
        """All that a run reads, for its gate too."""
        return (*self.reads.values(), *(self.gate.reads.values() if self.gate else ()))


_STEPS: dict[str, Step] = {}
_MODULES = ("jobs.bronze", "jobs.silver", "jobs.gold", "jobs.milvus")


def _register(step: Step) -> None:
    known = _STEPS.get(step.task_id)
    if known and known.function.__qualname__ != step.function.__qualname__:
        raise ValueError(f"{step.task_id} is registered twice: {known.function} {step.function}")
    _STEPS[step.task_id] = step


def table(
    name: str,
    *,
    reads: Mapping[str, Read | Drops],
    slice: Mapping[str, str] | None = None,
    accounts_for: str = "",
    gate: Gate | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register `function(run, **frames) -> DataFrame` as the maker of a table, or of one slice.

    name: zone and table, which must have a contract. reads: argument name to declared input.
    slice: `{column: value}` when each value of the column is built by a function of its own.
    accounts_for: the input whose every row must come out, be quarantined or be folded; the run
    fails with RowsVanished otherwise. gate: asked before a day is published.
    The frame has the contract's columns without `ds` and the slice column, in any order.
    """
    ((column, value),) = slice.items() if slice else (("", ""),)

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        _register(Step(name, value, column, "table", dict(reads), accounts_for, function, gate))
        return function

    return keep


def effect(
    name: str, *, reads: Mapping[str, Read]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register `function(run, sink, **frames) -> EffectResult`: work that is not one atomic write.

    The LLM's answers arrive in chunks and Milvus is not a table; such a step commits through
    `sink` (`jobs.lake.sink.Sink`) and must be safe to repeat and to kill.
    """

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        _register(Step(name, "", "", "effect", dict(reads), "", function))
        return function

    return keep


def steps() -> dict[str, Step]:
    """All registered steps by task id, in the order of their names."""
    for package in _MODULES:
        module = importlib.import_module(package)
        for found in pkgutil.iter_modules(module.__path__, f"{package}."):
            importlib.import_module(found.name)
    return dict(sorted(_STEPS.items()))


def find_step(name: str, slice: str = "") -> Step:
    """The step of a table (and slice). Raises NoTable with the names that exist."""
    known = steps()
    task_id = f"{name}.{slice}" if slice else name
    if task_id in known:
        return known[task_id]
    if slices := [step.slice for step in known.values() if step.name == name and step.slice]:
        raise NoTable(f"{name} is built in slices; name one of: {', '.join(slices)}")
    raise NoTable(f"{task_id}: no table function or effect has this name; see `reclake tables`")
