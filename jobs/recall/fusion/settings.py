"""Settings of the fusion: how many lists become one, for items and for users."""

from __future__ import annotations

from math import ceil

from pydantic import Field, field_validator, model_validator

from jobs.recall.settings.fields import Section, all_weights
from jobs.recall.sources import CHANNEL_NAMES, FILL_CHANNEL, METHOD_NAMES


class I2ISettings(Section):
    """How the methods become one list of neighbors (`jobs.recall.fusion.neighbors`)."""

    neighbors: int = Field(50, ge=1, le=1000, description="length of every published list")
    weights: dict[str, float] = Field(
        {"cooccurrence": 0.2, "session": 0.15, "slim": 0.55, "content": 0.1},
        validate_default=True,
        description="share of each method in the fused score, 0 to 1; the daily run does not build "
        "a method with weight 0 or without a weight",
    )
    content_trust: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the silent behavior methods' weight that content takes over for a "
        "pair with an item that nobody took; 0 takes over none",
    )
    cold_users: float = Field(
        5.0,
        gt=0,
        description="decayed users of an item at which content takes over half of content_trust",
    )

    @field_validator("weights")
    @classmethod
    def _weights_name_methods(cls, weights: dict[str, float]) -> dict[str, float]:
        return all_weights(weights, METHOD_NAMES, "weights")

    @property
    def built(self) -> tuple[str, ...]:
        """The methods that have a weight."""
        return tuple(name for name, weight in self.weights.items() if weight)


class PairReasonsSettings(Section):
    """Pairs whose reason the LLM writes (`jobs.recall.fusion.pair_reasons`). The run param
    `reason_budget` limits their number a day."""

    neighbors: int = Field(
        5, ge=1, le=1000, description="nearest neighbors of an item that may get a written reason"
    )


class UserRecallSettings(Section):
    """How the channels become one list for each user (`jobs.recall.fusion.user_lists`)."""

    items: int = Field(50, ge=1, le=1000, description="length of every published list")
    weights: dict[str, float] = Field(
        {
            "i2i": 0.6,
            "similar_users": 0.15,
            "repurchase": 0.15,
            "vector": 0.08,
            "popular": 0.02,
        },
        validate_default=True,
        description="share of each channel in the fused score, 0 to 1; the daily run does not "
        "build a channel with weight 0 or without a weight, except popular, which fills the lists",
    )
    quotas: dict[str, int] = Field(
        {},
        description="most items of a list whose strongest channel is the named one; a channel "
        "that is not named has no limit",
    )
    sharpening: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="penalty, 0 to below 1, for candidates that the user's other candidates lead "
        "to as well; 0 turns it off",
    )
    diversity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="penalty, 0 to 1, for items that are neighbors of an item higher in the list; "
        "0 turns it off, 1 counts nothing else",
    )
    reordered: int = Field(
        300,
        ge=1,
        le=5000,
        description="best candidates of a user that sharpening and diversity put in a new order",
    )
    dislike_days: int = Field(
        365, ge=0, description="days for which a disliked item stays out of the user's list"
    )
    hide_days: int = Field(
        90, ge=0, description="days for which a hidden item stays out of the user's list"
    )
    dislike_penalty: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of its score that the nearest neighbor of a disliked item loses in the "
        "user's list, for dislike_days; farther neighbors lose less. 0 turns it off",
    )
    hide_penalty: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="share of its score that the nearest neighbor of a hidden item loses, as "
        "dislike_penalty",
    )
    max_exposure: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of all users whose lists one item may stand in; 1 sets no cap",
    )

    @field_validator("weights")
    @classmethod
    def _weights_name_channels(cls, weights: dict[str, float]) -> dict[str, float]:
        return all_weights(weights, CHANNEL_NAMES, "weights")

    @property
    def built(self) -> tuple[str, ...]:
        """The channels that have a weight, and the one that fills the lists."""
        return tuple(n for n, weight in self.weights.items() if weight or n == FILL_CHANNEL)

    @property
    def popular_items(self) -> int:
        """How many popular items can fill any list, even when the cap on exposure
        (`jobs.recall.fusion.exposure`) uses some of them up."""
        shown_enough = ceil(self.items / self.max_exposure) if self.max_exposure < 1 else 0
        return self.items + shown_enough

    @model_validator(mode="after")
    def _quotas_name_channels(self) -> UserRecallSettings:
        if unknown := sorted(set(self.quotas) - set(CHANNEL_NAMES)):
            raise ValueError(f"quotas: unknown {', '.join(unknown)}; known: {CHANNEL_NAMES}")
        if negative := sorted(name for name, quota in self.quotas.items() if quota < 0):
            raise ValueError(f"quotas: below 0: {', '.join(negative)}")
        if FILL_CHANNEL in self.quotas:
            raise ValueError(f"quotas: {FILL_CHANNEL} fills the lists, so it cannot have a limit")
        return self
