"""How an effect commits: in chunks, each at most once."""

from __future__ import annotations

import pyarrow as pa

from jobs.lake.oplog import stamped
from jobs.lake.schema import arrow_schema
from jobs.lake.tables import Tables


class Sink:
    """Appends chunks of rows to the tables of an effect.

    A chunk carries an id; the same id again (a retry, a lost acknowledgement) adds nothing.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def schema(self, table: str) -> pa.Schema:
        """The columns that an effect fills: the contract's, without `recorded_at` of a log."""
        return arrow_schema(self._tables.contracts[table], without=["recorded_at"])

    def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
        """Commit one chunk. rows: in the columns of `schema`; `recorded_at` is filled in.

        Raises PublishConflict when other writers won against every try (`jobs.lake.tables`).
        """
        names = self._tables.contracts[table].column_names
        if "recorded_at" in names and "recorded_at" not in rows.column_names:
            rows = stamped(rows)
        self._tables.append_arrow(table, rows.select(names), f"{table}:{chunk_id}")
