"""The rows of drop files as text, with their problems.

Runs on the executors. A reader for each format turns a file into `RawRow` batches. Bad content
raises no error, since bad files and bad rows have to be counted apart. All values become text here,
and `jobs.lake.intake.parse` parses them, so the formats share one path.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.lake.intake.ids import as_utf8, id_texts, one_spelling
from jobs.lake.intake.personal import holds_personal
from jobs.lake.storage import open_binary

if TYPE_CHECKING:
    from jobs.lake.intake.mapping import Source

_TEXTS = ("csv", "tsv", "jsonl", "json")
FORMATS = ("parquet", *_TEXTS, *(f"{text}.gz" for text in _TEXTS))
# In the payload of a quarantined record that could not be split into columns: its hash.
UNSPLIT = "_line_sha256"
_BATCH = 8192
_BOM = b"\xef\xbb\xbf"

HEAD = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("rows", pa.int64()),
        ("file_problem", pa.string()),
        ("problem_column", pa.string()),
        ("problem", pa.string()),
        ("line_hash", pa.string()),
        ("respelled", pa.bool_()),
        ("personal", pa.list_(pa.string())),
    ]
)
HEAD_DDL = (
    "file string, row bigint, rows bigint, file_problem string, problem_column string, "
    "problem string, line_hash string, respelled boolean, personal array<string>"
)


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are read, and how: all of `names`, of which `required` must be there.

    delimiter, escape, skip_lines: of csv files, as in `jobs.lake.intake.mapping.Source`. ids:
    columns of ids. attributes: columns that describe a user.
    """

    names: tuple[str, ...]
    required: tuple[str, ...]
    delimiter: str = ","
    escape: str | None = None
    ids: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    skip_lines: int = 0

    @classmethod
    def of(cls, source: Source) -> Columns:
        """The columns that a mapping reads."""
        return cls(
            names=tuple(source.source_columns),
            required=tuple(source.required_columns),
            delimiter=source.delimiter,
            escape=source.escape,
            ids=source.id_columns,
            attributes=source.attribute_columns,
            skip_lines=source.skip_lines,
        )

    @property
    def ddl(self) -> str:
        """The Spark schema of the frame that `read_files` makes."""
        return ", ".join([HEAD_DDL, *(f"c{n} string" for n in range(len(self.names)))])

    @property
    def schema(self) -> pa.Schema:
        values = [pa.field(f"c{n}", pa.string()) for n in range(len(self.names))]
        return pa.schema([*HEAD, *values])

    def missing(self, found: Iterable[str]) -> str:
        """The message when a file lacks a required column, or ''."""
        there = list(found)
        lacking = [name for name in self.required if name not in there]
        if not lacking:
            return ""
        return (
            f"column {', '.join(lacking)} is missing; columns found: {', '.join(there) or 'none'}"
        )


def format_of(name: str) -> str:
    """The format of a file by its name, without `gz`; '' where it is none of FORMATS.

    >>> format_of("till.CSV.gz"), format_of("x.parquet"), format_of("x.xlsx")
    ('csv', 'parquet', '')
    """
    found = next((kind for kind in FORMATS if name.lower().endswith(f".{kind}")), "")
    return found.removesuffix(".gz")


def open_text(name: str, stream: BinaryIO) -> BinaryIO:
    """The content of an opened text file, unpacked if its name ends in `.gz`."""
    return gzip.GzipFile(fileobj=stream) if name.lower().endswith(".gz") else stream  # type: ignore[return-value]


class FileProblem(Exception):
    """The whole file can't be used; the message says why."""


@dataclass
class RawRow:
    """One record of a file.

    number: its row number in a parquet file, or the line it starts on, from 1. values: by position
    in `Columns.names`; empty when the record could not be split. line_hash: SHA-256 of the lines of
    such a record, which may hold anything and so are not kept. rows: how many rows it stands for,
    more than 1 when a quote that never ends has swallowed lines.
    """

    number: int
    values: Sequence[str | None] = ()
    column: str | None = None
    problem: str | None = None
    line_hash: str | None = None
    rows: int = 1


@dataclass
class _Batch:
    """Rows of one file on their way into an Arrow batch."""

    columns: Columns
    file: str
    rows: list[RawRow] = field(default_factory=list)

    def flush(self) -> pa.RecordBatch:
        rows, self.rows = self.rows, []
        width = len(self.columns.names)
        values = [row.values or (None,) * width for row in rows]
        arrays = [
            pa.array([self.file] * len(rows), pa.string()),
            pa.array([row.number for row in rows], pa.int64()),
            pa.array([row.rows for row in rows], pa.int64()),
            pa.nulls(len(rows), pa.string()),
            pa.array([row.column for row in rows], pa.string()),
            pa.array([row.problem for row in rows], pa.string()),
            pa.array([row.line_hash for row in rows], pa.string()),
        ]
        texts = [pa.array([value[n] for value in values], pa.string()) for n in range(width)]
        return _looked_into(arrays, texts, self.columns)


def _looked_into(head: list[pa.Array], texts: list[pa.Array], columns: Columns) -> pa.RecordBatch:
    """The batch with ids in their one spelling, and the columns whose value looks personal.

    head: the columns of HEAD up to `line_hash`. texts: those of `columns.names`.
    """
    count = len(head[0])
    respelled = pa.array([False] * count)
    personal: list[list[str]] | None = [[] for _ in range(count)] if columns.attributes else None
    for place, name in enumerate(columns.names):
        if name in columns.ids:
            sent, texts[place] = texts[place], one_spelling(texts[place])
            changed = pc.fill_null(pc.not_equal(sent, texts[place]), False)
            respelled = pc.or_(respelled, changed)
        if personal is not None and name in columns.attributes:
            for row, text in enumerate(texts[place].to_pylist()):
                if text is not None and holds_personal(text):
                    personal[row].append(name)
    of_persons = pa.nulls(count, pa.list_(pa.string()))
    if personal is not None:
        of_persons = pa.array(personal, pa.list_(pa.string()))
    return pa.record_batch([*head, respelled, of_persons, *texts], schema=columns.schema)


def _hash_of(line: str) -> str:
    return hashlib.sha256(line.encode("utf-8")).hexdigest()


def read_files(batches: Iterable[pa.RecordBatch], columns: Columns) -> Iterator[pa.RecordBatch]:
    """For `mapInArrow`: batches of (file, path) in, batches of `columns.schema` out.

    file: the name to report. path: where to open it. A file that can't be read gives one row with
    `file_problem`, after the rows that could be read before the problem showed.
    """
    for batch in batches:
        for entry in batch.to_pylist():
            yield from read_file(entry["file"], entry["path"], columns)


def read_file(file: str, path: str, columns: Columns) -> Iterator[pa.RecordBatch]:
    """The rows of one file, see `read_files`."""
    try:
        with open_binary(path) as stream:
            kind = format_of(path)
            if kind == "parquet":
                yield from _parquet_batches(file, stream, columns)
                return
            pending = _Batch(columns, file)
            for row in _READERS[kind](open_text(path, stream), columns):
                pending.rows.append(row)
                if len(pending.rows) >= _BATCH:
                    yield pending.flush()
            if pending.rows:
                yield pending.flush()
    except (FileProblem, OSError, EOFError, zlib.error, pa.ArrowException) as error:
        yield _file_problem(file, str(error).splitlines()[0][:500], columns)


def _file_problem(file: str, problem: str, columns: Columns) -> pa.RecordBatch:
    row = {"file": file, "row": 0, "rows": 0, "file_problem": problem}
    return pa.RecordBatch.from_pylist([row], schema=columns.schema)


def _parquet_batches(file: str, stream: BinaryIO, columns: Columns) -> Iterator[pa.RecordBatch]:
    parquet = pq.ParquetFile(stream)
    schema = parquet.schema_arrow
    if problem := columns.missing(schema.names):
        raise FileProblem(problem)
    wanted = [name for name in columns.names if name in schema.names]
    if twice := [name for name in wanted if schema.names.count(name) > 1]:
        raise FileProblem(f"column {', '.join(twice)} is there more than once")
    for name in wanted:
        if pa.types.is_nested(schema.field(name).type):
            kind = schema.field(name).type
            raise FileProblem(f"column {name} is {kind}; a single value a row is expected")
    first = 1
    for batch in parquet.iter_batches(batch_size=_BATCH * 8, columns=wanted):
        yield _text_batch(file, first, batch, columns)
        first += batch.num_rows


def _text_batch(file: str, first: int, batch: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
    count = batch.num_rows
    bad_column: list[str | None] = [None] * count
    problem: list[str | None] = [None] * count
    values: list[pa.Array] = []
    for name in columns.names:
        if name not in batch.schema.names:
            values.append(pa.nulls(count, pa.string()))
            continue
        text, problems = _as_text(batch.column(name), name in columns.ids)
        for number, why in problems.items():
            if problem[number] is None:
                bad_column[number], problem[number] = name, why
        values.append(text)
    head = [
        pa.array([file] * count, pa.string()),
        pa.array(range(first, first + count), pa.int64()),
        pa.array([1] * count, pa.int64()),
        pa.nulls(count, pa.string()),
        pa.array(bad_column, pa.string()),
        pa.array(problem, pa.string()),
        pa.nulls(count, pa.string()),
    ]
    return _looked_into(head, values, columns)


def _as_text(array: pa.Array, is_id: bool) -> tuple[pa.Array, dict[int, str]]:
    """Any array of single values as text, and the positions that are none, with the reason.

    A time with a zone ends in Z; one without is left as wall-clock time.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if pa.types.is_timestamp(kind):
        zone = "UTC" if kind.tz else None
        return pc.cast(pc.cast(array, pa.timestamp("us", zone), safe=False), pa.string()), {}
    return id_texts(array) if is_id else as_utf8(array)


# In the escape dialect of Spark a backslash stands for something only before a quote.
_ESCAPED = re.compile(r'(\\+)"')


class _Lines:
    """The lines of a text file, decoded; remembers how the last one ended.

    Bytes that are not UTF-8 are kept as lone surrogates, so that only their row is lost. escape:
    with `backslash`, escaped quotes come doubled, as a csv reader knows them.
    """

    def __init__(self, stream: BinaryIO, escape: str | None = None) -> None:
        self._lines = io.BufferedReader(stream)  # type: ignore[type-var]
        self._escape = escape
        self.number = 0
        self.complete = True
        self.recent: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._lines.readline()
        if not line:
            raise StopIteration
        self.number += 1
        if self.number == 1:
            line = line.removeprefix(_BOM)
            if line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise FileProblem("is UTF-16, expected UTF-8")
        self.complete = line.endswith(b"\n")
        text = line.decode("utf-8", "surrogateescape")
        self.recent.append(text)
        return _ESCAPED.sub(_doubled, text) if self._escape == "backslash" else text

    def take_recent(self) -> str:
        """The lines read since the last call, as they stand in the file."""
        text = "".join(self.recent).rstrip("\r\n")
        self.recent.clear()
        return readable(text)


def _doubled(found: re.Match[str]) -> str:
    """Backslashes before a quote: two stand for one, and one that is left escapes the quote."""
    kept, is_escaped = divmod(len(found[1]), 2)
    return "\\" * kept + ('""' if is_escaped else '"')


def is_utf8(text: str) -> bool:
    """Whether a text can be stored: no undecodable byte, no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def readable(text: str) -> str:
    r"""Text with undecodable bytes written out, so that it can be stored.

    >>> readable(b"caf\xe9".decode("utf-8", "surrogateescape"))
    'caf\\xe9'
    """
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def csv_rows(stream: BinaryIO, columns: Columns) -> Iterator[RawRow]:
    """The records of a csv file with a header line; blank lines are skipped.

    Raises FileProblem on a header that lacks a column, or a file that ends inside a record.
    """
    lines = _Lines(stream, columns.escape)
    for _ in islice(lines, columns.skip_lines):
        lines.take_recent()
    reader = csv.reader(lines, delimiter=columns.delimiter, strict=True)
    header = _csv_header(reader, lines, columns)
    if header is None:
        return
    places = [header.index(name) if name in header else None for name in columns.names]
    while True:
        before = lines.number
        problem = None
        cells: list[str] = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"is not csv: {error}"
        text = lines.take_recent()
        if not cells and problem is None:
            continue
        if problem is None and len(cells) != len(header):
            problem = f"has {len(cells)} cells where the header has {len(header)}"
        if columns.escape is None:
            problem = _of_quotes(text, problem, len(header), columns.delimiter)
        if problem is not None:
            if not lines.complete:
                raise FileProblem(f"ends inside a row, at line {before + 1}: {problem}")
            spans = max(1, lines.number - before)
            yield RawRow(before + 1, problem=problem, line_hash=_hash_of(text), rows=spans)
            continue
        yield _row(before + 1, [None if at is None else cells[at] for at in places], columns)


def _of_quotes(text: str, problem: str | None, cells: int, delimiter: str) -> str | None:
    """The problem of a record whose quotes can be read in two ways, else the given problem.

    text: the record's lines. cells: of the header. Some programs write a quote within a value as
    `\\"`. Read without that, a quote closes later than it should, and whole rows vanish in a value.
    """
    if '\\"' in text and (problem is not None or '\\""' in text):
        found = problem or 'has \\"" which can be read in two ways'
        return f'{found}; say in the mapping whether \\" is a quote: `escape: backslash` or `none`'
    lines = text.splitlines()
    look_like_rows = all(line.count(delimiter) == cells - 1 for line in lines if line.strip())
    if problem is None and len(lines) > 1 and look_like_rows:
        return (
            f"spans {len(lines)} lines that each look like a row; is a quote missing? If it is one "
            "row, say `escape: none` in the mapping"
        )
    return problem


def tsv_rows(stream: BinaryIO, columns: Columns) -> Iterator[RawRow]:
    """As `csv_rows`, with tabs unless the mapping says another delimiter than the comma."""
    tabbed = replace(columns, delimiter="\t") if columns.delimiter == "," else columns
    return csv_rows(stream, tabbed)


def _csv_header(reader: Iterator[list[str]], lines: _Lines, columns: Columns) -> list[str] | None:
    try:
        header = [name.strip() for name in next(reader)]
    except StopIteration:
        return None
    except csv.Error as error:
        raise FileProblem(f"the header is not csv: {error}") from error
    lines.take_recent()
    if not all(is_utf8(name) for name in header):
        raise FileProblem("the header is not UTF-8")
    if problem := columns.missing(header):
        raise FileProblem(problem)
    if twice := sorted({name for name in columns.names if header.count(name) > 1}):
        raise FileProblem(f"column {', '.join(twice)} is there more than once")
    return header


def _row(number: int, values: list[str | None], columns: Columns) -> RawRow:
    """A record whose columns are known; undecodable bytes in a column that is read make it bad."""
    for name, value in zip(columns.names, values, strict=True):
        if value is not None and not is_utf8(value):
            shown = [None if v is None else readable(v) for v in values]
            return RawRow(number, shown, column=name, problem="is not UTF-8")
    return RawRow(number, values)


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


class _Float(str):
    """A JSON number with a fraction or an exponent, as it is written."""


_DECODER = json.JSONDecoder(parse_float=_Float, parse_int=str, parse_constant=_no_constant)


def json_rows(stream: BinaryIO, columns: Columns) -> Iterator[RawRow]:
    """The objects of a file that is one JSON array, numbered from 1, or has one object a line.

    An array is read whole. Keys as in `jsonl_rows`. Raises FileProblem as it does, or on an array
    that is not JSON.
    """
    whole = io.BufferedReader(stream)  # type: ignore[type-var]
    begin = whole.peek(_BATCH)[:_BATCH].removeprefix(_BOM).lstrip()
    if not begin.startswith(b"["):
        yield from jsonl_rows(whole, columns)  # type: ignore[arg-type]
        return
    try:
        text = whole.read().removeprefix(_BOM).decode("utf-8", "surrogateescape")
        records = _DECODER.decode(text.strip())
    except (ValueError, RecursionError) as error:
        raise FileProblem(f"is not a JSON array: {error}") from error
    seen: set[str] = set()
    for number, record in enumerate(records, start=1):
        if isinstance(record, dict):
            seen |= _keys(record, columns)
            yield _json_row(number, record, columns)
        else:
            kept = _hash_of(json.dumps(record))
            yield RawRow(number, problem="is not a JSON object", line_hash=kept)
    if seen and (problem := columns.missing(sorted(seen))):
        raise FileProblem(problem)


def _keys(record: Mapping[str, object], columns: Columns) -> set[str]:
    """The keys of an object, and the paths of the mapping that lead to a value in it."""
    paths = (name for name in columns.names if name not in record and _reached(record, name))
    return {*record, *paths}


def _reached(record: Mapping[str, object], path: str) -> list[object]:
    """The value of a key or, for `item.sku`, of key `sku` in the object `item`; none without it."""
    if path in record:
        return [record[path]]
    head, _, rest = path.partition(".")
    inner = record.get(head)
    return _reached(inner, rest) if rest and isinstance(inner, dict) else []


def jsonl_rows(stream: BinaryIO, columns: Columns) -> Iterator[RawRow]:
    """The objects of a file with one JSON object a line; blank lines are skipped.

    A key that a line leaves out is null; a required key that all lines leave out is a column that
    the file lacks. `item.sku` is the key `sku` of the object `item`. Raises FileProblem on a column
    that is lacking, or on a file that ends inside an object.
    """
    lines = _Lines(stream)
    seen: set[str] = set()
    objects = 0
    for line in lines:
        text = lines.take_recent()
        if not line.strip():
            continue
        try:
            record = _DECODER.decode(line.strip())
            problem = None if isinstance(record, dict) else "is not a JSON object"
        except (ValueError, RecursionError) as error:
            problem = f"is not JSON: {error}"
        if problem is not None:
            if not lines.complete:
                raise FileProblem(f"ends inside a row, at line {lines.number}: {problem}")
            yield RawRow(lines.number, problem=problem, line_hash=_hash_of(text))
            continue
        objects += 1
        seen |= _keys(record, columns)
        yield _json_row(lines.number, record, columns)
    if objects and (problem := columns.missing(sorted(seen))):
        raise FileProblem(problem)


def _json_row(number: int, record: dict[str, object], columns: Columns) -> RawRow:
    values: list[str | None] = []
    nested = None
    no_id: tuple[str, str] | None = None
    for name in columns.names:
        value = next(iter(_reached(record, name)), None)
        if isinstance(value, (dict, list)):
            nested = nested or name
            values.append(json.dumps(value, ensure_ascii=True))
        elif isinstance(value, bool):
            values.append(str(value).lower())
        elif isinstance(value, _Float) and name in columns.ids:
            texts, problems = id_texts(pa.array([float(value)]))
            values.append(texts[0].as_py())
            no_id = no_id or next(((name, why) for why in problems.values()), None)
        else:
            values.append(None if value is None else str(value))
    if nested is not None:
        return RawRow(number, values, column=nested, problem="holds more than one value")
    if no_id is not None:
        return RawRow(number, values, column=no_id[0], problem=no_id[1])
    return _row(number, values, columns)


_READERS: Mapping[str, Callable[[BinaryIO, Columns], Iterator[RawRow]]] = {
    "csv": csv_rows,
    "tsv": tsv_rows,
    "jsonl": jsonl_rows,
    "json": json_rows,
}
