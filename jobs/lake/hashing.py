"""How columns are hashed, for row hashes, content hashes and text hashes."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def hash_columns(*columns: Column) -> Column:
    """The sha256, in hex, of the columns' values written as one JSON array of strings and nulls.

    Unambiguous: `["a", null]`, `["a", ""]` and `["a|"]` differ. Each column is cast to string.
    """
    return F.sha2(F.to_json(F.array(*(column.cast("string") for column in columns))), 256)


def map_text(column: Column) -> Column:
    """A map<string,string> as JSON with its keys in order, to be hashed."""
    return F.to_json(F.array_sort(F.map_entries(column)))
