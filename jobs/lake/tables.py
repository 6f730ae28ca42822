"""Delta tables by name: where they are, how they are created, appended to and replaced.

Spark writes the rows that it computes. delta-rs appends rows that this process holds, and publishes
staged files. Its commit takes milliseconds; a commit through Spark takes a job to replay the log
and more jobs around the write.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from jobs.lake.contract import Contract, Contracts, Layout
from jobs.lake.errors import PublishConflict, SchemaMismatch, VersionGone
from jobs.lake.file_bounds import Bounds, column_bounds
from jobs.lake.file_days import newest_day
from jobs.lake.file_stats import column_stats, rows_only
from jobs.lake.schema import arrow_schema, delta_schema, struct_type
from jobs.lake.storage import locate

# Words in the class of every error that Delta raises when two writers meet.
_CONFLICTS = ("DELTA_CONCURRENT", "ConcurrentModification", "DELTA_PROTOCOL_CHANGED")

APPENDS_BETWEEN_COMPACTIONS = 100

# A rerun of an old day reads these tables as its published run did (`Read.pinned`).
_PINNED = (Layout.log, Layout.answers)
_KEPT_VERSIONS: dict[str, str | None] = {"delta.enableExpiredLogCleanup": "false"}

_retry_on_conflict = retry(
    retry=retry_if_exception_type(PublishConflict),
    stop=stop_after_attempt(5),
    wait=wait_random_exponential(multiplier=0.5, max=10),
    reraise=True,
)

# Of commits that take milliseconds; another commit to the table meanwhile makes them start again.
_commit_in_turn = retry(
    retry=retry_if_exception_type(PublishConflict),
    stop=stop_after_attempt(30),
    wait=wait_random_exponential(multiplier=0.02, max=1),
    reraise=True,
)


@dataclass(frozen=True)
class StagedFile:
    """A Parquet file of staged rows. path: within the table's folder. rows, bytes: its size.
    stats: what the Delta log is to say of its rows, as JSON."""

    path: str
    rows: int
    bytes: int
    modified_ms: int
    stats: str

    def added(self, partition: Mapping[str, str]) -> AddAction:
        """The action that makes the file part of its table."""
        return AddAction(
            path=self.path,
            size=self.bytes,
            partition_values=dict(partition),
            modification_time=self.modified_ms,
            data_change=True,
            stats=self.stats,
        )


@dataclass(frozen=True)
class Staged:
    """Rows written as files inside a table's folder, where no reader of the table sees them.

    read: opens the rows of these files in Spark, in all columns of the contract. partition: the
    value of each partition column, if all rows share one value of each; otherwise empty.
    """

    table: str
    folder: str
    partition: Mapping[str, str]
    files: tuple[StagedFile, ...]
    read: Callable[[], DataFrame]

    @cached_property
    def frame(self) -> DataFrame:
        return self.read()

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


class Tables:
    """The lake's Delta tables, at `<lake>/<zone>/<table>`. Every write goes through a contract.

    spark: a session, or a function that opens one when a table is first read or written by Spark.
    """

    def __init__(
        self, spark: SparkSession | Callable[[], SparkSession], lake: str, contracts: Contracts
    ) -> None:
        self._spark = spark
        self.lake = lake.rstrip("/")
        self.contracts = contracts

    @cached_property
    def spark(self) -> SparkSession:
        return self._spark() if callable(self._spark) else self._spark

    def path(self, table: str) -> str:
        """A table's address. Raises NoTable without a contract; so does every method that uses the
        address."""
        return f"{self.lake}/{self.contracts[table].table.replace('.', '/')}"

    def create(self, contract: Contract) -> None:
        """Create a table from its contract, with column comments.

        An existing table gets the columns that its contract has gained since and that may be null;
        nothing else of it changes.
        """
        wanted = delta_schema(contract)
        table = DeltaTable.create(
            self.path(contract.table),
            schema=wanted,
            mode="ignore",
            partition_by=list(contract.partition),
            description=contract.grain,
            configuration=_KEPT_VERSIONS if contract.layout in _PINNED else None,
        )
        held = {field.name for field in table.schema().fields}
        fields = DeltaSchema.from_arrow(wanted).fields
        gained = [field for field in fields if field.name not in held and field.nullable]
        if gained:
            table.alter.add_columns(gained)

    def read(self, table: str, version: int | None = None) -> DataFrame:
        """A whole table, at one Delta version or the newest."""
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.path(table))

    def version(self, table: str) -> int:
        """The newest Delta version of a table, read from its log without a Spark job."""
        return DeltaTable(self.path(table), without_files=True).version()

    def id(self, table: str) -> str:
        """The id that a table got when it was created."""
        return str(DeltaTable(self.path(table), without_files=True).metadata().id)

    def require_version(self, table: str, version: int, who: str) -> None:
        """Raises VersionGone where an earlier version of a table can no longer be read."""
        try:
            DeltaTable(self.path(table), version=version, without_files=True)
        except (DeltaError, OSError) as error:
            raise VersionGone(
                f"{who}: expected version {version} of {table}, which the published rows were made "
                f"from, and found that its Delta log no longer has it ({error}). Nothing was "
                "published. Give the run a known_on, and it reads the newest version."
            ) from error

    def newest_day(
        self, table: str, column: str, until: Mapping[str, date], version: int | None = None
    ) -> date | None:
        """The newest day in a date column, of the rows whose columns `until` are at most the given
        days; None without such a row. Needs no Spark."""
        return newest_day(DeltaTable(self.path(table), version=version), column, until)

    def bounds(self, table: str, version: int | None = None) -> Bounds:
        """The bounds of each column of a table's rows (`jobs.lake.file_bounds`). Needs no Spark;
        the table's log is read when a bound is first asked for."""
        of_columns = cache(lambda: column_bounds(DeltaTable(self.path(table), version=version)))
        return lambda column: of_columns()(column)

    def remove(self, path: str) -> None:
        """Delete a folder below the lake, local or on an object store; an absent one is fine."""
        system, inner = locate(path)
        if system.get_file_info(inner).type == pafs.FileType.Directory:
            system.delete_dir(inner)

    @_retry_on_conflict
    def replace(self, table: str, rows: DataFrame, predicate: str) -> None:
        """Atomically replace the rows that match `predicate`. Raises PublishConflict."""
        writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", predicate)
        with _named_conflicts(table):
            writer.save(self.path(table))
        self._compact_now_and_then(table)

    def add_days(self, staged: Staged, column: str, after: date | None, until: date) -> None:
        """Atomically publish the staged rows, in the place of what a killed run left of their days.

        column: the date column by which the table grows. after, until: the staged rows have days
        after `after` (None: any day), up to `until`. Without rows nothing is committed. Raises
        PublishConflict.
        """
        if self._added(staged, column, after):
            if staged.files:
                self._compact_now_and_then(staged.table)
            return
        predicate = f"{column} <= '{until}'"
        if after is not None:
            predicate += f" AND {column} > '{after}'"
        self.replace(staged.table, staged.frame, predicate)

    @_commit_in_turn
    def _added(self, staged: Staged, column: str, after: date | None) -> bool:
        """Commit the staged files as they are; false where that is not enough: something has to be
        removed too, or rows of one file belong to several partitions."""
        delta = DeltaTable(self.path(staged.table))
        if delta.metadata().partition_columns:
            return False
        held = newest_day(delta, column, {})
        if held is not None and (after is None or held > after):
            return False
        if staged.files:
            adds: list[AddAction | RemoveAction] = [file.added({}) for file in staged.files]
            with _named_conflicts(staged.table):
                delta.create_write_transaction(
                    adds,
                    mode="append",
                    schema=delta.schema(),
                    # A rebased commit would not look again for what a rival added meanwhile.
                    commit_properties=CommitProperties(max_commit_retries=0),
                )
        return True

    def insert_new(self, table: str, rows: DataFrame) -> None:
        """Insert the rows whose key the table does not have yet. Raises PublishConflict."""
        self._merge(table, rows, "WHEN NOT MATCHED THEN INSERT *")

    def update(self, table: str, rows: DataFrame) -> None:
        """Replace the rows that have the key of a given row, in one commit; a given row without a
        match adds nothing. Raises PublishConflict."""
        self._merge(table, rows, "WHEN MATCHED THEN UPDATE SET *")

    @_retry_on_conflict
    def _merge(self, table: str, rows: DataFrame, action: str) -> None:
        key = self.contracts[table].key
        same = " AND ".join(f"kept.{name} = new.{name}" for name in key)
        # A name of its own: threads of one process share the session's views.
        view = f"new_rows_{uuid.uuid4().hex}"
        rows.createTempView(view)
        try:
            with _named_conflicts(table):
                self.spark.sql(
                    f"MERGE INTO delta.`{self.path(table)}` AS kept USING {view} AS new "
                    f"ON {same} {action}"
                )
        finally:
            self.spark.catalog.dropTempView(view)
        self._compact_now_and_then(table)

    def append(self, table: str, rows: DataFrame) -> None:
        """Append rows that Spark has, without looking for their keys."""
        rows.write.format("delta").mode("append").save(self.path(table))
        self._compact_now_and_then(table)

    @_commit_in_turn
    def append_arrow(self, table: str, rows: pa.Table, transaction: str = "") -> None:
        """Append rows that this process has, in the contract's columns and without Spark.

        transaction: an id; the same id again adds nothing. Raises PublishConflict.
        """
        delta = DeltaTable(self.path(table))
        properties = None
        if transaction:
            if delta.transaction_version(transaction) is not None:
                return
            # A rebased commit would not look again whether the id is there.
            properties = CommitProperties(
                app_transactions=[Transaction(transaction, 1)], max_commit_retries=0
            )
        with _named_conflicts(table):
            write_deltalake(
                delta,
                rows.cast(arrow_schema(self.contracts[table])),
                mode="append",
                commit_properties=properties,
            )
        self._compact_now_and_then(table)

    def rows(
        self, table: str, columns: Sequence[str], filters: Sequence[tuple[str, str, object]]
    ) -> pa.Table:
        """Rows of a small table in this process. filters: as `DeltaTable.to_pyarrow_table`'s."""
        delta = DeltaTable(self.path(table))
        return delta.to_pyarrow_table(columns=list(columns), filters=list(filters) or None)

    def stage(self, table: str, rows: DataFrame, partition: Mapping[str, str]) -> Staged:
        """Write rows once, so that the audited rows are the published rows.

        rows: all columns of the contract. partition: the value of each partition column, if all
        rows share one value of each; these columns are then not written.
        """
        names = self.schema(table, without=tuple(partition)).names
        with self._staging(table, partition) as (folder, path):
            rows.select(*names).write.parquet(path)
            return self._staged(table, folder, path, partition)

    def stage_copy(
        self, table: str, version: int, of: Mapping[str, str], partition: Mapping[str, str]
    ) -> Staged:
        """Stage the rows of another partition, `of`, as a version of the table held them.

        of, partition: the value of each partition column. Files are copied, no row is read. Raises
        VersionGone where a file is no longer there.
        """
        delta = DeltaTable(self.path(table), version=version)
        held = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
        files = [
            file["path"]
            for file in held
            if all(str(file[f"partition.{name}"]) == value for name, value in of.items())
        ]
        with self._staging(table, partition) as (folder, path):
            system, inner = locate(path)
            system.create_dir(inner, recursive=True)
            for file in files:
                _, kept = locate(f"{self.path(table)}/{file}")
                try:
                    system.copy_file(kept, f"{inner}/{file.rpartition('/')[2]}")
                except FileNotFoundError as error:
                    raise VersionGone(
                        f"{table}: version {version} has {file}, which is no longer there. "
                        "Nothing was published."
                    ) from error
            return self._staged(table, folder, path, partition)

    @contextmanager
    def _staging(self, table: str, partition: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """A new folder within a table's folder, and its address; deleted after an error."""
        # Polars takes the values of a partition from the path, as Hive writes it.
        shared_path = "".join(f"{name}={value}/" for name, value in partition.items())
        folder = f"{shared_path}staged-{uuid.uuid4().hex}"
        path = f"{self.path(table)}/{folder}"
        try:
            yield folder, path
        except BaseException:
            self.remove(path)
            raise

    def _staged(self, table: str, folder: str, path: str, partition: Mapping[str, str]) -> Staged:
        def read() -> DataFrame:
            types = {field.name: field.dataType for field in self.schema(table)}
            shared = {name: F.lit(value).cast(types[name]) for name, value in partition.items()}
            written = self.schema(table, without=tuple(partition))
            frame = self.spark.read.schema(written).parquet(path)
            names = self.contracts[table].column_names
            return frame.withColumns(shared).select(*names) if shared else frame

        # Readers leave out files of other partitions; without partitions they need statistics.
        files = self._files(path, folder, with_stats=not partition)
        return Staged(table, folder, dict(partition), tuple(files), read)

    def staged_rows(self, staged: Staged) -> pa.Table:
        """The staged rows in this process, in all columns of the contract."""
        schema = arrow_schema(self.contracts[staged.table])
        written = pa.schema([field for field in schema if field.name not in staged.partition])
        parts = [written.empty_table()]
        for file in staged.files:
            system, inner = locate(f"{self.path(staged.table)}/{file.path}")
            with system.open_input_file(inner) as opened:
                parts.append(pq.read_table(opened, columns=written.names).cast(written))
        rows = pa.concat_tables(parts)
        for name, value in staged.partition.items():
            column = pa.scalar(value).cast(schema.field(name).type)
            rows = rows.append_column(name, pa.repeat(column, rows.num_rows))
        return rows.select(schema.names)

    def _files(self, path: str, folder: str, with_stats: bool) -> Iterator[StagedFile]:
        system, inner = locate(path)
        for found in system.get_file_info(pafs.FileSelector(inner)):
            if not found.base_name.endswith(".parquet"):
                continue
            with system.open_input_file(found.path) as opened, pq.ParquetFile(opened) as file:
                rows = file.metadata.num_rows
                if rows:
                    yield StagedFile(
                        path=f"{folder}/{found.base_name}",
                        rows=rows,
                        bytes=found.size,
                        modified_ms=(found.mtime_ns or 0) // 1_000_000,
                        stats=column_stats(file) if with_stats else rows_only(rows),
                    )

    @_commit_in_turn
    def publish(self, staged: Staged) -> None:
        """Atomically replace a partition with the staged files; no row is written again.

        Raises PublishConflict when another writer changed the partition meanwhile.
        """
        values = dict(staged.partition)
        adds: list[AddAction | RemoveAction] = [file.added(values) for file in staged.files]
        delta = DeltaTable(self.path(staged.table))
        with _named_conflicts(staged.table):
            delta.create_write_transaction(
                adds,
                mode="overwrite",
                schema=delta.schema(),
                partition_by=list(self.contracts[staged.table].partition),
                partition_filters=[(name, "=", value) for name, value in values.items()],
                # A rebased commit would keep the files that a rival added meanwhile.
                commit_properties=CommitProperties(max_commit_retries=0),
            )

    def discard(self, staged: Staged) -> None:
        """Delete staged files, unless a commit took them into the table."""
        path = self.path(staged.table)
        name = staged.folder.rpartition("/")[2]
        if not any(f"/{name}/" in uri for uri in DeltaTable(path).file_uris()):
            self.remove(f"{path}/{staged.folder}")

    def _compact_now_and_then(self, table: str) -> None:
        """Merge the small files that many appends leave.

        Delta's own autoCompact looks at every commit, which takes four times as long as the
        append itself.
        """
        if self.version(table) % APPENDS_BETWEEN_COMPACTIONS == 0:
            DeltaTable(self.path(table)).optimize.compact()

    def from_arrow(self, table: str, rows: pa.Table) -> DataFrame:
        """Rows made in this process as a frame with the contract's columns and types."""
        return self.spark.createDataFrame(rows, schema=self.schema(table))

    def schema(self, table: str, without: Sequence[str] = ()) -> StructType:
        """The contract's columns as a Spark schema, less `without`; nothing is read."""
        return struct_type(self.contracts[table], without)

    def conform(self, table: str, rows: DataFrame, ds: str) -> DataFrame:
        """The frame in the contract's column order; SchemaMismatch on other columns or types."""
        expected = {field.name: field.dataType for field in self.schema(table)}
        found = {field.name: field.dataType for field in rows.schema}
        problems = [f"missing {name}" for name in expected if name not in found]
        problems += [f"unknown {name}" for name in found if name not in expected]
        problems += [
            f"{name}: expected {expected[name].simpleString()}, found {found[name].simpleString()}"
            for name in expected
            if name in found and found[name].simpleString() != expected[name].simpleString()
        ]
        if problems:
            raise SchemaMismatch(
                f"{table} ds={ds}: the table function returned other columns than "
                f"{self.contracts.folder.name}/{table.replace('.', '/')}.yaml has: "
                f"{'; '.join(problems)}. Nothing was published. Mend the function or the contract."
            )
        return rows.select(*expected)


@contextmanager
def _named_conflicts(table: str) -> Iterator[None]:
    """Turns Delta's errors about concurrent writers into PublishConflict."""
    try:
        yield
    except Exception as error:
        refused = isinstance(error, CommitFailedError)
        if refused or any(word in str(error) for word in _CONFLICTS):
            raise PublishConflict(
                f"{table}: another run wrote the same files at the same time. Nothing of this run "
                "was published; it is tried again. See docs/runbooks/publish-conflict.md."
            ) from error
        raise
