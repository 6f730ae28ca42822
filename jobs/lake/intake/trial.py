"""A mapping tried on a sample: how much of each column a run would read, and what it would refuse.

The sample is read and parsed as a drop is, by the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from jobs.lake.intake.mapping import Source
from jobs.lake.intake.parse import parse
from jobs.lake.intake.raw_rows import Columns, read_file

_ROWS = 1000
_EXAMPLES = 3
# The day of the drop is not known, and no time of a sample is after it.
_FOLDER = "ds=9999-12-31"


@dataclass(frozen=True)
class ColumnTrial:
    """What became of one of our columns.

    column: ours, or `attributes.<name>`. comes_from: the source's column, or its constant. sent:
    rows that have a value. read: the share of these values that could be read, 0 to 1. examples:
    some of the values read. refused: the first reason against a value, or ''.
    """

    column: str
    comes_from: str
    sent: int
    read: float
    examples: tuple[str, ...]
    refused: str


@dataclass(frozen=True)
class Trial:
    """rows: of the sample, at most 1,000. usable: how many a run would take in. refused: the first
    reason against a row that could not be split into columns, or ''."""

    rows: int
    usable: int
    refused: str
    columns: tuple[ColumnTrial, ...]


def try_mapping(spark: SparkSession, source: Source, sample: Path) -> Trial:
    """Read a sample by a mapping. A file that can't be read gives a trial without rows."""
    columns = Columns.of(source)
    batches, rows = [], 0
    for batch in read_file(f"{source.entity}/{_FOLDER}/{sample.name}", str(sample), columns):
        batches.append(batch)
        rows += batch.num_rows
        if rows >= _ROWS:
            break
    raw = pa.Table.from_batches(batches, columns.schema).slice(0, _ROWS)
    parsed = parse(spark.createDataFrame(raw), source).toArrow().to_pylist()
    sent = {(row["file"], row["row"]): row for row in raw.to_pylist()}
    pairs = [(sent[row["file"], row["row"]], row) for row in parsed]
    of_file = next((row["file_problem"] for row in parsed if row["file_problem"]), "")
    unsplit = [p["reason"] for row in parsed for p in row["problems"] or [] if p["column"] is None]
    found = [row for row in parsed if not row["file_problem"]]
    return Trial(
        rows=len(found),
        usable=sum(1 for row in found if row["problems"] is None),
        refused=of_file or next(iter(unsplit), ""),
        columns=tuple(_tried(name, source, pairs) for name in source.used),
    )


def _tried(
    name: str, source: Source, pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]
) -> ColumnTrial:
    column = source.used[name]
    if column.from_ is None:
        return ColumnTrial(name, f"always {column.constant}", len(pairs), 1.0, (), "")
    place = f"c{source.source_columns.index(column.from_)}"
    values, refused, sent = [], [], 0
    for raw, row in pairs:
        if not (raw[place] or "").strip() or raw[place] in source.nulls:
            continue
        sent += 1
        reasons = [p["reason"] for p in row["problems"] or [] if p["column"] == column.from_]
        if reasons:
            refused += reasons
        else:
            values.append(_value(name, row))
    shown = tuple(dict.fromkeys(str(value) for value in values if value is not None))[:_EXAMPLES]
    read = len(values) / sent if sent else 1.0
    return ColumnTrial(name, column.from_, sent, read, shown, next(iter(refused), ""))


def _value(name: str, row: dict[str, Any]) -> Any:
    """A value of ours in a parsed row."""
    head, _, attribute = name.partition(".")
    return dict(row["attributes"] or {}).get(attribute) if attribute else row[head]
