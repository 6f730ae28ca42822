"""Data to evaluate on: who took what before, and what they took next.

    lightgcn   text, also gzipped: one user a line, `user item item …`; the order says nothing
    parquet    user_id, item_id and, if known, event_ts, event_type, quantity, weight, session_id;
               one row an event; ids are spelled as in the lake (`jobs.lake.intake.ids`)

Item texts, if known: Parquet with item_id, text and, if an LLM described the items, tags (a list of
strings).
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.evaluation.vocabulary import Format
from jobs.lake.errors import Terminal
from jobs.lake.intake.ids import WORDS_FOR_NOTHING, id_texts, one_spelling
from jobs.recall.kernels.taken import DISLIKE, HIDE, MOST_PIECES, PURCHASE, RETURN
from jobs.recall.settings.events import STANDARD_WEIGHTS

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
        pa.field("event_type", pa.string()),
        pa.field("quantity", pa.float64()),
    ]
)
EVENT_TYPES = (*STANDARD_WEIGHTS, RETURN, DISLIKE, HIDE)


class BadData(Terminal):
    """A file to evaluate on cannot be read."""


def read_interactions(path: Path, format: Format) -> pa.Table:
    """The interactions of one file, in the columns of INTERACTIONS. Raises BadData.

    Without times all happened on one day, without types all are purchases, without quantities all
    are of one piece. Without weights each weighs what silver.interactions says of its type and
    quantity; a return, a dislike and a hide weigh 0 in any case.
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
    for name in ("quantity", "weight"):
        if broken := pc.sum(pc.invert(pc.is_finite(found[name]))).as_py():
            raise BadData(
                f"{path}: {name} is NaN or infinite in {broken} rows; expected finite numbers. "
                "Nothing was evaluated."
            )
    if unknown := sorted(set(found["event_type"].unique().to_pylist()) - set(EVENT_TYPES)):
        raise BadData(
            f"{path}: event_type has {unknown[0]!r}; expected {', '.join(EVENT_TYPES)}. "
            "Nothing was evaluated."
        )
    return found


def only_taken(interactions: pa.Table, wanted: Sequence[str] = ()) -> pa.Table:
    """The rows that take an item: neither a return nor a word against it. wanted: only these types
    of event; by default all."""
    types = [name for name in STANDARD_WEIGHTS if not wanted or name in wanted]
    return interactions.filter(pc.is_in(interactions["event_type"], pa.array(types)))


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


def undated(interactions: pa.Table) -> pa.Table:
    """The interactions as if all had happened at one time."""
    stamps = pa.repeat(pa.scalar(UNDATED, INTERACTIONS.field("event_ts").type), len(interactions))
    days = stamps.cast(pa.date32())
    for name, values in (("event_ts", stamps), ("event_date", days)):
        interactions = interactions.set_column(
            interactions.schema.get_field_index(name), INTERACTIONS.field(name), values
        )
    return interactions


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
        for name in ("event_ts", "event_type", "quantity", "weight", "session_id")
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
    event_type: pa.Array | None = None,
    quantity: pa.Array | None = None,
) -> pa.Table:
    rows, stamp = len(users), INTERACTIONS.field("event_ts").type
    stamps = (
        pa.repeat(pa.scalar(UNDATED, stamp), rows) if event_ts is None else event_ts.cast(stamp)
    )
    types = pa.repeat(PURCHASE, rows) if event_type is None else event_type.cast(pa.string())
    pieces = pa.repeat(1.0, rows) if quantity is None else quantity.cast(pa.float64())
    below = pc.and_(pc.less(pieces, 0), pc.equal(types, PURCHASE))
    types, pieces = pc.if_else(below, RETURN, types), pc.abs(pieces)
    weights = _weights(types, pieces) if weight is None else weight.cast(pa.float64())
    takes = pc.is_in(types, pa.array(list(STANDARD_WEIGHTS)))
    columns = [
        users.cast(pa.string()),
        items.cast(pa.string()),
        stamps,
        stamps.cast(pa.date32()),
        pa.nulls(rows, pa.string()) if session_id is None else session_id.cast(pa.string()),
        pc.if_else(takes, weights, 0.0),
        types,
        pieces,
    ]
    return pa.table(columns, schema=INTERACTIONS)


def _weights(types: pa.Array, pieces: pa.Array) -> pa.Array:
    """The weight of each event by its type and quantity, as silver.interactions has it."""
    standard = pc.fill_null(
        pc.take(
            pa.array(STANDARD_WEIGHTS.values(), pa.float64()),
            pc.index_in(types, pa.array(list(STANDARD_WEIGHTS))),
        ),
        0.0,
    )
    held = np.clip(np.asarray(pieces, np.float64), 1.0, MOST_PIECES)
    return pc.multiply(standard, pa.array(1.0 + np.log(held)))


def _require(path: Path, found: pa.Table, *names: str) -> None:
    if absent := [name for name in names if name not in found.column_names]:
        raise BadData(
            f"{path}: no column {absent[0]}; found {', '.join(found.column_names)}. "
            "Nothing was evaluated."
        )
