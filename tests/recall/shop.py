"""Small shops for the recall tests: frames from rows that fit on one screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.lake import Run
from jobs.lake.contract import load_contract, spark_type
from jobs.lake.scratch import Scratch
from jobs.lake.settings import ROOT, Sections
from jobs.settings import RecallSettings, RunParams, Settings
from jobs.vectors.hits import TextSearch

DS = date(2026, 11, 20)
CONTRACTS = ROOT / "expectations"
_EVENTS = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("event_ts", pa.timestamp("us", tz="UTC")),
        pa.field("event_date", pa.date32()),
        pa.field("session_id", pa.string()),
        pa.field("weight", pa.float64()),
    ]
)
_ITEMS = pa.schema(
    [
        pa.field("item_id", pa.string()),
        pa.field("title", pa.string()),
        pa.field("category", pa.string()),
        pa.field("is_sellable", pa.bool_()),
        pa.field("valid_from", pa.date32()),
    ]
)
_VECTORS = pa.schema(
    [
        pa.field("item_id", pa.string()),
        pa.field("text_hash", pa.string()),
        pa.field("embedding", pa.list_(pa.float32())),
    ]
)


def make_run(
    scratch: Path,
    recall: RecallSettings | None = None,
    params: RunParams | None = None,
) -> Run:
    """A run of DS with its own scratch folder, for calling a table function by hand."""
    return Run(
        ds=DS,
        known_on=DS,
        watermark=None,
        params=params or RunParams(),
        settings=Sections(Settings(home=scratch, recall=recall or RecallSettings())),
        run_id="test",
        scratch=Scratch(scratch),
    )


def interactions(spark: SparkSession, rows: Iterable[tuple]) -> DataFrame:
    """silver.interactions from (user_id, item_id, days before DS[, weight])."""
    events = []
    for user_id, item_id, days_ago, *weight in rows:
        day = DS - timedelta(days=days_ago)
        at_noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        events.append((user_id, item_id, at_noon, day, None, *(weight or [1.0])))
    return frame(spark, events, _EVENTS)


def since_last(rows: Iterable[tuple]) -> list[tuple]:
    """Rows of `interactions` with days before their user's last one, in the place of days before
    DS."""
    known = list(rows)
    last: dict[str, int] = {}
    for user, _, days_ago, *_ in known:
        last[user] = min(days_ago, last.get(user, days_ago))
    return [(row[0], row[1], row[2] - last[row[0]], *row[3:]) for row in known]


def visits(spark: SparkSession, rows: list[tuple]) -> DataFrame:
    """silver.interactions from (user_id, item_id, minutes after noon of DS, session_id or None)."""
    noon = datetime(DS.year, DS.month, DS.day, 12, tzinfo=UTC)
    events = [
        {
            "user_id": user,
            "item_id": item,
            "event_ts": noon + timedelta(minutes=minutes),
            "event_date": (noon + timedelta(minutes=minutes)).date(),
            "session_id": session,
            "weight": 1.0,
        }
        for user, item, minutes, session in rows
    ]
    return spark.createDataFrame(pa.Table.from_pylist(events))


def items(
    spark: SparkSession,
    sellable: Iterable[str],
    unsellable: Iterable[str] = (),
    category: Mapping[str, str] | None = None,
    age: Mapping[str, int] | None = None,
) -> DataFrame:
    """silver.items as of a day; the title of `a` is `Product a`.

    age: days before DS on which the newest record of an item was known; the day of the others is
    null.
    """
    categories, ages = category or {}, age or {}
    return frame(
        spark,
        [
            (
                item,
                f"Product {item}",
                categories.get(item),
                is_sellable,
                DS - timedelta(days=ages[item]) if item in ages else None,
            )
            for names, is_sellable in ((sellable, True), (unsellable, False))
            for item in names
        ],
        _ITEMS,
    )


def users(spark: SparkSession, attributes: Mapping[str, Mapping[str, str]]) -> DataFrame:
    """silver.users as of a day, from {user_id: attributes}."""
    rows = [(user, dict(values)) for user, values in attributes.items()]
    return spark.createDataFrame(rows, "user_id string, attributes map<string,string>")


def i2i_candidates(spark: SparkSession, rows: Iterable[tuple]) -> DataFrame:
    """silver.i2i_candidates from (method, item_id, neighbor_item_id, score, support)."""
    columns = "method string, item_id string, neighbor_item_id string, score double, support bigint"
    candidates = spark.createDataFrame(list(rows), columns)
    order = Window.partitionBy("method", "item_id").orderBy(F.desc("score"), "neighbor_item_id")
    return candidates.withColumn("rank", F.row_number().over(order))


def item_vectors(spark: SparkSession, rows: Mapping[str, tuple[str, Iterable[float]]]) -> DataFrame:
    """Items with the hash and the vector of their text, from {item_id: (text_hash, vector)}."""
    return frame(spark, [(i, h, list(v)) for i, (h, v) in rows.items()], _VECTORS)


def exact_index(rows: Mapping[str, tuple[str, Iterable[float]]]) -> TextSearch:
    """A search over the first item of each text by comparing with all, for vectors of length 1.

    rows: {item_id: (text_hash, vector)}.
    """
    first_of_text = {rows[item][0]: item for item in sorted(rows, reverse=True)}
    ids = sorted(first_of_text.values())
    matrix = np.array([list(rows[item][1]) for item in ids], dtype=np.float32)

    def search(queries: np.ndarray, depth: int) -> tuple[list[list[str]], list[list[float]]]:
        cosines = queries @ matrix.T
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :depth]
        found = [[ids[place] for place in row] for row in nearest]
        return found, np.take_along_axis(cosines, nearest, axis=1).tolist()

    return search


def frame(spark: SparkSession, rows: Iterable[tuple], schema: pa.Schema) -> DataFrame:
    """A Spark frame of rows; an empty one keeps its columns and types."""
    columns = list(zip(*rows, strict=True))
    if not columns:
        return spark.createDataFrame([], from_arrow_schema(schema))
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return spark.createDataFrame(pa.Table.from_arrays(arrays, schema=schema))


def rows_of(frame: DataFrame, *columns: str) -> list[tuple]:
    """The rows in column order of the call, sorted, as plain tuples."""
    table = frame.select(*columns).toArrow().to_pylist()
    return sorted(tuple(row[name] for name in columns) for row in table)


def column_types(frame: DataFrame) -> dict[str, str]:
    """Each column's Spark type."""
    return {field.name: field.dataType.simpleString() for field in frame.schema.fields}


def contract_types(table: str) -> dict[str, str]:
    """What a table function has to return: the contract's columns less those the runtime adds."""
    zone, name = table.split(".")
    contract = load_contract(CONTRACTS / zone / f"{name}.yaml")
    added = {"ds", contract.slice}
    return {c.name: spark_type(c.type) for c in contract.columns if c.name not in added}
