"""Delta tables by name: where they are, how they are created, appended to and replaced."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from jobs.lake.contract import Contract, Contracts
from jobs.lake.errors import PublishConflict, SchemaMismatch
from jobs.lake.schema import struct_type
from jobs.lake.storage import locate

# Raised by Delta when two writers meet; the words stand in every such error's class.
_CONFLICTS = ("DELTA_CONCURRENT", "ConcurrentModification", "DELTA_PROTOCOL_CHANGED")

APPENDS_BETWEEN_COMPACTIONS = 100

_retry_on_conflict = retry(
    retry=retry_if_exception_type(PublishConflict),
    stop=stop_after_attempt(5),
    wait=wait_random_exponential(multiplier=0.5, max=10),
    reraise=True,
)


class Tables:
    """The lake's Delta tables, at `<lake>/<zone>/<table>`. Every write goes through a contract."""

    def __init__(self, spark: SparkSession, lake: str, contracts: Contracts) -> None:
        self.spark = spark
        self.lake = lake.rstrip("/")
        self.contracts = contracts

    def path(self, table: str) -> str:
        """Where a table lies. Raises NoTable without a contract, and so does all that needs it."""
        return f"{self.lake}/{self.contracts[table].table.replace('.', '/')}"

    def create(self, contract: Contract) -> None:
        """Create a table from its contract, with column comments; leave an existing one alone."""
        partition = (
            f"PARTITIONED BY ({', '.join(contract.partition)})" if contract.partition else ""
        )
        grain = contract.grain.replace("\\", "\\\\").replace("'", "\\'")
        self.spark.sql(
            f"CREATE TABLE IF NOT EXISTS delta.`{self.path(contract.table)}` ({contract.ddl}) "
            f"USING delta {partition} COMMENT '{grain}' "
            "TBLPROPERTIES ('delta.enableDeletionVectors' = 'false')"
        )

    def read(self, table: str, version: int | None = None) -> DataFrame:
        """A whole table, at one Delta version or the newest."""
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.path(table))

    def version(self, table: str) -> int:
        """The newest Delta version of a table, read from its log without a Spark job."""
        return DeltaTable(self.path(table), without_files=True).version()

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

    @_retry_on_conflict
    def insert_new(self, table: str, rows: DataFrame) -> None:
        """Insert the rows whose key the table does not have yet. Raises PublishConflict."""
        key = self.contracts[table].key
        same = " AND ".join(f"kept.{name} = new.{name}" for name in key)
        # A name of its own: threads of one process share the session's views.
        view = f"new_rows_{uuid.uuid4().hex}"
        rows.createTempView(view)
        try:
            with _named_conflicts(table):
                self.spark.sql(
                    f"MERGE INTO delta.`{self.path(table)}` AS kept USING {view} AS new "
                    f"ON {same} WHEN NOT MATCHED THEN INSERT *"
                )
        finally:
            self.spark.catalog.dropTempView(view)
        self._compact_now_and_then(table)

    def append(self, table: str, rows: DataFrame) -> None:
        """Append rows, whatever the table has."""
        rows.write.format("delta").mode("append").save(self.path(table))
        self._compact_now_and_then(table)

    @_retry_on_conflict
    def append_once(self, table: str, rows: DataFrame, transaction: str) -> None:
        """Append rows under a transaction id; the same id again adds nothing."""
        writer = rows.write.format("delta").mode("append")
        with _named_conflicts(table):
            writer.option("txnAppId", transaction).option("txnVersion", "1").save(self.path(table))
        self._compact_now_and_then(table)

    def _compact_now_and_then(self, table: str) -> None:
        """Merge the small files that many appends leave.

        Delta's own autoCompact looks at every commit, which takes four times as long as the
        append itself.
        """
        if self.version(table) % APPENDS_BETWEEN_COMPACTIONS == 0:
            self.spark.sql(f"OPTIMIZE delta.`{self.path(table)}`").collect()

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
        if any(word in str(error) for word in _CONFLICTS):
            raise PublishConflict(
                f"{table}: another run wrote the same files at the same time. Nothing of this run "
                "was published; it is tried again. See docs/runbooks/publish-conflict.md."
            ) from error
        raise
