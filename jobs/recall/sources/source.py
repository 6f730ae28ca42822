"""What a source of candidates is: an I2I method or a recall channel."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jobs.lake.step import Read, Search
from jobs.recall.settings.fields import Section

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.lake.step import Run


# What the settings of every source follow where nobody has set them.
FACTS = Read("gold.data_report_daily")


class Family(StrEnum):
    """The kind of data that a source goes by.

    behavior: which users take an item. order: which items they take one after another. content: the
    meaning of a text. language_model: answers of an LLM. popularity: the number of an item's users.
    fallback: the one channel that fills every list.
    """

    behavior = "behavior"
    order = "order"
    content = "content"
    language_model = "language_model"
    popularity = "popularity"
    fallback = "fallback"


class Need(StrEnum):
    """What the data must have before a source can propose anything.

    times: more than one time. repeats: users who take an item again. The other needs are inputs of
    their own: texts and tags of items, texts and attributes of users.
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

    fields: of the section. grid: tuples of values, one value for each field. section: by default
    the source's own. needs: in addition to the needs of the source.
    """

    name: str
    fields: tuple[str, ...]
    grid: tuple[tuple[Any, ...], ...]
    section: str = ""
    needs: frozenset[Need] = frozenset()


@dataclass(frozen=True)
class Source:
    """One I2I method or recall channel.

    summary: what the source goes by, for the glossary. model: its settings, the section `section`
    of `RecallSettings`. function: `module:function`, called as `function(run, **reads)`; it returns
    the columns of the candidates' contract without `ds` and the slice. also: other sections of the
    environment that it reads. reads: as in `jobs.lake.table`. reason: what a row of this source
    says to a reader. A method's reason may hold `{users}` (how many stand behind the pair),
    `{title}` and `{category}` of the neighbor; a channel's reason may hold `{because}` (the title
    of the history's item) and `{popular}`. Sources with the same reason say it once. needs: what
    data must have. grid: what tuning tries. in_tasks: whether its module has Python functions that
    run in Spark's tasks.
    """

    name: str
    family: Family
    summary: str
    model: type[Section]
    function: str
    reads: Mapping[str, Read | Search]
    reason: str
    section: str = ""
    also: tuple[str, ...] = ()
    needs: frozenset[Need] = frozenset()
    grid: tuple[Choice, ...] = ()
    in_tasks: bool = False

    def __post_init__(self) -> None:
        """Give the section the source's name if it has none."""
        object.__setattr__(self, "section", self.section or self.name)

    @property
    def settings(self) -> tuple[str, ...]:
        """All sections that its function reads, its own first."""
        return (self.section, *self.also)

    @property
    def module(self) -> str:
        """The module of its algorithm."""
        return self.function.partition(":")[0]

    def candidates(self, run: Run, **inputs: Any) -> DataFrame:
        """The source's own lists. Imports its function and calls it."""
        module, _, name = self.function.partition(":")
        rows: DataFrame = getattr(importlib.import_module(module), name)(run, **inputs)
        return rows


def choice(
    name: str, fields: str, *grid: Any, section: str = "", needs: frozenset[Need] = frozenset()
) -> Choice:
    """A choice from field names, separated by spaces, and values or tuples of values."""
    rows = tuple(entry if isinstance(entry, tuple) else (entry,) for entry in grid)
    return Choice(name, tuple(fields.split()), rows, section, needs)
