"""A first mapping for a shop's own files: guessed from samples, for a person to correct."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.lake.errors import MappingError
from jobs.lake.intake.ids import WORDS_FOR_NOTHING
from jobs.lake.intake.mapping import EPOCHS, ISO, TARGETS, Entity, EventType, Target
from jobs.lake.intake.personal import looks_personal
from jobs.lake.intake.raw_rows import FORMATS, Columns, format_of, open_text, read_file

CHANGE_ME = "CHANGE_ME"
_SAMPLE_ROWS = 1000
_DELIMITERS = ",;\t|"

# Names that shops give to each of our columns, likeliest first, in lower case without separators.
_NAMES: dict[str, str] = {
    "user_id": "userid customerid householdid visitorid memberid clientid shopperid accountid "
    "customerkey householdkey userkey custid buyerid personid playerid readerid listenerid "
    "viewerid membernumber customernumber customerno kundennummer kundennr idcliente idclient "
    "user customer visitor member client uid",
    "item_id": "itemid productid sku articleid stockcode variantid asin parentasin upc ean gtin "
    "productkey itemkey productcode itemcode prodid goodsid artikelnummer artikelnr idproduct "
    "idproducto filmid movieid showid bookid isbn trackid songid venueid businessid poiid gameid "
    "product item article movie film book track venue",
    "event_ts": "eventts eventtime timestamp transactiontimestamp orderedat createdat occurredat "
    "orderdate invoicedate purchasedate tdat transactiondate saledate eventdate datetime ratedat "
    "watchedat boughtat purchasedat soldat paidat viewedat visitedat clickedat playedat listenedat "
    "readat reviewedat rentedat borrowedat addedat checkinat checkintime bestelldatum "
    "unixtime time date datum ts",
    "event_type": "eventtype event action eventname kind type",
    "quantity": "quantity qty units orderquantity pieces menge anzahl count",
    "amount": "amount paid salesvalue salesamount linetotal total revenue value price unitprice",
    "session_id": "sessionid usersession basketid orderid invoiceno invoiceid invoice ordernumber "
    "salesordernumber receiptid receiptno ticketid transactionid cartid visitid session",
    "title": "title productname prodname itemname filmname movietitle filmtitle booktitle "
    "trackname songtitle name producttitle producttypename producttype bezeichnung label",
    "category": "category productcategory categoryname categorycode maincategory subcategory "
    "productgroup productgroupname genres genre warengruppe group",
    "department": "department departmentname division section indexgroupname",
    "brand": "brand brandname manufacturer vendor maker publisher",
    "size": "size packagesize packsize volume weight",
    "description": "description productdescription longdescription detaildesc desc details "
    "overview plot beschreibung",
    "price": "price unitprice listprice saleprice preis",
    "is_sellable": "issellable sellable instock available isavailable active isactive status",
    "stock": "stock stocklevel stockquantity qtyonhand quantityonhand onhand inventory bestand",
    "sale_from": "salefrom availablefrom validfrom onsalefrom launchdate sellstartdate startdate",
    "sale_until": "saleuntil availableuntil validuntil validto onsaleuntil sellenddate "
    "discontinueddate enddate",
}
_EVENT_WORDS = {
    EventType.purchase: "purchase order buy bought sale transaction checkout paid",
    EventType.cart: "cart addtocart basket addtobasket",
    EventType.wishlist: "wishlist favorite favourite like save",
    EventType.click: "click tap",
    EventType.return_: "return returned refund refunded",
    EventType.dislike: "dislike disliked downvote thumbsdown",
    EventType.hide: "hide hidden notinterested dismiss",
    EventType.view: "view pageview productview detail detailview visit",
}
_TRUE_WORDS = "true yes y 1 t active available instock onsale enabled live"
_BOOLEAN_WORDS = {"true", "false", "yes", "no", "y", "n", "t", "f", "1", "0"}
_DAY = r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_CLOCK = r"(?:[01]\d|2[0-3])[0-5]\d"
_TIMES = (
    (re.compile(r"\d{4}-\d{2}-\d{2}(?:[ Tt]\d{1,2}:\d{2}.*)?|" + _DAY + "(?:T.*)?"), None),
    (re.compile(r"\d{9,10}(\.\d+)?"), "epoch_seconds"),
    (re.compile(_DAY + _CLOCK), "yyyyMMddHHmm"),
    (re.compile(_DAY + _CLOCK + r"[0-5]\d"), "yyyyMMddHHmmss"),
    (re.compile(r"\d{12,13}"), "epoch_millis"),
    (re.compile(r"\d{15,16}"), "epoch_micros"),
    (re.compile(r"\d{18,19}"), "epoch_nanos"),
    (re.compile(r"(\d{1,2})/(\d{1,2})/\d{4} \d{1,2}:\d{2}:\d{2}"), "/yyyy H:mm:ss"),
    (re.compile(r"(\d{1,2})/(\d{1,2})/\d{4} \d{1,2}:\d{2}"), "/yyyy H:mm"),
    (re.compile(r"(\d{1,2})/(\d{1,2})/\d{4}"), "/yyyy"),
    (re.compile(r"\d{1,2}\.\d{1,2}\.\d{4} \d{1,2}:\d{2}:\d{2}"), "d.M.yyyy H:mm:ss"),
    (re.compile(r"\d{1,2}\.\d{1,2}\.\d{4} \d{1,2}:\d{2}"), "d.M.yyyy H:mm"),
    (re.compile(r"\d{1,2}\.\d{1,2}\.\d{4}"), "d.M.yyyy"),
)
_ZONED = re.compile(r"[Tt ]\d{1,2}:?\d{2}.*(?:[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$")
# Words for no value that mean nothing else in any column.
_NULLS = frozenset(WORDS_FOR_NOTHING) - {"none", "na", "nil", "undefined"}
_ESCAPED_QUOTE = b'\\"'
_LOOKED_FOR_ESCAPES = 2**20
# A header stands within so many lines; so many below it tell how many cells a row has.
_HEADER_WITHIN = 20
_LONG_NAME = 60
_LINES_BELOW = 30
# Both marks of a number, and a part of three digits that may be thousands.
_TWO_MARKS = re.compile(r"[+-]?\d[\d.,'\s]*?([.,' \u00a0\u202f])[\d]{3}([.,])\d+")
_DECIMAL = re.compile(r"[+-]?\d*([.,])(?:\d{1,2}|\d{4,})")
_THREE = re.compile(r"[+-]?\d{1,3}(?:([.,' \u00a0\u202f])\d{3})+")


@dataclass(frozen=True)
class Proposal:
    """A mapping that was written from a sample. questions: for a person to decide or check."""

    path: Path
    sample: Path
    entity: Entity
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """The columns of a sample file, and the texts in each column.

    escape: whether a quote is escaped by a backslash (csv). skip_lines: above the header (csv).
    """

    path: Path
    delimiter: str
    values: dict[str, list[str]]
    escape: str | None = None
    skip_lines: int = 0

    def without(self, words: Collection[str]) -> Sample:
        """The sample as if these words were empty."""
        kept = {name: [t for t in texts if t not in words] for name, texts in self.values.items()}
        return replace(self, values=kept)


@dataclass
class _Draft:
    """The lines of a mapping, and its open questions. keys: of the mapping itself."""

    keys: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)


def init_source(name: str, samples: Sequence[Path], out: Path) -> list[Proposal]:
    """Write a mapping for each sample, as `<out>/<name>_<entity>.yaml`, with its open questions.

    name: of the shop. samples: files with the columns of future drops; the columns tell which
    entity a sample holds. Raises MappingError, and writes nothing, when a file can't be read, its
    entity can't be told, two samples hold the same entity, or a mapping exists.
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
        Proposal(targets[entity], sample, entity, tuple(draft.questions))
        for entity, (sample, _, draft) in drafts.items()
    ]


def read_sample(path: Path) -> Sample:
    """The first rows of a file as text. Raises MappingError that names the file."""
    kind = format_of(path.name)
    if not kind:
        raise MappingError(f"{path}: expected one of .{', .'.join(FORMATS)}")
    try:
        names, delimiter, above = _columns_of(path, kind)
        escape = None
        if kind in ("csv", "tsv"):
            with path.open("rb") as file:
                begin = open_text(path.name, file).read(_LOOKED_FOR_ESCAPES)
            escape = "backslash" if _ESCAPED_QUOTE in begin else None
    except (OSError, EOFError, UnicodeDecodeError, ValueError, pa.ArrowException) as error:
        raise MappingError(f"{path}: cannot be read: {error}") from error
    columns = Columns(tuple(names), (), delimiter, escape, skip_lines=above)
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
    texts_of = {name: texts[:_SAMPLE_ROWS] for name, texts in values.items()}
    return Sample(path, delimiter, texts_of, escape, above)


def _columns_of(path: Path, kind: str) -> tuple[list[str], str, int]:
    """The columns of a file, its delimiter, and how many lines stand above its header."""
    if kind == "parquet":
        return list(pq.read_schema(path).names), ",", 0
    with (
        path.open("rb") as file,
        TextIOWrapper(open_text(path.name, file), encoding="utf-8-sig") as lines,
    ):
        if kind in ("csv", "tsv"):
            first = list(islice(lines, _HEADER_WITHIN + _LINES_BELOW))
            delimiter, above = _header_of(first)
            # A `.tsv` has tabs without a word.
            said = "," if kind == "tsv" and delimiter == "\t" else delimiter
            header = next(csv.reader(first[above:], delimiter=delimiter), [])
            return [name.strip() for name in header], said, above
        text = lines.read() if kind == "json" else ""
        is_array = text.lstrip().startswith("[")
        a_line_each = (json.loads(line) for line in (text.splitlines() or lines) if line.strip())
        records: Iterable[Any] = json.loads(text) if is_array else a_line_each
        names: dict[str, None] = {}
        for record in islice(records, _SAMPLE_ROWS):
            names.update(dict.fromkeys(_paths(record)))
        return list(names), ",", 0


def _header_of(lines: Sequence[str]) -> tuple[str, int]:
    """The delimiter of csv lines, and how many of them stand above the header.

    The delimiter is the mark that most lines hold equally often. The header is the first line that
    names more than half of the columns; lines above it, such as the title of a report, do not.
    """
    agreed = {mark: _usual(len(_cells(line, mark)) - 1 for line in lines) for mark in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda mark: agreed[mark])
    columns = agreed[delimiter][1] + 1
    filled = ([c for c in _cells(line, delimiter) if c.strip()] for line in lines)
    is_header = (2 * len(cells) > columns for cells in islice(filled, _HEADER_WITHIN + 1))
    return delimiter, next((place for place, found in enumerate(is_header) if found), 0)


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _usual(counts: Iterable[int]) -> tuple[int, int]:
    """How often the most frequent number above 0 is there, and that number; (0, 0) without one."""
    found = Counter(count for count in counts if count)
    return max(((times, count) for count, times in found.items()), default=(0, 0))


def _paths(record: Mapping[str, Any]) -> Iterable[str]:
    """The keys of an object; of objects within it as `item.sku`."""
    for key, value in record.items():
        if isinstance(value, dict):
            yield from (f"{key}.{path}" for path in _paths(value))
        else:
            yield key


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
    known = list(names)
    # Of a key within an object, the whole path or the key alone: `item.id`, `product.sku`.
    by_plain = {_plain(name.rpartition(".")[2]): name for name in known}
    by_plain |= {_plain(name): name for name in known}
    return next((by_plain[name] for name in _NAMES[target].split() if name in by_plain), None)


def _draft(sample: Sample, entity: Entity) -> _Draft:
    draft = _Draft()
    found: dict[str, str | None] = {}
    for target in TARGETS[entity]:
        left = [name for name in sample.values if name not in draft.used]
        found[target.name] = theirs = _best_name(target.name, left)
        if theirs is not None:
            draft.used.add(theirs)
    if (
        entity is Entity.items
        and found["title"] is None
        and _is_short(sample, found["description"])
    ):
        # In many exports the description is the name.
        found |= {"title": found["description"], "description": None}
    sample = sample.without(_draft_nulls(sample, entity, found, draft))
    _draft_marks(sample, entity, found, draft)
    if sample.escape:
        draft.keys.append(f"escape: {sample.escape}")
        draft.questions.append('does a backslash before a quote (\\") escape it? assumed so')
    for target in TARGETS[entity]:
        theirs = found[target.name]
        if line := _column_line(target, theirs, sample, entity, draft):
            draft.columns.append(line)
    if entity is Entity.users:
        _draft_attributes(sample, draft)
    return draft


def _is_short(sample: Sample, name: str | None) -> bool:
    """Whether most texts of a column are as short as a name."""
    lengths = sorted(map(len, sample.values[name])) if name else []
    return bool(lengths) and lengths[len(lengths) // 2] <= _LONG_NAME


def _draft_nulls(
    sample: Sample, entity: Entity, found: Mapping[str, str | None], draft: _Draft
) -> list[str]:
    """The words of the sample that stand for no value, for the key `nulls`."""
    words: set[str] = set()
    for target in TARGETS[entity]:
        texts = sample.values.get(found[target.name] or "", [])
        known = _NULLS if target.type == "string" and not target.is_id else set(WORDS_FOR_NOTHING)
        words |= {text for text in texts if text.lower() in known}
    nulls = sorted(words)
    if nulls:
        listed = ", ".join(json.dumps(word, ensure_ascii=False) for word in nulls)
        draft.keys.append(f"nulls: [{listed}]")
        draft.questions.append(f"do these words mean that there is no value: {listed}? assumed so")
    return nulls


def _draft_marks(
    sample: Sample, entity: Entity, found: Mapping[str, str | None], draft: _Draft
) -> None:
    """The keys `decimal` and `thousands`, by how all numbers of the sample are written."""
    columns = [found[t.name] for t in TARGETS[entity] if t.type == "double"]
    texts = [text for name in columns if name for text in sample.values[name]]
    if not texts:
        return
    both = [match for text in texts if (match := _TWO_MARKS.fullmatch(text))]
    single = {match[1] for text in texts if (match := _DECIMAL.fullmatch(text))}
    groups = {match[1] for text in texts if (match := _THREE.fullmatch(text)) and match[1]}
    decimal = both[0][2] if both else ("," if single == {","} else ".")
    thousands = both[0][1] if both else next(iter(sorted(groups - {decimal})), None)
    if not both and not single and groups & {".", ","}:
        shown = next(t for t in texts if (m := _THREE.fullmatch(t)) and m[1] in (".", ","))
        meant = "a decimal mark" if thousands is None else "thousands"
        draft.questions.append(f"does {shown} have a decimal mark or thousands? assumed {meant}")
    if decimal != ".":
        draft.keys.append(f"decimal: {json.dumps(decimal)}")
    if thousands is not None:
        space = thousands if thousands in ".,'" else " "
        draft.keys.append(f"thousands: {json.dumps(space)}")


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
    elif target.type == "date":
        if form := _time_format(theirs, texts, draft):
            parts.append(f"format: {_quoted_format(form)}")
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
        parts.append(f"format: {_quoted_format(form)}")
    if form not in EPOCHS:
        parts.append("time_zone: UTC")
        if form is not None or not all(map(_ZONED.search, texts)):
            draft.questions.append(f"in which time zone are the times of {theirs}? assumed UTC")
    return parts


def _time_format(theirs: str, texts: list[str], draft: _Draft) -> str | tuple[str, ...] | None:
    """The format that most times have, or all formats where each time has exactly one; None for
    ISO 8601."""
    fits = [[pattern.fullmatch(text) for text in texts] for pattern, _ in _TIMES]
    counts = [sum(map(bool, matches)) for matches in fits]
    most = max(counts)
    if not most:
        draft.questions.append(f"how are the times of {theirs} written? say so in `format`")
        return None
    place = counts.index(most)
    if most < len(texts):
        found = [number for number, count in enumerate(counts) if count]
        if all(sum(bool(fits[number][row]) for number in found) == 1 for row in range(len(texts))):
            forms = tuple(_form_of(theirs, number, fits[number], draft) or ISO for number in found)
            draft.questions.append(
                f"the times of {theirs} are written in several ways: {', '.join(forms)}. Are they?"
            )
            return forms
    form = _form_of(theirs, place, fits[place], draft)
    if most < len(texts):
        other = next(text for text, match in zip(texts, fits[place], strict=True) if not match)
        draft.questions.append(
            f"{len(texts) - most} of {len(texts)} times of {theirs} are not in "
            f"{form or 'ISO 8601'}, such as {other!r}; what are they? Their rows will be unusable"
        )
    return form


def _form_of(
    theirs: str, place: int, matches: Sequence[re.Match[str] | None], draft: _Draft
) -> str | None:
    """One of `_TIMES` as a format; asks where the day and the month can be either way."""
    form = _TIMES[place][1]
    if form is None or not form.startswith("/"):
        return form
    found = [match for match in matches if match]
    is_day_first = any(int(match[1]) > 12 for match in found)
    if not is_day_first and not any(int(match[2]) > 12 for match in found):
        draft.questions.append(f"does {theirs} begin with the month or the day? assumed month")
    return f"d/M{form}" if is_day_first else f"M/d{form}"


def _quoted_format(form: str | tuple[str, ...]) -> str:
    if isinstance(form, str):
        return _quoted(form)
    return f"[{', '.join(map(_quoted, form))}]"


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
    if sample.skip_lines:
        lines.append(f"skip_lines: {sample.skip_lines}")
    lines += draft.keys
    persons = []
    if entity is not Entity.users:
        unused = (name for name in sample.values if name not in draft.used)
        persons = [name for name in unused if looks_personal(name)]
    if persons:
        lines.append(f"personal: [{', '.join(map(_quoted, persons))}] # never read")
    lines += ["", "columns:", *(f"  {line}" for line in draft.columns)]
    if draft.attributes:
        lines += ["", "attributes: # personal: drop = known, and never read"]
        lines += [f"  {line}" for line in draft.attributes]
    kept = {*draft.used, *persons, *(sample.values if entity is Entity.users else ())}
    if ignored := [column for column in sample.values if column not in kept]:
        lines += ["", f"# Not read: {', '.join(ignored)}"]
    return "\n".join(lines) + "\n"
