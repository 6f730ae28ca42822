"""What the log is like: the facts that a person wants to know of it, and that settings follow.

`jobs.recall.measuring` finds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Facts:
    """Facts of a log of one day. Shares lie in 0 to 1; what cannot be told is 0.

    events: that take an item. users, items: distinct ones that have any. pairs: distinct (user,
    item). catalogue_items: of the catalogue. density: pairs / (users · items). days: from the first
    day with an event to the last. user_days: the median user's, of users with more than one day.
    items_per_user: the median. repeat_share: of the days on which a user took an item, those on
    which they had taken it before. return_days: the median of the mean days between two such days.
    visit_items: mean distinct items of a visit, which is a session or a time. order: how much more
    often than by chance two items come one after the other in the same order, 0 to 1.
    busy_users: users with more than 500 events a day. busy_share: their share of all events.
    largest_share: the share of users who took the most widely taken item.
    unknown_share: of the newest day's events, those of items that the catalogue lacks.
    """

    events: float = 0.0
    users: float = 0.0
    items: float = 0.0
    pairs: float = 0.0
    catalogue_items: float = 0.0
    density: float = 0.0
    days: float = 0.0
    user_days: float = 0.0
    items_per_user: float = 0.0
    repeat_share: float = 0.0
    return_days: float = 0.0
    visit_items: float = 0.0
    order: float = 0.0
    busy_users: float = 0.0
    busy_share: float = 0.0
    largest_share: float = 0.0
    unknown_share: float = 0.0

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Facts:
        """The facts from the rows of gold.data_report_daily: measure to value; others are 0."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


def told(facts: Facts, said: Mapping[str, str]) -> list[tuple[str, float, str | None]]:
    """The rows of gold.data_report_daily: measure, value, and what else is to be said of it."""
    return [
        (field.name, float(getattr(facts, field.name)), said.get(field.name))
        for field in fields(Facts)
    ]
