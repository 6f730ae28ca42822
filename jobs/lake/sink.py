"""How a side effect commits: in chunks, each at most once."""

from __future__ import annotations

import pyarrow as pa

from jobs.lake.oplog import stamped
from jobs.lake.schema import arrow_schema
from jobs.lake.tables import Tables


class Sink:
    """Appends chunks of rows to the tables of a side effect.

    A chunk carries an id; the same id again (a retry, a lost acknowledgement) adds nothing.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def schema(self, table: str) -> pa.Schema:
        """The contract's columns that an effect fills; `recorded_at` of a log is the runtime's."""
        return arrow_schema(self._tables.contracts[table], without=["recorded_at"])

    def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
        """Commit one chunk. rows: the contract's columns; `recorded_at` of a log is filled in.

        Raises PublishConflict when other writers won each of its tries (`jobs.lake.tables`).
        """
        names = self._tables.contracts[table].column_names
        if "recorded_at" in names and "recorded_at" not in rows.column_names:
            rows = stamped(rows)
        self._tables.append_arrow(table, rows.select(names), f"{table}:{chunk_id}")
