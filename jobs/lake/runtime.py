"""The table runtime: as-of reads, the function, staging, audit, atomic publish, run record.

One call, `Lake.run`, is the only way in which a day of a table comes to be, whether Airflow, the
command line or a test asks for it.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.asof import as_of
from jobs.lake.audit import CheckResult, audit
from jobs.lake.contract import Contract, Contracts, Layout
from jobs.lake.errors import AuditFailed, RowsVanished, UpstreamMissing
from jobs.lake.expectations import NO_WORSE, AuditContext
from jobs.lake.oplog import (
    DRY_RUN,
    FAILED,
    PUBLISHED,
    SKIPPED,
    UNCHANGED,
    OpLog,
    PastRuns,
    RunRecord,
)
from jobs.lake.sink import Sink
from jobs.lake.step import (
    Drops,
    EffectResult,
    Outcome,
    Read,
    Run,
    Step,
    Verdict,
    find_step,
    steps,
)
from jobs.lake.tables import Staged, Tables
from jobs.settings import RunParams, Settings

if TYPE_CHECKING:
    from jobs.lake.intake import landing

logger = logging.getLogger(__name__)

INCREMENTAL = (Layout.received, Layout.events, Layout.history)


@dataclass
class Inputs:
    """What one step reads: frames by argument name, Delta versions by table, landing files."""

    frames: dict[str, DataFrame] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    taken: landing.DropsTaken | None = None


class Lake:
    """The lake of one environment, reached through one Spark session.

    >>> Lake(spark, get_settings()).run("silver.items", ds=date(2017, 12, 28))  # doctest: +SKIP
    """

    def __init__(self, spark: SparkSession, settings: Settings) -> None:
        self.settings = settings
        self.contracts = Contracts(settings.contracts)
        self.tables = Tables(spark, settings.lake, self.contracts)
        self.log = OpLog(self.tables)

    @cached_property
    def spark(self) -> SparkSession:
        return self.tables.spark

    def create_all(self) -> list[str]:
        """Create every table from its contract; the names, in order. Safe to repeat.

        Done before the first run, since two runs that both create a table fail in Delta.
        """
        for contract in self.contracts:
            self.tables.create(contract)
        return [contract.table for contract in self.contracts]

    def run(
        self,
        name: str,
        *,
        ds: date,
        params: RunParams | None = None,
        slice: str = "",
        shard: int | None = None,
        run_id: str = "",
    ) -> RunRecord:
        """Build one day of one table (or slice, or effect) and record the run.

        shard: see `Run`; only for an effect that shares out its work.
        Returns the record. Raises the errors of `jobs.lake.errors`; whatever is raised, readers
        still see what they saw before, and the failed run is in `ops.runs`.
        """
        step = find_step(name, slice)
        params = params or RunParams()
        run_id = run_id or uuid.uuid4().hex
        record = RunRecord(
            run_id=run_id,
            table=step.name,
            slice=step.slice,
            ds=ds,
            known_on=params.known_on or ds,
            status=FAILED,
            params=params.model_dump_json(),
        )
        started = time.monotonic()
        try:
            with self._scratch(run_id) as scratch:
                record = self._attempt(step, record, params, shard, scratch)
        except Exception as error:
            seconds = time.monotonic() - started
            message = f"{type(error).__name__}: {error}"[:4000]
            self.log.record_run(replace(record, status=FAILED, seconds=seconds, error=message))
            raise
        record = replace(record, seconds=time.monotonic() - started)
        self.log.record_run(record)
        logger.info("%s", record.summary())
        return record

    def read_as_of(self, table: str, ds: date) -> DataFrame:
        """A table as a run of day `ds` sees it."""
        run = Run(ds, ds, None, RunParams(), self.settings, "", "")
        return as_of(self.tables.read(table), self.contracts[table], Read(table), run, False)

    def newest_day(self, name: str) -> date | None:
        """The newest day for which all is there that an effect reads; None before the first."""
        step = find_step(name)
        reads = [r.table for r in step.inputs if isinstance(r, Read) and r.table != step.name]
        dated = [t for t in reads if self.contracts[t].layout in (*INCREMENTAL, Layout.daily)]
        past = self.log.past(dated)
        newest = [past.watermark(table) for table in dated]
        return None if None in newest else min(day for day in newest if day)

    def _attempt(
        self, step: Step, record: RunRecord, params: RunParams, shard: int | None, scratch: str
    ) -> RunRecord:
        if step.slice and step.slice not in _chosen(step.slice_column, params, self.settings):
            return replace(record, status=SKIPPED)
        reads = [read.table for read in step.inputs if isinstance(read, Read)]
        past = self.log.past([step.name, *reads])
        watermark = past.watermark(step.name)
        run = Run(
            ds=record.ds,
            known_on=record.known_on,
            watermark=watermark,
            params=params,
            settings=self.settings,
            run_id=record.run_id,
            scratch=scratch,
            shard=shard,
        )
        contract = self.contracts[step.name] if step.kind == "table" else None
        if contract and contract.layout in INCREMENTAL and self._nothing_pending(step, run, past):
            return replace(record, status=UNCHANGED, rows_in=0, rows_out=0)
        try:
            self._require_upstream(step, run, past)
        except UpstreamMissing as missing:
            if not params.dry_run:
                raise
            return replace(record, status=DRY_RUN, error=f"not computed: {missing}")
        inputs = self._inputs(step, run, contract)
        record = replace(record, reads=inputs.versions)
        if contract is None:
            return self._run_effect(step, run, record, inputs)
        return self._build(step, contract, run, record, inputs, past)

    def _nothing_pending(self, step: Step, run: Run, past: PastRuns) -> bool:
        """Whether the day is taken in already, or nothing upstream has ever been received."""
        if run.watermark is not None and run.ds <= run.watermark:
            return True
        pending = [r for r in step.reads.values() if isinstance(r, Read) and r.pending]
        return any(
            past.watermark(read.table) is None and run.ds in past.days(read.table)
            for read in pending
        )

    def _require_upstream(self, step: Step, run: Run, past: PastRuns) -> None:
        for read in step.inputs:
            if not isinstance(read, Read) or read.table == step.name:
                continue
            contract = self.contracts[read.table]
            layout = contract.layout
            if layout not in INCREMENTAL and layout is not Layout.daily:
                continue
            newest = past.watermark(read.table)
            if layout in INCREMENTAL and newest is not None and run.ds <= newest:
                continue
            for slice in _slices_read(contract, run):
                if run.ds in past.days(read.table, slice):
                    continue
                name = f"{read.table}.{slice}" if slice else read.table
                option = f" --slice {slice}" if slice else ""
                raise UpstreamMissing(
                    f"{step.task_id} ds={run.ds}: it reads {name}, which has no published "
                    f"run for {run.ds} (newest: {newest or 'none'}). Nothing was published. "
                    f"Run `reclake run {read.table}{option} --ds {run.ds}` first."
                )

    def _inputs(self, step: Step, run: Run, contract: Contract | None) -> Inputs:
        inputs = Inputs()
        for argument, read in step.reads.items():
            if isinstance(read, Drops):
                recorded = self.log.of_published("ops.landing_files")
                from jobs.lake.intake import landing

                inputs.taken = landing.take_in(
                    self.spark, self.settings, read.entity, run, recorded
                )
                inputs.frames[argument] = inputs.taken.rows
                continue
            read_contract = self.contracts[read.table]
            # Pinned, so that a frame that is evaluated twice shows the same rows twice.
            version = self.tables.version(read.table)
            inputs.versions[read.table] = version
            own = contract is not None and contract.table == read.table
            frame = as_of(self.tables.read(read.table, version), read_contract, read, run, own)
            inputs.frames[argument] = _only_chosen(frame, read_contract, run)
        return inputs

    def _run_effect(self, step: Step, run: Run, record: RunRecord, inputs: Inputs) -> RunRecord:
        result: EffectResult = step.function(run, Sink(self.tables), **inputs.frames)
        return replace(
            record,
            status=DRY_RUN if run.params.dry_run else PUBLISHED,
            rows_in=result.rows_in,
            rows_out=result.rows_out,
            counts=json.dumps(dict(result.counts)),
        )

    def _build(
        self,
        step: Step,
        contract: Contract,
        run: Run,
        record: RunRecord,
        inputs: Inputs,
        past: PastRuns,
    ) -> RunRecord:
        outcome = _outcome(step.function(run, **inputs.frames))
        rows = _stamped(outcome.rows, step, contract, run)
        rows = self.tables.conform(contract.table, rows, str(run.ds))
        staged = self.tables.stage(contract.table, rows, _partition(step, contract, run))
        try:
            record = replace(record, rows_out=staged.rows)
            record = self._account(step, run, record, inputs, outcome)
            counts = past.row_counts(step.name, step.slice, run.ds)
            results = audit(staged.frame, contract, AuditContext(counts))
            if not _errors(results):
                results += self._judged(step, contract, run, staged, past)
            self.log.record_audit(record, results)
            self._require_passed(step, run, results)
            if run.params.dry_run:
                return replace(record, status=DRY_RUN)
            self._publish(contract, run, staged)
        finally:
            self.tables.discard(staged)
        if inputs.taken is not None:
            self.log.append_dicts("ops.landing_files", inputs.taken.file_rows(run.run_id))
        version = self.tables.version(contract.table)
        return replace(record, status=PUBLISHED, delta_version=version)

    def _account(
        self, step: Step, run: Run, record: RunRecord, inputs: Inputs, outcome: Outcome
    ) -> RunRecord:
        """Count and keep what the function dropped; every row has to be somewhere."""
        dropped = [frame for frame in (outcome.quarantined,) if frame is not None]
        if inputs.taken is not None:
            dropped.append(inputs.taken.rejected)
        quarantined = 0
        for frame in dropped:
            quarantined += self.log.record_quarantine(record, frame, run.params.dry_run)
        folded = outcome.folded.count() if outcome.folded is not None else 0
        record = replace(record, rows_quarantined=quarantined, rows_folded=folded)
        if not step.accounts_for:
            return record
        if inputs.taken is not None:
            rows_in = inputs.taken.rows_in
        else:
            rows_in = inputs.frames[step.accounts_for].count()
        rows_out = record.rows_out or 0
        if rows_in != rows_out + quarantined + folded:
            raise RowsVanished(
                f"{step.task_id} ds={record.ds}: {rows_in:,} rows in, but {rows_out:,} out + "
                f"{quarantined:,} quarantined + {folded:,} folded = "
                f"{rows_out + quarantined + folded:,}. Nothing was published. The table function "
                "drops or repeats rows without saying so."
            )
        return replace(record, rows_in=rows_in)

    def _judged(
        self, step: Step, contract: Contract, run: Run, staged: Staged, past: PastRuns
    ) -> list[CheckResult]:
        """What the gate of the table says, where the contract asks it."""
        check = next((check for check in contract.checks if check.expect == NO_WORSE), None)
        gate = step.gate
        if check is None or gate is None:
            return []
        days = int(check.arguments["days"])
        trailing = past.trailing_days(step.name, run.ds, days)
        found: tuple[date, DataFrame] | None = None
        if gate.rebuilds:
            found = self._oldest_rebuilt(step, contract, run, trailing, past)
        elif trailing:
            found = trailing[-1], staged.frame
        verdict = Verdict(True, f"nothing to compare with in the {days} days before")
        if found is not None:
            day, rows = found
            published = self.tables.read(step.name).where(F.col("ds") == F.lit(day))
            frames = {
                argument: as_of(self.tables.read(r.table), self.contracts[r.table], r, run, False)
                for argument, r in gate.reads.items()
            }
            verdict = gate.judge(run, day, rows, published, **frames)
        severity = "warn" if run.params.accept_worse else check.severity
        result = CheckResult(
            check.expect, severity, verdict.success, verdict.observed, f"days={days}"
        )
        return [result]

    def _oldest_rebuilt(
        self, step: Step, contract: Contract, run: Run, days: list[date], past: PastRuns
    ) -> tuple[date, DataFrame] | None:
        """The first of the days that has all inputs of today's, as it would be made now."""
        for day in days:
            earlier = replace(run, ds=day, known_on=day, scratch=f"{run.scratch}/rebuilt")
            try:
                self._require_upstream(step, earlier, past)
            except UpstreamMissing:
                continue
            inputs = self._inputs(step, earlier, contract)
            return day, _outcome(step.function(earlier, **inputs.frames)).rows
        return None

    def _require_passed(self, step: Step, run: Run, results: list[CheckResult]) -> None:
        failed = [result for result in results if not result.success]
        for result in failed:
            if result.severity == "warn":
                logger.warning(
                    "%s ds=%s: %s: %s", step.task_id, run.ds, result.check, result.observed
                )
        if errors := _errors(results):
            listed = "; ".join(f"{r.check}({r.details}): {r.observed}" for r in errors)
            path = f"{self.settings.contracts.name}/{step.name.replace('.', '/')}.yaml"
            runbook = "docs/runbooks/contract-failed.md"
            if any(result.check == NO_WORSE for result in errors):
                runbook = "docs/runbooks/recall-regressed.md"
            raise AuditFailed(
                f"{step.task_id} ds={run.ds}: {len(errors)} of {len(results)} checks of {path} "
                f"failed: {listed}. Nothing was published; readers still see the day before. "
                f"See {runbook}."
            )

    def _publish(self, contract: Contract, run: Run, staged: Staged) -> None:
        if contract.layout is Layout.daily:
            self.tables.publish(staged)
        elif contract.layout is Layout.cache:
            self.tables.insert_new(contract.table, staged.frame)
        else:
            column = "valid_from" if contract.layout is Layout.history else "ingest_ds"
            predicate = f"{column} <= '{run.ds}'"
            if run.watermark is not None:
                predicate += f" AND {column} > '{run.watermark}'"
            self.tables.replace(contract.table, staged.frame, predicate)

    @contextmanager
    def _scratch(self, run_id: str) -> Iterator[str]:
        path = Path(self.settings.home) / "scratch" / run_id
        path.mkdir(parents=True, exist_ok=True)
        try:
            yield str(path)
        finally:
            shutil.rmtree(path, ignore_errors=True)


def _chosen(slice_column: str, params: RunParams, settings: Settings) -> tuple[str, ...]:
    """The slices that a run builds and reads: those that its params name, else those with a
    weight."""
    recall = settings.recall
    by_column = {
        "method": params.methods or recall.i2i.built,
        "channel": params.channels or recall.user.built,
    }
    return by_column[slice_column]


def _slices_read(contract: Contract, run: Run) -> list[str]:
    """The slices of a table that a run reads; '' is a table without slices."""
    if contract.slice is None:
        return [""]
    chosen = _chosen(contract.slice, run.params, run.settings)
    of_table = (step for step in steps().values() if step.name == contract.table)
    return [step.slice for step in of_table if step.slice in chosen]


def _only_chosen(frame: DataFrame, contract: Contract, run: Run) -> DataFrame:
    """A table in slices shows only the slices that the run chooses."""
    if contract.slice is None:
        return frame
    return frame.where(
        F.col(contract.slice).isin(*_chosen(contract.slice, run.params, run.settings))
    )


def _outcome(made: DataFrame | Outcome) -> Outcome:
    return made if isinstance(made, Outcome) else Outcome(made)


def _errors(results: list[CheckResult]) -> list[CheckResult]:
    """The checks that keep a day from being published."""
    return [r for r in results if not r.success and r.severity == "error"]


def _partition(step: Step, contract: Contract, run: Run) -> dict[str, str]:
    """The partition that a run of a daily table makes; other layouts spread over several."""
    if contract.layout is not Layout.daily:
        return {}
    return {"ds": str(run.ds)} | ({step.slice_column: step.slice} if step.slice else {})


def _stamped(rows: DataFrame, step: Step, contract: Contract, run: Run) -> DataFrame:
    """The rows with the columns that the runtime fills: `ds` and the slice."""
    columns: Mapping[str, Any] = {}
    if contract.layout is Layout.daily:
        columns = {"ds": F.lit(run.ds)}
    if step.slice:
        columns = {**columns, step.slice_column: F.lit(step.slice)}
    return rows.withColumns(dict(columns)) if columns else rows
