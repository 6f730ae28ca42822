"""What `test_adding_a_method` does in the copy of the project; prints one JSON object.

python -m tests.recall.adding_a_method sc://127.0.0.1:15002
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from jobs.cli.app import main
from jobs.evaluation.data import INTERACTIONS
from jobs.evaluation.evaluate import Data, evaluate_methods, settings_for
from jobs.evaluation.tune import Trial, Tuner
from jobs.judging.metrics import Metrics
from jobs.lake import Lake
from jobs.lake.oplog import PUBLISHED, RunRecord
from jobs.lake.schema import arrow_schema
from jobs.settings import RecallSettings, Settings

DAY = date(2026, 11, 1)
TAKEN = [("u", "a"), ("v", "a"), ("w", "a"), ("u", "b"), ("v", "b")]
HASH = "0" * 64


def put(lake: Lake, name: str, rows: list[dict[str, Any]]) -> None:
    """Rows of the day in a table, and the record of a run that published them."""
    schema = arrow_schema(lake.contracts[name])
    lake.tables.append_arrow(name, pa.Table.from_pylist(rows, schema=schema))
    lake.log.record_run(RunRecord(name, name, "", DAY, DAY, PUBLISHED, rows_out=len(rows)))


def filled(lake: Lake) -> None:
    """A day of two items and three users."""
    lake.create_all()
    at = datetime(2026, 11, 1, 12, tzinfo=UTC)
    events = [
        {"user_id": user, "item_id": item, "event_ts": at, "event_type": "purchase"}
        | {"event_date": DAY, "weight": 1.0, "quantity": 1.0, "ingest_ds": DAY}
        for user, item in TAKEN
    ]
    put(lake, "silver.interactions", events)
    items = [
        {"item_id": item, "title": f"Product {item}", "valid_from": DAY, "is_sellable": True}
        | {"content_hash": HASH, "row_hash": HASH}
        for item in "ab"
    ]
    put(lake, "silver.items", items)
    put(lake, "silver.item_texts", [])
    put(lake, "gold.data_report_daily", [])


def evaluated(spark: SparkSession, folder: Path) -> float:
    """Recall of the method where u and v, who took a, took b next as the others did."""
    times = [datetime(2026, 11, 1, tzinfo=UTC)] * 5

    def table(pairs: list[tuple[str, str]]) -> pa.Table:
        users, items = map(list, zip(*pairs, strict=True))
        moments, rows = times[:1] * len(pairs), len(pairs)
        values = [users, items, moments, [DAY] * rows, [None] * rows, [1.0] * rows]
        values += [["purchase"] * rows, [1.0] * rows]
        return pa.table(dict(zip(INTERACTIONS.names, values, strict=True)), schema=INTERACTIONS)

    data = Data(table(TAKEN), table([("w", "b")]))
    settings = settings_for(Settings(), 1, 10, repeats=False)
    folder.mkdir()
    (found,) = evaluate_methods(spark, data, ["confidence"], 1, settings, folder, lambda step: None)
    return found.metrics.recall


def tuned() -> tuple[int, list[str]]:
    """The chosen min_support where 1 scores best, and what was tried of the method."""

    def judge(method: str, recall: RecallSettings) -> Metrics:
        found = 1.0 if recall.confidence.min_support == 1 else 0.0
        return Metrics(found, *[0.0] * 7)

    trials: list[Trial] = []
    tuner = Tuner(judge, "recall", frozenset(), 5, trials.append)
    weights = {"cooccurrence": 0.5, "confidence": 0.5}
    chosen = tuner.tune(Settings().recall.with_changes({"i2i": {"weights": weights}}))
    tried = dict.fromkeys(t.choice for t in trials if "confidence" in t.choice)
    return chosen.confidence.min_support, list(tried)


def edges() -> tuple[list[str], list[str]]:
    """What the DAG's task waits for, and what waits for it."""
    from airflow.dag_processing.dagbag import DagBag

    task = DagBag("dags").dags["recall_daily"].get_task("silver.i2i_candidates.confidence")
    return sorted(task.upstream_task_ids), sorted(task.downstream_task_ids)


def printed(*arguments: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main(arguments)
    return out.getvalue()


def run(url: str) -> dict[str, Any]:
    os.environ["RECLAKE_RECALL__I2I__WEIGHTS"] = '{"confidence": 1.0}'
    spark = SparkSession.builder.remote(url).getOrCreate()
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    lake = Lake(spark, Settings())
    filled(lake)
    lake.run("silver.i2i_candidates", slice="confidence", ds=DAY)
    lake.run("gold.i2i_daily", ds=DAY)
    candidates = lake.tables.read("silver.i2i_candidates").orderBy("item_id").collect()
    fused = lake.tables.read("gold.i2i_daily").where("item_id = 'b' AND rank = 1").collect()[0]
    from tests.recall.methods import test_confidence

    test_confidence.test_the_score_is_the_share_of_the_items_users(spark)
    explained = json.loads(printed("explain", "item", "b", "--ds", str(DAY), "--json"))
    upstream, downstream = edges()
    return {
        "built": [[r.item_id, r.neighbor_item_id, r.score, r.support] for r in candidates],
        "tested": True,
        "fused": [
            *(fused.item_id, fused.neighbor_item_id, list(fused.methods)),
            *(fused.score, fused.reason),
        ],
        "evaluated": evaluated(spark, Path(os.environ["RECLAKE_HOME"]) / "evaluate"),
        "tuned": tuned(),
        "explained": explained["neighbors"][0]["reason"],
        "help": "confidence" in printed("evaluate", "--help"),
        "settings": RecallSettings().confidence.model_dump(),
        "upstream": upstream,
        "downstream": downstream,
    }


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1])))  # noqa: T201
