"""Why a row is recommended, in words: the phrases of its sources, in the order of
`jobs.recall.sources`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from string import Formatter

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.recall.fusion.fill import FILL_METHOD
from jobs.recall.sources.channels import CHANNELS
from jobs.recall.sources.methods import METHODS
from jobs.recall.sources.source import Source


def neighbor_reason(scores: Column, support: Column, title: Column, category: Column) -> Column:
    """Why a neighbor is listed: a phrase for each method that found it, or the phrase of a filler.

    scores: map<string,double> by method. support: users behind the pair. title, category: the
    neighbor's.
    """
    values = {
        "users": _users(support),
        "title": F.coalesce(title, F.lit("untitled")),
        "category": F.coalesce(category, F.lit("the shop")),
    }
    popular = F.when(
        F.map_contains_key(scores, FILL_METHOD),
        F.concat(F.lit("popular in "), values["category"]),
    )
    return F.concat_ws("; ", *_phrases(METHODS, scores, values), popular)


def user_reason(scores: Column, because_title: Column, users_count: Column) -> Column:
    """Why an item is recalled: a phrase for each channel that found it.

    scores: map<string,double> by channel. because_title: title of the because item. users_count:
    users of the item lately.
    """
    popular = F.when(
        users_count > 0,
        F.concat(F.lit("popular with "), _users(users_count), F.lit(" lately")),
    ).otherwise(F.lit("popular"))
    values = {"because": F.coalesce(because_title, F.lit("recent items")), "popular": popular}
    return F.concat_ws("; ", *_phrases(CHANNELS, scores, values))


def _phrases(
    sources: Sequence[Source], scores: Column, values: Mapping[str, Column]
) -> list[Column]:
    """A column for each distinct phrase, null where none of the phrase's sources has a score."""
    by_reason: dict[str, list[str]] = {}
    for source in sources:
        by_reason.setdefault(source.reason, []).append(source.name)
    return [
        F.when(_any_of(names, scores), filled(reason, values))
        for reason, names in by_reason.items()
    ]


def _any_of(names: Iterable[str], scores: Column) -> Column:
    return reduce(or_, (F.map_contains_key(scores, name) for name in names))


def filled(reason: str, values: Mapping[str, Column]) -> Column:
    """The phrase with a column in place of each `{name}`; null where one of the columns is null.

    Raises KeyError for a name without a value.
    """
    parts = [values[name] if name else F.lit(text) for text, name in _split(reason) if name or text]
    return parts[0] if len(parts) == 1 else F.concat(*parts)


def _split(reason: str) -> list[tuple[str, str]]:
    """(text, name) of each part of a phrase, one of the two empty."""
    found: list[tuple[str, str]] = []
    for text, name, _, _ in Formatter().parse(reason):
        found += [(text, ""), ("", name or "")]
    return found


def _users(count: Column) -> Column:
    noun = F.when(count == 1, F.lit(" user")).otherwise(F.lit(" users"))
    return F.concat(count.cast("string"), noun)
