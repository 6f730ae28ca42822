"""The bounds of a column's values, by what the Delta log says of each file: no Spark, no rows read.

Readers that would act on rare values skip a look through the rows where no file can hold one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

# Of a column: the least and the largest value that a row may hold, (None, None) where no row has a
# value; None where the log does not know.
Bounds = Callable[[str], tuple[Any, Any] | None]


def column_bounds(delta: DeltaTable) -> Bounds:
    """The bounds of each column of a table's rows. Bounds of texts may be cut at the ends."""
    files = pa.table(delta.get_add_actions(flatten=True)).to_pylist()

    def bounds(column: str) -> tuple[Any, Any] | None:
        least: list[Any] = []
        largest: list[Any] = []
        for file in files:
            rows, nulls = file.get("num_records"), file.get(f"null_count.{column}")
            if rows is not None and rows == nulls:
                continue
            low, high = file.get(f"min.{column}"), file.get(f"max.{column}")
            if low is None or high is None:
                return None
            least.append(low)
            largest.append(high)
        return (min(least), max(largest)) if least else (None, None)

    return bounds
