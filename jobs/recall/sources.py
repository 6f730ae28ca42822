"""The sources of candidates: one entry an I2I method or recall channel.

Names, slices, weights, preloading, reasons, evaluation and tuning derive from these entries; only
the edges of the DAG are drawn by hand. docs/adding-a-method.md adds one step by step. DAG files
import this module when they are parsed, so it imports neither Spark nor an algorithm.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING, Any

from jobs.lake.step import Read, Search

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.lake.step import Run


class Family(StrEnum):
    """What a source goes by.

    behavior: which users take what. order: what they take after what. content: what a text means.
    language_model: what an LLM said. popularity: what many users take. fallback: the one channel
    that fills every list.
    """

    behavior = "behavior"
    order = "order"
    content = "content"
    language_model = "language_model"
    popularity = "popularity"
    fallback = "fallback"


class Need(StrEnum):
    """What data must have before a source has anything to say.

    times: more than one time. repeats: users who take an item again. The others are inputs of their
    own: texts and tags of items, texts and attributes of users.
    """

    times = "times"
    repeats = "repeats"
    texts = "texts"
    tags = "tags"
    user_texts = "texts of users"
    user_attributes = "attributes of users"


@dataclass(frozen=True)
class Choice:
    """Values that tuning tries for some fields of one section, all at once.

    fields: of the section. grid: one tuple of values for the fields each. section: the source's own
    unless another is named. needs: beside the needs of the source.
    """

    name: str
    fields: tuple[str, ...]
    grid: tuple[tuple[Any, ...], ...]
    section: str = ""
    needs: frozenset[Need] = frozenset()


@dataclass(frozen=True)
class Source:
    """One I2I method or recall channel.

    function: `module:function`, called as `function(run, **reads)`; it returns the columns of the
    candidates' contract without `ds` and the slice. settings: sections of RecallSettings and of the
    environment that it reads, its own first. reads: as of `jobs.lake.table`. reason: what a row of
    this source says to a reader. Filled in are, of a method, `{users}` (how many stand behind it),
    `{title}` and `{category}` of the neighbor; of a channel, `{because}` (the title of the item of
    the history) and `{popular}`. Sources of one reason say it once. needs: what data must have.
    grid: what tuning tries. in_tasks: whether its module has Python functions that run in Spark's
    tasks.
    """

    name: str
    family: Family
    function: str
    settings: tuple[str, ...]
    reads: Mapping[str, Read | Search]
    reason: str
    needs: frozenset[Need] = frozenset()
    grid: tuple[Choice, ...] = ()
    in_tasks: bool = False

    @property
    def section(self) -> str:
        """The section of RecallSettings that is its own."""
        return self.settings[0]

    @property
    def module(self) -> str:
        """The module of its algorithm."""
        return self.function.partition(":")[0]

    def candidates(self, run: Run, **inputs: Any) -> DataFrame:
        """Its own lists, made by its function, which is imported here."""
        module, _, name = self.function.partition(":")
        rows: DataFrame = getattr(importlib.import_module(module), name)(run, **inputs)
        return rows


_TIMED = frozenset({Need.times})
_INTERACTIONS = Read("silver.interactions")
_ITEMS = Read("silver.items")
_USERS = Read("silver.users")
_PROFILES = Read("silver.user_profiles")
_ITEM_TEXTS = Read("silver.item_texts")
_ITEM_EMBEDDINGS = Read("silver.item_embeddings")
_USER_TEXTS = Read("silver.user_texts")
_ITEM_SEARCH = Search("milvus.items")
_BY_BEHAVIOR = {"interactions": _INTERACTIONS, "items": _ITEMS}
_OF_USERS = {"interactions": _INTERACTIONS, "items": _ITEMS, "profiles": _PROFILES}
_LISTED = {
    "interactions": _INTERACTIONS,
    "listed": Read("gold.popular_items_daily"),
    "users": _USERS,
    "profiles": _PROFILES,
}
_TOGETHER = "chosen together by {users}"


def _choice(
    name: str, fields: str, *grid: Any, section: str = "", needs: frozenset[Need] = frozenset()
) -> Choice:
    """A choice from field names with spaces between, and values or tuples of values."""
    rows = tuple(entry if isinstance(entry, tuple) else (entry,) for entry in grid)
    return Choice(name, tuple(fields.split()), rows, section, needs)


_SUPPORT = _choice("support", "min_support shrinkage", (1, 0.0), (2, 0.0), (2, 2.0), (3, 2.0))
_DEGREES = _choice(
    "item exponents",
    "item_exponent neighbor_exponent",
    (0.5, 0.5),
    (0.6, 0.4),
    (0.75, 0.25),
    (0.9, 0.1),
)
_HALF_LIFE = _choice("half-life", "half_life_days", 15.0, 30.0, 90.0, 365.0, 3650.0, needs=_TIMED)

METHODS = (
    Source(
        "cooccurrence",
        Family.behavior,
        "jobs.recall.methods.cooccurrence:candidates",
        ("cooccurrence",),
        _BY_BEHAVIOR,
        _TOGETHER,
        grid=(
            # What the channel i2i does with a history is chosen by the cheapest method's lists.
            _choice(
                "position decay",
                "position_decay",
                *(1.0, 0.95, 0.9, 0.8, 0.7, 0.5),
                section="item_history",
                needs=_TIMED,
            ),
            _choice(
                "history half-life",
                "half_life_days",
                *(30.0, 90.0, 365.0, 3650.0),
                section="item_history",
                needs=_TIMED,
            ),
            _choice(
                "history length",
                "history_length",
                *(20, 50, 200),
                section="item_history",
                needs=_TIMED,
            ),
            _SUPPORT,
            _DEGREES,
            _choice("user exponent", "user_exponent", 0.25, 0.5, 0.75, 1.0),
            _HALF_LIFE,
        ),
        in_tasks=True,
    ),
    Source(
        "session",
        Family.behavior,
        "jobs.recall.methods.session:candidates",
        ("session",),
        _BY_BEHAVIOR,
        _TOGETHER,
        needs=_TIMED,
        grid=(
            _SUPPORT,
            _DEGREES,
            _choice("session exponent", "session_exponent", 0.25, 0.5, 0.75, 1.0),
            _HALF_LIFE,
        ),
    ),
    Source(
        "slim",
        Family.behavior,
        "jobs.recall.methods.slim:candidates",
        ("slim",),
        _BY_BEHAVIOR,
        _TOGETHER,
        grid=(
            _choice(
                "penalty and support",
                "penalty min_support",
                *product((15.0, 30.0, 60.0, 120.0), (1, 2)),
            ),
            _choice("user exponent", "user_exponent", 0.0, 0.25, 0.5),
            _choice("candidates", "candidates", 100, 200),
            _HALF_LIFE,
        ),
        in_tasks=True,
    ),
    Source(
        "swing",
        Family.behavior,
        "jobs.recall.methods.swing:candidates",
        ("swing",),
        _BY_BEHAVIOR,
        _TOGETHER,
        grid=(
            _choice("alpha", "alpha", 0.1, 1.0, 10.0),
            _choice(
                "item exponents",
                "item_exponent neighbor_exponent",
                (1.0, 0.25),
                (1.5, 0.4),
                (2.0, 0.5),
            ),
            _choice("user exponent", "user_exponent", 0.25, 0.5, 0.75),
            _HALF_LIFE,
        ),
        in_tasks=True,
    ),
    Source(
        "transition",
        Family.order,
        "jobs.recall.methods.transition:candidates",
        ("transition",),
        _BY_BEHAVIOR,
        "users took it soon after",
        needs=_TIMED,
        grid=(
            _choice("window and decay", "window position_decay", (1, 1.0), (3, 0.7), (10, 0.7)),
            _SUPPORT,
            _DEGREES,
        ),
    ),
    Source(
        "content",
        Family.content,
        "jobs.recall.methods.content:candidates",
        ("content", "encoder"),
        {
            "items": _ITEMS,
            "texts": _ITEM_TEXTS,
            "embeddings": _ITEM_EMBEDDINGS,
            "search": _ITEM_SEARCH,
        },
        "similar product: {title}",
        needs=frozenset({Need.texts}),
    ),
    Source(
        "augmented",
        Family.language_model,
        "jobs.recall.methods.augmented:candidates",
        ("augmented", "encoder", "llm"),
        {
            "interactions": _INTERACTIONS,
            "items": _ITEMS,
            "texts": _ITEM_TEXTS,
            "embeddings": _ITEM_EMBEDDINGS,
            "enrichments": Read("silver.item_enrichments"),
            "companions": Read("silver.item_companions"),
            "search": _ITEM_SEARCH,
        },
        "put together by a language model",
        needs=frozenset({Need.tags}),
        grid=(_choice("most users", "max_users", 5, 20, 100),),
    ),
)

# In the order in which their reasons stand in a row's reason.
CHANNELS = (
    Source(
        "repurchase",
        Family.behavior,
        "jobs.recall.channels.repurchase:candidates",
        ("repurchase",),
        _OF_USERS,
        "you took it before",
        needs=frozenset({Need.times, Need.repeats}),
        grid=(
            _choice("due exponent", "due_exponent", 0.0, 0.5, 1.0),
            _choice("half-life", "half_life_days", 30.0, 90.0, 180.0, 365.0),
        ),
    ),
    Source(
        "i2i",
        Family.behavior,
        "jobs.recall.channels.i2i:candidates",
        ("item_history",),
        {**_OF_USERS, "neighbors": Read("gold.i2i_daily")},
        "goes with your {because}",
        in_tasks=True,
    ),
    Source(
        "similar_users",
        Family.behavior,
        "jobs.recall.channels.similar_users:candidates",
        ("similar_users",),
        _OF_USERS,
        "users with a taste like yours took it",
        grid=(
            _choice("user exponent", "user_exponent", 0.3, 0.5, 0.7),
            _choice("users", "users", 150, 500, 1000),
            _HALF_LIFE,
        ),
        in_tasks=True,
    ),
    Source(
        "newcomer",
        Family.popularity,
        "jobs.recall.channels.newcomer:candidates",
        ("newcomer",),
        {**_OF_USERS, "users": _USERS},
        "users like you take it more than others do",
        needs=frozenset({Need.user_attributes}),
    ),
    Source(
        "q2i",
        Family.language_model,
        "jobs.recall.channels.q2i:candidates",
        ("q2i", "encoder"),
        {
            "interactions": _INTERACTIONS,
            "items": _ITEMS,
            "item_texts": _ITEM_TEXTS,
            "user_texts": _USER_TEXTS,
            "user_enrichments": Read("silver.user_enrichments"),
            "search": _ITEM_SEARCH,
        },
        "fits what you may search for",
        needs=frozenset({Need.user_texts}),
    ),
    Source(
        "product_names",
        Family.language_model,
        "jobs.recall.channels.product_names:candidates",
        ("product_names", "encoder"),
        {
            "interactions": _INTERACTIONS,
            "items": _ITEMS,
            "item_texts": _ITEM_TEXTS,
            "item_embeddings": _ITEM_EMBEDDINGS,
            "item_enrichments": Read("silver.item_enrichments"),
            "user_texts": _USER_TEXTS,
            "user_enrichments": Read("silver.user_enrichments"),
        },
        "may be what you buy next",
        needs=frozenset({Need.user_texts}),
        in_tasks=True,
    ),
    Source(
        "vector",
        Family.content,
        "jobs.recall.channels.vector:candidates",
        ("vector", "content", "encoder"),
        {
            "interactions": _INTERACTIONS,
            "items": _ITEMS,
            "item_texts": _ITEM_TEXTS,
            "item_embeddings": _ITEM_EMBEDDINGS,
            "user_texts": _USER_TEXTS,
            "user_embeddings": Read("silver.user_embeddings"),
            "search": _ITEM_SEARCH,
        },
        "fits your interests",
        needs=frozenset({Need.user_texts}),
    ),
    Source(
        "trending",
        Family.popularity,
        "jobs.recall.channels.trending:candidates",
        ("trending", "popular"),
        _LISTED,
        "taken more than usual lately",
        needs=_TIMED,
        grid=(_choice("short half-life", "short_half_life_days", 1.0, 3.0, 7.0),),
    ),
    Source(
        "new",
        Family.popularity,
        "jobs.recall.channels.new:candidates",
        ("new", "popular"),
        _LISTED,
        "new in the shop",
        needs=_TIMED,
        grid=(_choice("window", "window_days", 14, 28, 56),),
    ),
    Source(
        "seasonal",
        Family.popularity,
        "jobs.recall.channels.seasonal:candidates",
        ("seasonal", "popular"),
        _LISTED,
        "in season",
        needs=_TIMED,
        grid=(_choice("window", "window_days", 7, 14, 28),),
    ),
    Source(
        "popular",
        Family.fallback,
        "jobs.recall.channels.popular:candidates",
        ("popular", "user"),
        _LISTED,
        "{popular}",
    ),
)

METHOD_NAMES = tuple(source.name for source in METHODS)
CHANNEL_NAMES = tuple(source.name for source in CHANNELS)
BEHAVIOR_METHODS = tuple(s.name for s in METHODS if s.family is Family.behavior)
# The channel that fills whatever the others leave open, so that every list is full.
(FILL_CHANNEL,) = (s.name for s in CHANNELS if s.family is Family.fallback)
# Modules whose functions run in Spark's Python workers.
MODULES_IN_TASKS = tuple(s.module for s in (*METHODS, *CHANNELS) if s.in_tasks)
