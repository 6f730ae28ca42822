"""What can be tuned about recall. Defaults come from theory or from the use, never from test data.

Every model refuses unknown keys. As environment variables the fields read
`RECLAKE_RECALL__COOCCURRENCE__HALF_LIFE_DAYS=30`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

I2I_METHODS = ("cooccurrence", "session", "slim", "swing", "transition", "content", "augmented")
USER_CHANNELS = (
    "i2i",
    "similar_users",
    "repurchase",
    "vector",
    "popular",
    "trending",
    "new",
    "seasonal",
    "newcomer",
    "q2i",
    "product_names",
)
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


class StrengthSettings(_Model):
    """How strongly users took to items, and how many must have."""

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


class BehaviorSettings(StrengthSettings):
    """How strongly users took to items, and how the matrix of both is computed."""

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

    The exponents of the items were the best or within 0.001 of it on a fifth of the train parts of
    Gowalla and Amazon-book (recall@20); 0.5 and 0.5 would be the cosine. The user's is the largest
    that costs nothing where a random fifth is held out: where later days are, more is better still
    (docs/decisions/0007-recall.evidence.md).
    """

    user_exponent: float = Field(
        0.75, ge=0, le=2, description="how much a long history loses weight, degree^-x"
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


class SwingSettings(BehaviorSettings):
    """Item similarity from pairs of users (`jobs.recall.swing`).

    The exponents were chosen on a fifth of the train part of Gowalla (recall@20); 0.5 of the user
    and 0 and 0 of the two items would be the paper's.
    `block_products` counts terms: an item of one of two users, looked up among those of the other.
    """

    min_support: int = Field(
        2, ge=2, description="distinct users that must stand behind a pair, in users"
    )
    alpha: float = Field(
        1.0,
        ge=0,
        description="items in common to which those of two users are added before they divide "
        "what the two say; more of it tells close users less from others",
    )
    user_exponent: float = Field(
        0.25, ge=0, le=2, description="how much a long history loses weight, degree^-x"
    )
    item_exponent: float = Field(
        1.5, ge=0, le=3, description="how much a popular source item loses weight, degree^-x"
    )
    neighbor_exponent: float = Field(
        0.4, ge=0, le=3, description="how much a popular neighbor loses weight, degree^-x"
    )
    users: int = Field(
        200,
        ge=2,
        le=2000,
        description="users of an item that are heard, those with the most weight",
    )
    neighbors: int = Field(50, ge=1, le=1000, description="neighbors kept of an item")


class TransitionSettings(StrengthSettings):
    """Item similarity from what comes soon after what (`jobs.recall.transitions`)."""

    history_length: int = Field(
        1000, ge=1, description="newest events of a user that count, in events"
    )
    window: int = Field(
        3, ge=1, le=100, description="later times of a user at which an item is led to, in times"
    )
    position_decay: float = Field(
        0.7, gt=0, le=1, description="factor for each time between the two items; 1 is none"
    )
    basket_length: int = Field(
        50, ge=1, description="items of one time that count, those with the most weight first"
    )
    user_exponent: float = Field(
        0.5, ge=0, le=2, description="how much a long history loses weight, degree^-x"
    )
    item_exponent: float = Field(
        0.75, ge=0, le=2, description="how much a popular source item loses weight, degree^-x"
    )
    neighbor_exponent: float = Field(
        0.25, ge=0, le=2, description="how much a popular neighbor loses weight, degree^-x"
    )
    shrinkage: float = Field(
        2.0,
        ge=0,
        description="users beside the first at which a pair counts half; 0: all pairs alike",
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


class AugmentedSettings(_Model):
    """Item similarity from what the LLM said (`jobs.recall.augmented`)."""

    max_users: int = Field(
        20,
        ge=0,
        description="distinct users of an item up to which it gets neighbors this way; beyond it "
        "behaviour knows better",
    )
    tag_descriptions: int = Field(
        200, ge=1, description="descriptions that may share a tag before it says too little"
    )
    items_per_description: int = Field(
        10, ge=1, description="items of one and the same description that a list may hold"
    )
    min_score: float = Field(
        0.1, ge=0, le=1, description="least weighted Jaccard index of a neighbor"
    )
    candidates: int = Field(
        8, ge=2, le=20, description="items of near texts that the LLM chooses companions from"
    )
    min_cosine: float = Field(
        0.35, ge=-1, le=1, description="least cosine of a candidate's text; below it is unrelated"
    )
    max_cosine: float = Field(
        0.9, ge=-1, le=1, description="largest cosine of a candidate's text; above it is the same"
    )
    min_lift: float = Field(
        1.0,
        ge=0,
        description="how many times as often as by chance users take items of both categories, at "
        "least, for a pair that the LLM put together; 0 keeps all, also those without a category",
    )
    neighbors: int = Field(50, ge=1, le=1000, description="neighbors kept of an item")


class I2ISettings(_Model):
    """How the methods become one list of neighbors (`jobs.recall.fusion`)."""

    neighbors: int = Field(50, ge=1, le=1000, description="length of every published list")
    weights: dict[str, float] = Field(
        {"cooccurrence": 0.2, "session": 0.15, "slim": 0.55, "content": 0.1},
        validate_default=True,
        description="share of each method in the fused score, 0 to 1; one with 0, or not named, "
        "is not built by the daily run",
    )
    content_trust: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the weight of silent methods of behaviour that content speaks for, "
        "of a pair with an item that nobody took; 0: none",
    )
    cold_users: float = Field(
        5.0,
        gt=0,
        description="users of an item, decayed, at which that share is half",
    )

    @field_validator("weights")
    @classmethod
    def _weights_name_methods(cls, weights: dict[str, float]) -> dict[str, float]:
        return _all_weights(weights, I2I_METHODS, "weights")

    @property
    def built(self) -> tuple[str, ...]:
        """The methods that have a weight."""
        return tuple(name for name, weight in self.weights.items() if weight)


class PairReasonsSettings(_Model):
    """Pairs about which the LLM writes a reason (`jobs.recall.pair_reasons`); how many a day is the
    run's `reason_budget`."""

    neighbors: int = Field(
        5, ge=1, le=1000, description="nearest neighbors of an item that a reason may be written of"
    )


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


class RecentUseSettings(_Model):
    """How much a user counts who took an item lately (`jobs.recall.popular.recent_uses`)."""

    window_days: int = Field(28, ge=1, description="days of interactions that count")
    half_life_days: float = Field(7.0, gt=0, description="days after which a user counts half")


class PopularChannelSettings(RecentUseSettings):
    """Popular items, the fallback of every list (`jobs.recall.popular`)."""

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


class CandidateSettings(_Model):
    """What a channel hands to the fusion."""

    items: int = Field(100, ge=1, description="candidates kept of a user")
    exclude_seen_days: int = Field(
        7,
        ge=0,
        description="items that the user took in this many days are left out, 0 leaves out none",
    )


class ListedChannelSettings(CandidateSettings):
    """A list beside that of the popular items, for the same segments."""

    items: int = Field(
        100, ge=1, description="items listed in each segment, and candidates kept of a user"
    )


class TrendingChannelSettings(ListedChannelSettings):
    """Items whose users come faster than usual (`jobs.recall.trending`)."""

    window_days: int = Field(84, ge=1, description="days of interactions that count")
    short_half_life_days: float = Field(
        3.0, gt=0, description="days after which a user counts half for the pace of late"
    )
    long_half_life_days: float = Field(
        28.0, gt=0, description="days after which a user counts half for the usual pace"
    )
    min_users: int = Field(5, ge=1, description="users in the window that an item needs, in users")
    smoothing: float = Field(
        20.0, gt=0, description="users at the usual pace that each item is given beside its own"
    )

    @model_validator(mode="after")
    def _short_is_shorter(self) -> TrendingChannelSettings:
        if self.short_half_life_days >= self.long_half_life_days:
            raise ValueError(
                f"short_half_life_days: {self.short_half_life_days} is not below "
                f"long_half_life_days: {self.long_half_life_days}, so no pace could differ"
            )
        return self


class NewChannelSettings(ListedChannelSettings, RecentUseSettings):
    """Items that the shop has not had for long (`jobs.recall.new_items`)."""

    window_days: int = Field(28, ge=1, description="days for which an item is new")
    exclude_seen_days: int = Field(
        90,
        ge=0,
        description="items that the user took in this many days are left out, 0 leaves out none; "
        "long because what the user knows is not new to them",
    )


class SeasonalChannelSettings(ListedChannelSettings):
    """Items of the same weeks of earlier years (`jobs.recall.seasonal`)."""

    window_days: int = Field(
        14, ge=0, le=90, description="days before and after the day's date that are its season"
    )
    years: int = Field(3, ge=1, description="how many earlier years count, in years")
    min_users: int = Field(5, ge=1, description="users in the season that an item needs, in users")
    smoothing: float = Field(
        20.0, gt=0, description="days of a user at the usual share that each item is given"
    )


class NewcomerChannelSettings(CandidateSettings, RecentUseSettings):
    """Channel `newcomer`: what users with the same attributes take (`jobs.recall.newcomer`)."""

    max_items: int = Field(
        10, ge=1, description="distinct items up to which a user is a newcomer, in items"
    )
    attributes: tuple[str, ...] = Field(
        (), description="user attributes that speak; empty means all that there are"
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
    window_days: int = Field(365, ge=1, description="days of interactions that count")
    half_life_days: float = Field(90.0, gt=0, description="days after which a user counts half")
    candidates: int = Field(
        500, ge=1, description="most used items, of which newcomers are given some, in items"
    )
    smoothing: float = Field(
        20.0, gt=0, description="users without a preference that each item is given beside its own"
    )


class Q2IChannelSettings(CandidateSettings):
    """Channel `q2i`: items by phrases that the LLM expects of a user (`jobs.recall.phrases`)."""

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
        50, ge=1, le=16_384, description="texts asked of the vector index for each phrase"
    )
    items_per_text: int = Field(
        10, ge=1, description="items with one and the same text that a phrase may find"
    )
    min_score: float = Field(
        0.4, ge=-1, le=1, description="least cosine of a phrase and the text of an item"
    )
    exclude_seen_days: int = Field(
        90,
        ge=0,
        description="items that the user took in this many days are left out, 0 leaves out none; "
        "long because this channel is there to discover",
    )


NAME_PARTS = ("text", "popularity", "brand", "price")


class ProductNamesChannelSettings(CandidateSettings, RecentUseSettings):
    """Channel `product_names`: products that the LLM names, found in the catalogue in two stages
    (`jobs.recall.product_names`)."""

    name_decay: float = Field(
        0.8, gt=0, le=1, description="factor for each product that the LLM named before; 1 is none"
    )
    catalogue_names: int = Field(
        5_000,
        ge=1,
        description="most used distinct names of the catalogue that are compared, and the most "
        "that a day encodes of it",
    )
    matches: int = Field(3, ge=1, description="catalogue names that one named product may match")
    theta: float = Field(
        0.6, ge=-1, le=1, description="least cosine of a named product and a catalogue name"
    )
    skus: int = Field(50, ge=1, description="most used items of a name that are looked at")
    weights: dict[str, float] = Field(
        {"text": 0.4, "popularity": 0.3, "brand": 0.2, "price": 0.1},
        validate_default=True,
        description="share of each part of the selection score, 0 to 1; one that is not known for "
        "a user and an item leaves its share to the others",
    )
    epsilon: float = Field(0.3, ge=0, le=1, description="least selection score of an item")
    items_per_name: int = Field(5, ge=1, description="items of one name that a list may hold")
    window_days: int = Field(
        180, ge=1, description="days of interactions that make popularity and habits"
    )
    half_life_days: float = Field(60.0, gt=0, description="days after which a use counts half")

    @field_validator("weights")
    @classmethod
    def _weights_name_parts(cls, weights: dict[str, float]) -> dict[str, float]:
        return _all_weights(weights, NAME_PARTS, "weights")


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
    sharpening: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="how much an item loses that the other candidates of the user bring up too, "
        "because it lies near to all of them; 0 asks for none",
    )
    diversity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="how much an item loses that is a neighbor of one above it; 0 asks for no "
        "diversity, 1 for nothing else",
    )
    reordered: int = Field(
        300,
        ge=1,
        le=5000,
        description="best candidates of a user that sharpening and diversity put in a new order",
    )
    max_exposure: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of all users in whose lists an item may stand; 1 sets no cap",
    )

    @field_validator("weights")
    @classmethod
    def _weights_name_channels(cls, weights: dict[str, float]) -> dict[str, float]:
        return _all_weights(weights, USER_CHANNELS, "weights")

    @property
    def built(self) -> tuple[str, ...]:
        """The channels that have a weight, and the one that fills the lists."""
        return tuple(n for n, weight in self.weights.items() if weight or n == FILL_CHANNEL)

    @property
    def popular_items(self) -> int:
        """Popular items that fill any list, though others may be shown to enough users already
        (`jobs.recall.exposure`)."""
        shown_enough = ceil(self.items / self.max_exposure) if self.max_exposure < 1 else 0
        return self.items + shown_enough

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
    max_loss: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of the ndcg of published lists that a day's may surely lose (lower end "
        "of the 95% interval) before the day is refused; 1 refuses none",
    )
    min_users: int = Field(
        30, ge=1, description="users who have to be watched before a day can be refused"
    )

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
    swing: SwingSettings = SwingSettings()
    transition: TransitionSettings = TransitionSettings()
    content: ContentSettings = ContentSettings()
    augmented: AugmentedSettings = AugmentedSettings()
    i2i: I2ISettings = I2ISettings()
    pair_reasons: PairReasonsSettings = PairReasonsSettings()
    item_history: ItemHistoryChannelSettings = ItemHistoryChannelSettings()
    similar_users: SimilarUsersChannelSettings = SimilarUsersChannelSettings()
    repurchase: RepurchaseChannelSettings = RepurchaseChannelSettings()
    vector: VectorChannelSettings = VectorChannelSettings()
    popular: PopularChannelSettings = PopularChannelSettings()
    trending: TrendingChannelSettings = TrendingChannelSettings()
    new: NewChannelSettings = NewChannelSettings()
    seasonal: SeasonalChannelSettings = SeasonalChannelSettings()
    newcomer: NewcomerChannelSettings = NewcomerChannelSettings()
    q2i: Q2IChannelSettings = Q2IChannelSettings()
    product_names: ProductNamesChannelSettings = ProductNamesChannelSettings()
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
