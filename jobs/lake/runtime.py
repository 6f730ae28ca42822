"""The table runtime: as-of reads, the function, staging, audit, atomic publish, run record.

Every day of a table is made by one call, `Lake.run`, whether Airflow, the command line or a test
asks for it.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Generic, TypeVar

from pyspark.sql import DataFrame, SparkSession

from jobs.lake.carry import CARRIED_FROM, Carry, NotedRun, made_from
from jobs.lake.contract import GROWS_BY, Contracts, Layout
from jobs.lake.errors import UpstreamMissing
from jobs.lake.inputs import Inputs, Reader
from jobs.lake.oplog import DRY_RUN, FAILED, PUBLISHED, SKIPPED, UNCHANGED, OpLog, RunRecord
from jobs.lake.publishing import Publisher
from jobs.lake.scratch import Scratch
from jobs.lake.settings import Environment, LakeParams, Sections
from jobs.lake.sink import Sink
from jobs.lake.snapshots import Snapshots
from jobs.lake.step import Arrivals, EffectResult, Read, Run, Search, Step, find_step
from jobs.lake.tables import Tables

logger = logging.getLogger(__name__)
_Environment = TypeVar("_Environment", bound=Environment)


class Lake(Generic[_Environment]):
    """The lake of one environment, reached through one Spark session.

    spark: the session, or a function that opens it when a step first needs it; a step without
    pending input, or whose day is carried over, never does. settings: the environment; the runtime
    reads `of_lake` and hands sections to table functions.

    >>> Lake(spark, get_settings()).run("silver.items", ds=date(2017, 12, 28))  # doctest: +SKIP
    """

    def __init__(
        self, spark: SparkSession | Callable[[], SparkSession], settings: _Environment
    ) -> None:
        self.settings = settings
        self.contracts = Contracts(settings.of_lake.contracts)
        self.tables = Tables(spark, settings.of_lake.lake, self.contracts)
        self.log = OpLog(self.tables)
        snapshots = Snapshots(settings.of_lake.home / "snapshots")
        self.reader = Reader(self.tables, self.log, settings, snapshots)
        self.publisher = Publisher(self.tables, self.log, self.reader)
        self.carry = Carry(self.tables, self.reader)

    @property
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
        params: LakeParams | None = None,
        slice: str = "",
        shard: int | None = None,
        run_id: str = "",
    ) -> RunRecord:
        """Build one day of one table (or slice, or effect) and record the run.

        shard: see `Run`; only for an effect that shares out its work.
        Returns the record. Raises the errors of `jobs.lake.errors`. After any error, readers still
        see what they saw before, and the failed run is in `ops.runs`.
        """
        step = find_step(name, slice)
        params = params or self.settings.params
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

    def by_hand(
        self, ds: date, scratch: Scratch | None = None, params: LakeParams | None = None
    ) -> Run:
        """A run of a day that publishes nothing, for calling the functions of steps by hand.

        It sees every section of the environment. scratch: the caller's; without one, the function
        must not use the run's scratch.
        """
        return Run(
            ds=ds,
            known_on=ds,
            watermark=None,
            params=params or self.settings.params,
            settings=Sections(self.settings),
            run_id=f"by-hand-{uuid.uuid4().hex}",
            scratch=scratch or Scratch(self._scratch_folder()),
        )

    def read_as_of(self, table: str, ds: date) -> DataFrame:
        """A table as a run of day `ds` sees it, through its plain view."""
        return self.reader.seen(Read(table), self.by_hand(ds))

    def newest_day(self, name: str) -> date | None:
        """The newest day for which all inputs of an effect are there; None before the first."""
        step = find_step(name)
        reads = [r.table for r in step.inputs if isinstance(r, Read) and r.table != step.name]
        dated = [t for t in reads if self.contracts[t].layout in (*GROWS_BY, Layout.daily)]
        past = self.log.past(dated)
        newest = [past.watermark(table) for table in dated]
        return None if None in newest else min(day for day in newest if day)

    def _attempt(
        self,
        step: Step,
        record: RunRecord,
        params: LakeParams,
        shard: int | None,
        scratch: Scratch,
    ) -> RunRecord:
        if step.slice and step.slice not in self.reader.chosen(step.slice_column, params):
            return replace(record, status=SKIPPED)
        inside = [read for read in step.inputs if not isinstance(read, Arrivals)]
        sources = [r.effect if isinstance(r, Search) else r.table for r in inside]
        past = self.log.past([step.name, *sources])
        run = Run(
            ds=record.ds,
            known_on=record.known_on,
            watermark=past.watermark(step.name),
            params=params,
            settings=Sections(self.settings, step.settings),
            run_id=record.run_id,
            scratch=scratch,
            shard=shard,
        )
        contract = self.contracts[step.name] if step.kind == "table" else None
        grows = contract is not None and contract.layout in GROWS_BY
        if grows and self.reader.nothing_pending(step, run, past):
            return replace(record, status=UNCHANGED, rows_in=0, rows_out=0)
        try:
            self.reader.require_upstream(step, run, past)
        except UpstreamMissing as missing:
            if not params.dry_run:
                raise
            return replace(record, status=DRY_RUN, error=f"not computed: {missing}")
        if contract and grows and self.reader.finds_nothing(step, run):
            return self.publisher.publish_nothing(step, contract, run, record, past)
        environment = self.reader.environment_of(step, run)
        run = replace(
            run,
            events_until=self.reader.last_event_day(step, run),
            settings=Sections(environment, step.settings),
        )
        basis = self.carry.basis(step, run, past, environment)
        if basis and not (params.dry_run or params.recompute):
            earlier = self.carry.same_day(step, run, basis, past)
            carried = earlier and self._carried_over(step, run, record, earlier)
            if carried:
                return carried
        inputs = self.reader.open(step, run, past)
        record = replace(record, reads=inputs.versions)
        noted = NotedRun.of(run)
        if contract is None:
            record, settled = self._run_effect(step, noted, record, inputs)
        else:
            made = step.function(noted, **inputs.arguments)
            record = self.publisher.publish(step, contract, run, record, inputs, past, made)
            settled = not (record.rows_out if contract.layout is Layout.cache else noted.asked)
        if basis is None or not settled:
            return record
        return replace(record, made_from=made_from(basis, run, noted.params.asked))

    def _run_effect(
        self, step: Step, run: Run, record: RunRecord, inputs: Inputs
    ) -> tuple[RunRecord, bool]:
        result: EffectResult = step.function(run, Sink(self.tables), **inputs.arguments)
        record = replace(
            record,
            status=DRY_RUN if run.params.dry_run else PUBLISHED,
            rows_in=result.rows_in,
            rows_out=result.rows_out,
            counts=json.dumps(dict(result.counts)),
        )
        return record, result.settled

    def _carried_over(
        self, step: Step, run: Run, record: RunRecord, earlier: RunRecord
    ) -> RunRecord | None:
        """The record of a day that got the rows of an earlier day; None where it did not."""
        computed_on = json.loads(earlier.counts).get(CARRIED_FROM, str(earlier.ds))
        record = replace(
            record,
            status=PUBLISHED,
            reads=earlier.reads,
            made_from=earlier.made_from,
            counts=json.dumps({CARRIED_FROM: computed_on}),
        )
        if step.kind == "table" and self.contracts[step.name].layout is Layout.daily:
            return self.publisher.carry_over(step, self.contracts[step.name], run, record, earlier)
        if step.carry is None:
            return replace(record, rows_in=0, rows_out=0)
        if not step.carry(run.settings, earlier.ds, run.ds):
            return None
        return replace(record, rows_in=earlier.rows_in, rows_out=earlier.rows_out)

    @contextmanager
    def _scratch(self, run_id: str) -> Iterator[Scratch]:
        path = self._scratch_folder() / run_id
        path.mkdir(parents=True, exist_ok=True)
        try:
            yield Scratch(path)
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _scratch_folder(self) -> Path:
        return self.settings.of_lake.home / "scratch"
