"""The methods that can be measured on a test set: the steps of the daily run.

Each step runs once, on what the steps before it wrote, as in the daily run. The texts near a text,
which the daily run gets from Milvus, are found here by comparing with all texts. Which sources can
be evaluated follows from their entries (`jobs.recall.sources`) and from the data.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from jobs.evaluation.memory import PeakMemory
from jobs.judging.published import together
from jobs.lake import Read, Run, Search
from jobs.lake.errors import Terminal
from jobs.lake.file_bounds import Bounds
from jobs.lake.scratch import Scratch
from jobs.lake.settings import Sections
from jobs.lake.step import Step, find_step, sections_read, steps, view_of
from jobs.recall.facts import Facts
from jobs.recall.kernels.text_search import search_among_all
from jobs.recall.measuring import facts_of
from jobs.recall.sources.channels import CHANNELS
from jobs.recall.sources.methods import METHODS
from jobs.recall.sources.source import Need
from jobs.settings import RecallSettings, RunParams, Settings
from jobs.vectors.hits import TextSearch

INTERACTED = "silver.interactions"
NEIGHBORS, I2I = "silver.i2i_candidates", "gold.i2i_daily"
CANDIDATES, USER_LISTS = "silver.user_candidates", "gold.user_recall_daily"
BY_HISTORY = f"{CANDIDATES}.i2i"
# All that can be evaluated: the fused lists, each method's own by the history of users, channels.
NAMES = tuple(dict.fromkeys(["default", "i2i", *(s.name for s in (*METHODS, *CHANNELS))]))
_SOURCES = {source.name: source for source in (*METHODS, *CHANNELS)}
# How to give the data what a source needs.
_GIVEN_BY = {
    Need.texts: "the texts of the items; name them with --items",
    Need.tags: "what an LLM said of the items: a column tags, a list of strings, in the file of "
    "--items",
    Need.user_texts: "texts of users, which files to evaluate on do not have",
    Need.user_attributes: "attributes of users, which files to evaluate on do not have",
}


class UnknownMethod(Terminal):
    """A method that does not exist, or that needs what the data does not have."""


def methods_for(known: Collection[str]) -> list[str]:
    """All methods that can be evaluated. known: as `Data.known`."""
    return [name for name in NAMES if not _lacks(name, known)]


def check_methods(methods: Sequence[str], known: Collection[str]) -> None:
    """Raises UnknownMethod for a method that cannot be evaluated. known: as `Data.known`."""
    for method in methods:
        if method not in NAMES:
            raise UnknownMethod(f"{method}: no such method; one of {', '.join(NAMES)}")
        for need in _lacks(method, known):
            raise UnknownMethod(f"{method}: needs {_GIVEN_BY[need]}")


def _lacks(name: str, known: Collection[str]) -> list[Need]:
    """The needs of a source that the data does not meet."""
    source = _SOURCES.get(name)
    needs = source.needs if source else frozenset()
    return sorted(need for need in needs if need in _GIVEN_BY and need not in known)


@dataclass(frozen=True)
class Train:
    """The train part, as the tables and the search that the daily run reads.

    tables: by the name of the table, as of the last day. search: over the texts of the items.
    known: the needs (`jobs.recall.sources.Need`) that the data meets. bounds: of the columns of the
    interactions.
    """

    ds: date
    settings: Settings
    tables: Mapping[str, DataFrame]
    search: TextSearch
    known: frozenset[str]
    bounds: Bounds

    def seen(self, read: Read) -> DataFrame:
        """A table through its view."""
        rows, view = self.tables[read.table], view_of(read)
        if view is None or read.table != INTERACTED:
            return rows
        return view.function(rows, self.ds, Sections(self.settings, view.settings), self.bounds)


# Texts to L2-normalised rows, float32.
EncodeTexts = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class _Task:
    """A step of the lake to be run here. own: a table that it reads from another task than usual:
    one method's lists instead of the fused lists."""

    step: Step
    own: tuple[str, _Task] | None = None

    @property
    def name(self) -> str:
        return f"{self.step.task_id} of {self.own[1].step.slice}" if self.own else self.step.task_id


def _task_of(method: str) -> _Task:
    """The task whose rows are the lists of a method."""
    if method == "default":
        return _Task(find_step(USER_LISTS))
    if method in {source.name for source in METHODS}:
        own = I2I, _Task(find_step(NEIGHBORS, method))
        return _Task(find_step(CANDIDATES, "i2i"), own)
    return _Task(find_step(CANDIDATES, method))


@dataclass(frozen=True)
class Bench:
    """Runs steps on one train part, each once for the settings that it and its inputs read.

    folder: shared with the executors. started: called with the name of each step that begins.
    """

    train: Train
    folder: Path
    started: Callable[[str], None] = lambda step: None
    _facts: list[tuple[Facts, Mapping[str, str]]] = field(default_factory=list)
    _seconds: dict[str, float] = field(default_factory=dict)
    _gigabytes: dict[str, float] = field(default_factory=dict)

    def with_recall(self, recall: RecallSettings) -> Bench:
        """The same bench under other settings; steps that they do not change do not run again."""
        settings = self.train.settings.model_copy(update={"recall": recall})
        return replace(self, train=replace(self.train, settings=settings))

    def lists(self, method: str) -> DataFrame:
        """user_id, rank, item_id: every user's list by one method."""
        return self._made(_task_of(method)).select("user_id", "rank", "item_id")

    def rows(self, table: str) -> DataFrame:
        """The rows of a table of the daily run that is not made in slices."""
        return self._made(_Task(find_step(table)))

    def cost(self, method: str) -> tuple[float, float]:
        """Seconds of all steps that a method needed, and the peak memory of the largest, in GiB."""
        keys = {self._key(task) for task in self._with_needs(_task_of(method))}
        return sum(self._seconds[key] for key in keys), max(self._gigabytes[key] for key in keys)

    def followed(self) -> RecallSettings:
        """The settings of recall, in which those that nobody has set follow the train part."""
        return self._following().recall

    def facts(self) -> tuple[Facts, Mapping[str, str]]:
        """The facts of the train part, and what else is to be said of some of them."""
        if not self._facts:
            self.started("gold.data_report_daily")
            folder = self.folder / "facts"
            folder.mkdir()
            log, items = (self.train.seen(Read(name)) for name in (INTERACTED, "silver.items"))
            self._facts.append(facts_of(log, items, Scratch(folder)))
        return self._facts[0]

    def _following(self) -> Settings:
        return self.train.settings.following(asdict(self.facts()[0]))

    def _settings(self, step: Step) -> Settings:
        """The settings of a step, as its daily run would have them."""
        return self._following() if step.follows else self.train.settings

    def _key(self, task: _Task) -> str:
        """The name of a task's rows; settings that give the same rows give the same name."""
        section = self._settings(task.step).section
        read = [section(name).model_dump_json() for name in sections_read(task.step)]
        needs = [self._key(need) for _, of_table in self._needs(task) for need in of_table]
        digest = hashlib.sha256(json.dumps([read, needs]).encode()).hexdigest()
        return f"{task.name.replace(' ', '-')}-{digest[:16]}"

    def _made(self, task: _Task) -> DataFrame:
        key = self._key(task)
        path = str(self.folder / key)
        spark = self.train.tables[INTERACTED].sparkSession
        if key not in self._seconds:
            inputs = self._inputs(task)
            self.started(task.name)
            start = time.perf_counter()
            run = Run(
                ds=self.train.ds,
                known_on=self.train.ds,
                watermark=None,
                params=RunParams(),
                settings=Sections(self._settings(task.step), task.step.settings),
                run_id="evaluate",
                scratch=Scratch(self.folder / "scratch"),
            )
            with PeakMemory() as memory:
                task.step.function(run, **inputs).write.parquet(path)
            self._seconds[key] = time.perf_counter() - start
            self._gigabytes[key] = memory.gigabytes
        return spark.read.parquet(path)

    def _inputs(self, task: _Task) -> dict[str, Any]:
        made = {table: self._union(table, tasks) for table, tasks in self._needs(task)}
        inputs: dict[str, Any] = {}
        for argument, read in task.step.reads.items():
            if isinstance(read, Search):
                inputs[argument] = self.train.search
            elif isinstance(read, Read):
                found = made.get(read.table)
                inputs[argument] = self.train.seen(read) if found is None else found
        return inputs

    def _union(self, table: str, tasks: Sequence[_Task]) -> DataFrame:
        """The rows of all slices of a table, or of the one task that makes it."""
        if not tasks:
            raise UnknownMethod(
                "i2i: no method that has a weight can be evaluated on this data"
                if table == NEIGHBORS
                else f"{table}: none of its slices can be made of this data"
            )
        if not tasks[0].step.slice or tasks[0].step.name != table:
            return self._made(tasks[0])
        slices = {task.step.slice: self._made(task) for task in tasks}
        return together(slices, tasks[0].step.slice_column)

    def _needs(self, task: _Task) -> list[tuple[str, list[_Task]]]:
        """The tables that a task reads and that are made here, with the tasks that make each: of a
        table in slices those with a weight, as in the daily run, that the data can give."""
        found = []
        for read in task.step.reads.values():
            if not isinstance(read, Read) or read.table in self.train.tables:
                continue
            if task.own is not None and read.table == task.own[0]:
                found.append((read.table, [task.own[1]]))
                continue
            makers = [step for step in steps().values() if step.name == read.table]
            if makers[0].slice:
                built = self.train.settings.slices(makers[0].slice_column)
                makers = [
                    step
                    for step in makers
                    if step.slice in built and not _lacks(step.slice, self.train.known)
                ]
            found.append((read.table, [_Task(step) for step in makers]))
        return found

    def _with_needs(self, task: _Task) -> list[_Task]:
        needs = [need for _, tasks in self._needs(task) for need in tasks]
        return [task, *(each for need in needs for each in self._with_needs(need))]


def prepare(
    spark: SparkSession,
    interactions: pa.Table,
    texts: pa.Table | None,
    users: pa.Array,
    ds: date,
    settings: Settings,
    folder: Path,
    encode: EncodeTexts | None = None,
    catalogue: pa.Table | None = None,
) -> Train:
    """Write the tables that the methods read, and encode the texts.

    interactions, texts: as `jobs.evaluation.data` reads them. users: ids of those who get a list.
    ds: the last day of train. folder: shared with the executors. encode: the settings' encoder
    without one. catalogue: in the columns of CATALOGUE; without one, all items can be sold, and
    their texts are their titles.
    """

    def stored(name: str, table: pa.Table) -> DataFrame:
        path = folder / f"{name}.parquet"
        pq.write_table(table, path)
        return spark.read.parquet(str(path))

    texts = pa.table({"item_id": [], "text": []}, _TEXTS) if texts is None else texts
    if catalogue is None:
        catalogue = _catalogue_of(interactions, texts)
    attributes = pa.nulls(len(users), pa.map_(pa.string(), pa.string()))
    of_users = stored("users", pa.table({"user_id": users, "attributes": attributes}))
    item_texts, vectors, search = _encoded(texts, settings, encode)
    tagged = "tags" in texts.column_names
    tags = texts["tags"] if tagged else pa.nulls(texts.num_rows, pa.list_(pa.string()))
    known = {Need.texts: bool(texts.num_rows), Need.tags: tagged}
    stored_items = stored("items", catalogue.cast(CATALOGUE))
    return Train(
        ds=ds,
        settings=settings,
        tables={
            INTERACTED: stored("interactions", interactions),
            "silver.items": stored_items,
            "silver.users": of_users,
            "silver.user_profiles": of_users,
            "silver.item_texts": stored("item_texts", item_texts),
            "silver.item_embeddings": stored("item_embeddings", vectors),
            "silver.item_enrichments": stored("item_enrichments", _answers(texts, tags)),
            # No budget asks for these, so they are not looked at.
            "silver.item_companions": stored_items.limit(0),
            "silver.pair_reasons": stored_items.limit(0),
        },
        search=search,
        known=frozenset(need for need, is_known in known.items() if is_known),
        bounds=lambda column: tuple(pc.min_max(interactions[column]).as_py().values()),
    )


CATALOGUE = pa.schema(
    [
        pa.field("item_id", pa.string()),
        pa.field("title", pa.string()),
        pa.field("category", pa.string()),
        pa.field("valid_from", pa.date32()),
        pa.field("is_sellable", pa.bool_()),
    ]
)
_TEXTS = pa.schema([pa.field("item_id", pa.string()), pa.field("text", pa.string())])
# Stand for the prompt and the model that said the tags of the data.
_PROMPT_VERSION = _MODEL = "given"


def _catalogue_of(interactions: pa.Table, texts: pa.Table) -> pa.Table:
    """All items of the interactions and the texts, in the columns of CATALOGUE."""
    titles = dict(zip(texts["item_id"].to_pylist(), texts["text"].to_pylist(), strict=True))
    ids = sorted({*interactions["item_id"].unique().to_pylist(), *titles})
    columns = [
        pa.array(ids, pa.string()),
        pa.array([titles.get(item) for item in ids], pa.string()),
        pa.nulls(len(ids), pa.string()),
        pa.nulls(len(ids), pa.date32()),
        pa.repeat(pa.scalar(True), len(ids)),
    ]
    return pa.table(columns, schema=CATALOGUE)


def _answers(texts: pa.Table, tags: pa.ChunkedArray | pa.Array) -> pa.Table:
    """silver.item_enrichments as far as it is read: each item is a content of its own."""
    rows = texts.num_rows
    strings, nothing = pa.list_(pa.string()), pa.nulls
    return pa.table(
        {
            "content_hash": texts["item_id"],
            "prompt_version": pa.repeat(_PROMPT_VERSION, rows),
            "model": pa.repeat(_MODEL, rows),
            "standard_name": nothing(rows, pa.string()),
            "keywords": tags,
            "attributes": nothing(rows, pa.map_(pa.string(), pa.string())),
            "occasions": nothing(rows, strings),
        }
    )


def _encoded(
    texts: pa.Table, settings: Settings, encode: EncodeTexts | None
) -> tuple[pa.Table, pa.Table, TextSearch]:
    """silver.item_texts, silver.item_embeddings, and a search that answers one item a text."""
    name = ""
    if texts.num_rows:
        from jobs.vectors.encoder import Encoder  # brings torch

        encoder = Encoder.of(settings)
        encode, name = encode or encoder.encode, encoder.name
    rows = texts.sort_by("item_id")
    item_ids, of_items = rows["item_id"].to_pylist(), rows["text"].to_pylist()
    distinct = sorted(set(of_items))
    matrix = encode(distinct) if encode and distinct else np.empty((0, 0), np.float32)
    place = {text: number for number, text in enumerate(distinct)}
    first = {text: item for item, text in reversed(list(zip(item_ids, of_items, strict=True)))}
    ids = pa.array(item_ids, pa.string())
    hashes = pa.array([f"{place[text]:012d}" for text in of_items], pa.string())
    item_texts = {
        "item_id": ids,
        "text_hash": hashes,
        "content_hash": ids,
        "prompt_version": pa.repeat(_PROMPT_VERSION, len(ids)),
        "model": pa.repeat(_MODEL, len(ids)),
    }
    vectors = {
        "item_id": ids,
        "text_hash": hashes,
        "encoder": pa.repeat(name, len(ids)),
        "embedding": pa.array([matrix[place[text]] for text in of_items], pa.list_(pa.float32())),
    }
    search = search_among_all([first[text] for text in distinct], matrix)
    return pa.table(item_texts), pa.table(vectors), search
