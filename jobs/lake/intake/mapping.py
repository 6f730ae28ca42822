"""Mappings: `sources/<source>.yaml`, how one source's columns become ours.

A mapping is an allow-list. A column of a file that no mapping names is never read, so it reaches
neither a table nor a prompt. Names of columns that look personal are refused
(`jobs.lake.intake.personal`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs.lake.errors import MappingError
from jobs.lake.intake.personal import looks_personal


class Entity(StrEnum):
    """What a drop holds; each has a folder of the landing and a bronze table of its name."""

    events = "events"
    items = "items"
    users = "users"


class EventType(StrEnum):
    """What a user can do with an item; a mapping's `values` turn the shop's words into these.

    return: takes back pieces that were bought before. dislike, hide: the user does not want to see
    the item; a dislike also takes back what they did with it.
    other: an event that recommendations don't use; it stays in bronze.
    """

    view = "view"
    click = "click"
    cart = "cart"
    wishlist = "wishlist"
    purchase = "purchase"
    return_ = "return"
    dislike = "dislike"
    hide = "hide"
    other = "other"


@dataclass(frozen=True)
class Target:
    """One of our columns: its type, and whether every row must have a value."""

    name: str
    type: Literal["string", "double", "boolean", "timestamp", "date"]
    required: bool = False
    is_id: bool = False


TARGETS: Mapping[Entity, tuple[Target, ...]] = {
    Entity.events: (
        Target("user_id", "string", required=True, is_id=True),
        Target("item_id", "string", required=True, is_id=True),
        Target("event_ts", "timestamp", required=True),
        Target("event_type", "string", required=True),
        Target("quantity", "double", required=True),
        Target("amount", "double"),
        Target("session_id", "string", is_id=True),
    ),
    Entity.items: (
        Target("item_id", "string", required=True, is_id=True),
        Target("title", "string"),
        Target("category", "string"),
        Target("department", "string"),
        Target("brand", "string"),
        Target("size", "string"),
        Target("description", "string"),
        Target("price", "double"),
        Target("is_sellable", "boolean", required=True),
        Target("stock", "double"),
        Target("sale_from", "date"),
        Target("sale_until", "date"),
    ),
    Entity.users: (Target("user_id", "string", required=True, is_id=True),),
}

# Units of one second in a number of each format.
EPOCHS: Mapping[str, int] = {
    "epoch_seconds": 1,
    "epoch_millis": 1_000,
    "epoch_micros": 1_000_000,
    "epoch_nanos": 1_000_000_000,
}
# Stands for ISO 8601 in a list of formats.
ISO = "iso"
_ZONED = re.compile(r"[XxZVOz]")
_PATTERN = re.compile(r"(?:'[^']*'|[yuMLdDHhkKmsSaEQqXxZVOzn]|[^A-Za-z'])+")
_BOOLEANS = ("true", "false")


class ColumnMap(BaseModel):
    """Where one of our columns comes from.

    from: the source's column; or constant: the same value in every row.
    format: of a timestamp, a Spark datetime pattern, or epoch_seconds, epoch_millis, epoch_micros
        or epoch_nanos; without one, or as `iso`, ISO 8601. A list of formats reads values that fit
        exactly one of them. time_zone: IANA name of the zone of wall-clock times;
        times that carry an offset keep it. At a clock change, a skipped hour moves forward, and a
        repeated hour is the first of the two.
    default: taken where the source has no value. optional: files may lack the column.
    values: the source's value to ours; a value that is not listed makes the row unusable.
    personal: `none` says that a person looked, and the column is not personal despite its name;
        `drop` lists a known column that must never be read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_: str | None = Field(None, alias="from", min_length=1)
    constant: str | bool | float | None = None
    format: str | Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    time_zone: str | None = None
    default: str | bool | float | None = None
    optional: bool = False
    values: dict[str, str] | None = None
    personal: Literal["none", "drop"] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> ColumnMap:
        if self.personal == "drop":
            return self
        if (self.from_ is None) == (self.constant is None):
            raise ValueError("give either `from: <column>` or `constant: <value>`")
        if self.constant is not None and self.model_fields_set - {"constant"}:
            raise ValueError("a constant takes no other key")
        if self.time_zone is not None:
            _zone("time_zone", self.time_zone)
        for form in self.formats:
            if form not in (ISO, *EPOCHS) and not _PATTERN.fullmatch(form):
                raise ValueError(
                    f"format: {form!r} is neither a Spark datetime pattern such as "
                    f"'dd/MM/yyyy HH:mm' nor one of {ISO}, {', '.join(EPOCHS)}"
                )
        return self

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats in which times are written; ISO 8601 without one."""
        return self.format if isinstance(self.format, tuple) else (self.format or ISO,)

    @property
    def says_zones(self) -> bool:
        """Whether each time says its instant, by its format alone."""
        return all(form in EPOCHS or has_zone(form) for form in self.formats)


def has_zone(form: str) -> bool:
    """Whether a format includes an offset or a zone."""
    return form != ISO and bool(_ZONED.search(re.sub(r"'[^']*'", "", form)))


def _zone(key: str, name: str) -> None:
    """Raises ValueError, which names the key, for a name that is no zone."""
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(
            f"{key}: {name!r} is not an IANA zone such as UTC or Europe/Paris"
        ) from error


class Source(BaseModel):
    """One source: which files belong to it, and what their columns mean.

    source: the name, which is that of the mapping file. files: a pattern for the source's file
    names in `landing/<entity>/ds=D/`. delimiter: of csv files. escape: of csv files, whether a
    backslash makes a quote part of a value (`backslash`, as Spark writes) or a quote is only ever
    doubled (`none`); without it, a row whose quotes can be read both ways is unusable.
    nulls: words that stand for no value, beside the empty text. ids: words that are ids here,
    although they usually stand for no value, such as `NA`. decimal, thousands: the marks in
    numbers. days_end_in: IANA name of the zone in which the day of a drop ends, UTC without it.
    skip_lines: of csv files, how many lines stand above the header. personal: columns of a file
    that must never be read.
    complete: of items, whether each day's drop holds all items of the source, so that an item which
    it lacks is no longer sold. may_shrink_by: the share of its rows by which such a drop may be
    smaller than the one before; a smaller one stops the day.
    columns: our column to the source's. attributes: only for users, the non-personal columns that
    may describe a user.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    entity: Entity
    files: str = Field("*", min_length=1)
    delimiter: str = Field(",", min_length=1, max_length=1)
    escape: Literal["backslash", "none"] | None = None
    nulls: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    days_end_in: str | None = None
    skip_lines: int = Field(0, ge=0)
    personal: tuple[str, ...] = ()
    complete: bool = False
    may_shrink_by: float = Field(0.1, ge=0, le=1)
    columns: dict[str, ColumnMap]
    attributes: dict[str, ColumnMap] = {}

    @model_validator(mode="after")
    def _columns_fit(self) -> Source:
        targets = {target.name: target for target in TARGETS[self.entity]}
        problems = list(self._contradictions())
        problems += [
            f"columns.{name}: {self.entity} have no such column; they have {', '.join(targets)}"
            for name in self.columns
            if name not in targets
        ]
        problems += [
            f"columns.{name}: is missing; {self.entity} cannot do without it"
            for name, target in targets.items()
            if target.required and name not in self.columns
        ]
        for name, column in self.columns.items():
            if name in targets:
                problems += [f"columns.{name}: {text}" for text in _misfits(targets[name], column)]
        if self.attributes and self.entity is not Entity.users:
            problems.append("attributes: only users have them")
        for name, column in self.attributes.items():
            target = Target(name, "string")
            problems += [f"attributes.{name}: {text}" for text in _misfits(target, column)]
        if self.entity is not Entity.items:
            problems += self._personal_columns()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _contradictions(self) -> Iterable[str]:
        for name, column in self.used.items():
            if column.from_ is not None and _is_within(column.from_, self.personal):
                yield f"columns.{name}: column {column.from_!r} is listed as `personal`"
        if self.thousands == self.decimal:
            yield f"thousands: {self.thousands!r} is the decimal mark too"
        if self.complete and self.entity is not Entity.items:
            yield "complete: only items end when a drop lacks them"
        if self.days_end_in is not None:
            if self.entity is not Entity.events:
                yield "days_end_in: only events happen on a day"
            try:
                _zone("days_end_in", self.days_end_in)
            except ValueError as error:
                yield str(error)

    def _personal_columns(self) -> Iterable[str]:
        named = {f"columns.{name}": column for name, column in self.columns.items()}
        named |= {f"attributes.{name}": column for name, column in self.attributes.items()}
        for key, column in named.items():
            if column.personal is not None or column.from_ is None:
                continue
            ours = key.partition(".")[2] if key.startswith("attributes.") else ""
            if word := looks_personal(column.from_) or looks_personal(ours):
                yield (
                    f"{key}: column {column.from_!r} looks personal ({word}). Take it out or say "
                    "`personal: drop`; if it is not personal, say `personal: none`"
                )

    @property
    def used(self) -> dict[str, ColumnMap]:
        """Our column (or `attributes.<name>`) to its mapping, without dropped columns."""
        named = {**self.columns, **{f"attributes.{k}": c for k, c in self.attributes.items()}}
        return {name: column for name, column in named.items() if column.personal != "drop"}

    @property
    def source_columns(self) -> list[str]:
        """The columns of a file that are read, each once, in the order of the mapping."""
        return list(dict.fromkeys(c.from_ for c in self.used.values() if c.from_ is not None))

    @property
    def required_columns(self) -> list[str]:
        """The columns that every file must have."""
        needed = {c.from_ for c in self.used.values() if not c.optional}
        return [name for name in self.source_columns if name in needed]

    @property
    def id_columns(self) -> frozenset[str]:
        """The columns of a file that hold ids."""
        ids = {target.name for target in TARGETS[self.entity] if target.is_id}
        return frozenset(c.from_ for name, c in self.used.items() if name in ids and c.from_)

    @property
    def attribute_columns(self) -> frozenset[str]:
        """The columns of a file that describe a user."""
        ours = (c for name, c in self.used.items() if name.startswith("attributes."))
        return frozenset(c.from_ for c in ours if c.from_)


def _is_within(path: str, keys: Iterable[str]) -> bool:
    """Whether a column is one of some keys, or lies in the object of one, as `customer.email`."""
    return any(path == key or path.startswith(f"{key}.") for key in keys)


def _misfits(target: Target, column: ColumnMap) -> Iterable[str]:
    if column.personal == "drop":
        if target.required:
            yield "is required and can't be dropped"
        return
    if target.type == "timestamp":
        if column.constant is not None or column.default is not None or column.values is not None:
            yield "a time comes from a column; constant, default and values don't apply"
        elif column.time_zone is None and not column.says_zones:
            yield "say the `time_zone` of its wall-clock times, for example UTC"
    elif target.type == "date":
        if column.constant is not None or column.default is not None or column.values is not None:
            yield "a day comes from a column; constant, default and values don't apply"
        elif column.time_zone is not None:
            yield "a day is taken as it is written; time_zone doesn't apply"
    elif column.format is not None or column.time_zone is not None:
        yield "format and time_zone are for times"
    if target.is_id and target.required and (column.default is not None or column.optional):
        yield "an id has no default and isn't optional"
    if target.required and column.optional and column.default is None:
        yield "is required, so an optional column needs a default"
    given = {"constant": column.constant, "default": column.default}
    given |= {f"values.{key}": value for key, value in (column.values or {}).items()}
    for key, value in given.items():
        if value is not None and (problem := _wrong_literal(target, value)):
            yield f"{key}: {problem}"


def _wrong_literal(target: Target, value: str | bool | float) -> str:
    if target.type == "boolean" and not (isinstance(value, bool) or value in _BOOLEANS):
        return f"expected true or false, found {value!r}"
    if target.type == "double":
        try:
            fine = not isinstance(value, bool) and float(value) < float("inf")
        except ValueError:
            fine = False
        if not fine:
            return f"expected a number, found {value!r}"
    if target.name == "event_type" and value not in list(EventType):
        return f"expected one of {', '.join(EventType)}, found {value!r}"
    return ""


def load_source(path: Path) -> Source:
    """Read one mapping. Raises MappingError that names the file and the key that is wrong."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MappingError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(raw, dict):
        raise MappingError(f"{path}: expected a mapping at the top, found {type(raw).__name__}")
    try:
        source = Source.model_validate(raw)
    except ValidationError as error:
        raise MappingError("\n".join(_explain(path, error))) from error
    if source.source != path.stem:
        raise MappingError(
            f"{path}: key source: expected {path.stem!r} (the file's name), found {source.source!r}"
        )
    return source


def _explain(path: Path, error: ValidationError) -> Iterable[str]:
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["loc"][-1:] == ("[key]",):
            key = key.removesuffix(".[key]")
            yield f"{path}: key {key}: YAML reads this as {item['input']!r}; put it in quotes"
            continue
        for text in item["msg"].removeprefix("Value error, ").splitlines():
            if key:
                yield f"{path}: key {key}: {text}"
            else:
                inner, _, message = text.partition(": ")
                yield f"{path}: key {inner}: {message}"


def load_sources(folder: Path, entity: str) -> tuple[Source, ...]:
    """The sources of one entity, by name; none for a shop that does not deliver the entity.

    Reads every mapping of the folder, so a wrong mapping stops all entities; the error has its
    name. Raises MappingError also when the folder has no mapping.
    """
    sources = tuple(load_source(path) for path in sorted(folder.glob("*.yaml")))
    if not sources:
        raise MappingError(
            f"{folder}: has no mapping, so no drop can be read. Point RECLAKE_SOURCES to the "
            "folder of mappings; `reclake init-source` proposes them from sample files"
        )
    return tuple(source for source in sources if source.entity == entity)


REPLAY = re.compile(r"replay-(?P<source>[a-z][a-z0-9_]*)-[0-9a-f]{16}\.jsonl")


def claim(name: str, sources: Iterable[Source]) -> Source:
    """The one source that a file belongs to, by the file's name.

    The name of a replayed file holds its source. Raises MappingError when no source, or more than
    one, claims the name.
    """
    known = tuple(sources)
    replay = REPLAY.fullmatch(name)
    if replay:
        claims = [source for source in known if source.source == replay["source"]]
    else:
        claims = [source for source in known if fnmatchcase(name, source.files)]
    if len(claims) == 1:
        return claims[0]
    patterns = ", ".join(f"{source.source} ({source.files})" for source in known) or "none"
    count = "no mapping claims it" if not claims else "more than one mapping claims it"
    raise MappingError(f"{count}; mappings and their `files` patterns: {patterns}")


def literal(value: Any) -> str:
    """A constant or default of a mapping as the text that a source would have sent."""
    return str(value).lower() if isinstance(value, bool) else str(value)
