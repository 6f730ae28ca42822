"""Methods of the daily run, measured on what users took next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.evaluation.data import BadData, is_timed, last_day, only_taken, undated
from jobs.evaluation.methods import Bench, check_methods, prepare
from jobs.evaluation.vocabulary import Seen
from jobs.judging.metrics import Lists, Metrics, Pairs, codes_of, evaluate
from jobs.recall.settings.events import STANDARD_WEIGHTS
from jobs.recall.sources.channels import CHANNELS
from jobs.recall.sources.methods import METHODS
from jobs.settings import RecallSettings, Settings

# Every day of any history.
_ALWAYS = 36_500


@dataclass(frozen=True)
class Data:
    """train, test: as `jobs.evaluation.data.read_interactions` returns them. texts: as
    `read_items` there returns them, or None."""

    train: pa.Table
    test: pa.Table
    texts: pa.Table | None = None

    def has_repeats(self) -> bool:
        """Whether a user took an item of train again in test."""
        return bool(pc.any(self._repeats()).as_py())

    def without_repeats(self) -> Data:
        """The data without the test rows whose pair is in train."""
        return replace(self, test=self.test.filter(pc.invert(self._repeats())))

    def wanting(self, event_types: Sequence[str]) -> Data:
        """The data with those rows of test that take an item, of some types of event or of all.
        Raises BadData where none is left."""
        test = only_taken(self.test, event_types)
        if not test.num_rows:
            raise BadData(
                f"no event of test is a {' or '.join(event_types) or 'taking one'}; it has "
                f"{', '.join(sorted(self.test['event_type'].unique().to_pylist()))}. Nothing was "
                "evaluated."
            )
        return replace(self, test=test)

    def is_later(self) -> bool:
        """Whether most of test happened when its users' events of train were over."""
        last = self.train.group_by("user_id").aggregate([("event_ts", "max")])
        known = self.test.select(["user_id", "event_ts"]).join(last, "user_id", join_type="inner")
        later = pc.greater_equal(known["event_ts"], known["event_ts_max"])
        return not known.num_rows or 2 * pc.sum(later).as_py() >= known.num_rows

    def undated(self) -> Data:
        """The data as if all had happened at one time."""
        return replace(self, train=undated(self.train), test=undated(self.test))

    def seen_as(self, seen: Seen) -> tuple[Data, bool]:
        """The data to evaluate on, and whether items of train may be listed again."""
        repeats = seen is Seen.allow or (seen is Seen.auto and self.has_repeats())
        return (self if repeats else self.without_repeats()), repeats

    @property
    def event_types(self) -> tuple[str, ...]:
        """The types of train's events that teach, those with the least standard weight first."""
        found = set(self.train["event_type"].unique().to_pylist())
        return tuple(name for name in STANDARD_WEIGHTS if name in found)

    @property
    def known(self) -> frozenset[str]:
        """Which of these the data has: times (more than one), texts, tags."""
        columns = [] if self.texts is None else self.texts.column_names
        found = {"times": is_timed(self.train), "texts": bool(columns), "tags": "tags" in columns}
        return frozenset(name for name, is_known in found.items() if is_known)

    def overlap(self) -> dict[str, int]:
        """How many users and items test has, and how many of them train has. Raises BadData where
        it has none of the users, or none of the items and no text of one: the ids then differ."""
        found: dict[str, int] = {}
        texts = pa.array([], pa.string()) if self.texts is None else self.texts["item_id"]
        for name in ("user", "item"):
            ours, theirs = (rows[f"{name}_id"].unique() for rows in (self.test, self.train))
            known = pc.is_in(ours, value_set=theirs)
            found |= {f"test_{name}s": len(ours), f"test_{name}s_in_train": pc.sum(known).as_py()}
            described = name == "item" and pc.any(pc.is_in(ours, value_set=texts)).as_py()
            if not found[f"test_{name}s_in_train"] and not described:
                raise BadData(
                    f"train knows none of the {len(ours):,} {name}s of test. Nothing was "
                    f"evaluated. Are the ids the same? test has {_some(ours)}, train has "
                    f"{_some(theirs)}"
                )
        return found

    def _repeats(self) -> pa.ChunkedArray:
        return pc.is_in(_pairs(self.test), value_set=_pairs(self.train).unique())


@dataclass(frozen=True)
class Result:
    """One method at one k. seconds: of all steps that made its lists. gigabytes: of the largest."""

    method: str
    metrics: Metrics
    seconds: float
    gigabytes: float

    def row(self) -> dict[str, str | float]:
        measured = {"seconds": self.seconds, "peak_gb": self.gigabytes}
        return {"method": self.method} | asdict(self.metrics) | measured


def settings_for(settings: Settings, k: int, neighbors: int, repeats: bool) -> Settings:
    """The settings of the daily run for lists of k and `neighbors` of each item. Lists leave out
    no item (repeats), or every item that the user ever took."""
    days = 0 if repeats else _ALWAYS
    length = max(k, settings.recall.user.items)
    popular = max(length, settings.recall.popular.items)
    changes: dict[str, dict[str, int]] = {
        **{source.section: {"neighbors": neighbors} for source in METHODS},
        "i2i": {"neighbors": neighbors},
        **{source.section: {"exclude_seen_days": days} for source in CHANNELS},
        "popular": {"seen_last_days": days, "items": popular},
        "user": {"items": length},
    }
    return settings.model_copy(update={"recall": settings.recall.with_changes(changes)})


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
    check_methods(methods, data.known)
    evaluate = evaluation(spark, data, k, settings, folder, started)
    return [evaluate(method, settings.recall) for method in methods]


@dataclass(frozen=True)
class Evaluation:
    """Evaluates methods under settings, and runs no step twice."""

    bench: Bench
    known: Pairs
    wanted: Pairs
    users: pa.Array
    items: pa.Array
    k: int

    def __call__(self, method: str, recall: RecallSettings) -> Result:
        """One method under settings of recall."""
        under = self.bench.with_recall(recall)
        lists = lists_of(under.lists(method), self.k, self.users, self.items)
        measured = evaluate(lists, self.known, self.wanted, len(self.items), self.k)
        return Result(method, measured, *under.cost(method))

    def followed(self) -> RecallSettings:
        """The settings as they follow train, all of them set."""
        recall = self.bench.followed()
        return type(recall).model_validate(recall.model_dump())


def evaluation(
    spark: SparkSession,
    data: Data,
    k: int,
    settings: Settings,
    folder: Path,
    started: Callable[[str], None],
    catalogue: pa.Table | None = None,
) -> Evaluation:
    """An evaluation of lists for the users of test alone.

    The arguments are those of `evaluate_methods`; catalogue: as `prepare` takes it.
    """
    everyone = ids_of(data.train["user_id"], data.test["user_id"])
    texts = [] if data.texts is None else [data.texts["item_id"]]
    texts += [] if catalogue is None else [catalogue["item_id"]]
    items = ids_of(data.train["item_id"], data.test["item_id"], *texts)
    ds, asked = last_day(data.train), ids_of(data.test["user_id"])
    train = prepare(spark, data.train, data.texts, asked, ds, settings, folder, catalogue=catalogue)
    known, wanted = coded(data.train, everyone, items), coded(data.test, everyone, items)
    return Evaluation(Bench(train, folder, started), known, wanted, everyone, items, k)


def lists_of(rows: DataFrame, k: int, user_ids: pa.Array, item_ids: pa.Array) -> Lists:
    """The first k ranks of user_id, item_id string, rank int, as codes."""
    return coded_lists(rows.where(F.col("rank") <= k).toArrow(), user_ids, item_ids)


def coded_lists(found: pa.Table, user_ids: pa.Array, item_ids: pa.Array) -> Lists:
    """user_id, item_id string, rank int, as codes."""
    return Lists(
        user=codes_of(found["user_id"], user_ids),
        item=codes_of(found["item_id"], item_ids),
        rank=found["rank"].to_numpy().astype(np.int64),
    )


def ids_of(*columns: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The distinct ids of all columns, ascending."""
    chunks = [chunk for column in columns for chunk in pa.chunked_array(column).chunks]
    distinct = pa.chunked_array(chunks, pa.string()).unique()
    return distinct.take(pc.array_sort_indices(distinct))


def _some(ids: pa.Array) -> str:
    return ", ".join(repr(id) for id in ids.take(pc.array_sort_indices(ids)[:2]).to_pylist())


AMONG_TRAIN = (
    "Most of the held-out events lie among those of train, so times tell nothing of them: all "
    "events count as of one time."
)


def overlap_told(overlap: Mapping[str, int]) -> str:
    """`Data.overlap` in a sentence."""
    users, known_users, items, known_items = overlap.values()
    return (
        f"test: {users:,} users, of whom train knows {known_users:,}; {items:,} items, of which "
        f"train knows {known_items:,}"
    )


def _pairs(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["user_id"], rows["item_id"], "\x1f")


def coded(rows: pa.Table, user_ids: pa.Array, item_ids: pa.Array) -> Pairs:
    """The distinct pairs of the rows, as codes."""
    distinct = rows.select(["user_id", "item_id"]).group_by(["user_id", "item_id"]).aggregate([])
    return Pairs(codes_of(distinct["user_id"], user_ids), codes_of(distinct["item_id"], item_ids))
