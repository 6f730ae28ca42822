"""A table is a function: it declares its inputs and returns the day's rows.

`@table` and `@effect` only register a function; it stays callable, so a test passes frames by hand.
The runtime (`jobs.lake.runtime`) does everything that touches storage.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

from jobs.lake.errors import NoTable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.lake.file_bounds import Bounds
    from jobs.lake.oplog import OpLog
    from jobs.lake.scratch import Scratch
    from jobs.lake.settings import LakeSettings, Sections


@dataclass(frozen=True)
class Read:
    """One declared input, read as of the run (see `jobs.lake.contract.Layout`).

    days_back: for a `daily` table, how many earlier partitions come along (0: only the day).
    pending: for a `received` table, only rows that the reading table has not taken in yet:
        `ingest_ds` after its watermark and ≤ the run's day.
    pinned: for a table that grows after the day is over (`log`, `answers`): a rerun sees the
        Delta version that the published rows were made from, so that a later row changes nothing.
        A run with a `known_on` sees the newest version, and later reruns see that version.
    view: which `View` of the table; the plain one by default.
    A table that reads itself sees its own rows, up to its own watermark, through no view.
    """

    table: str
    days_back: int = 0
    pending: bool = False
    pinned: bool = False
    view: str = ""


@dataclass(frozen=True)
class View:
    """What readers of a table see in the place of its rows.

    function: `function(rows, ds, settings, bounds)`, the rows as of a run to what its step gets. It
    must give the rows back as they are where `bounds` shows that it changes none, so that a view
    costs nothing then. settings: the sections of the environment that the function reads. by_day:
    of the same bounds, whether the same rows may be seen differently on another day.
    """

    function: Callable[[DataFrame, date, Sections, Bounds], DataFrame]
    settings: tuple[str, ...] = ()
    by_day: Callable[[Bounds], bool] = lambda bounds: False


class Taken(Protocol):
    """What a run takes in from outside the lake.

    rows: for the table function. rejected: quarantine rows, as in `Outcome`, with `rows` long where
    one row stands for a whole file. rows_in: number of all rows, rejected ones included. counts:
    other counts for the run's record. log: the ops table that records the intake, and its rows for
    a run that is published.
    """

    @property
    def rows(self) -> DataFrame: ...

    @property
    def rejected(self) -> DataFrame: ...

    @property
    def rows_in(self) -> int: ...

    @property
    def counts(self) -> Mapping[str, int]: ...

    def log(self, run_id: str) -> tuple[str, list[dict[str, Any]]]: ...


class Arrivals(ABC):
    """An input from outside the lake, such as `jobs.lake.intake.drops.Drops`."""

    @abstractmethod
    def any_due(self, log: OpLog, settings: LakeSettings, run: Run) -> bool:
        """Whether there is anything to take in; found without Spark."""

    @abstractmethod
    def are_expected(self, settings: LakeSettings) -> bool:
        """Whether anything is ever delivered here."""

    @abstractmethod
    def take_in(self, log: OpLog, settings: LakeSettings, run: Run) -> Taken:
        """Everything that no run has taken in yet."""


@dataclass(frozen=True)
class Search:
    """A search that an effect serves (`effect(opens=…)`), opened for the run's day.

    The reading function gets the result of `opens` as an argument. effect: the effect's name.
    """

    effect: str


@dataclass(frozen=True)
class Run:
    """One run of one table function: the day, what the run may know, and the caller's choices.

    watermark: for an incremental table, the newest day that it has taken in; None before the
        first run.
    events_until: for a step that reads a table of events, the newest day of an event that it may
        see; None without such an event. See `last_event_day`.
    params: a `LakeParams`, or a model that extends it (`jobs.settings.RunParams`).
    settings: the sections that the step declares.
    scratch: for frames that are computed once.
    shard: which part of its work an effect does; None for the whole.
    """

    ds: date
    known_on: date
    watermark: date | None
    params: Any
    settings: Sections
    run_id: str
    scratch: Scratch
    shard: int | None = None
    events_until: date | None = None

    @property
    def last_event_day(self) -> date:
        """The day with which windows over events end: the newest that has an event, at most `ds`.

        A day without events then has the rows of the day before, and need not be computed.
        """
        return self.events_until or self.ds


@dataclass(frozen=True)
class Outcome:
    """The rows of a table function that may drop rows, with an account of the dropped rows.

    rows: to publish. quarantined: rows that cannot be used, with columns (source_file string,
    row_id string, column string, reason string, payload string: the row as JSON). folded: rows that
    repeat what the table holds already (an unchanged catalogue row); only counted, since they stay
    in bronze. added: those of `rows` that stand for no row of the input.
    """

    rows: DataFrame
    quarantined: DataFrame | None = None
    folded: DataFrame | None = None
    added: DataFrame | None = None


@dataclass(frozen=True)
class EffectResult:
    """What an effect did, for its run record: rows in and out, and other counts.

    settled: whether a later day with the same inputs has nothing to do but the effect's `carry`.
    """

    rows_in: int
    rows_out: int
    counts: Mapping[str, int | float | str] = field(default_factory=dict)
    settled: bool = False


@dataclass(frozen=True)
class Judgement:
    """Whether a publish gate accepts a day, and what it observed."""

    success: bool
    observed: str


@dataclass(frozen=True)
class PublishGate:
    """Judges a day of a daily table by an earlier published day, about which more is known by now.

    judge: `judge(run, made_on, rows, published, **frames) -> Judgement`. published: the rows that
    readers got for day `made_on`. reads: argument name to declared input, as of the run. runbook:
    for the person who acts when the gate refuses a day.
    rebuilds: if true, made_on is the oldest trailing day, and `rows` are that day again, as the
    function makes it now from what was known then. If false, made_on is the newest trailing day,
    and `rows` are the run's own day.
    The contract says how far back a day may lie: `expect_lists_no_worse_than_published`.
    """

    judge: Callable[..., Judgement]
    reads: Mapping[str, Read]
    rebuilds: bool
    runbook: str


Input = Read | Arrivals | Search


@dataclass(frozen=True)
class Step:
    """A registered function. `name` is the table or effect, `slice` its slice value or ''.

    settings: the sections of the environment that the function reads. views: of its rows, by
    name; '' is the plain one. follows: see `table`. opens, carry: see `effect`.
    """

    name: str
    slice: str
    slice_column: str
    kind: str
    reads: Mapping[str, Input]
    settings: tuple[str, ...]
    function: Callable[..., Any]
    accounts_for: str = ""
    gate: PublishGate | None = None
    views: Mapping[str, View] = field(default_factory=dict)
    follows: Read | None = None
    opens: Callable[[Sections, date], Any] | None = None
    carry: Callable[[Sections, date, date], bool] | None = None

    @property
    def task_id(self) -> str:
        """The Airflow task of this step: `silver.i2i_candidates.content`."""
        return f"{self.name}.{self.slice}" if self.slice else self.name

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All that a run reads, for its gate and its settings too."""
        of_gate = self.gate.reads.values() if self.gate else ()
        return (*self.reads.values(), *of_gate, *([self.follows] if self.follows else ()))


_STEPS: dict[str, Step] = {}
_MAY_REPLACE = ContextVar("_MAY_REPLACE", default=False)
_MODULES = ("jobs.bronze", "jobs.silver", "jobs.gold", "jobs.milvus")


def _register(step: Step) -> None:
    known = None if _MAY_REPLACE.get() else _STEPS.get(step.task_id)
    if known and known.function.__qualname__ != step.function.__qualname__:
        raise ValueError(f"{step.task_id} is registered twice: {known.function} {step.function}")
    _STEPS[step.task_id] = step


def table(
    name: str,
    *,
    reads: Mapping[str, Input],
    slice: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
    accounts_for: str = "",
    gate: PublishGate | None = None,
    views: Mapping[str, View] | None = None,
    follows: Read | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register `function(run, **inputs) -> DataFrame` as the maker of a table, or of one slice.

    name: zone and table, which must have a contract. reads: argument name to declared input.
    slice: `{column: value}` when each value of the column is built by a function of its own.
    settings: the sections of the environment that `run.settings` shows. accounts_for: the input
    of which every row must come out, be quarantined or be folded, else the run fails with
    RowsVanished. gate: judges a day before it is published. views: what readers of the table see,
    by name; without the name '' they see its rows. follows: a daily table with columns measure
    string and value double; settings that nobody has set follow the day's values
    (`jobs.lake.settings.Environment.following`).
    The frame has the contract's columns without `ds` and the slice column, in any order.
    """
    ((column, value),) = slice.items() if slice else (("", ""),)

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        _register(
            Step(
                name,
                value,
                column,
                "table",
                dict(reads),
                tuple(settings),
                function,
                accounts_for=accounts_for,
                gate=gate,
                views=dict(views or {}),
                follows=follows,
            )
        )
        return function

    return keep


def effect(
    name: str,
    *,
    reads: Mapping[str, Input],
    settings: Sequence[str] = (),
    opens: Callable[[Sections, date], Any] | None = None,
    carry: Callable[[Sections, date, date], bool] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register `function(run, sink, **inputs) -> EffectResult`: work that is not one atomic write.

    The LLM's answers arrive in chunks, and Milvus is not a table. An effect commits tables through
    `sink` (`jobs.lake.sink.Sink`) and must be safe to repeat and to kill. opens: `opens(settings,
    ds)` returns the day's search, for a step that reads `Search(name)`. carry: `carry(settings,
    earlier, ds)` makes what a settled run of an earlier day did hold for `ds` too, and returns
    whether it could; an effect that leaves nothing of its day behind needs none.
    """

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        sections = tuple(settings)
        step = Step(
            name, "", "", "effect", dict(reads), sections, function, opens=opens, carry=carry
        )
        _register(step)
        return function

    return keep


@contextmanager
def temporary_steps() -> Iterator[None]:
    """Steps registered within the block, also in the place of others, are gone after it."""
    steps()
    before, token = dict(_STEPS), _MAY_REPLACE.set(True)
    try:
        yield
    finally:
        _MAY_REPLACE.reset(token)
        _STEPS.clear()
        _STEPS.update(before)


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


def view_of(read: Read) -> View | None:
    """The view through which a step sees an input; None: it sees the rows. Raises NoTable for a
    view that the table does not have."""
    makers = [step for step in steps().values() if step.name == read.table]
    views = makers[0].views if makers else {}
    if read.view and read.view not in views:
        raise NoTable(f"{read.table} has no view {read.view!r}; it has: {', '.join(views)}")
    return views.get(read.view)


def sections_read(step: Step) -> tuple[str, ...]:
    """All sections of the environment on which a step's rows depend: its own, and those of the
    views of its inputs."""
    found = [*step.settings]
    for read in step.reads.values():
        if isinstance(read, Read) and read.table != step.name and (view := view_of(read)):
            found += view.settings
    return tuple(dict.fromkeys(found))
