"""From a table function's rows to a published day: stage, account, audit, judge, commit."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake.audit import FEW_BYTES, FEW_ROWS, CheckResult, audit, can_audit_here
from jobs.lake.contract import GROWS_BY, Contract, Layout
from jobs.lake.errors import AuditFailed, RowsVanished, UpstreamMissing, VersionGone
from jobs.lake.expectations import NO_WORSE, AuditContext
from jobs.lake.inputs import Inputs, Reader
from jobs.lake.oplog import DRY_RUN, PUBLISHED, OpLog, PastRuns, RunRecord
from jobs.lake.schema import arrow_schema
from jobs.lake.step import Judgement, Outcome, Run, Step
from jobs.lake.tables import Staged, Tables

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Publisher:
    """Publishes days of tables on one lake."""

    tables: Tables
    log: OpLog
    reader: Reader

    def publish(
        self,
        step: Step,
        contract: Contract,
        run: Run,
        record: RunRecord,
        inputs: Inputs,
        past: PastRuns,
        made: DataFrame | Outcome,
    ) -> RunRecord:
        """Let readers see what the table function made, if it passes every check.

        Raises SchemaMismatch, RowsVanished, AuditFailed and PublishConflict; nothing is published
        then.
        """
        outcome = _outcome(made)
        rows = _stamped(outcome.rows, step, contract, run)
        rows = self.tables.conform(contract.table, rows, str(run.ds))
        staged = self.tables.stage(contract.table, rows, _partition(step, contract, run.ds))
        try:
            record = replace(record, rows_out=staged.rows)
            record = self._account(step, run, record, inputs, outcome)
            counts = past.row_counts(step.name, step.slice, run.ds)
            results = audit(self._audited(staged, contract), contract, AuditContext(counts))
            if not _errors(results):
                results += self._judged(step, contract, run, staged, past)
            self.log.record_audit(record, results)
            self._require_passed(step, run, results)
            if run.params.dry_run:
                return replace(record, status=DRY_RUN)
            self._commit(contract, run, staged)
        finally:
            self.tables.discard(staged)
        if inputs.taken is not None:
            self.log.append_dicts(*inputs.taken.log(run.run_id))
        version = self.tables.version(contract.table)
        return replace(record, status=PUBLISHED, delta_version=version)

    def publish_nothing(
        self, step: Step, contract: Contract, run: Run, record: RunRecord, past: PastRuns
    ) -> RunRecord:
        """Publish a day of an incremental table that has no new row, if an empty day passes every
        check. Needs no Spark unless the checks do. Raises AuditFailed."""
        counts = past.row_counts(step.name, step.slice, run.ds)
        schema = arrow_schema(contract)
        rows: DataFrame | pa.Table = schema.empty_table()
        if not can_audit_here(contract, schema):
            rows = self.tables.from_arrow(contract.table, rows)
        results = audit(rows, contract, AuditContext(counts))
        self.log.record_audit(record, results)
        self._require_passed(step, run, results)
        record = replace(record, rows_in=0, rows_out=0)
        if run.params.dry_run:
            return replace(record, status=DRY_RUN)
        return replace(record, status=PUBLISHED, delta_version=self.tables.version(contract.table))

    def carry_over(
        self, step: Step, contract: Contract, run: Run, record: RunRecord, earlier: RunRecord
    ) -> RunRecord | None:
        """Publish the rows of an earlier run for the run's day, with the results of their audit.

        None where the earlier rows are no longer there. Raises PublishConflict.
        """
        if earlier.delta_version is None:
            return None
        of, partition = (_partition(step, contract, ds) for ds in (earlier.ds, run.ds))
        try:
            staged = self.tables.stage_copy(contract.table, earlier.delta_version, of, partition)
        except VersionGone as gone:
            logger.warning("%s ds=%s is computed: %s", step.task_id, run.ds, gone)
            return None
        try:
            if staged.rows != earlier.rows_out:
                return None
            results = self.log.audits_of(earlier.run_id)
            self.log.record_audit(record, results)
            self._require_passed(step, run, results)
            self._commit(contract, run, staged)
        finally:
            self.tables.discard(staged)
        version = self.tables.version(contract.table)
        return replace(
            record, rows_in=earlier.rows_in, rows_out=earlier.rows_out, delta_version=version
        )

    def _audited(self, staged: Staged, contract: Contract) -> DataFrame | pa.Table:
        """The staged rows where it costs least to audit them."""
        few = staged.rows <= FEW_ROWS and staged.bytes <= FEW_BYTES
        if few and can_audit_here(contract, arrow_schema(contract)):
            return self.tables.staged_rows(staged)
        return staged.frame

    def _account(
        self, step: Step, run: Run, record: RunRecord, inputs: Inputs, outcome: Outcome
    ) -> RunRecord:
        """Count and keep the rows that the function dropped; every row must be accounted for."""
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
            record = replace(record, counts=json.dumps(dict(inputs.taken.counts)))
        else:
            rows_in = inputs.arguments[step.accounts_for].count()
        added = outcome.added.count() if outcome.added is not None else 0
        rows_out = (record.rows_out or 0) - added
        if rows_in != rows_out + quarantined + folded:
            raise RowsVanished(
                f"{step.task_id} ds={record.ds}: {rows_in:,} rows in, but {rows_out:,} out + "
                f"{quarantined:,} quarantined + {folded:,} folded = "
                f"{rows_out + quarantined + folded:,}. Nothing was published. The table function "
                "drops or repeats rows without reporting them."
            )
        return replace(record, rows_in=rows_in)

    def _judged(
        self, step: Step, contract: Contract, run: Run, staged: Staged, past: PastRuns
    ) -> list[CheckResult]:
        """The judgement of the table's gate, if the contract asks for one."""
        check = next((check for check in contract.checks if check.expect == NO_WORSE), None)
        gate = step.gate
        if check is None or gate is None:
            return []
        days = int(check.arguments["days"])
        trailing = past.trailing_days(step.name, run.ds, days)
        found: tuple[date, DataFrame] | None = None
        if gate.rebuilds:
            found = self._oldest_rebuilt(step, run, trailing, past)
        elif trailing:
            found = trailing[-1], staged.frame
        judgement = Judgement(True, f"nothing to compare with in the {days} days before")
        if found is not None:
            day, rows = found
            published = self.tables.read(step.name).where(F.col("ds") == F.lit(day))
            frames = self.reader.open_for_gate(gate.reads, run)
            judgement = gate.judge(run, day, rows, published, **frames)
        severity = "warn" if run.params.accept_worse else check.severity
        result = CheckResult(
            check.expect, severity, judgement.success, judgement.observed, f"days={days}"
        )
        return [result]

    def _oldest_rebuilt(
        self, step: Step, run: Run, days: list[date], past: PastRuns
    ) -> tuple[date, DataFrame] | None:
        """The first of the days that has all the inputs of the run's day, as made now."""
        for day in days:
            earlier = replace(run, ds=day, known_on=day)
            earlier = replace(earlier, events_until=self.reader.last_event_day(step, earlier))
            try:
                self.reader.require_upstream(step, earlier, past)
            except UpstreamMissing:
                continue
            inputs = self.reader.open(step, earlier, past)
            return day, _outcome(step.function(earlier, **inputs.arguments)).rows
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
            path = f"{self.tables.contracts.folder.name}/{step.name.replace('.', '/')}.yaml"
            runbook = "docs/runbooks/contract-failed.md"
            if step.gate is not None and any(result.check == NO_WORSE for result in errors):
                runbook = step.gate.runbook
            raise AuditFailed(
                f"{step.task_id} ds={run.ds}: {len(errors)} of {len(results)} checks of {path} "
                f"failed: {listed}. Nothing was published; readers still see the day before. "
                f"See {runbook}."
            )

    def _commit(self, contract: Contract, run: Run, staged: Staged) -> None:
        if contract.layout is Layout.daily:
            self.tables.publish(staged)
        elif contract.layout is Layout.cache:
            if staged.files:
                self.tables.insert_new(contract.table, staged.frame)
        else:
            self.tables.add_days(staged, GROWS_BY[contract.layout], run.watermark, run.ds)


def _outcome(made: DataFrame | Outcome) -> Outcome:
    return made if isinstance(made, Outcome) else Outcome(made)


def _errors(results: list[CheckResult]) -> list[CheckResult]:
    """The checks that keep a day from being published."""
    return [r for r in results if not r.success and r.severity == "error"]


def _partition(step: Step, contract: Contract, ds: date) -> dict[str, str]:
    """The partition that a run of a daily table makes; other layouts spread over several."""
    if contract.layout is not Layout.daily:
        return {}
    return {"ds": str(ds)} | ({step.slice_column: step.slice} if step.slice else {})


def _stamped(rows: DataFrame, step: Step, contract: Contract, run: Run) -> DataFrame:
    """The rows with the columns that the runtime fills: `ds` and the slice."""
    columns: Mapping[str, Any] = {}
    if contract.layout is Layout.daily:
        columns = {"ds": F.lit(run.ds)}
    if step.slice:
        columns = {**columns, step.slice_column: F.lit(step.slice)}
    return rows.withColumns(dict(columns)) if columns else rows
