"""The inputs of a step as its run may see them, and which of them must be there first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake.asof import as_of
from jobs.lake.contract import GROWS_BY, Contract, Layout
from jobs.lake.errors import UpstreamMissing
from jobs.lake.oplog import OpLog, PastRuns
from jobs.lake.settings import Environment, LakeParams, Sections, chosen_slices
from jobs.lake.snapshots import Snapshots
from jobs.lake.step import Arrivals, Read, Run, Search, Step, Taken, find_step, steps, view_of
from jobs.lake.tables import Tables


@dataclass
class Inputs:
    """The inputs of one step: frames and searches by argument name, Delta versions by table, and
    what came from outside the lake."""

    arguments: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    taken: Taken | None = None


@dataclass(frozen=True)
class Reader:
    """Opens the declared inputs of steps on one lake."""

    tables: Tables
    log: OpLog
    environment: Environment
    snapshots: Snapshots

    def chosen(self, column: str, params: LakeParams) -> tuple[str, ...]:
        """The slices that a run builds and reads."""
        return chosen_slices(params, self.environment, column)

    def nothing_pending(self, step: Step, run: Run, past: PastRuns) -> bool:
        """Whether the day is taken in already, or nothing upstream has ever been received."""
        if run.watermark is not None and run.ds <= run.watermark:
            return True
        pending = [r for r in step.reads.values() if isinstance(r, Read) and r.pending]
        return any(
            past.watermark(read.table) is None and run.ds in past.days(read.table)
            for read in pending
        )

    def finds_nothing(self, step: Step, run: Run) -> bool:
        """Whether no row waits for an incremental step, and none is there of a killed run.

        Found without Spark. Raises what `Arrivals.any_due` raises.
        """
        for read in step.reads.values():
            if isinstance(read, Arrivals):
                if read.any_due(self.log, self.environment.of_lake, run):
                    return False
            elif isinstance(read, Read) and read.pending:
                newest = self.newest_seen(read.table, run)
                if newest is not None and (run.watermark is None or newest > run.watermark):
                    return False
        column = GROWS_BY[self.tables.contracts[step.name].layout]
        held = self.tables.newest_day(step.name, column, {})
        return held is None or (run.watermark is not None and held <= run.watermark)

    def newest_seen(self, table: str, run: Run, column: str = "") -> date | None:
        """The newest day in a date column of the rows that a run may see of an incremental table;
        by default of the column by which the table grows."""
        layout = self.tables.contracts[table].layout
        grows_by = GROWS_BY[layout]
        until = {grows_by: run.known_on}
        if layout is Layout.events:
            until["event_date"] = run.ds
        return self.tables.newest_day(table, column or grows_by, until)

    def last_event_day(self, step: Step, run: Run) -> date | None:
        """The newest day of an event that a run may see in the tables of events that it reads."""
        tables = {read.table for read in step.inputs if isinstance(read, Read)}
        events = [t for t in tables if self.tables.contracts[t].layout is Layout.events]
        found = [self.newest_seen(table, run, "event_date") for table in sorted(events)]
        return max((day for day in found if day), default=None)

    def require_upstream(self, step: Step, run: Run, past: PastRuns) -> None:
        """Raises UpstreamMissing for a dated input that has no published run for the day."""
        for read in step.inputs:
            if not isinstance(read, Read) or read.table == step.name:
                continue
            contract = self.tables.contracts[read.table]
            if contract.layout not in GROWS_BY and contract.layout is not Layout.daily:
                continue
            newest = past.watermark(read.table)
            if contract.layout in GROWS_BY:
                if newest is None and not self._is_expected(read.table):
                    continue
                if newest is not None and run.ds <= newest:
                    continue
            for slice in self.slices_read(contract, run):
                if run.ds in past.days(read.table, slice):
                    continue
                name = f"{read.table}.{slice}" if slice else read.table
                option = f" --slice {slice}" if slice else ""
                raise UpstreamMissing(
                    f"{step.task_id} ds={run.ds}: it reads {name}, which has no published "
                    f"run for {run.ds} (newest: {newest or 'none'}). Nothing was published. "
                    f"Run `reclake run {read.table}{option} --ds {run.ds}` first."
                )

    def _is_expected(self, table: str) -> bool:
        """Whether anything is ever delivered to a table, directly or by the tables before it."""
        makers = [step for step in steps().values() if step.name == table]
        for read in (read for step in makers for read in step.reads.values()):
            if isinstance(read, Arrivals):
                return read.are_expected(self.environment.of_lake)
            if isinstance(read, Read) and read.pending:
                return self._is_expected(read.table)
        return True

    def environment_of(self, step: Step, run: Run) -> Environment:
        """The environment of a step's function, whose settings may follow facts of the day."""
        if step.follows is None:
            return self.environment
        rows = self.tables.rows(
            step.follows.table, ["measure", "value"], [("ds", "=", run.ds)]
        ).to_pylist()
        return self.environment.following({row["measure"]: row["value"] for row in rows})

    def open(self, step: Step, run: Run, past: PastRuns) -> Inputs:
        """All that the step's function reads, as of the run."""
        inputs = Inputs()
        for argument, read in step.reads.items():
            if isinstance(read, Arrivals):
                inputs.taken = read.take_in(self.log, self.environment.of_lake, run)
                inputs.arguments[argument] = inputs.taken.rows
            elif isinstance(read, Search):
                inputs.arguments[argument] = self._search(read, run)
            else:
                # Two views of one table are of the same rows.
                version = inputs.versions.get(read.table)
                if version is None:
                    version = self.version(step, read, run, past)
                inputs.versions[read.table] = version
                own = step.kind == "table" and step.name == read.table
                inputs.arguments[argument] = self.frame(read, run, version, own)
        return inputs

    def open_for_gate(self, reads: Mapping[str, Read], run: Run) -> dict[str, DataFrame]:
        """The frames that a publish gate reads beside the rows that it judges."""
        return {argument: self.seen(read, run) for argument, read in reads.items()}

    def seen(self, read: Read, run: Run) -> DataFrame:
        """The newest rows of one table that a run may see, of all slices, through the view."""
        contract = self.tables.contracts[read.table]
        rows = as_of(self.tables.read(read.table), contract, read, run, False)
        return self._through_view(read, run, None, rows)

    def frame(self, read: Read, run: Run, version: int, own: bool = False) -> DataFrame:
        """The rows of one table that a run may see, of the slices that the run chooses, through
        the view.

        The version is fixed, so that a frame shows the same rows when it is evaluated twice.
        """
        contract = self.tables.contracts[read.table]
        rows = as_of(self.tables.read(read.table, version), contract, read, run, own)
        if own:
            return rows
        if contract.layout is Layout.history:
            table_id = self.tables.id(read.table)
            rows = self.snapshots.of(table_id, version, run.known_on, rows)
        if contract.slice is not None:
            rows = rows.where(F.col(contract.slice).isin(*self.chosen(contract.slice, run.params)))
        return self._through_view(read, run, version, rows)

    def changes_by_day(self, read: Read, version: int) -> bool:
        """Whether a view may show the same rows of a table differently on another day."""
        view = view_of(read)
        return view is not None and view.by_day(self.tables.bounds(read.table, version))

    def _through_view(
        self, read: Read, run: Run, version: int | None, rows: DataFrame
    ) -> DataFrame:
        view = view_of(read)
        if view is None:
            return rows
        settings = Sections(self.environment, view.settings)
        return view.function(rows, run.ds, settings, self.tables.bounds(read.table, version))

    def version(self, step: Step, read: Read, run: Run, past: PastRuns) -> int:
        """The Delta version that a run reads of an input: the newest, unless the read is pinned."""
        if read.pinned and run.params.known_on is None:
            version = past.version_read(step.name, step.slice, run.ds, read.table)
            if version is not None:
                self.tables.require_version(read.table, version, f"{step.task_id} ds={run.ds}")
                return version
        return self.tables.version(read.table)

    def _search(self, read: Search, run: Run) -> Any:
        effect = find_step(read.effect)
        if effect.opens is None:
            raise TypeError(f"{read.effect} serves no search: it is registered without `opens`")
        return effect.opens(Sections(self.environment, effect.settings), run.ds)

    def slices_read(self, contract: Contract, run: Run) -> list[str]:
        """The slices of a table that a run reads; '' is a table without slices."""
        if contract.slice is None:
            return [""]
        chosen = self.chosen(contract.slice, run.params)
        of_table = (step for step in steps().values() if step.name == contract.table)
        return [step.slice for step in of_table if step.slice in chosen]
