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
from jobs.recall.sources.channels import CHANNELS

# `jobs.settings.RecallSettings`, which is composed of this and more.
_Recall = TypeVar("_Recall", bound=BaseModel)
# Below this share of returns, users come back for an item by mistake at most.
RETURNS = 0.02
# Longer than any log.
NEVER = 36_500
# Of denser data more likeness is chance: SLIM's weights are held shorter, and fewer users count.
DENSE = 0.01


@dataclass(frozen=True)
class Advice:
    """Values for fields of one section, and why."""

    section: str
    fields: Mapping[str, Any]
    why: str


def advice(facts: Facts) -> Iterator[Advice]:
    """What the facts suggest, where that differs from the settings' own defaults."""
    if facts.days > 1 and facts.repeat_share < RETURNS:
        why = f"{facts.repeat_share:.1%} of the days with an item are returns to it"
        for source in CHANNELS:
            if "exclude_seen_days" in source.model.model_fields:
                yield Advice(source.section, {"exclude_seen_days": NEVER}, why)
        yield Advice("popular", {"seen_last_days": NEVER}, why)
    if facts.density >= DENSE:
        why = f"users took {facts.density:.1%} of all items"
        yield Advice("slim", {"penalty": 120.0, "min_support": 1}, why)
        yield Advice("similar_users", {"users": 150}, why)


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
