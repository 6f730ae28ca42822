"""Settings of the recall channels; `jobs.recall.settings.lists` has those that read a list."""

from __future__ import annotations

from pydantic import Field, field_validator

from jobs.recall.settings.fields import (
    Candidates,
    ExcludeSeenDays,
    HalfLifeDays,
    ItemsPerText,
    Section,
    Smoothing,
    UserExponent,
    WindowDays,
    all_weights,
)
from jobs.recall.settings.lists import RecentUseSettings
from jobs.recall.settings.methods import MatrixSettings


class ItemHistorySettings(Section):
    """Channel `i2i`: neighbors of what the user took lately (`jobs.recall.channels.i2i`).

    exclude_seen_days is a week, because groceries are bought again, but rarely twice a week.
    """

    history_length: int = Field(200, ge=1, description="newest distinct items of a user, in items")
    history_days: int = Field(365, ge=1, description="how far back the history goes, in days")
    half_life_days: HalfLifeDays = 90.0
    position_decay: float = Field(
        0.7,
        gt=0,
        le=1,
        description="factor for each later time at which the user took anything; 1 is none. Items "
        "of one time, such as a basket, stand at one position",
    )
    items: Candidates = 100
    exclude_seen_days: ExcludeSeenDays = 7
    max_neighbor_rows: int = Field(
        20_000_000,
        ge=0,
        description="rows of the table of neighbors up to which it is held in memory, about 12 "
        "bytes each; beyond it Spark joins and shuffles",
    )


class SimilarUsersSettings(MatrixSettings):
    """Channel `similar_users`: what the users most like a user took
    (`jobs.recall.channels.similar_users`).

    One common item is enough: likeness is summed over hundreds of users, and on Amazon-book a
    minimum of two common items would lose two fifths of the recall.
    """

    min_common_items: int = Field(
        1, ge=1, description="items that two users must have in common, in items"
    )
    users: int = Field(500, ge=1, le=10_000, description="similar users that a user listens to")
    likeness_exponent: float = Field(
        0.5, ge=0, le=2, description="how little a popular item says about likeness, degree^-x"
    )
    user_exponent: UserExponent = 0.7
    popularity_exponent: float = Field(
        0.2, ge=0, le=2, description="how much a popular item loses weight as a find, degree^-x"
    )
    min_item_users: int = Field(
        2, ge=1, description="distinct users of an item before it is found this way, in users"
    )
    items: Candidates = 100
    exclude_seen_days: ExcludeSeenDays = 7


class RepurchaseSettings(Section):
    """Channel `repurchase`: what the user takes again and again
    (`jobs.recall.channels.repurchase`)."""

    half_life_days: HalfLifeDays = 180.0
    due_exponent: float = Field(
        0.5,
        ge=0,
        le=4,
        description="how much an item loses that is not due yet, (days since / usual days)^x; 0 "
        "asks for no due date",
    )
    items: Candidates = 100
    exclude_seen_days: ExcludeSeenDays = 7


class VectorSettings(Section):
    """Channel `vector`: items whose text is near to the user's (`jobs.recall.channels.vector`).

    exclude_seen_days is long, because this channel is there to discover.
    """

    items: Candidates = 100
    exclude_seen_days: ExcludeSeenDays = 90


class NewcomerSettings(RecentUseSettings):
    """Channel `newcomer`: what users with the same attributes take
    (`jobs.recall.channels.newcomer`)."""

    items: Candidates = 100
    exclude_seen_days: ExcludeSeenDays = 7
    max_items: int = Field(
        10, ge=1, description="distinct items up to which a user is a newcomer, in items"
    )
    attributes: tuple[str, ...] = Field(
        (), description="user attributes that count; empty means all that there are"
    )
    max_values: int = Field(
        50,
        ge=1,
        description="distinct values up to which an attribute counts; one with more may be a name "
        "or a number of its own for each user",
    )
    value_min_users: int = Field(
        10, ge=1, description="users that must share a value before it counts, in users"
    )
    window_days: WindowDays = 365
    half_life_days: HalfLifeDays = 90.0
    candidates: int = Field(
        500, ge=1, description="most used items that newcomers are given some of, in items"
    )
    smoothing: Smoothing = 20.0


class Q2ISettings(Section):
    """Channel `q2i`: items by phrases that the LLM expects of a user (`jobs.recall.channels.q2i`).

    exclude_seen_days is long, because this channel is there to discover.
    """

    items: Candidates = 100
    exclude_seen_days: ExcludeSeenDays = 90
    phrase_decay: float = Field(
        0.8, gt=0, le=1, description="factor for each phrase that the LLM named before; 1 is none"
    )
    interest_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        description="weight of an interest beside that of a search phrase; 0 leaves interests out",
    )
    search_depth: int = Field(
        50, ge=1, le=16_384, description="texts that the vector index is asked for each phrase"
    )
    items_per_text: ItemsPerText = 10
    min_score: float = Field(
        0.4, ge=-1, le=1, description="least cosine of a phrase and the text of an item"
    )


NAME_PARTS = ("text", "popularity", "brand", "price")


class ProductNamesSettings(RecentUseSettings):
    """Channel `product_names`: products that the LLM names, found in the catalogue in two stages
    (`jobs.recall.channels.product_names`)."""

    items: Candidates = 100
    exclude_seen_days: ExcludeSeenDays = 7
    name_decay: float = Field(
        0.8, gt=0, le=1, description="factor for each product that the LLM named before; 1 is none"
    )
    catalogue_names: int = Field(
        5_000,
        ge=1,
        description="most used distinct names of the catalogue that are compared; a day encodes no "
        "more of them",
    )
    matches: int = Field(3, ge=1, description="catalogue names that one named product may match")
    theta: float = Field(
        0.6, ge=-1, le=1, description="least cosine of a named product and a catalogue name"
    )
    skus: int = Field(50, ge=1, description="most used items of a name that are looked at")
    weights: dict[str, float] = Field(
        {"text": 0.4, "popularity": 0.3, "brand": 0.2, "price": 0.1},
        validate_default=True,
        description="share of each part of the selection score, 0 to 1; a part that is unknown for "
        "a user and an item leaves its share to the others",
    )
    epsilon: float = Field(0.3, ge=0, le=1, description="least selection score of an item")
    items_per_name: int = Field(5, ge=1, description="items of one name that a list may hold")
    window_days: WindowDays = 180
    half_life_days: HalfLifeDays = 60.0

    @field_validator("weights")
    @classmethod
    def _weights_name_parts(cls, weights: dict[str, float]) -> dict[str, float]:
        return all_weights(weights, NAME_PARTS, "weights")
