"""Carrying over: a day that is made from the same as the day before has the same rows.

A run notes what its rows were made from: the code, the settings, the params that its function asked
for, and of each input the part that the run may see. Where all of that is the same for a later day,
its rows need not be computed. A function that asks its run for `ds` may make other rows each day,
so none of its days is carried over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jobs.lake.contract import GROWS_BY, Layout
from jobs.lake.inputs import Reader
from jobs.lake.oplog import PastRuns, RunRecord
from jobs.lake.settings import Environment, LakeParams
from jobs.lake.step import Arrivals, Input, Run, Search, Step, sections_read
from jobs.lake.tables import Tables

# In the counts of a run that was carried over: the day on which its rows were computed.
CARRIED_FROM = "carried_from"
_OF_ONE_DAY = frozenset({"ds", "known_on", "watermark", "run_id", "shard"})
_CODE = Path(__file__).resolve().parents[1]


class NotedParams:
    """The params of a run. It notes which of them were asked for."""

    def __init__(self, params: LakeParams) -> None:
        self._params = params
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.asked.add(name)
        return getattr(self._params, name)


@dataclass(frozen=True)
class NotedRun(Run):
    """A run. It notes what its table function asks for.

    asked: of the facts that are others for each day, those that were asked for.
    """

    asked: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, run: Run) -> NotedRun:
        facts = {fact.name: getattr(run, fact.name) for fact in fields(Run)}
        return cls(**facts | {"params": NotedParams(run.params)})

    def __getattribute__(self, name: str) -> Any:
        if name in _OF_ONE_DAY:
            object.__getattribute__(self, "asked").add(name)
        return object.__getattribute__(self, name)


@dataclass(frozen=True)
class Carry:
    """Finds days that can be carried over on one lake. Needs no Spark."""

    tables: Tables
    reader: Reader

    def basis(
        self, step: Step, run: Run, past: PastRuns, environment: Environment
    ) -> dict[str, Any] | None:
        """What a run is made from, less its params; None where it can't be carried over.

        past: the runs of the step, and of the tables and effects that it reads. environment: of
        which the run has its settings.
        """
        if run.params.known_on is not None:
            return None
        if step.kind == "table" and self.tables.contracts[step.name].layout in GROWS_BY:
            return None
        inputs = {name: self._seen(read, step, run, past) for name, read in step.reads.items()}
        if None in inputs.values():
            return None
        settings = {
            name: environment.section(name).model_dump_json() for name in sections_read(step)
        }
        contract = self.tables.contracts[step.name] if step.kind == "table" else None
        return {
            "code": code_digest(),
            "contract": _digest(contract.model_dump_json()) if contract else None,
            "settings": _digest(json.dumps(settings, sort_keys=True)),
            "last_event_day": str(run.events_until),
            "inputs": inputs,
        }

    def same_day(
        self, step: Step, run: Run, basis: Mapping[str, Any], past: PastRuns
    ) -> RunRecord | None:
        """The last published run of an earlier day, if it was made from the same."""
        earlier = past.published_before(step.name, step.slice, run.ds)
        if earlier is None or earlier.made_from is None or earlier.rows_quarantined:
            return None
        asked = json.loads(earlier.made_from)["params"]
        return earlier if made_from(basis, run, set(asked)) == earlier.made_from else None

    def _seen(self, read: Input, step: Step, run: Run, past: PastRuns) -> Any:
        """What tells the part of an input that a run may see from any other; None: nothing does."""
        if isinstance(read, Arrivals):
            return None
        if isinstance(read, Search):
            return _made(past.published(read.effect, "", run.ds))
        contract = self.tables.contracts[read.table]
        if contract.layout is Layout.daily:
            if read.days_back:
                return None
            parts = {
                slice: _made(past.published(read.table, slice, run.ds))
                for slice in self.reader.slices_read(contract, run)
            }
            return None if None in parts.values() else parts
        table_id = self.tables.id(read.table)
        version = self.reader.version(step, read, run, past)
        seen = f"{table_id}@{version}"
        if read.table != step.name and self.reader.changes_by_day(read, version):
            seen += f" on {run.ds}"
        if contract.layout in GROWS_BY:
            seen += f" to {self.reader.newest_seen(read.table, run)}"
        return seen


def made_from(basis: Mapping[str, Any], run: Run, asked: set[str]) -> str:
    """The column `made_from` of `ops.runs`. asked: the params that the function asked for."""
    params = run.params.model_dump(mode="json", include=asked)
    return json.dumps({**basis, "params": params}, sort_keys=True)


def _made(record: RunRecord | None) -> str | None:
    """What tells the rows of a published day from others; equal only where the rows are."""
    if record is None:
        return None
    return _digest(record.made_from) if record.made_from else record.run_id


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=2)
def code_digest(folder: Path = _CODE) -> str:
    """A digest of all files of the package `jobs`, as they were when it was first asked for."""
    digest = sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
