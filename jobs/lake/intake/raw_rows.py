"""The rows of drop files as text, with their problems.

Runs on the executors. A reader for each format turns a file into `RawRow` batches. Bad content
raises no error, since bad files and bad rows have to be counted apart. All values become text here,
and `jobs.lake.intake.parse` parses them, so the formats share one path.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.lake.storage import open_binary

FORMATS = ("parquet", "csv", "jsonl")
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
        ("line", pa.string()),
    ]
)
HEAD_DDL = (
    "file string, row bigint, rows bigint, file_problem string, "
    "problem_column string, problem string, line string"
)


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are read: all of `names`, of which `required` must be there."""

    names: tuple[str, ...]
    required: tuple[str, ...]
    delimiter: str = ","

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


class FileProblem(Exception):
    """The whole file can't be used; the message says why."""


@dataclass
class RawRow:
    """One record of a file.

    number: its row number in a parquet file, or the line it starts on, from 1. values: by position
    in `Columns.names`; empty when the record could not be split. rows: how many rows it stands
    for, more than 1 when a quote that never ends has swallowed lines.
    """

    number: int
    values: Sequence[str | None] = ()
    column: str | None = None
    problem: str | None = None
    line: str | None = None
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
            pa.array([row.line for row in rows], pa.string()),
            *(pa.array([value[n] for value in values], pa.string()) for n in range(width)),
        ]
        return pa.record_batch(arrays, schema=self.columns.schema)


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
            if path.lower().endswith(".parquet"):
                yield from _parquet_batches(file, stream, columns)
                return
            records = csv_rows if path.lower().endswith(".csv") else jsonl_rows
            pending = _Batch(columns, file)
            for row in records(stream, columns):
                pending.rows.append(row)
                if len(pending.rows) >= _BATCH:
                    yield pending.flush()
            if pending.rows:
                yield pending.flush()
    except (FileProblem, OSError, pa.ArrowException) as error:
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
    values: list[pa.Array] = []
    for name in columns.names:
        if name not in batch.schema.names:
            values.append(pa.nulls(count, pa.string()))
            continue
        text, undecodable = _as_text(batch.column(name))
        for number in undecodable:
            bad_column[number] = bad_column[number] or name
        values.append(text)
    problem = ["is not UTF-8" if name else None for name in bad_column]
    head = [
        pa.array([file] * count, pa.string()),
        pa.array(range(first, first + count), pa.int64()),
        pa.array([1] * count, pa.int64()),
        pa.nulls(count, pa.string()),
        pa.array(bad_column, pa.string()),
        pa.array(problem, pa.string()),
        pa.nulls(count, pa.string()),
    ]
    return pa.record_batch([*head, *values], schema=columns.schema)


def _as_text(array: pa.Array) -> tuple[pa.Array, list[int]]:
    """Any array of single values as text, and the positions that are not UTF-8.

    A time with a zone ends in Z; one without is left as wall-clock time.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if pa.types.is_timestamp(kind):
        zone = "UTC" if kind.tz else None
        return pc.cast(pc.cast(array, pa.timestamp("us", zone), safe=False), pa.string()), []
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        try:
            text = pc.cast(array, pa.string())
            text.validate(full=True)
            return text, []
        except pa.ArrowInvalid:
            return _decode_each(pc.cast(array, pa.binary()))
    return pc.cast(array, pa.string()), []


def _decode_each(array: pa.Array) -> tuple[pa.Array, list[int]]:
    texts: list[str | None] = []
    undecodable = []
    for number, value in enumerate(array.to_pylist()):
        try:
            texts.append(value if value is None else value.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append(value.decode("utf-8", "backslashreplace"))
            undecodable.append(number)
    return pa.array(texts, pa.string()), undecodable


class _Lines:
    """The lines of a text file, decoded; remembers how the last one ended.

    Bytes that are not UTF-8 are kept as lone surrogates, so that only their row is lost.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = io.BufferedReader(stream)  # type: ignore[type-var]
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
        return text

    def take_recent(self) -> str:
        """The lines read since the last call, as they stand in the file."""
        text = "".join(self.recent).rstrip("\r\n")
        self.recent.clear()
        return readable(text)


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
    lines = _Lines(stream)
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
        if problem is not None:
            if not lines.complete:
                raise FileProblem(f"ends inside a row, at line {before + 1}: {problem}")
            spans = max(1, lines.number - before)
            yield RawRow(before + 1, problem=problem, line=text, rows=spans)
            continue
        yield _row(before + 1, [None if at is None else cells[at] for at in places], columns, text)


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


def _row(number: int, values: list[str | None], columns: Columns, text: str) -> RawRow:
    """A record whose columns are known; undecodable bytes in a column that is read make it bad."""
    for name, value in zip(columns.names, values, strict=True):
        if value is not None and not is_utf8(value):
            shown = [None if v is None else readable(v) for v in values]
            return RawRow(number, shown, column=name, problem="is not UTF-8")
    return RawRow(number, values)


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_no_constant)


def jsonl_rows(stream: BinaryIO, columns: Columns) -> Iterator[RawRow]:
    """The objects of a file with one JSON object a line; blank lines are skipped.

    A key that a line leaves out is null; a required key that all lines leave out is a column that
    the file lacks. Raises FileProblem on that, or on a file that ends inside an object.
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
            yield RawRow(lines.number, problem=problem, line=text)
            continue
        objects += 1
        seen.update(record)
        yield _json_row(lines.number, record, columns, text)
    if objects and (problem := columns.missing(sorted(seen))):
        raise FileProblem(problem)


def _json_row(number: int, record: dict[str, object], columns: Columns, text: str) -> RawRow:
    values: list[str | None] = []
    nested = None
    for name in columns.names:
        value = record.get(name)
        if isinstance(value, (dict, list)):
            nested = nested or name
            values.append(json.dumps(value, ensure_ascii=True))
        elif isinstance(value, bool):
            values.append(str(value).lower())
        else:
            values.append(None if value is None else str(value))
    if nested is not None:
        return RawRow(number, values, column=nested, problem="holds more than one value")
    return _row(number, values, columns, text)
