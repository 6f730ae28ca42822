"""Snapshots: a history table as of a day, computed once for all steps that read it.

Nearly every step reads the catalogue as of its day, most of them several times. To find the newest
version of each item takes longer than most of these steps do otherwise, and Spark cannot know how
small the result is, so it shuffles what the result is joined with. A snapshot is a Parquet folder,
named after the table, its Delta version and the day, so what it holds never changes.
"""

from __future__ import annotations

import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame

from jobs.lake.oplog import write_time

# No run takes as long; a snapshot that is deleted is made again when it is asked for.
KEPT_SECONDS = 2 * 24 * 3600


@dataclass(frozen=True)
class Snapshots:
    """The snapshots of one lake. folder: shared by this process and the Spark executors."""

    folder: Path

    def of(self, table_id: str, version: int, known_on: date, rows: DataFrame) -> DataFrame:
        """The rows of the snapshot, which is made from `rows` unless it is there.

        table_id: the id that Delta gave the table; a table made anew has another.

        Two processes may make one at the same time; the first one's is kept, and both have the same
        rows.
        """
        folder = self.folder / table_id / f"{version}-{known_on}"
        if not folder.exists():
            self._make(folder, rows)
        return rows.sparkSession.read.schema(rows.schema).parquet(str(folder))

    def _make(self, folder: Path, rows: DataFrame) -> None:
        self._forget_old(folder.parent)
        making = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
        try:
            rows.write.parquet(str(making))
            with suppress(OSError):  # another process was first
                making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def _forget_old(self, folder: Path) -> None:
        for old in folder.glob("*"):
            with suppress(FileNotFoundError):
                if old.stat().st_mtime < write_time().timestamp() - KEPT_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
