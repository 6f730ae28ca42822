"""Settings that follow the data: what nobody has set takes the value that facts of the log suggest.

Each rule is a function of the facts (`jobs.recall.facts`); its evidence is in
docs/decisions/0017-settings-that-follow-the-data.md. A setting that was set, to whatever value,
stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from jobs.recall.facts import Facts
from jobs.recall.settings.fields import all_weights
from jobs.recall.sources import CHANNEL_NAMES
from jobs.recall.sources.channels import CHANNELS

# `jobs.settings.RecallSettings`, which is composed of this and more.
_Recall = TypeVar("_Recall", bound=BaseModel)
# Below this share of returns, users come back for an item by mistake at most.
RETURNS = 0.02
# From this share on, much of what users take next is what they had.
HABITS = 0.1
# In days; the half-life of habits lies between.
SHORTEST_HALF_LIFE, LONGEST_HALF_LIFE = 30, 180
# Longer than any log.
NEVER = 36_500
# Of denser data more likeness is chance: SLIM's weights are held shorter, and one user counts.
DENSE = 0.01
# Users of an item, on average. Of few, a popular neighbor is the safer guess; of many, a popular
# neighbor is no news.
FEW_OF_ITEM, MANY_OF_ITEM = 8, 35
# Of fewer users, 500 are no longer those with the most similar taste.
FEW_USERS = 10_000
# Shares of the channels where users come back for items.
HABITUAL = all_weights(
    {"i2i": 0.35, "similar_users": 0.09, "repurchase": 0.5, "vector": 0.05, "popular": 0.01},
    CHANNEL_NAMES,
    "weights",
)


@dataclass(frozen=True)
class Advice:
    """Values for fields of one section, and why."""

    section: str
    fields: Mapping[str, Any]
    why: str

    def told(self) -> str:
        """As `slim.penalty 120, slim.min_support 1: users took 4.8% of all items`."""
        fields = ", ".join(f"{self.section}.{n} {_told(v)}" for n, v in self.fields.items())
        return f"{fields}: {self.why}"


def advice(facts: Facts) -> Iterator[Advice]:
    """What the facts suggest, where that differs from the settings' own defaults."""
    if facts.days > 1:
        yield from _by_returns(facts)
    if facts.density >= DENSE:
        why = f"users took {facts.density:.1%} of all items"
        yield Advice("slim", {"penalty": 120.0, "min_support": 1}, why)
    if facts.items:
        of_item = facts.pairs / facts.items
        why = f"an item has {of_item:.1f} users on average"
        if of_item < FEW_OF_ITEM:
            yield _exponents(0.9, 0.1, why)
        if of_item >= MANY_OF_ITEM:
            yield _exponents(0.5, 0.5, why)
    if 0 < facts.users < FEW_USERS:
        yield Advice("similar_users", {"users": 150}, f"there are {facts.users:,.0f} users")


def _by_returns(facts: Facts) -> Iterator[Advice]:
    why = f"{facts.repeat_share:.1%} of the days with an item are returns to it"
    if facts.repeat_share >= HABITS:
        yield Advice("user", {"weights": HABITUAL}, why)
        often = f"users come back for an item after {facts.return_days:.0f} days"
        days = min(max(round(facts.return_days), SHORTEST_HALF_LIFE), LONGEST_HALF_LIFE)
        for section in ("cooccurrence", "slim", "similar_users"):
            yield Advice(section, {"half_life_days": float(days)}, often)
    if facts.repeat_share >= RETURNS:
        yield Advice("cooccurrence", {"user_exponent": 1.0}, why)
        return
    yield Advice("cooccurrence", {"user_exponent": 0.5}, why)
    for source in CHANNELS:
        if "exclude_seen_days" in source.model.model_fields:
            yield Advice(source.section, {"exclude_seen_days": NEVER}, why)
    yield Advice("popular", {"seen_last_days": NEVER}, why)


def _exponents(of_item: float, of_neighbor: float, why: str) -> Advice:
    fields = {"item_exponent": of_item, "neighbor_exponent": of_neighbor}
    return Advice("cooccurrence", fields, why)


def taken_advice(recall: BaseModel, facts: Facts) -> Iterator[Advice]:
    """The advice on fields that nobody has set, and that changes them."""
    for given in advice(facts):
        section = getattr(recall, given.section)
        unset = {
            name: value
            for name, value in given.fields.items()
            if name not in section.model_fields_set and value != getattr(section, name)
        }
        if unset:
            yield Advice(given.section, unset, given.why)


def followed(recall: _Recall, facts: Facts) -> _Recall:
    """The settings with all advice taken that concerns fields which nobody has set."""
    changes: dict[str, Any] = {}
    for given in taken_advice(recall, facts):
        section = changes.get(given.section, getattr(recall, given.section))
        changed = section.model_copy(update=given.fields)
        # `model_copy` counts the values as set, and they were not.
        object.__setattr__(changed, "__pydantic_fields_set__", section.model_fields_set)
        changes[given.section] = changed
    return recall.model_copy(update=changes)


def _told(value: Any) -> str:
    """A number, or those of many that are not 0."""
    if not isinstance(value, Mapping):
        return f"{value:g}"
    return " ".join(f"{name} {number:g}" for name, number in value.items() if number)
