"""Golden days: a folder with what a table function reads, as files, and the rows it has to return.

tests/gold/<table>/<case>/
  README.md         how the expected rows follow from the inputs, by hand
  <read>.csv        the rows of a declared read, in columns of its contract; a column that is
                    left out is null, and a read without a file is empty
  params.yaml       `settings` of recall and `params` of the run that are not the defaults
  expected.jsonl    the rows, in the columns that the function returns; scores to six places
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.lake.contract import load_contract
from jobs.lake.schema import arrow_schema
from jobs.lake.step import Read, find_step
from jobs.settings import RecallSettings, RunParams
from tests.recall.shop import CONTRACTS, column_types, contract_types, make_run

HERE = Path(__file__).parent


def cases(table: str) -> list[Path]:
    """The folders of a table's cases; none at all fails here."""
    found = sorted(path.parent for path in HERE.glob(f"{table}/*/expected.jsonl"))
    assert found, f"no case of {table}"
    return found


def made(spark: SparkSession, case: Path, scratch: Path) -> list[dict[str, Any]]:
    """The rows that the table function makes of a case's files, each list in the order of its
    ranks."""
    table = f"gold.{case.parent.name}"
    step, chosen = find_step(table), _params(case)
    recall = RecallSettings.model_validate(chosen.get("settings", {}))
    run = make_run(scratch, recall, RunParams.model_validate(chosen.get("params", {})))
    frames = {
        name: _frame(spark, case / f"{name}.csv", read.table)
        for name, read in step.reads.items()
        if isinstance(read, Read)
    }
    stray = {path.stem for path in case.glob("*.csv")} - frames.keys()
    assert not stray, f"{table} has no such read: {', '.join(sorted(stray))}"
    rows = step.function(run, **frames)
    assert column_types(rows) == contract_types(table)
    return _sorted([_plain(row) for row in rows.toArrow().to_pylist()])


def expected(case: Path) -> list[dict[str, Any]]:
    """The rows of `expected.jsonl`, to be compared with those that are made."""
    lines = (case / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    rows = _sorted([json.loads(line) for line in lines])
    return [{name: _near(value) for name, value in row.items()} for row in rows]


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By the list that a row is in, then by rank."""
    return sorted(rows, key=lambda row: (row.get("user_id") or row["item_id"], row["rank"]))


def _params(case: Path) -> dict[str, Any]:
    file = case / "params.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}


def _frame(spark: SparkSession, file: Path, table: str) -> DataFrame:
    """The rows of a file in all columns of a contract."""
    zone, _, name = table.partition(".")
    schema = arrow_schema(load_contract(CONTRACTS / zone / f"{name}.yaml"))
    if not file.exists():
        return spark.createDataFrame([], from_arrow_schema(schema))
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    unknown = set(rows[0]) - set(schema.names)
    assert not unknown, f"{file}: {table} has no such column: {', '.join(sorted(unknown))}"
    columns = [
        pa.array([row.get(field.name) or None for row in rows], pa.string()).cast(field.type)
        if field.name in rows[0]
        else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return spark.createDataFrame(pa.Table.from_arrays(columns, schema=schema))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its maps as dictionaries, which Arrow gives as pairs."""
    return {name: dict(value) if name.endswith("_scores") else value for name, value in row.items()}


def _near(value: Any) -> Any:
    return pytest.approx(value, abs=1e-6) if isinstance(value, float | dict) else value
