"""Statistics of a data file for the Delta log, by which readers leave out files.

They name every column or none: delta-rs takes a column without bounds, in a file that has bounds of
other columns, for one that holds no value, and finds none of its rows.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# Delta's own writers cut strings here, too.
LONGEST_TEXT = 32
_LAST_CHARACTER = "\U0010ffff"


def rows_only(rows: int) -> str:
    """The statistics of a file of which nothing but its number of rows is to be known."""
    return json.dumps({"numRecords": rows})


def column_stats(file: pq.ParquetFile) -> str:
    """The number of rows, and of each column the nulls, the least and the largest value, as JSON.

    Columns of arrays, maps and structs have no bounds. Bounds come from the file's footer; a column
    that has none there, as times of Spark do, is read.
    """
    least: dict[str, Any] = {}
    largest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for field in file.schema_arrow:
        if pa.types.is_nested(field.type):
            continue
        low, high, nulls[field.name] = _bounds(file, field.name)
        if low is not None and high is not None:
            least[field.name] = _least(low)
            largest[field.name] = _largest(high)
    return json.dumps(
        {
            "numRecords": file.metadata.num_rows,
            "minValues": least,
            "maxValues": largest,
            "nullCount": nulls,
        }
    )


def _bounds(file: pq.ParquetFile, column: str) -> tuple[Any, Any, int]:
    """The least and the largest value of a column, null if there is none, and its nulls."""
    groups = (file.metadata.row_group(number) for number in range(file.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    found = [chunk.statistics for chunk in chunks if chunk.path_in_schema == column]
    if all(f is not None and f.has_min_max and f.has_null_count for f in found):
        lows, highs = ([getattr(f, end) for f in found] for end in ("min", "max"))
        return min(lows), max(highs), sum(f.null_count for f in found)
    values = file.read(columns=[column]).column(column)
    ends = pc.min_max(values).as_py()
    return ends["min"], ends["max"], values.null_count


def _least(value: Any) -> Any:
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    if isinstance(value, datetime):
        return _milliseconds(value)
    return str(value) if isinstance(value, date) else value


def _largest(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return value[:LONGEST_TEXT] + _LAST_CHARACTER
    if isinstance(value, datetime) and value.microsecond % 1000:
        return _milliseconds(value + timedelta(milliseconds=1))
    return _least(value)


def _milliseconds(moment: datetime) -> str:
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
