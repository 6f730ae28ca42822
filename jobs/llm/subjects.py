"""What each prompt asks about: its answer table, and the fields that it shows for a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from jobs.llm.contents import CONTENT_FIELDS
from jobs.llm.prompt import Fields

if TYPE_CHECKING:
    from jobs.lake.runtime import Lake

Row = Mapping[str, Any]

TABLES = {
    "item": "silver.item_enrichments",
    "user": "silver.user_enrichments",
    "companion": "silver.item_companions",
    "pair": "silver.pair_reasons",
}


def key_of(lake: Lake, name: str) -> list[str]:
    """The answer table's columns that name the subject of the prompt `name`."""
    key = lake.contracts[TABLES[name]].key
    return [column for column in key if column not in ("prompt_version", "model")]


def subject_of(name: str) -> str:
    """The answer table's column that the ledger names, for the prompt `name`."""
    return "profile_hash" if name == "user" else "content_hash"


def asked_until(lake: Lake, name: str, ds: date, count: int) -> list[dict[str, str]]:
    """The first `count` keys, in their order, that any version was asked about until day `ds`."""
    key = key_of(lake, name)
    rows = lake.tables.rows(TABLES[name], key, [("selected_ds", "<=", ds)]).to_pylist()
    keys = sorted({tuple(row[column] for column in key) for row in rows})
    return [dict(zip(key, values, strict=True)) for values in keys[:count]]


def fields_of(lake: Lake, name: str, rows: Sequence[Row]) -> list[Fields | None]:
    """The fields that the prompt `name` shows for each row of its table; None for a row whose
    subject the lake no longer knows.

    rows: the columns of `key_of`, and any others.
    """
    if name == "user":
        hashes = {row["profile_hash"] for row in rows}
        profiles = _by(lake, "silver.user_profiles", "profile_hash", ["profile"], hashes)
        return [profiles.get(row["profile_hash"]) for row in rows]
    columns = [column for column in key_of(lake, name) if column.endswith("content_hash")]
    wanted = {row[column] for row in rows for column in columns}
    contents = _by(lake, "silver.items", "content_hash", CONTENT_FIELDS, wanted)
    found: list[Fields | None] = []
    for row in rows:
        if not all(row[column] in contents for column in columns):
            found.append(None)
            continue
        own, *neighbor = (contents[row[column]] for column in columns)
        shown = dict(own)
        for fields in neighbor:
            shown |= {f"neighbor_{field}": text for field, text in fields.items()}
        if name == "companion":
            shown["candidates"] = row["candidates"]
        found.append(shown)
    return found


def _by(
    lake: Lake, table: str, key: str, columns: Sequence[str], wanted: set[str]
) -> dict[str, Fields]:
    """The columns of `table` for each of the wanted keys that it has."""
    if not wanted:
        return {}
    found = lake.tables.rows(table, [key, *columns], [(key, "in", sorted(wanted))]).to_pylist()
    return {row[key]: {name: row[name] for name in columns} for row in found}
