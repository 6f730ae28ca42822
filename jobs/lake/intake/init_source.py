"""A first mapping for a shop's own files: guessed from samples, for a person to correct."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.lake.errors import MappingError
from jobs.lake.intake.mapping import TARGETS, Entity, EventType, Target, looks_personal
from jobs.lake.intake.raw_rows import FORMATS, Columns, read_file

CHANGE_ME = "CHANGE_ME"
_SAMPLE_ROWS = 1000
_DELIMITERS = ",;\t|"

# Names that shops give to each of our columns, likeliest first, in lower case without separators.
_NAMES: dict[str, str] = {
    "user_id": "userid customerid householdid visitorid memberid clientid shopperid accountid "
    "user customer visitor uid",
    "item_id": "itemid productid sku articleid stockcode variantid asin parentasin upc ean "
    "product item article",
    "event_ts": "eventts eventtime timestamp transactiontimestamp orderedat createdat occurredat "
    "orderdate invoicedate purchasedate datetime time date ts",
    "event_type": "eventtype event action eventname kind type",
    "quantity": "quantity qty units pieces count",
    "amount": "amount paid salesvalue linetotal total revenue value price unitprice",
    "session_id": "sessionid basketid orderid invoiceno invoiceid invoice transactionid cartid "
    "visitid",
    "title": "title productname itemname name producttitle producttype label",
    "category": "category productcategory categoryname maincategory subcategory productgroup group",
    "department": "department departmentname division section",
    "brand": "brand brandname manufacturer vendor maker",
    "size": "size packagesize packsize volume weight",
    "description": "description productdescription longdescription desc details",
    "price": "price unitprice listprice saleprice",
    "is_sellable": "issellable sellable instock available isavailable active isactive status",
}
_EVENT_WORDS = {
    EventType.purchase: "purchase order buy bought sale transaction checkout paid",
    EventType.cart: "cart addtocart basket addtobasket",
    EventType.wishlist: "wishlist favorite favourite like save",
    EventType.click: "click tap",
    EventType.view: "view pageview productview detail detailview visit",
}
_TRUE_WORDS = "true yes y 1 t active available instock onsale enabled live"
_BOOLEAN_WORDS = {"true", "false", "yes", "no", "y", "n", "t", "f", "1", "0"}
_TIMES = (
    (re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{1,2}:\d{2}.*)?"), None),
    (re.compile(r"\d{9,10}(\.\d+)?"), "epoch_seconds"),
    (re.compile(r"\d{12,13}"), "epoch_millis"),
    (re.compile(r"(\d{1,2})/(\d{1,2})/\d{4} \d{1,2}:\d{2}:\d{2}"), "/yyyy H:mm:ss"),
    (re.compile(r"(\d{1,2})/(\d{1,2})/\d{4} \d{1,2}:\d{2}"), "/yyyy H:mm"),
    (re.compile(r"(\d{1,2})/(\d{1,2})/\d{4}"), "/yyyy"),
    (re.compile(r"\d{1,2}\.\d{1,2}\.\d{4} \d{1,2}:\d{2}"), "d.M.yyyy H:mm"),
    (re.compile(r"\d{1,2}\.\d{1,2}\.\d{4}"), "d.M.yyyy"),
)


@dataclass(frozen=True)
class Proposal:
    """A mapping that was written. questions: for a person to decide or check."""

    path: Path
    entity: Entity
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """The columns of a sample file, and the texts in each column."""

    path: Path
    delimiter: str
    values: dict[str, list[str]]


@dataclass
class _Draft:
    """The lines of a mapping, and its open questions."""

    columns: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)


def init_source(name: str, samples: Sequence[Path], out: Path) -> list[Proposal]:
    """Write a mapping for each sample, as `<out>/<name>_<entity>.yaml`, with its open questions.

    name: of the shop. samples: parquet, csv or jsonl files with the columns of future drops; the
    columns tell which entity a sample holds. Raises MappingError, and writes nothing, when a file
    can't be read, its entity can't be told, two samples hold the same entity, or a mapping exists.
    """
    drafts: dict[Entity, tuple[Path, str, _Draft]] = {}
    for path in samples:
        sample = read_sample(path)
        entity = guess_entity(sample)
        if entity in drafts:
            raise MappingError(
                f"{path}: looks like {entity}, as does {drafts[entity][0]}; give one file for each "
                "entity"
            )
        draft = _draft(sample, entity)
        drafts[entity] = (path, _page(f"{name}_{entity}", entity, sample, draft), draft)
    targets = {entity: out / f"{name}_{entity}.yaml" for entity in drafts}
    if there := [str(path) for path in targets.values() if path.exists()]:
        raise MappingError(f"{', '.join(there)}: is there already; move it away or name another")
    out.mkdir(parents=True, exist_ok=True)
    for entity, (_, page, _) in drafts.items():
        targets[entity].write_text(page, encoding="utf-8")
    return [
        Proposal(targets[entity], entity, tuple(draft.questions))
        for entity, (_, _, draft) in drafts.items()
    ]


def read_sample(path: Path) -> Sample:
    """The first rows of a file as text. Raises MappingError that names the file."""
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise MappingError(f"{path}: expected one of .{', .'.join(FORMATS)}")
    try:
        names, delimiter = _columns_of(path, kind)
    except (OSError, UnicodeDecodeError, ValueError, pa.ArrowException) as error:
        raise MappingError(f"{path}: cannot be read: {error}") from error
    columns = Columns(tuple(names), (), delimiter)
    values: dict[str, list[str]] = {name: [] for name in names}
    rows = 0
    for batch in read_file(path.name, str(path.absolute()), columns):
        if problem := next(filter(None, batch.column("file_problem").to_pylist()), None):
            raise MappingError(f"{path}: {problem}")
        for number, name in enumerate(names):
            values[name] += [text for text in batch.column(f"c{number}").to_pylist() if text]
        rows += batch.num_rows
        if rows >= _SAMPLE_ROWS:
            break
    return Sample(path, delimiter, {n: texts[:_SAMPLE_ROWS] for n, texts in values.items()})


def _columns_of(path: Path, kind: str) -> tuple[list[str], str]:
    if kind == "parquet":
        return list(pq.read_schema(path).names), ","
    with path.open(encoding="utf-8-sig") as lines:
        if kind == "csv":
            header = lines.readline()
            delimiter = max(_DELIMITERS, key=header.count)
            return [name.strip().strip('"') for name in header.split(delimiter)], delimiter
        names: dict[str, None] = {}
        for _, line in zip(range(_SAMPLE_ROWS), lines, strict=False):
            if line.strip():
                names.update(dict.fromkeys(json.loads(line)))
        return list(names), ","


def guess_entity(sample: Sample) -> Entity:
    """The entity of a sample. Raises MappingError with the columns found if they don't tell."""
    found = {target for target in _NAMES if _best_name(target, sample.values)}
    if {"user_id", "item_id", "event_ts"} <= found:
        return Entity.events
    if "item_id" in found and "user_id" not in found:
        return Entity.items
    if "user_id" in found and "item_id" not in found:
        return Entity.users
    raise MappingError(
        f"{sample.path}: can't tell whether it holds events (a user, an item and a time), items or "
        f"users from its columns {', '.join(sample.values)}; write the mapping by hand, see "
        "docs/bring-your-own-data.md"
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _best_name(target: str, names: Iterable[str]) -> str | None:
    by_plain = {_plain(name): name for name in names}
    return next((by_plain[name] for name in _NAMES[target].split() if name in by_plain), None)


def _draft(sample: Sample, entity: Entity) -> _Draft:
    draft = _Draft()
    for target in TARGETS[entity]:
        left = [name for name in sample.values if name not in draft.used]
        theirs = _best_name(target.name, left)
        if theirs is not None:
            draft.used.add(theirs)
        if line := _column_line(target, theirs, sample, entity, draft):
            draft.columns.append(line)
    if entity is Entity.users:
        _draft_attributes(sample, draft)
    return draft


def _column_line(
    target: Target, theirs: str | None, sample: Sample, entity: Entity, draft: _Draft
) -> str:
    if theirs is None:
        if not target.required:
            return ""
        constants = {"event_type": "purchase", "quantity": "1", "is_sellable": "true"}
        if target.name in constants:
            draft.questions.append(
                f"no column says {target.name}; assumed {constants[target.name]}"
            )
            return f"{target.name}: {{constant: {constants[target.name]}}}"
        draft.questions.append(f"which column is {target.name}?")
        return f"{target.name}: {{from: {CHANGE_ME}}}"
    texts = sample.values[theirs]
    parts = [f"from: {_quoted(theirs)}"]
    if target.type == "timestamp":
        parts += _time_parts(theirs, texts, draft)
    elif target.name == "event_type":
        parts += _event_parts(theirs, texts, draft)
    elif target.type == "boolean":
        parts += _boolean_parts(theirs, texts, draft)
    if target.name == "quantity" and len(texts) < _rows(sample):
        parts.append("default: 1")
        draft.questions.append(f"{theirs} is empty in some rows; assumed 1")
    if entity is not Entity.items and (word := looks_personal(theirs)):
        draft.questions.append(f"{theirs} looks personal ({word}); send a pseudonym instead")
    return f"{target.name}: {{{', '.join(parts)}}}"


def _rows(sample: Sample) -> int:
    return max((len(texts) for texts in sample.values.values()), default=0)


def _time_parts(theirs: str, texts: list[str], draft: _Draft) -> list[str]:
    parts = []
    form = _time_format(theirs, texts, draft)
    if form:
        parts.append(f"format: {_quoted(form)}")
    if form not in ("epoch_seconds", "epoch_millis"):
        parts.append("time_zone: UTC")
        draft.questions.append(f"in which time zone are the times of {theirs}? assumed UTC")
    return parts


def _time_format(theirs: str, texts: list[str], draft: _Draft) -> str | None:
    for pattern, form in _TIMES:
        matches = [pattern.fullmatch(text) for text in texts]
        if not texts or not all(matches):
            continue
        if form is None or not form.startswith("/"):
            return form
        if any(match and int(match[1]) > 12 for match in matches):
            return f"d/M{form}"
        if not any(match and int(match[2]) > 12 for match in matches):
            draft.questions.append(f"does {theirs} begin with the month or the day? assumed month")
        return f"M/d{form}"
    draft.questions.append(f"how are the times of {theirs} written? say so in `format`")
    return None


def _event_parts(theirs: str, texts: list[str], draft: _Draft) -> list[str]:
    words = sorted(set(texts))
    if all(word in list(EventType) for word in words):
        return []
    ours = {word: _event_type(word) for word in words}
    unsure = [word for word, event_type in ours.items() if event_type is EventType.other]
    if unsure:
        draft.questions.append(f"what do these events mean: {', '.join(unsure)}? assumed other")
    draft.questions.append(f"has {theirs} more words than the sample's {len(words)}?")
    listed = ", ".join(f"{_quoted(word)}: {event_type}" for word, event_type in ours.items())
    return [f"values: {{{listed}}}"]


def _event_type(word: str) -> EventType:
    plain = _plain(word)
    found = (kind for kind, words in _EVENT_WORDS.items() if plain in words.split())
    return next(found, EventType.other)


def _boolean_parts(theirs: str, texts: list[str], draft: _Draft) -> list[str]:
    words = sorted(set(texts))
    if {word.lower() for word in words} <= _BOOLEAN_WORDS:
        return []
    draft.questions.append(f"which words of {theirs} mean that an item can be sold?")
    listed = ", ".join(
        f"{_quoted(word)}: '{str(_plain(word) in _TRUE_WORDS.split()).lower()}'" for word in words
    )
    return [f"values: {{{listed}}}"]


def _draft_attributes(sample: Sample, draft: _Draft) -> None:
    for name in sample.values:
        if name in draft.used:
            continue
        ours = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        if word := looks_personal(name):
            draft.attributes.append(
                f"{_quoted(ours)}: {{from: {_quoted(name)}, personal: drop}} # {word}"
            )
        else:
            draft.attributes.append(f"{_quoted(ours)}: {{from: {_quoted(name)}}}")
    if draft.attributes:
        draft.questions.append("is no attribute personal? keep only what describes many users")


def _quoted(text: str) -> str:
    """A YAML scalar that reads as this text, whatever characters it has."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) and text.lower() not in (
        *("y", "n", "yes", "no", "on", "off"),
        *("true", "false", "null"),
    ):
        return text
    return json.dumps(text, ensure_ascii=False)


def _page(name: str, entity: Entity, sample: Sample, draft: _Draft) -> str:
    lines = [f"# Proposed by `reclake init-source` from {sample.path.name}. Check before use:"]
    lines += [f"#   - {question}" for question in draft.questions] or ["#   - nothing is open"]
    lines += [f"source: {name}", f"entity: {entity}"]
    if sample.delimiter != ",":
        lines.append(f"delimiter: {json.dumps(sample.delimiter)}")
    lines += ["", "columns:", *(f"  {line}" for line in draft.columns)]
    if draft.attributes:
        lines += ["", "attributes: # personal: drop = known, and never read"]
        lines += [f"  {line}" for line in draft.attributes]
    kept = {*draft.used, *(sample.values if entity is Entity.users else ())}
    if ignored := [column for column in sample.values if column not in kept]:
        lines += ["", f"# Not read: {', '.join(ignored)}"]
    return "\n".join(lines) + "\n"
