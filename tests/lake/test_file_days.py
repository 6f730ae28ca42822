"""The newest day of a table, by the statistics of its files or, where they can't tell, its rows."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from jobs.lake.file_days import newest_day

D = [date(2026, 1, day) for day in range(1, 10)]


def written(folder: Path, *files: list[tuple[date, date]], partition: str = "") -> DeltaTable:
    """A table of (event_date, ingest_ds), one file for each list."""
    for rows in files:
        events, ingested = zip(*rows, strict=True)
        table = pa.table({"event_date": list(events), "ingest_ds": list(ingested)})
        write_deltalake(
            folder, table, mode="append", partition_by=[partition] if partition else None
        )
    return DeltaTable(folder)


def test_files_that_lie_within_the_bounds_tell_by_their_statistics(tmp_path: Path) -> None:
    table = written(tmp_path, [(D[1], D[1]), (D[2], D[2])], [(D[4], D[4])], [(D[3], D[6])])
    for file in tmp_path.glob("*.parquet"):
        file.unlink()  # nothing but the log can answer
    assert newest_day(table, "ingest_ds", {}) == D[6]
    assert newest_day(table, "event_date", {}) == D[4]
    assert newest_day(table, "ingest_ds", {"ingest_ds": D[5]}) == D[4]
    assert newest_day(table, "event_date", {"ingest_ds": D[3]}) == D[2]
    assert newest_day(table, "ingest_ds", {"ingest_ds": D[0]}) is None


@pytest.mark.parametrize("partition", ["", "ingest_ds"])
def test_a_file_on_both_sides_of_a_bound_is_read(tmp_path: Path, partition: str) -> None:
    table = written(
        tmp_path, [(D[1], D[1])], [(D[2], D[5]), (D[5], D[5]), (D[3], D[6])], partition=partition
    )
    assert newest_day(table, "event_date", {"event_date": D[4]}) == D[3]
    assert newest_day(table, "event_date", {"event_date": D[4], "ingest_ds": D[5]}) == D[2]
    assert newest_day(table, "ingest_ds", {"event_date": D[2]}) == D[5]
    assert newest_day(table, "ingest_ds", {"event_date": D[0]}) is None


def test_an_empty_table_has_no_newest_day(tmp_path: Path) -> None:
    schema = pa.schema([("event_date", pa.date32()), ("ingest_ds", pa.date32())])
    table = DeltaTable.create(str(tmp_path), schema=schema)
    assert newest_day(table, "event_date", {}) is None
    assert newest_day(table, "event_date", {"ingest_ds": D[3]}) is None
