"""The ops tables: what ran, what was checked, what was rejected, what was taken in.

The one place in `jobs/` that records when something happened; no table function reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake.audit import CheckResult
from jobs.lake.schema import arrow_schema
from jobs.lake.tables import Tables

PUBLISHED = "published"
UNCHANGED = "unchanged"
DRY_RUN = "dry_run"
SKIPPED = "skipped"
FAILED = "failed"


@dataclass(frozen=True)
class RunRecord:
    """One run of one step, as in `ops.runs` without `recorded_at`.

    status: published, unchanged (nothing pending), dry_run, skipped (not chosen) or failed.
    rows_in is null where the step does not account for its rows. seconds is wall time.
    reads: the Delta version of each table that was read. counts: what an effect reported.
    made_from: what determines the rows, as JSON (`jobs.lake.carry`); null where that is not known.
    """

    run_id: str
    table: str
    slice: str
    ds: date
    known_on: date
    status: str
    rows_in: int | None = None
    rows_out: int | None = None
    rows_quarantined: int = 0
    rows_folded: int = 0
    seconds: float = 0.0
    delta_version: int | None = None
    reads: Mapping[str, int] = field(default_factory=dict)
    params: str = "{}"
    counts: str = "{}"
    error: str | None = None
    made_from: str | None = None

    def summary(self) -> str:
        """One line for a log or a terminal."""
        name = f"{self.table}.{self.slice}" if self.slice else self.table
        rows = f", {self.rows_out:,} rows" if self.rows_out is not None else ""
        rejected = f", {self.rows_quarantined:,} quarantined" if self.rows_quarantined else ""
        counts = json.loads(self.counts)
        extra = "".join(f", {key}={value}" for key, value in counts.items())
        return f"{name} ds={self.ds}: {self.status}{rows}{rejected}{extra}, {self.seconds:.1f} s"


def write_time() -> datetime:
    """The moment of a write to a log: the one clock in `jobs/`."""
    return datetime.now(UTC)


def stamped(rows: pa.Table) -> pa.Table:
    """Rows of a log with `recorded_at`, the moment of the write."""
    moment = pa.scalar(write_time(), pa.timestamp("us", tz="UTC"))
    return rows.append_column("recorded_at", pa.repeat(moment, rows.num_rows))


class OpLog:
    """Appends to the ops tables, and answers the runtime's questions about earlier runs."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def append_dicts(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows given as dictionaries, stamped; columns that are left out are null."""
        if rows:
            contract = self.tables.contracts[table]
            schema = arrow_schema(contract, without=["recorded_at"])
            arrow = stamped(pa.Table.from_pylist([dict(row) for row in rows], schema=schema))
            self.tables.append_arrow(table, arrow.select(contract.column_names))

    def record_run(self, record: RunRecord) -> None:
        self.append_dicts("ops.runs", [asdict(record)])

    def record_audit(self, record: RunRecord, results: Iterable[CheckResult]) -> None:
        head = {
            "run_id": record.run_id,
            "table": record.table,
            "slice": record.slice,
            "ds": record.ds,
        }
        self.append_dicts("ops.audits", [head | asdict(result) for result in results])

    def record_quarantine(self, record: RunRecord, rejected: DataFrame, dry_run: bool) -> int:
        """Keep rejected rows, except those of a dry run; returns how many rows they stand for.

        rejected: columns source_file, row_id, column, reason, payload, and `rows` where one row
        stands for a whole file.
        """
        if "rows" not in rejected.columns:
            rejected = rejected.withColumn("rows", F.lit(1).cast("long"))
        rows = int(rejected.agg(F.sum("rows")).collect()[0][0] or 0)
        if rows and not dry_run:
            kept = (
                rejected.withColumn("table", F.lit(record.table))
                .withColumn("ds", F.lit(record.ds))
                .withColumn("run_id", F.lit(record.run_id))
                .withColumn("recorded_at", F.lit(write_time()))
            )
            names = self.tables.contracts["ops.quarantine"].column_names
            self.tables.append("ops.quarantine", kept.select(*names))
        return rows

    def of_published(self, table: str, filters: Sequence[tuple[str, str, object]] = ()) -> pa.Table:
        """The rows of a log table that published runs wrote. filters: as in `Tables.rows`.

        A run writes its record last. A run without a record was killed or is under way, and its day
        is built again from the start, so nothing that it wrote counts.
        """
        published = self.tables.rows("ops.runs", ["run_id"], [("status", "=", PUBLISHED)])
        rows = self.tables.rows(table, self.tables.contracts[table].column_names, filters)
        return rows.filter(pc.is_in(rows["run_id"], value_set=published["run_id"].combine_chunks()))

    def audits_of(self, run_id: str) -> list[CheckResult]:
        """The results of a run's checks, in no order."""
        names = [field.name for field in fields(CheckResult)]
        found = self.tables.rows("ops.audits", names, [("run_id", "=", run_id)])
        return [CheckResult(**row) for row in found.to_pylist()]

    def past(self, tables: Sequence[str]) -> PastRuns:
        """What is known of finished runs of these tables, in one read."""
        found = self.tables.rows(
            "ops.runs",
            [field.name for field in fields(RunRecord)] + ["recorded_at"],
            [("table", "in", list(tables)), ("status", "in", [PUBLISHED, UNCHANGED])],
        )
        newest = {}
        for run in found.sort_by("recorded_at").drop_columns("recorded_at").to_pylist():
            record = RunRecord(**run | {"reads": dict(run["reads"] or {})})
            newest[record.table, record.slice, record.ds, record.status] = record
        return PastRuns(list(newest.values()))


class PastRuns:
    """Published and unchanged runs of some tables: the newest of each day and slice."""

    def __init__(self, records: Sequence[RunRecord]) -> None:
        self.records = records
        self._published = {(r.table, r.slice, r.ds): r for r in records if r.status == PUBLISHED}

    def published(self, table: str, slice: str, ds: date) -> RunRecord | None:
        """The newest published run of a day."""
        return self._published.get((table, slice, ds))

    def published_before(self, table: str, slice: str, ds: date) -> RunRecord | None:
        """The newest published run of the last day before `ds` that has one."""
        days = [day for t, s, day in self._published if (t, s) == (table, slice) and day < ds]
        return self.published(table, slice, max(days)) if days else None

    def version_read(self, table: str, slice: str, ds: date, read: str) -> int | None:
        """The version of `read` that the published rows of a day were made from; None before."""
        record = self.published(table, slice, ds)
        return record.reads.get(read) if record else None

    def watermark(self, table: str) -> date | None:
        """The newest day that an incremental table has taken in, or None."""
        return max((ds for name, _, ds in self._published if name == table), default=None)

    def days(self, table: str, slice: str = "") -> set[date]:
        """The days for which a run of the table, or of one of its slices, ended well."""
        return {r.ds for r in self.records if r.table == table and r.slice == slice}

    def trailing_days(self, table: str, before: date, days: int) -> list[date]:
        """Published days among the `days` before one, oldest first.

        Days before the newest one published with `accept_worse` are left out: later days are
        compared with the lists that were accepted.
        """
        first = before - timedelta(days=days)
        found = {ds: r.params for (name, _, ds), r in self._published.items() if name == table}
        trailing = sorted(day for day in found if first <= day < before)
        accepted = [day for day in trailing if json.loads(found[day]).get("accept_worse")]
        return [day for day in trailing if not accepted or day >= accepted[-1]]

    def row_counts(self, table: str, slice: str, before: date) -> tuple[int, ...]:
        """Rows that each earlier day published, newest day first."""
        days = [
            (ds, record.rows_out)
            for (name, part, ds), record in self._published.items()
            if (name, part) == (table, slice) and ds < before
        ]
        return tuple(count for _, count in sorted(days, reverse=True) if count is not None)
