"""The methods that can be held against a test set: the table functions of the daily run.

Each step runs once, on what the steps before it wrote, as in the daily run. What that run asks of
Milvus, the texts near a text, is found here by comparing with all; texts and attributes of users
are in no data to evaluate on, so the channels `vector`, `q2i`, `product_names` and `newcomer` are
missing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from jobs.evaluation.memory import PeakMemory
from jobs.gold.i2i_daily import i2i_daily
from jobs.gold.popular_items_daily import popular_items_daily
from jobs.gold.user_recall_daily import user_recall_daily
from jobs.judging.published import together
from jobs.lake import Run
from jobs.lake.errors import Terminal
from jobs.recall.methods.augmented import augmented_neighbors
from jobs.recall.methods.content import Search, content_neighbors, search_among_all
from jobs.recall.settings import I2I_METHODS, RecallSettings
from jobs.settings import RunParams, Settings
from jobs.silver import i2i_candidates, user_candidates

# What the data must have for a method, and how to give it.
_NEEDS = {
    "content": ("texts", "the texts of the items; name them with --items"),
    "augmented": (
        "tags",
        "what an LLM said of the items: a column tags, a list of strings, in the file of --items",
    ),
}


class UnknownMethod(Terminal):
    """A method that does not exist, or that needs what the data does not have."""


def methods_for(known: Collection[str]) -> list[str]:
    """All methods that can be evaluated. known: what the data has, as `Data.known`."""
    return [name for name in METHODS if name not in _NEEDS or _NEEDS[name][0] in known]


def check_methods(methods: Sequence[str], known: Collection[str]) -> None:
    """Raises UnknownMethod for a method that cannot be evaluated. known: as `Data.known`."""
    for method in methods:
        if method not in METHODS:
            raise UnknownMethod(f"{method}: no such method; one of {', '.join(METHODS)}")
        if method not in methods_for(known):
            raise UnknownMethod(f"{method}: needs {_NEEDS[method][1]}")


@dataclass(frozen=True)
class Train:
    """The train part, as the tables that the daily run reads.

    events: silver.interactions. items: silver.items. users: user_id, attributes: who gets a list.
    texts: item_id, text_hash string, embedding array<float>, or None where no texts are known.
    nearest: the search over `texts`. described: item_id string, tags array<string>, or None.
    """

    run: Run
    events: DataFrame
    items: DataFrame
    users: DataFrame
    texts: DataFrame | None = None
    nearest: Search | None = None
    described: DataFrame | None = None


Frames = Mapping[str, DataFrame]
# Texts to L2-normalised rows, float32.
Encode = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class _Step:
    """needs: the steps whose rows it reads. settings: what it reads of RecallSettings."""

    needs: tuple[str, ...]
    settings: tuple[str, ...]
    make: Callable[[Train, Frames], DataFrame]


def _by_history(table: str) -> _Step:
    """The lists that the history of each user brings up in a table of neighbors."""
    return _Step(
        (table,),
        ("item_history",),
        lambda t, made: user_candidates.i2i(t.run, t.events, made[table], t.items, t.users),
    )


def _content(train: Train, _: Frames) -> DataFrame:
    assert train.texts is not None
    assert train.nearest is not None
    settings = train.run.settings.recall.content
    return content_neighbors(train.texts, train.nearest, settings, train.run.scratch)


def _augmented(train: Train, _: Frames) -> DataFrame:
    assert train.described is not None
    settings = train.run.settings.recall.augmented
    return augmented_neighbors(train.described, train.items, train.events, settings)


def _i2i_daily(train: Train, made: Frames) -> DataFrame:
    if not made:
        raise UnknownMethod("i2i: no method that has a weight can be evaluated on this data")
    with_text = train.items.where("title IS NOT NULL")
    nothing_written = train.items.limit(0)  # no budget, so it is not looked at
    return i2i_daily(
        train.run, together(made, "method"), train.items, with_text, train.events, nothing_written
    )


def _user_recall(train: Train, made: Frames) -> DataFrame:
    channels = {name: made[step] for name, step in _CHANNELS.items() if step in made}
    return user_recall_daily(
        train.run,
        together(channels, "channel"),
        train.items,
        train.users,
        made["popular_items"],
        made["i2i_daily"],
    )


def _by_list(
    channel: str, recall: Callable[[Run, DataFrame, DataFrame, DataFrame, DataFrame], DataFrame]
) -> _Step:
    """One of the lists of popular items for each user."""
    return _Step(
        ("popular_items",),
        (channel, "popular", "user"),
        lambda t, made: recall(t.run, t.events, made["popular_items"], t.users, t.users),
    )


_CHANNELS = {
    "i2i": "by_i2i",
    "similar_users": "by_similar_users",
    "repurchase": "by_repurchase",
    "popular": "by_popularity",
    "trending": "by_trend",
    "new": "by_novelty",
    "seasonal": "by_season",
}
_STEPS = {
    "cooccurrence": _Step(
        (), ("cooccurrence",), lambda t, _: i2i_candidates.cooccurrence(t.run, t.events, t.items)
    ),
    "session": _Step(
        (), ("session",), lambda t, _: i2i_candidates.session(t.run, t.events, t.items)
    ),
    "slim": _Step((), ("slim",), lambda t, _: i2i_candidates.slim(t.run, t.events, t.items)),
    "swing": _Step((), ("swing",), lambda t, _: i2i_candidates.swing(t.run, t.events, t.items)),
    "transition": _Step(
        (), ("transition",), lambda t, _: i2i_candidates.transition(t.run, t.events, t.items)
    ),
    "content": _Step((), ("content",), _content),
    "augmented": _Step((), ("augmented",), _augmented),
    "i2i_daily": _Step(I2I_METHODS, ("i2i", "popular"), _i2i_daily),
    "popular_items": _Step(
        (),
        ("popular", "trending", "new", "seasonal"),
        lambda t, _: popular_items_daily(t.run, t.events, t.items, t.users),
    ),
    "by_i2i": _by_history("i2i_daily"),
    "by_cooccurrence": _by_history("cooccurrence"),
    "by_session": _by_history("session"),
    "by_slim": _by_history("slim"),
    "by_swing": _by_history("swing"),
    "by_transition": _by_history("transition"),
    "by_content": _by_history("content"),
    "by_augmented": _by_history("augmented"),
    "by_similar_users": _Step(
        (),
        ("similar_users",),
        lambda t, _: user_candidates.similar_users(t.run, t.events, t.items, t.users),
    ),
    "by_repurchase": _Step(
        (),
        ("repurchase",),
        lambda t, _: user_candidates.repurchase(t.run, t.events, t.items, t.users),
    ),
    "by_popularity": _by_list("popular", user_candidates.popular),
    "by_trend": _by_list("trending", user_candidates.trending),
    "by_novelty": _by_list("new", user_candidates.new),
    "by_season": _by_list("seasonal", user_candidates.seasonal),
    "user_recall": _Step(
        (*_CHANNELS.values(), "popular_items", "i2i_daily"), ("user",), _user_recall
    ),
}
METHODS = {
    "default": "user_recall",
    "i2i": "by_i2i",
    "cooccurrence": "by_cooccurrence",
    "session": "by_session",
    "slim": "by_slim",
    "swing": "by_swing",
    "transition": "by_transition",
    "content": "by_content",
    "augmented": "by_augmented",
    "similar_users": "by_similar_users",
    "repurchase": "by_repurchase",
    "popular": "by_popularity",
    "trending": "by_trend",
    "new": "by_novelty",
    "seasonal": "by_season",
}


@dataclass(frozen=True)
class Bench:
    """Runs steps on one train part, each once for the settings that it and its needs read.

    folder: shared with the executors.
    """

    train: Train
    folder: Path
    started: Callable[[str], None] = lambda step: None
    _seconds: dict[str, float] = field(default_factory=dict)
    _gigabytes: dict[str, float] = field(default_factory=dict)

    def with_recall(self, recall: RecallSettings) -> Bench:
        """The same bench under other settings; what they do not change is not made again."""
        settings = self.train.run.settings.model_copy(update={"recall": recall})
        run = replace(self.train.run, settings=settings)
        return replace(self, train=replace(self.train, run=run))

    def lists(self, method: str) -> DataFrame:
        """user_id, rank, item_id: every user's list by one method."""
        return self._made(METHODS[method]).select("user_id", "rank", "item_id")

    def cost(self, method: str) -> tuple[float, float]:
        """Seconds of all steps that a method needed, and the peak memory of the largest, in GiB."""
        steps = self._with_needs(METHODS[method])
        keys = [self._key(step) for step in steps]
        return sum(self._seconds[key] for key in keys), max(self._gigabytes[key] for key in keys)

    def _key(self, name: str) -> str:
        """The name of a step's rows: the same for settings under which they are the same."""
        recall = self.train.run.settings.recall
        read = [getattr(recall, field).model_dump_json() for field in _STEPS[name].settings]
        needs = [self._key(need) for need in self._needs(name)]
        return f"{name}-{hashlib.sha256(json.dumps([read, needs]).encode()).hexdigest()[:16]}"

    def _made(self, name: str) -> DataFrame:
        key = self._key(name)
        path = str(self.folder / key)
        spark = self.train.events.sparkSession
        if key not in self._seconds:
            made = {need: self._made(need) for need in self._needs(name)}
            self.started(name)
            start = time.perf_counter()
            run = replace(self.train.run, scratch=str(self.folder / "scratch" / key))
            with PeakMemory() as memory:
                _STEPS[name].make(replace(self.train, run=run), made).write.parquet(path)
            self._seconds[key] = time.perf_counter() - start
            self._gigabytes[key] = memory.gigabytes
        return spark.read.parquet(path)

    def _needs(self, name: str) -> list[str]:
        """The steps that a step reads here: of a fusion those with a weight, as in the daily run,
        and nothing that the data cannot give."""
        needs: Sequence[str] = _STEPS[name].needs
        recall = self.train.run.settings.recall
        if name == "i2i_daily":
            needs = recall.i2i.built
        elif name == "user_recall":
            idle = {step for channel, step in _CHANNELS.items() if channel not in recall.user.built}
            needs = [need for need in needs if need not in idle]
        without = {"content"} if self.train.texts is None else set()
        without |= {"augmented"} if self.train.described is None else set()
        return [need for need in needs if need not in without]

    def _with_needs(self, name: str) -> set[str]:
        return {name}.union(*(self._with_needs(need) for need in self._needs(name)))


def prepare(
    spark: SparkSession,
    interactions: pa.Table,
    texts: pa.Table | None,
    users: pa.Array,
    ds: date,
    settings: Settings,
    folder: Path,
    encode: Encode | None = None,
) -> Train:
    """Write the tables that the methods read, and encode the texts.

    interactions, texts: as `jobs.evaluation.data` reads them. users: ids of those who get a list.
    ds: the last day of train. folder: shared with the executors. encode: the settings' encoder
    without one.
    """
    run = Run(
        ds=ds,
        known_on=ds,
        watermark=None,
        params=RunParams(),
        settings=settings,
        run_id="evaluate",
        scratch=str(folder),
    )

    def stored(name: str, table: pa.Table) -> DataFrame:
        path = folder / f"{name}.parquet"
        pq.write_table(table, path)
        return spark.read.parquet(str(path))

    titles = {}
    if texts is not None:
        titles = dict(zip(texts["item_id"].to_pylist(), texts["text"].to_pylist(), strict=True))
    ids = sorted({*interactions["item_id"].unique().to_pylist(), *titles})
    items = {
        "item_id": pa.array(ids, pa.string()),
        "title": pa.array([titles.get(item) for item in ids], pa.string()),
        "category": pa.nulls(len(ids), pa.string()),
        "valid_from": pa.nulls(len(ids), pa.date32()),
        "is_sellable": pa.repeat(pa.scalar(True), len(ids)),
    }
    attributes = pa.nulls(len(users), pa.map_(pa.string(), pa.string()))
    vectors, nearest = None, None
    if texts is not None:
        vectors, nearest = _encoded(texts, encode or _encoder(settings))
    described = None
    if texts is not None and "tags" in texts.column_names:
        described = stored("described", texts.select(["item_id", "tags"]))
    return Train(
        run=run,
        events=stored("events", interactions),
        items=stored("items", pa.table(items)),
        users=stored("users", pa.table({"user_id": users, "attributes": attributes})),
        texts=None if vectors is None else stored("texts", vectors),
        nearest=nearest,
        described=described,
    )


def _encoder(settings: Settings) -> Encode:
    from jobs.vectors.encoder import Encoder  # brings torch

    return Encoder.of(settings).encode


def _encoded(texts: pa.Table, encode: Encode) -> tuple[pa.Table, Search]:
    """The vector of each item's text, and a search that answers one item a text."""
    rows = texts.sort_by("item_id")
    item_ids, of_items = rows["item_id"].to_pylist(), rows["text"].to_pylist()
    distinct = sorted(set(of_items))
    matrix = encode(distinct)
    place = {text: number for number, text in enumerate(distinct)}
    first = {text: item for item, text in reversed(list(zip(item_ids, of_items, strict=True)))}

    vectors = {
        "item_id": pa.array(item_ids, pa.string()),
        "text_hash": pa.array([f"{place[text]:012d}" for text in of_items], pa.string()),
        "embedding": pa.array([matrix[place[text]] for text in of_items], pa.list_(pa.float32())),
    }
    return pa.table(vectors), search_among_all([first[text] for text in distinct], matrix)
