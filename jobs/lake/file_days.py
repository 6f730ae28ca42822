"""The days of a table's rows, by what its Delta log says of each file: no Spark, no rows read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable


def newest_day(delta: DeltaTable, column: str, until: Mapping[str, date]) -> date | None:
    """The newest day in a date column, of rows whose columns `until` are at most the given days.

    Rows are read only where a file holds days on both sides of a bound. None without such a row.
    """
    newest, undecided = None, False
    for file in pa.table(delta.get_add_actions(flatten=True)).to_pylist():
        days = {name: _days(file, name) for name in {column, *until}}
        if any(days[name][0] > last for name, last in until.items()):
            continue
        if any(days[name][1] > last for name, last in until.items()) or days[column] == _UNKNOWN:
            undecided = True
        elif newest is None or days[column][1] > newest:
            newest = days[column][1]
    if not undecided:
        return newest
    bounds = [pc.field(name) <= pa.scalar(last) for name, last in until.items()]
    rows = delta.to_pyarrow_dataset().to_table(
        columns=[column], filter=reduce(and_, bounds) if bounds else None
    )
    found: date | None = pc.max(rows[column]).as_py()
    return found


_UNKNOWN = (date.min, date.max)


def _days(file: Mapping[str, Any], column: str) -> tuple[date, date]:
    """The first and last day in a column of a file, as far as the log knows them."""
    if (day := file.get(f"partition.{column}")) is not None:
        return day, day
    first, last = file.get(f"min.{column}"), file.get(f"max.{column}")
    return _UNKNOWN if first is None or last is None else (first, last)
