"""Data to evaluate on: who took what before, and what they took next.

    lightgcn   text, also gzipped: one user a line, `user item item …`; the order says nothing
    parquet    user_id, item_id and, if known, event_ts, weight, session_id; one row an interaction;
               ids are spelled as in the lake (`jobs.lake.intake.ids`)

Item texts, if known: Parquet with item_id, text and, if an LLM described the items, tags (a list of
strings).
"""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.evaluation.vocabulary import Format
from jobs.lake.errors import Terminal
from jobs.lake.intake.ids import WORDS_FOR_NOTHING, id_texts, one_spelling

# The day of interactions without a time: all are equally old, so nothing decays.
UNDATED = datetime(2000, 1, 1, tzinfo=UTC)
INTERACTIONS = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("event_ts", pa.timestamp("us", tz="UTC")),
        pa.field("event_date", pa.date32()),
        pa.field("session_id", pa.string()),
        pa.field("weight", pa.float64()),
    ]
)


class BadData(Terminal):
    """A file to evaluate on cannot be read."""


def read_interactions(path: Path, format: Format) -> pa.Table:
    """The interactions of one file, in the columns of INTERACTIONS. Raises BadData.

    Without times all happened on one day; without weights each weighs 1.
    """
    read = _read_lightgcn if format is Format.lightgcn else _read_parquet
    try:
        found = read(path)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise BadData(f"{path}: expected {format}: {error}. Nothing was evaluated.") from error
    if not found.num_rows:
        raise BadData(f"{path}: no interaction in it. Nothing was evaluated.")
    for name in set(found.column_names) - {"session_id"}:
        if empty := found[name].null_count:
            raise BadData(f"{path}: {name} is null in {empty} rows. Nothing was evaluated.")
    if broken := pc.sum(pc.invert(pc.is_finite(found["weight"]))).as_py():
        raise BadData(
            f"{path}: weight is NaN or infinite in {broken} rows; expected finite numbers. Nothing "
            "was evaluated."
        )
    return found


def read_items(path: Path) -> pa.Table:
    """item_id, text string of every item that has a text, and tags list<string> if the file has
    tags. Raises BadData."""
    try:
        found = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise BadData(f"{path}: expected parquet: {error}. Nothing was evaluated.") from error
    _require(path, found, "item_id", "text")
    texts = pa.table(
        {"item_id": _ids(path, found, "item_id"), "text": found["text"].cast(pa.string())}
    )
    if "tags" in found.column_names:
        texts = texts.append_column("tags", found["tags"].cast(pa.list_(pa.string())))
    return texts.filter(pc.greater(pc.utf8_length(pc.fill_null(texts["text"], "")), 0))


def last_day(interactions: pa.Table) -> date:
    """The newest event_date; the day as of which lists are made."""
    newest: date = pc.max(interactions["event_date"]).as_py()
    return newest


def is_timed(interactions: pa.Table) -> bool:
    """Whether the interactions have more than one time."""
    return len(pc.unique(interactions["event_ts"])) > 1


def _read_lightgcn(path: Path) -> pa.Table:
    users: list[str] = []
    items: list[str] = []
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            user, *taken = line.split() or [""]
            users += [user] * len(taken)
            items += taken
    return _table(*(one_spelling(pa.array(ids, pa.string())) for ids in (users, items)))


def _read_parquet(path: Path) -> pa.Table:
    found = pq.read_table(path)
    _require(path, found, "user_id", "item_id")
    known = {
        name: found[name]
        for name in ("event_ts", "weight", "session_id")
        if name in found.column_names
    }
    if "event_ts" in known:
        known["event_ts"] = _times(path, known["event_ts"])
    return _table(_ids(path, found, "user_id"), _ids(path, found, "item_id"), **known)


def _ids(path: Path, found: pa.Table, name: str) -> pa.Array:
    """A column of ids in their one spelling. Raises BadData for a value that is no id."""
    column = found[name].combine_chunks()
    texts, problems = id_texts(column)
    texts = one_spelling(texts)
    if problems:
        place, why = next(iter(problems.items()))
        raise BadData(
            f"{path}: {name} {column[place]} {why}, as {len(problems)} rows. Nothing was evaluated."
        )
    nothing = pc.is_in(pc.utf8_lower(texts), value_set=pa.array(WORDS_FOR_NOTHING))
    if count := pc.sum(nothing).as_py():
        word = texts.filter(nothing)[0]
        raise BadData(
            f"{path}: {name} is {word} in {count} rows, which usually stands for no value; "
            "expected ids. Nothing was evaluated. Take these rows out."
        )
    return texts


def _times(path: Path, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as instants. Raises BadData for whole numbers, whose unit is not known."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        raise BadData(
            f"{path}: event_ts is {column.type}, a number of an unknown unit; expected timestamps. "
            "Nothing was evaluated. In DuckDB, to_timestamp(event_ts) reads seconds."
        )
    return column.cast(INTERACTIONS.field("event_ts").type)


def _table(
    users: pa.Array,
    items: pa.Array,
    event_ts: pa.Array | None = None,
    weight: pa.Array | None = None,
    session_id: pa.Array | None = None,
) -> pa.Table:
    stamp = INTERACTIONS.field("event_ts").type
    stamps = (
        pa.repeat(pa.scalar(UNDATED, stamp), len(users))
        if event_ts is None
        else event_ts.cast(stamp)
    )
    columns = [
        users.cast(pa.string()),
        items.cast(pa.string()),
        stamps,
        stamps.cast(pa.date32()),
        pa.nulls(len(users), pa.string()) if session_id is None else session_id.cast(pa.string()),
        pa.repeat(1.0, len(users)) if weight is None else weight.cast(pa.float64()),
    ]
    return pa.table(columns, schema=INTERACTIONS)


def _require(path: Path, found: pa.Table, *names: str) -> None:
    if absent := [name for name in names if name not in found.column_names]:
        raise BadData(
            f"{path}: no column {absent[0]}; found {', '.join(found.column_names)}. "
            "Nothing was evaluated."
        )
