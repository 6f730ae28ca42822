"""SQL over the lake without Spark: DuckDB in front of deltalake's lazy Arrow datasets.

A query sees each table as `zone.table`, and each gold table `<name>_daily` also as
`<name>_latest`, its newest day up to `ds`, if one is given. Only tables that the query names are
opened, and filters and column choices reach the Parquet files. A query can read nothing outside the
lake, and writes nothing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.lake.errors import LakeError, NoTable, Terminal, UpstreamMissing

if TYPE_CHECKING:
    import duckdb
    from deltalake import DeltaTable

_LOCKED_DOWN: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",
}
_NAME = re.compile(r'"?\b(bronze|silver|gold|ops)"?\s*\.\s*"?(\w+)"?', re.IGNORECASE)
_MISSING_COLUMN = re.compile(r"column .* not found|does not have a column")
_MISSING_TABLE = re.compile(r"Table with name (\S+) does not exist")


class BadQuery(Terminal):
    """A query is not one readable SELECT over tables and columns that exist."""


@dataclass(frozen=True)
class Answer:
    """What a query returned; `truncated` says that rows beyond the limit were left out."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    truncated: bool = False

    def records(self) -> list[dict[str, Any]]:
        """One dict a row. A column named twice keeps its last value."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class LakeSql:
    """Reads one lake. A table is opened when a query first names it, and keeps its version for as
    long as the object lives.

    lake: a folder or an object store address. contracts: the folder whose files name the tables.
    ds: the newest day that `_latest` views may show; None for no bound.
    """

    def __init__(self, lake: str, contracts: Path, ds: date | None = None) -> None:
        self.lake = re.sub(r"^s3[an]://", "s3://", lake.rstrip("/"))
        self.ds = ds
        self._names = sorted(f"{p.parent.name}.{p.stem}" for p in contracts.glob("*/*.yaml"))
        self._opened: dict[str, DeltaTable] = {}
        self._absent: set[str] = set()

    @property
    def tables(self) -> list[str]:
        """All tables that have a contract, by name."""
        return list(self._names)

    @property
    def views(self) -> dict[str, str]:
        """`_latest` views, each with the table that it shows the newest day of."""
        daily = (name for name in self._names if re.fullmatch(r"gold\.\w+_daily", name))
        return {name.removesuffix("_daily") + "_latest": name for name in daily}

    def exists(self, table: str) -> bool:
        """Whether the table has been created in this lake."""
        return self._find(table) is not None

    def open(self, table: str) -> DeltaTable:
        """The Delta table. Raises NoTable when unknown, UpstreamMissing when not yet created."""
        if table not in self._names:
            raise NoTable(f"{table}: no such table{self._nearest(table)}")
        if (found := self._find(table)) is None:
            raise UpstreamMissing(
                f"{table} is not in the lake {self.lake} yet. "
                "`make demo` fills a lake; `reclake init` creates empty tables in one of your own."
            )
        return found

    def days(self, table: str) -> list[date]:
        """The table's days (partition `ds`) up to `self.ds`, from its log alone."""
        values = (partition.get("ds") for partition in self.open(table).partitions())
        days = {date.fromisoformat(value) for value in values if value}
        return sorted(day for day in days if self.ds is None or day <= self.ds)

    def newest_ds(self, table: str) -> date | None:
        """The newest of `days`, or None."""
        return max(self.days(table), default=None)

    def count(self, table: str) -> int:
        """Rows in the whole table, from the log alone."""
        return int(self.open(table).count())

    def query(
        self, sql: str, values: Mapping[str, object] | None = None, *, limit: int | None = None
    ) -> Answer:
        """Run one SELECT.

        values: of the query's `$name` parameters; values that the query does not use are ignored.
        limit: the most rows returned; None for all.
        Raises BadQuery with the nearest name when a table or column does not exist, and
        UpstreamMissing when a table has a contract but is not in the lake yet.
        """
        import duckdb

        try:
            statements = duckdb.extract_statements(sql)
        except duckdb.Error as error:
            raise BadQuery(str(error).strip()) from error
        allowed = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
        if len(statements) != 1 or statements[0].type not in allowed:
            found = ", ".join(s.type.name for s in statements) or "nothing"
            raise BadQuery(
                f"expected one SELECT, found {found}; reclake sql only reads, one query at a time"
            )
        given = {name: (values or {}).get(name) for name in statements[0].named_parameters}
        if unset := sorted(name for name, value in given.items() if value is None):
            raise BadQuery(f"${unset[0]} has no value; name a day with --ds")
        self._show(_mentioned(sql))
        try:
            cursor = self._connection.execute(sql, given or None)
            names = [column[0] for column in cursor.description or ()]
            rows = cursor.fetchall() if limit is None else cursor.fetchmany(limit + 1)
        except duckdb.Error as error:
            raise self._explained(sql, error) from error
        cut = limit is not None and len(rows) > limit
        return Answer(names, rows[:limit] if cut else rows, cut)

    def rows_if_there(self, sql: str) -> list[dict[str, Any]]:
        """Records of a query; none when a table that it reads is not in the lake yet."""
        try:
            return self.query(sql).records()
        except UpstreamMissing:
            return []

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect(config=_LOCKED_DOWN)
        for zone in ("bronze", "silver", "gold", "ops"):
            connection.execute(f"CREATE SCHEMA {zone}")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET lock_configuration = true")
        return connection

    @cached_property
    def _shown(self) -> set[str]:
        return set()

    def _show(self, names: Iterator[str]) -> None:
        """Makes the named tables and views visible, those that exist."""
        for name in names:
            table = self.views.get(name, name)
            if table not in self._shown and (found := self._find(table)) is not None:
                self._connection.register(table, _dataset(table, found))
                self._connection.execute(f'CREATE VIEW {table} AS SELECT * FROM "{table}"')
                self._shown.add(table)
            if name in self.views and name not in self._shown and table in self._shown:
                newest = self.newest_ds(table)
                day = f"DATE '{newest}'" if newest else "NULL"
                self._connection.execute(
                    f"CREATE VIEW {name} AS SELECT * FROM {table} WHERE ds = {day}"
                )
                self._shown.add(name)

    def _find(self, table: str) -> DeltaTable | None:
        from deltalake import DeltaTable

        if table in self._opened:
            return self._opened[table]
        if table in self._absent or table not in self._names:
            return None
        address = f"{self.lake}/{table.replace('.', '/')}"
        if not DeltaTable.is_deltatable(address):
            self._absent.add(table)
            return None
        self._opened[table] = DeltaTable(address)
        return self._opened[table]

    def _nearest(self, name: str) -> str:
        """`; did you mean …?` for a name that is not there."""
        known = [*self._names, *self.views]
        bare = [full for full in known if full.split(".")[1] == name.lower()]
        near = bare or difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
        return f"; did you mean {', '.join(near)}?" if near else "; see `reclake tables`"

    def _explained(self, sql: str, error: duckdb.Error) -> LakeError:
        """The error of a failed query, with the names that would have worked."""
        import duckdb

        text = str(error).strip()
        mentioned = list(_mentioned(sql))
        if isinstance(error, duckdb.CatalogException) and (gone := _MISSING_TABLE.search(text)):
            bare = gone[1].strip('"').lower()
            name = next((full for full in mentioned if full.split(".")[1] == bare), bare)
            table = self.views.get(name, name)
            if table in self._absent:
                try:
                    self.open(table)
                except UpstreamMissing as absent:
                    return absent
            return BadQuery(f"{name}: no such table{self._nearest(name)}")
        if isinstance(error, duckdb.BinderException) and _MISSING_COLUMN.search(text):
            tables = dict.fromkeys(self.views.get(name, name) for name in mentioned)
            columns = [
                f"{table} has {', '.join(field.name for field in found.schema().fields)}"
                for table in tables
                if (found := self._find(table)) is not None
            ]
            return BadQuery("\n".join([text, *columns]))
        return BadQuery(text)


def _mentioned(sql: str) -> Iterator[str]:
    """`zone.table` names in a query, once each. A name inside a string only costs an open."""
    return iter(dict.fromkeys(f"{z}.{t}".lower() for z, t in _NAME.findall(sql)))


def _dataset(name: str, table: DeltaTable) -> Any:
    from deltalake.exceptions import DeltaProtocolError

    try:
        # deltalake reads nulls, without an error, where a table of protocol 2 maps column names
        if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
            raise DeltaProtocolError("columnMapping")
        return table.to_pyarrow_dataset()
    except DeltaProtocolError as error:
        raise Terminal(
            f"{name}: written with a Delta feature that engines other than Spark cannot read "
            f"({error}). Query it through Spark, or rewrite it with the feature off."
        ) from error
