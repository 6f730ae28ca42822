"""Contracts: `expectations/<zone>/<table>.yaml`, the one place that says what a table promises.

A contract is read into `Contract`, which refuses unknown keys, missing keys, unknown types and
unknown checks with an error that names the file and the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs.lake.errors import ContractError, NoTable

ZONES = ("bronze", "silver", "gold", "ops")
_SCALARS = {
    "string": "string",
    "boolean": "boolean",
    "int": "int",
    "long": "bigint",
    "float": "float",
    "double": "double",
    "date": "date",
    "timestamp": "timestamp",
}


class Layout(StrEnum):
    """How a table grows, which decides how it is read as of a day and how a run is published.

    received: bronze; a run replaces the `ingest_ds` it takes in; as of d: `ingest_ds` ≤ known_on.
    events: one row an event; as of d: `ingest_ds` ≤ known_on and `event_date` ≤ d.
    history: versions of a record; as of d: the newest `valid_from` ≤ known_on of each id.
    daily: a run replaces partition `ds` (and its slice); as of d: that partition.
    cache: rows that are a function of their key, kept for ever; read by joining on the key.
    answers: a cache that effects append chunks to without looking for the key first; where two runs
        answered one key, readers see the row that was selected first.
    log: appended records of what happened. A table function reads it `pinned`
        (`jobs.lake.step.Read`), so that later records change no rerun.
    """

    received = "received"
    events = "events"
    history = "history"
    daily = "daily"
    cache = "cache"
    answers = "answers"
    log = "log"


# The column by which a table grows from day to day: a run adds days after the table's watermark.
GROWS_BY = {
    Layout.received: "ingest_ds",
    Layout.events: "ingest_ds",
    Layout.history: "valid_from",
}

_LAYOUT_COLUMNS = {
    Layout.received: ("ingest_ds", "source_file", "source_row", "row_hash"),
    Layout.events: ("event_date", "ingest_ds"),
    Layout.history: ("valid_from", "row_hash"),
    Layout.daily: ("ds",),
    Layout.cache: (),
    Layout.answers: ("message_hash", "selected_ds", "raw_text"),
    Layout.log: ("recorded_at",),
}


def spark_type(name: str) -> str:
    """The Spark DDL of a contract's type name. Raises ValueError on a type we do not have.

    >>> spark_type("map<string,array<long>>")
    'map<string,array<bigint>>'
    """
    text = name.replace(" ", "")
    if text in _SCALARS:
        return _SCALARS[text]
    if match := re.fullmatch(r"array<(.+)>", text):
        return f"array<{spark_type(match[1])}>"
    if match := re.fullmatch(r"map<string,(.+)>", text):
        return f"map<string,{spark_type(match[1])}>"
    raise ValueError(
        f"unknown type {name!r}; known: {', '.join(_SCALARS)}, array<…>, map<string,…>"
    )


def _known_type(name: str) -> str:
    spark_type(name)
    return name


def _said(text: str) -> str:
    if len(text.split()) < 2:
        raise ValueError(f"{text!r} describes nothing; write a sentence")
    return text


Sentence = Annotated[str, AfterValidator(_said)]


class Column(BaseModel):
    """One column: what it holds, in which unit, and whether it may be null.

    personal: whether a value stands for a person, so that no audit shows it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    type: Annotated[str, AfterValidator(_known_type)]
    nullable: bool
    description: Sentence
    unit: str = ""
    personal: bool = False

    @property
    def comment(self) -> str:
        """The column's comment in the table: its description and its unit."""
        return self.description + (f" ({self.unit})" if self.unit else "")


class Check(BaseModel):
    """One expectation by its Great Expectations name, or one of ours, with its arguments."""

    model_config = ConfigDict(frozen=True, extra="allow")

    expect: str
    severity: Literal["error", "warn"]

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class Contract(BaseModel):
    """What one table promises. `key` is unique within what a run publishes. Its columns are never
    null, except in a table of events, where null counts as a value like any other.

    Nothing enforces `retention_days` yet: it is for the vacuum job to come, and all days are kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str
    version: int = Field(ge=1)
    layout: Layout
    grain: Sentence
    owner: str = Field(min_length=2)
    schedule: Sentence
    freshness_days: int | None = Field(
        description="days that the newest partition may be behind the newest run; null: no promise"
    )
    retention_days: int | None = Field(description="days to keep, not enforced yet; null: for ever")
    partition: tuple[str, ...]
    slice: str | None = None
    key: tuple[str, ...]
    columns: tuple[Column, ...] = Field(min_length=1)
    checks: tuple[Check, ...]

    @model_validator(mode="after")
    def _columns_agree(self) -> Contract:
        names = [column.name for column in self.columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"columns: named twice: {', '.join(twice)}")
        wanted = {
            "partition": self.partition,
            "key": self.key,
            "slice": (self.slice,) if self.slice else (),
            f"layout {self.layout}": _LAYOUT_COLUMNS[self.layout],
        }
        for where, needed in wanted.items():
            if missing := [name for name in needed if name not in names]:
                raise ValueError(f"{where}: no such column: {', '.join(missing)}")
        null_keys = [c.name for c in self.columns if c.name in self.key and c.nullable]
        if null_keys and self.layout is not Layout.events:
            raise ValueError(f"key: nullable column: {', '.join(null_keys)}")
        if self.layout is Layout.daily and self.partition[:1] != ("ds",):
            raise ValueError("partition: a daily table is partitioned by ds first")
        if self.slice and self.slice not in self.partition:
            raise ValueError(f"slice: {self.slice} is not a partition column")
        return self

    @cached_property
    def zone(self) -> str:
        return self.table.split(".")[0]

    @cached_property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]

    @cached_property
    def personal(self) -> frozenset[str]:
        """The columns whose values stand for a person."""
        return frozenset(column.name for column in self.columns if column.personal)


def load_contract(path: Path) -> Contract:
    """Read one contract. Raises ContractError that names the file and the key that is wrong."""
    from jobs.lake.expectations import check_problem

    table = f"{path.parent.name}.{path.stem}"
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContractError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ContractError(f"{path}: expected a mapping at the top, found {type(raw).__name__}")
    try:
        contract = Contract.model_validate(raw)
    except ValidationError as error:
        raise ContractError(_explain(path, raw, error)) from error
    if contract.table != table or contract.zone not in ZONES:
        raise ContractError(
            f"{path}: key table: expected {table!r} (zone and file name), found {contract.table!r}"
        )
    for number, check in enumerate(contract.checks):
        if problem := check_problem(check, contract):
            raise ContractError(f"{path}: key checks.{number}.{problem}")
    return contract


def _explain(path: Path, raw: dict[str, Any], error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "(top)"
        named = _name_of(raw, item["loc"])
        lines.append(f"{path}: key {key}{named}: {item['msg']}")
    return "\n".join(lines)


def _name_of(raw: dict[str, Any], loc: tuple[int | str, ...]) -> str:
    """` (column score)` when the place is inside a column, else nothing."""
    if len(loc) > 1 and loc[0] == "columns" and isinstance(loc[1], int):
        column = raw["columns"][loc[1]]
        if isinstance(column, dict) and "name" in column:
            return f" (column {column['name']})"
    return ""


class Contracts:
    """All contracts below one folder, read when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _all(self) -> dict[str, Contract]:
        contracts = (load_contract(path) for path in sorted(self.folder.glob("*/*.yaml")))
        return {contract.table: contract for contract in contracts}

    def __getitem__(self, table: str) -> Contract:
        """The contract of one table. Raises NoTable with the nearest names."""
        import difflib

        if table in self._all:
            return self._all[table]
        near = difflib.get_close_matches(table, self._all, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise NoTable(
            f"{table}: no contract {self.folder}/{table.replace('.', '/')}.yaml, "
            f"so the table cannot be read or written{hint}"
        )

    def __iter__(self) -> Iterator[Contract]:
        return iter(self._all.values())

    def __contains__(self, table: str) -> bool:
        return table in self._all
