"""Quarantined rows back into the landing folder, as a drop of their own.

For use after a mapping, a check or a function was mended: a later day takes the rows in like any
drop. Nothing is removed from `ops.quarantine`.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import Any

import pyarrow as pa

from jobs.lake.errors import NoTable
from jobs.lake.intake.mapping import (
    EPOCHS,
    ISO,
    ColumnMap,
    Entity,
    EventType,
    Source,
    claim,
    load_sources,
)
from jobs.lake.intake.raw_rows import UNSPLIT
from jobs.lake.settings import LakeSettings
from jobs.lake.storage import write_new

# The tables that quarantine rows, and the entity of the drops that the rows came from.
ENTITY_OF = {
    "bronze.events": Entity.events,
    "bronze.items": Entity.items,
    "bronze.users": Entity.users,
    "silver.interactions": Entity.events,
    "silver.items": Entity.items,
    "silver.users": Entity.users,
}
# A key of each replayed row that no mapping reads. It says where the row came from, and makes the
# bytes of a second replay differ from those of the first, which would be a duplicate drop.
ORIGIN = "_replay_of"
_TIMES = frozenset({"event_ts", "sale_from", "sale_until"})


@dataclass(frozen=True)
class Requeued:
    """What a replay wrote. files: paths below the landing. rows: rows in them. skipped: a row's
    place and why it can't be replayed.
    """

    files: tuple[str, ...]
    rows: int
    skipped: tuple[tuple[str, str], ...]


class NotReplayable(Exception):
    """A quarantined row that can't be written in its source's columns; the message says why."""


def requeue(
    settings: LakeSettings,
    quarantine: pa.Table,
    table: str,
    quarantined_on: date,
    into: date,
    reason: str = "",
) -> Requeued:
    """Write quarantined rows as `landing/<entity>/ds=<into>/replay-<source>-<hash>.jsonl`.

    quarantine: `ops.quarantine` of published runs; the next run of the day takes in again what any
    other run rejected. table, quarantined_on: which rows. reason: only rows whose reason contains
    this text; empty means all. into: the day whose run is to take the rows in; if that day is taken
    in already, the next new day takes them in.
    The same call again writes nothing new. Raises NoTable for a table that quarantines nothing.
    """
    if table not in ENTITY_OF:
        raise NoTable(f"{table}: has no quarantine to replay; one of {', '.join(ENTITY_OF)} has")
    entity = ENTITY_OF[table]
    sources = load_sources(settings.sources, entity)
    chosen = [
        row
        for row in quarantine.to_pylist()
        if (row["table"], row["ds"]) == (table, quarantined_on) and reason in row["reason"]
    ]
    lines: dict[str, list[str]] = defaultdict(list)
    skipped = []
    for row in sorted(chosen, key=itemgetter("source_file", "row_id")):
        place = f"{row['source_file']}:{row['row_id']}"
        try:
            source = claim(row["source_file"].rpartition("/")[2], sources)
            record = _record(table, source, row["payload"])
        except NotReplayable as why:
            skipped.append((place, str(why)))
            continue
        record[ORIGIN] = f"{place} {row['run_id']}"
        lines[source.source].append(json.dumps(record, ensure_ascii=False, sort_keys=True))
    files = tuple(_write(settings, entity, into, name, lines[name]) for name in sorted(lines))
    return Requeued(files, sum(map(len, lines.values())), tuple(skipped))


def _record(table: str, source: Source, payload: str | None) -> dict[str, Any]:
    """One quarantined row in its source's column names."""
    if payload is None:
        raise NotReplayable("a whole file was rejected; deliver it again under a new name")
    row = json.loads(payload)
    if UNSPLIT in row or "_line" in row:  # as older versions named it
        raise NotReplayable("the line could not be split into columns; mend it at its source")
    return dict(row) if table.startswith("bronze.") else in_source_columns(row, source)


def in_source_columns(row: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """A row in our columns as its source would have sent it: `jobs.lake.intake.parse` reversed.

    Raises NotReplayable for a time in a pattern of the source's own, or for a word of ours without
    a word of the source in the mapping's `values`.
    """
    ours = dict(row)
    if ours.get("event_type") == EventType.return_.value and not _says_returns(source):
        ours |= {"event_type": EventType.purchase.value, "quantity": -ours["quantity"]}
    ours |= {f"attributes.{name}": value for name, value in (row.get("attributes") or {}).items()}
    return {
        column.from_: _sent(name, ours.get(name), column, source)
        for name, column in source.used.items()
        if column.from_ is not None
    }


def _says_returns(source: Source) -> bool:
    """Whether the source has a word for a return; one without writes a purchase of less than 0."""
    column = source.columns["event_type"]
    words = [EventType.return_.value] if column.values is None else column.values.values()
    return column.from_ is not None and EventType.return_.value in words


def _sent(name: str, value: Any, column: ColumnMap, source: Source) -> Any:
    if value is None:
        return None
    if column.values is not None:
        said = str(value).lower() if isinstance(value, bool) else str(value)
        words = [theirs for theirs, ours in column.values.items() if ours.lower() == said.lower()]
        if not words:
            raise NotReplayable(f"no word of the source stands for {name} {value!r}")
        return words[0]
    if name in _TIMES and ISO not in column.formats:
        return _epoch(value, column)
    if isinstance(value, float) and source.decimal != ".":
        return str(value).replace(".", source.decimal)
    return value


def _epoch(value: str, column: ColumnMap) -> str:
    form = next((form for form in column.formats if form in EPOCHS), None)
    if form is None:
        raise NotReplayable(f"times of its source are written as {', '.join(column.formats)}")
    instant = datetime.fromisoformat(value).astimezone(UTC)
    per_second = EPOCHS[form]
    since = instant - datetime(1970, 1, 1, tzinfo=UTC)
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    whole, rest = divmod(micros * per_second, 1_000_000)
    return f"{whole}.{rest:06d}" if rest else str(whole)


def _write(
    settings: LakeSettings, entity: Entity, into: date, source: str, lines: list[str]
) -> str:
    content = "".join(f"{line}\n" for line in lines).encode("utf-8")
    digest = hashlib.sha256(content).hexdigest()[:16]
    file = f"{entity}/ds={into}/replay-{source}-{digest}.jsonl"
    write_new(f"{settings.landing.rstrip('/')}/{file}", content)
    return file
