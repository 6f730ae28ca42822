"""Settings of lists that are the same for many users, and of rules between items."""

from __future__ import annotations

from pydantic import Field, model_validator

from jobs.recall.settings.fields import (
    ExcludeSeenDays,
    GapMinutes,
    HalfLifeDays,
    Section,
    Smoothing,
    WindowDays,
)


class RecentUseSettings(Section):
    """How much a recent user of an item counts (`jobs.recall.lists.popular.recent_uses`)."""

    window_days: WindowDays = 28
    half_life_days: HalfLifeDays = 7.0


class PopularSettings(RecentUseSettings):
    """Popular items, the fallback of every list (`jobs.recall.lists.popular`)."""

    items: int = Field(500, ge=1, description="items listed in each segment")
    segment_attribute: str | None = Field(
        "age",
        description="user attribute whose values are segments with lists of their own; none: one "
        "list for all users",
    )
    segment_min_users: int = Field(
        50, ge=1, description="fewest active users of a segment with a list of its own"
    )
    seen_last_days: int = Field(
        7,
        ge=0,
        description="days of interactions whose items come last in a user's list, 0 treats all "
        "items alike; no item is left out, because this channel has to fill every list",
    )


class ListedSettings(Section):
    """A list beside that of the popular items, for the same segments."""

    items: int = Field(
        100, ge=1, description="items listed in each segment, and candidates to keep of each user"
    )
    exclude_seen_days: ExcludeSeenDays = 7


class TrendingSettings(ListedSettings):
    """Items whose users come faster than usual (`jobs.recall.lists.trending`)."""

    window_days: WindowDays = 84
    short_half_life_days: float = Field(
        3.0, gt=0, description="days after which a user counts half in the recent pace"
    )
    long_half_life_days: float = Field(
        28.0, gt=0, description="days after which a user counts half in the usual pace"
    )
    min_users: int = Field(5, ge=1, description="fewest users of a listed item in the window")
    smoothing: Smoothing = 20.0

    @model_validator(mode="after")
    def _short_is_shorter(self) -> TrendingSettings:
        if self.short_half_life_days >= self.long_half_life_days:
            raise ValueError(
                f"short_half_life_days: {self.short_half_life_days} is not below "
                f"long_half_life_days: {self.long_half_life_days}, so no pace could differ"
            )
        return self


class NewSettings(ListedSettings, RecentUseSettings):
    """Items that the shop has not had for long (`jobs.recall.lists.new_items`).

    exclude_seen_days is long, because an item that the user knows is not new to them.
    """

    window_days: int = Field(28, ge=1, description="days for which an item is new")
    exclude_seen_days: ExcludeSeenDays = 90


class SeasonalSettings(ListedSettings):
    """Items of the same weeks of earlier years (`jobs.recall.lists.seasonal`).

    smoothing counts days on which a user took something, not users.
    """

    window_days: int = Field(
        14, ge=0, le=90, description="days of the season on either side of the day's date"
    )
    years: int = Field(3, ge=1, description="earlier years that count")
    min_users: int = Field(5, ge=1, description="fewest users of a listed item in the season")
    smoothing: Smoothing = 20.0


class BundleSettings(Section):
    """Association rules between the items of a basket (`jobs.recall.lists.bundles`)."""

    window_days: WindowDays = 90
    gap_minutes: GapMinutes = 30.0
    max_basket_items: int = Field(
        100,
        ge=2,
        description="most items of a basket; a larger basket is left out",
    )
    max_items: int = Field(
        3, ge=2, le=5, description="most items of a rule, the consequent included"
    )
    min_baskets: int = Field(20, ge=1, description="fewest baskets that hold all items of a rule")
    min_support: int = Field(5, ge=1, description="fewest distinct users behind a rule")
    min_confidence: float = Field(
        0.1,
        ge=0.01,
        le=1,
        description="least confidence of a rule: share of the baskets with the antecedent that "
        "hold the consequent too",
    )
    min_lift: float = Field(
        1.5,
        ge=1,
        description="least lift of a rule: how many times as often as in all baskets the "
        "consequent stands in baskets with the antecedent",
    )
    rules: int = Field(10_000, ge=1, description="most rules that a day publishes")
