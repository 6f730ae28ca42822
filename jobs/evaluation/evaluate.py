"""Methods of the daily run against what users did next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.evaluation.data import last_day
from jobs.evaluation.methods import Bench, check_methods, prepare
from jobs.evaluation.metrics import Lists, Metrics, Pairs, evaluate
from jobs.recall.settings import RecallSettings
from jobs.settings import Settings

# Every day of any history.
_ALWAYS = 36_500


@dataclass(frozen=True)
class Data:
    """train, test: as `jobs.evaluation.data.read_interactions` returns them. texts: as its
    `read_items` does, or None."""

    train: pa.Table
    test: pa.Table
    texts: pa.Table | None = None

    def has_repeats(self) -> bool:
        """Whether a user took an item of train again in test."""
        return bool(pc.any(self._repeats()).as_py())

    def without_repeats(self) -> Data:
        """The same, without the test rows whose pair is in train."""
        return replace(self, test=self.test.filter(pc.invert(self._repeats())))

    def _repeats(self) -> pa.ChunkedArray:
        return pc.is_in(_pairs(self.test), value_set=_pairs(self.train).unique())


@dataclass(frozen=True)
class Result:
    """One method at one k. seconds, gigabytes: of all steps that made its lists."""

    method: str
    metrics: Metrics
    seconds: float
    gigabytes: float

    def row(self) -> dict[str, str | float]:
        measured = {"seconds": self.seconds, "peak_gb": self.gigabytes}
        return {"method": self.method} | asdict(self.metrics) | measured


def settings_for(settings: Settings, k: int, neighbors: int, repeats: bool) -> Settings:
    """The settings of the daily run with lists of k, tables of `neighbors`, and no item left out
    of a list (repeats), or every item that the user ever took."""
    days = 0 if repeats else _ALWAYS
    changes = {
        "cooccurrence": {"neighbors": neighbors},
        "slim": {"neighbors": neighbors},
        "content": {"neighbors": neighbors},
        "i2i": {"neighbors": neighbors},
        "item_history": {"exclude_seen_days": days},
        "similar_users": {"exclude_seen_days": days},
        "popular": {"exclude_seen_days": days},
        "user": {"items": max(k, settings.recall.user.items)},
    }
    recall = settings.recall.model_dump()
    for name, change in changes.items():
        recall[name] |= change
    recall["popular"]["items"] = max(recall["popular"]["items"], recall["user"]["items"])
    return settings.model_copy(update={"recall": RecallSettings.model_validate(recall)})


def evaluate_methods(
    spark: SparkSession,
    data: Data,
    methods: Sequence[str],
    k: int,
    settings: Settings,
    folder: Path,
    started: Callable[[str], None],
) -> list[Result]:
    """Each method at k, in the order given. Raises UnknownMethod before anything is computed.

    settings: as `settings_for` returns them. folder: an empty folder that is shared with the
    executors. started: called with the name of each step that begins.
    """
    check_methods(methods, with_texts=data.texts is not None)
    everyone = _ids(data.train["user_id"], data.test["user_id"])
    texts = [] if data.texts is None else [data.texts["item_id"]]
    items = _ids(data.train["item_id"], data.test["item_id"], *texts)
    ds = last_day(data.train)
    train = prepare(spark, data.train, data.texts, everyone, ds, settings, folder)
    bench = Bench(train, folder, started)
    known, wanted = _coded(data.train, everyone, items), _coded(data.test, everyone, items)
    asked = train.users.join(_frame(spark, data.test["user_id"].unique()), "user_id", "left_semi")
    results = []
    for method in methods:
        lists = _lists(bench.lists(method), asked, k, everyone, items)
        metrics = evaluate(lists, known, wanted, len(items), k)
        results.append(Result(method, metrics, *bench.cost(method)))
    return results


def _lists(
    rows: DataFrame, users: DataFrame, k: int, user_ids: pa.Array, item_ids: pa.Array
) -> Lists:
    found = rows.where(F.col("rank") <= k).join(users, "user_id", "left_semi").toArrow()
    return Lists(
        user=_codes(found["user_id"], user_ids),
        item=_codes(found["item_id"], item_ids),
        rank=found["rank"].to_numpy().astype(np.int64),
    )


def _frame(spark: SparkSession, users: pa.ChunkedArray) -> DataFrame:
    return spark.createDataFrame(pa.table({"user_id": users}))


def _ids(*columns: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The distinct ids of all columns, ascending."""
    chunks = [chunk for column in columns for chunk in pa.chunked_array(column).chunks]
    distinct = pa.chunked_array(chunks, pa.string()).unique()
    return distinct.take(pc.array_sort_indices(distinct))


def _pairs(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["user_id"], rows["item_id"], "\x1f")


def _coded(rows: pa.Table, user_ids: pa.Array, item_ids: pa.Array) -> Pairs:
    """The distinct pairs of the rows, as codes."""
    distinct = rows.select(["user_id", "item_id"]).group_by(["user_id", "item_id"]).aggregate([])
    return Pairs(_codes(distinct["user_id"], user_ids), _codes(distinct["item_id"], item_ids))


def _codes(column: pa.ChunkedArray, ids: pa.Array) -> NDArray[np.int64]:
    return pc.index_in(column, value_set=ids).to_numpy().astype(np.int64)
