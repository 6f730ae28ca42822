"""What can be tuned about recall. Defaults come from theory or from the use, never from test data.

Every model refuses unknown keys. As environment variables the fields read
`RECLAKE_RECALL__COOCCURRENCE__HALF_LIFE_DAYS=30`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

I2I_METHODS = ("cooccurrence", "session", "slim", "content")
USER_CHANNELS = ("i2i", "similar_users", "repurchase", "vector", "popular")
# The channel that fills whatever the others leave open, so that every list is full.
FILL_CHANNEL = "popular"


def _all_weights(weights: dict[str, float], known: tuple[str, ...], field: str) -> dict[str, float]:
    """One weight for each name, 0 where none is given.

    Raises ValueError for an unknown name, and where nothing would be left to rank by.
    """
    if unknown := sorted(set(weights) - set(known)):
        raise ValueError(f"{field}: unknown {', '.join(unknown)}; known: {', '.join(known)}")
    if outside := {name: w for name, w in weights.items() if not 0 <= w <= 1}:
        raise ValueError(f"{field}: expected 0 to 1, found {outside}")
    if sum(weights.values()) <= 0:
        raise ValueError(f"{field}: all are 0, so nothing could be ranked")
    return {name: weights.get(name, 0.0) for name in known}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BehaviorSettings(_Model):
    """How strongly users took to items, and how the matrix of both is computed."""

    half_life_days: float = Field(
        180.0, gt=0, description="days after which an interaction counts half"
    )
    history_length: int = Field(
        1000, ge=1, description="newest distinct items of a user that count, in items"
    )
    saturation: float = Field(
        1.0,
        gt=0,
        description="decayed weight of a (user, item) pair at which its strength is one half; "
        "repeats beyond it add less and less",
    )
    min_support: int = Field(
        2, ge=1, description="distinct users that must stand behind a pair, in users"
    )
    max_matrix_entries: int = Field(
        20_000_000,
        ge=0,
        description="(user, item) pairs up to which the matrix is held in memory, about 40 bytes "
        "each; beyond it the pairs are joined and shuffled by Spark",
    )
    block_products: int = Field(
        20_000_000,
        ge=1,
        description="multiplications in one Spark task of the matrix product",
    )


class CooccurrenceSettings(BehaviorSettings):
    """Item similarity from what the same users take (`jobs.recall.cooccurrence`).

    The exponents were the best or within 0.001 of it on a fifth of the train parts of Gowalla and
    Amazon-book (recall@20); 0.5 and 0.5 for the two items would be the cosine.
    """

    user_exponent: float = Field(
        0.5, ge=0, le=2, description="how much a long history loses weight, degree^-x"
    )
    item_exponent: float = Field(
        0.75,
        ge=0,
        le=2,
        description="how much a popular source item loses weight, degree^-x",
    )
    neighbor_exponent: float = Field(
        0.25,
        ge=0,
        le=2,
        description="how much a popular neighbor loses weight, degree^-x",
    )
    shrinkage: float = Field(
        2.0,
        ge=0,
        description="users beside the first at which a pair counts half; 0: all pairs alike",
    )
    neighbors: int = Field(50, ge=1, le=1000, description="neighbors kept of an item")


class SessionSettings(CooccurrenceSettings):
    """Item similarity from what one visit holds (`jobs.recall.cooccurrence.session_neighbors`).

    What the fields call a user is a session here, except in `min_support` and `shrinkage`. The
    exponents were chosen on the October of Online Retail; the half-life lies between what that and
    MovieLens 100K ask for.
    """

    half_life_days: float = Field(60.0, gt=0, description="days after which a session counts half")
    history_length: int = Field(200, ge=1, description="items of a session that count, in items")
    user_exponent: float = Field(
        0.75, ge=0, le=2, description="how much a large session loses weight, degree^-x"
    )
    item_exponent: float = Field(
        0.6, ge=0, le=2, description="how much a popular source item loses weight, degree^-x"
    )
    neighbor_exponent: float = Field(
        0.4, ge=0, le=2, description="how much a popular neighbor loses weight, degree^-x"
    )
    shrinkage: float = Field(
        2.0,
        ge=0,
        description="users beside the first at which a pair counts half; 0: all pairs alike",
    )
    gap_minutes: float = Field(
        30.0,
        ge=0,
        description="minutes without an event after which a new session begins, where the data has "
        "no session_id",
    )


class SlimSettings(BehaviorSettings):
    """Item similarity that explains away (`jobs.recall.slim`)."""

    candidates: int = Field(
        100,
        ge=1,
        le=1000,
        description="items nearest to an item by cosine, of which its weights are learned",
    )
    penalty: float = Field(
        60.0,
        gt=0,
        description="ridge penalty on the weights, in users of a mean strength; more of it spreads "
        "a weight over more items",
    )
    user_exponent: float = Field(
        0.25, ge=0, le=2, description="how much a long history loses weight, degree^-x"
    )
    neighbors: int = Field(50, ge=1, le=1000, description="neighbors kept of an item")


class ContentSettings(_Model):
    """Item similarity from the embedding of the item's text (`jobs.recall.content`)."""

    neighbors: int = Field(50, ge=1, le=1000, description="neighbors kept of an item")
    user_search_depth: int = Field(
        200,
        ge=1,
        le=16_384,
        description="texts asked of the vector index for each user; more than the channel keeps, "
        "because what the user took lately is left out",
    )
    items_per_text: int = Field(
        10, ge=1, description="items with one and the same text that a list may hold"
    )
    min_score: float = Field(
        0.3,
        ge=-1,
        le=1,
        description="least cosine of a neighbor; below it texts are unrelated",
    )


class I2ISettings(_Model):
    """How the methods become one list of neighbors (`jobs.recall.fusion`)."""

    neighbors: int = Field(50, ge=1, le=1000, description="length of every published list")
    weights: dict[str, float] = Field(
        {"cooccurrence": 0.2, "session": 0.15, "slim": 0.55, "content": 0.1},
        validate_default=True,
        description="share of each method in the fused score, 0 to 1; one with 0, or not named, "
        "is not built by the daily run",
    )

    @field_validator("weights")
    @classmethod
    def _weights_name_methods(cls, weights: dict[str, float]) -> dict[str, float]:
        return _all_weights(weights, I2I_METHODS, "weights")

    @property
    def built(self) -> tuple[str, ...]:
        """The methods that have a weight."""
        return tuple(name for name, weight in self.weights.items() if weight)


class ItemHistoryChannelSettings(_Model):
    """Channel `i2i`: neighbors of what the user took lately (`jobs.recall.channels`)."""

    history_length: int = Field(200, ge=1, description="newest distinct items of a user, in items")
    history_days: int = Field(365, ge=1, description="how far back the history goes, in days")
    half_life_days: float = Field(
        90.0, gt=0, description="days after which a history item counts half"
    )
    position_decay: float = Field(
        0.7,
        gt=0,
        le=1,
        description="factor for each later time at which the user took anything; 1 is none. Items "
        "of one time, such as a basket, stand at one position",
    )
    items: int = Field(100, ge=1, description="candidates kept of a user")
    exclude_seen_days: int = Field(
        7,
        ge=0,
        description="items that the user took in this many days are left out, 0 leaves out none; "
        "a week because groceries are bought again, but rarely twice a week",
    )
    max_neighbor_rows: int = Field(
        20_000_000,
        ge=0,
        description="rows of the table of neighbors up to which it is held in memory, about 12 "
        "bytes each; beyond it Spark joins and shuffles",
    )


class SimilarUsersChannelSettings(BehaviorSettings):
    """Channel `similar_users`: what the users most like a user took (`jobs.recall.similar_users`).

    `min_support` counts the items that two users have in common. One is enough: likeness is summed
    over hundreds of users, and on Amazon-book two would lose two fifths of the recall.
    """

    min_support: int = Field(
        1, ge=1, description="items that two users must have in common, in items"
    )
    users: int = Field(500, ge=1, le=10_000, description="similar users that a user listens to")
    item_exponent: float = Field(
        0.5, ge=0, le=2, description="how little a popular item says about likeness, degree^-x"
    )
    user_exponent: float = Field(
        0.7, ge=0, le=2, description="how much a user with a long history loses weight, degree^-x"
    )
    popularity_exponent: float = Field(
        0.2, ge=0, le=2, description="how much a popular item loses weight as a find, degree^-x"
    )
    min_item_users: int = Field(
        2, ge=1, description="distinct users of an item before it is found this way, in users"
    )
    items: int = Field(100, ge=1, description="candidates kept of a user")
    exclude_seen_days: int = Field(
        7,
        ge=0,
        description="items that the user took in this many days are left out, 0 leaves out none",
    )


class RepurchaseChannelSettings(_Model):
    """Channel `repurchase`: what the user takes again and again (`jobs.recall.repurchase`)."""

    half_life_days: float = Field(
        180.0, gt=0, description="days after which a day of purchase counts half"
    )
    due_exponent: float = Field(
        0.5,
        ge=0,
        le=4,
        description="how much an item loses that is not due yet, (days since / usual days)^x; 0 "
        "asks for no due date",
    )
    items: int = Field(100, ge=1, description="candidates kept of a user")
    exclude_seen_days: int = Field(
        7,
        ge=0,
        description="items that the user took in this many days are left out, 0 leaves out none",
    )


class VectorChannelSettings(_Model):
    """Channel `vector`: items whose text is near to the user's (`jobs.recall.channels`)."""

    items: int = Field(100, ge=1, description="candidates kept of a user")
    exclude_seen_days: int = Field(
        90,
        ge=0,
        description="items that the user took in this many days are left out, 0 leaves out none; "
        "long because this channel is there to discover",
    )


class PopularChannelSettings(_Model):
    """Popular items, the fallback of every list (`jobs.recall.popular`)."""

    window_days: int = Field(28, ge=1, description="days of interactions that count")
    half_life_days: float = Field(7.0, gt=0, description="days after which a user counts half")
    items: int = Field(500, ge=1, description="items listed in each segment")
    segment_attribute: str | None = Field(
        "age",
        description="user attribute whose values are segments of their own; none: only all",
    )
    segment_min_users: int = Field(
        50, ge=1, description="active users that a segment needs, in users"
    )
    exclude_seen_days: int = Field(
        7,
        ge=0,
        description="items that the user took in this many days come last, 0 treats all alike; "
        "they are not left out, because this channel has to fill every list",
    )


class UserRecallSettings(_Model):
    """How the channels become one list for each user (`jobs.recall.fusion`)."""

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
        description="share of each channel in the fused score, 0 to 1; one with 0, or not named, "
        "is not built by the daily run, except popular, which fills the lists",
    )
    quotas: dict[str, int] = Field(
        {},
        description="most items of a list whose strongest channel is this one; none: no limit",
    )

    @field_validator("weights")
    @classmethod
    def _weights_name_channels(cls, weights: dict[str, float]) -> dict[str, float]:
        return _all_weights(weights, USER_CHANNELS, "weights")

    @property
    def built(self) -> tuple[str, ...]:
        """The channels that have a weight, and the one that fills the lists."""
        return tuple(n for n, weight in self.weights.items() if weight or n == FILL_CHANNEL)

    @model_validator(mode="after")
    def _quotas_name_channels(self) -> UserRecallSettings:
        if unknown := sorted(set(self.quotas) - set(USER_CHANNELS)):
            raise ValueError(f"quotas: unknown {', '.join(unknown)}; known: {USER_CHANNELS}")
        if negative := sorted(name for name, quota in self.quotas.items() if quota < 0):
            raise ValueError(f"quotas: below 0: {', '.join(negative)}")
        if FILL_CHANNEL in self.quotas:
            raise ValueError("quotas: popular fills the lists, so it cannot have a limit")
        return self


class BundleSettings(_Model):
    """Association rules between the items of a basket (`jobs.recall.bundles`)."""

    window_days: int = Field(90, ge=1, description="days of interactions that count")
    gap_minutes: float = Field(
        30.0,
        ge=0,
        description="minutes without an event after which a new basket begins, where the data has "
        "no session_id",
    )
    max_basket_items: int = Field(
        100,
        ge=2,
        description="items of the largest basket that counts, in items; a larger one is left out",
    )
    max_items: int = Field(
        3, ge=2, le=5, description="items of the largest rule, the consequent included, in items"
    )
    min_baskets: int = Field(
        20, ge=1, description="baskets that must hold all items of a rule, in baskets"
    )
    min_support: int = Field(
        5, ge=1, description="distinct users that must stand behind a rule, in users"
    )
    min_confidence: float = Field(
        0.1,
        ge=0.01,
        le=1,
        description="least share of the baskets with the antecedent that hold the consequent too",
    )
    min_lift: float = Field(
        1.5,
        ge=1,
        description="how many times as often as in all baskets the consequent has to be there, at "
        "least",
    )
    rules: int = Field(10_000, ge=1, description="rules published of a day")


LONGEST_HORIZON_DAYS = 28


class MetricsSettings(_Model):
    """How published lists are judged (`jobs.evaluation.published`)."""

    horizon_days: tuple[int, ...] = Field(
        (1, 7), description="days after a list that count as what users did next, one or several"
    )
    k: int = Field(20, ge=1, le=1000, description="ranks of a list that count")
    users: int = Field(20_000, ge=1, description="most users that are asked, the same every day")

    @model_validator(mode="after")
    def _horizons_are_kept(self) -> MetricsSettings:
        if outside := [h for h in self.horizon_days if not 1 <= h <= LONGEST_HORIZON_DAYS]:
            raise ValueError(f"horizon_days: expected 1 to {LONGEST_HORIZON_DAYS}, found {outside}")
        return self


class RecallSettings(_Model):
    """All of recall, nested in `Settings.recall`."""

    cooccurrence: CooccurrenceSettings = CooccurrenceSettings()
    session: SessionSettings = SessionSettings()
    slim: SlimSettings = SlimSettings()
    content: ContentSettings = ContentSettings()
    i2i: I2ISettings = I2ISettings()
    item_history: ItemHistoryChannelSettings = ItemHistoryChannelSettings()
    similar_users: SimilarUsersChannelSettings = SimilarUsersChannelSettings()
    repurchase: RepurchaseChannelSettings = RepurchaseChannelSettings()
    vector: VectorChannelSettings = VectorChannelSettings()
    popular: PopularChannelSettings = PopularChannelSettings()
    user: UserRecallSettings = UserRecallSettings()
    bundles: BundleSettings = BundleSettings()
    metrics: MetricsSettings = MetricsSettings()

    @model_validator(mode="after")
    def _popular_fills_a_list(self) -> RecallSettings:
        if self.popular.items < self.user.items:
            raise ValueError(
                f"popular.items: {self.popular.items} cannot fill lists of {self.user.items} "
                "(user.items); raise the first or lower the second"
            )
        return self

    def with_changes(self, changes: Mapping[str, Mapping[str, Any]]) -> RecallSettings:
        """The settings with some fields of some sections changed, validated again."""
        values = self.model_dump()
        for section, fields in changes.items():
            values[section] |= fields
        return RecallSettings.model_validate(values)
