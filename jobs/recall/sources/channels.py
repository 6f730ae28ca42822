"""The recall channels: the settings and the entry of each.

A channel that reads a list has the settings of the list (`jobs.recall.settings.lists`).
"""

from __future__ import annotations

from pydantic import Field, field_validator

from jobs.lake.step import Read, Search
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
from jobs.recall.settings.lists import (
    NewSettings,
    PopularSettings,
    RecentUseSettings,
    SeasonalSettings,
    TrendingSettings,
)
from jobs.recall.settings.strength import MatrixSettings
from jobs.recall.sources.source import Family, Need, Source, choice


class ItemHistorySettings(Section):
    """Channel `i2i`: neighbors of what the user took lately (`jobs.recall.channels.i2i`).

    exclude_seen_days is a week, because groceries are bought again, but rarely twice a week.
    """

    history_length: int = Field(200, ge=1, description="newest distinct items of a user that count")
    history_days: int = Field(
        3650, ge=1, description="how far back the history goes, in days before the user's last"
    )
    half_life_days: HalfLifeDays = 90.0
    position_decay: float = Field(
        0.7,
        gt=0,
        le=1,
        description="factor on an item for each later time at which the user took anything; 1 "
        "turns it off. Items of one time, such as a basket, stand at one position",
    )
    items: Candidates = 100
    exclude_seen_days: ExcludeSeenDays = 7
    max_neighbor_rows: int = Field(
        20_000_000,
        ge=0,
        description="most rows of a neighbor table in memory, about 12 bytes each; with more, "
        "Spark joins and shuffles the rows",
    )


class SimilarUsersSettings(MatrixSettings):
    """Channel `similar_users`: what the users with the most similar taste took
    (`jobs.recall.channels.similar_users`).

    One common item is enough: likeness is summed over hundreds of users, and on Amazon-book a
    minimum of two common items would lose two fifths of the recall.
    """

    min_common_items: int = Field(
        1, ge=1, description="fewest items that similar users have in common"
    )
    users: int = Field(
        500, ge=1, le=10_000, description="most similar users whose items count for a user"
    )
    likeness_exponent: float = Field(
        0.5,
        ge=0,
        le=2,
        description="how much a popular item loses weight in the likeness of users, degree^-x",
    )
    user_exponent: UserExponent = 0.7
    popularity_exponent: float = Field(
        0.2,
        ge=0,
        le=2,
        description="how much a popular item loses weight as a candidate, degree^-x",
    )
    min_item_users: int = Field(2, ge=1, description="fewest distinct users of a candidate")
    items: Candidates = 100
    exclude_seen_days: ExcludeSeenDays = 7


class RepurchaseSettings(Section):
    """Channel `repurchase`: what the user takes again and again
    (`jobs.recall.channels.repurchase`).

    due_exponent is 0: on the next baskets of Complete Journey and the next weeks of Online Retail
    lists were better the less it took.
    """

    half_life_days: HalfLifeDays = 180.0
    due_exponent: float = Field(
        0.0,
        ge=0,
        le=4,
        description="how much an item that is not due yet loses, (days since / usual days)^x; 0 "
        "takes nothing",
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
    max_items: int = Field(10, ge=1, description="most distinct items of a newcomer")
    attributes: tuple[str, ...] = Field(
        (), description="user attributes that count; empty means all"
    )
    max_values: int = Field(
        50,
        ge=1,
        description="most distinct values of an attribute that counts; an attribute with more may "
        "be a name or a number of each user's own",
    )
    value_min_users: int = Field(
        10, ge=1, description="fewest users of an attribute value that counts"
    )
    window_days: WindowDays = 365
    half_life_days: HalfLifeDays = 90.0
    candidates: int = Field(
        500, ge=1, description="most used items, from which newcomers get their lists"
    )
    smoothing: Smoothing = 20.0


class Q2ISettings(Section):
    """Channel `q2i`: items by phrases that the LLM expects of a user (`jobs.recall.channels.q2i`).

    exclude_seen_days is long, because this channel is there to discover.
    """

    items: Candidates = 100
    exclude_seen_days: ExcludeSeenDays = 90
    phrase_decay: float = Field(
        0.8,
        gt=0,
        le=1,
        description="factor on a phrase for each phrase that the LLM named before it; 1 turns it "
        "off",
    )
    interest_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        description="weight of an interest beside that of a search phrase; 0 leaves interests out",
    )
    search_depth: int = Field(
        50, ge=1, le=16_384, description="texts that the vector index returns for each phrase"
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
        0.8,
        gt=0,
        le=1,
        description="factor on a product for each product that the LLM named before it; 1 turns "
        "it off",
    )
    catalogue_names: int = Field(
        5_000,
        ge=1,
        description="most used distinct names of the catalogue to compare; a day encodes no more "
        "of the catalogue's names",
    )
    matches: int = Field(3, ge=1, description="catalogue names that one named product may match")
    theta: float = Field(
        0.6, ge=-1, le=1, description="least cosine of a named product and a catalogue name"
    )
    skus: int = Field(50, ge=1, description="most used items of a name to select from")
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


_TIMED = frozenset({Need.times})
_INTERACTIONS = Read("silver.interactions")
_ITEMS = Read("silver.items")
_USERS = Read("silver.users")
_PROFILES = Read("silver.user_profiles")
_ITEM_TEXTS = Read("silver.item_texts")
_ITEM_EMBEDDINGS = Read("silver.item_embeddings")
_USER_TEXTS = Read("silver.user_texts")
_ITEM_SEARCH = Search("milvus.items")
_OF_USERS = {"interactions": _INTERACTIONS, "items": _ITEMS, "profiles": _PROFILES}
_LISTED = {
    "interactions": _INTERACTIONS,
    "listed": Read("gold.popular_items_daily"),
    "users": _USERS,
    "profiles": _PROFILES,
}
_HALF_LIFE = choice("half-life", "half_life_days", 15.0, 30.0, 90.0, 365.0, 3650.0, needs=_TIMED)

# In the order of their phrases in a row's reason.
CHANNELS = (
    Source(
        "repurchase",
        Family.behavior,
        "what the user takes again and again",
        RepurchaseSettings,
        "jobs.recall.channels.repurchase:candidates",
        _OF_USERS,
        "you took it before",
        needs=frozenset({Need.times, Need.repeats}),
        grid=(
            choice("due exponent", "due_exponent", 0.0, 0.5, 1.0),
            choice("half-life", "half_life_days", 30.0, 90.0, 180.0, 365.0),
        ),
    ),
    Source(
        "i2i",
        Family.behavior,
        "neighbors of what the user took lately",
        ItemHistorySettings,
        "jobs.recall.channels.i2i:candidates",
        {**_OF_USERS, "neighbors": Read("gold.i2i_daily")},
        "goes with your {because}",
        in_tasks=True,
        section="item_history",
    ),
    Source(
        "similar_users",
        Family.behavior,
        "what the users with the most similar taste took",
        SimilarUsersSettings,
        "jobs.recall.channels.similar_users:candidates",
        _OF_USERS,
        "users with a taste like yours took it",
        grid=(
            choice("user exponent", "user_exponent", 0.3, 0.5, 0.7),
            choice("users", "users", 150, 500, 1000),
            _HALF_LIFE,
        ),
        in_tasks=True,
    ),
    Source(
        "newcomer",
        Family.popularity,
        "what users with the same attributes take, for users with few items",
        NewcomerSettings,
        "jobs.recall.channels.newcomer:candidates",
        {**_OF_USERS, "users": _USERS},
        "users like you take it more than others do",
        needs=frozenset({Need.user_attributes}),
    ),
    Source(
        "q2i",
        Family.language_model,
        "items near to a phrase that the LLM expects of the user",
        Q2ISettings,
        "jobs.recall.channels.q2i:candidates",
        {
            "interactions": _INTERACTIONS,
            "items": _ITEMS,
            "item_texts": _ITEM_TEXTS,
            "user_texts": _USER_TEXTS,
            "user_enrichments": Read("silver.user_enrichments"),
            "search": _ITEM_SEARCH,
        },
        "fits what you may search for",
        needs=frozenset({Need.user_texts}),
        also=("encoder",),
    ),
    Source(
        "product_names",
        Family.language_model,
        "items of products that the LLM expects the user to buy next",
        ProductNamesSettings,
        "jobs.recall.channels.product_names:candidates",
        {
            "interactions": _INTERACTIONS,
            "items": _ITEMS,
            "item_texts": _ITEM_TEXTS,
            "item_embeddings": _ITEM_EMBEDDINGS,
            "item_enrichments": Read("silver.item_enrichments"),
            "user_texts": _USER_TEXTS,
            "user_enrichments": Read("silver.user_enrichments"),
        },
        "may be what you buy next",
        needs=frozenset({Need.user_texts}),
        in_tasks=True,
        also=("encoder",),
    ),
    Source(
        "vector",
        Family.content,
        "items whose text is near to the user's text",
        VectorSettings,
        "jobs.recall.channels.vector:candidates",
        {
            "interactions": _INTERACTIONS,
            "items": _ITEMS,
            "item_texts": _ITEM_TEXTS,
            "item_embeddings": _ITEM_EMBEDDINGS,
            "user_texts": _USER_TEXTS,
            "user_embeddings": Read("silver.user_embeddings"),
            "search": _ITEM_SEARCH,
        },
        "fits your interests",
        needs=frozenset({Need.user_texts}),
        also=("content", "encoder", "milvus"),
    ),
    Source(
        "trending",
        Family.popularity,
        "items whose users come faster than usual",
        TrendingSettings,
        "jobs.recall.channels.trending:candidates",
        _LISTED,
        "taken more than usual lately",
        needs=_TIMED,
        grid=(choice("short half-life", "short_half_life_days", 1.0, 3.0, 7.0),),
        also=("popular",),
    ),
    Source(
        "new",
        Family.popularity,
        "items that the shop has not had for long",
        NewSettings,
        "jobs.recall.channels.new:candidates",
        _LISTED,
        "new in the shop",
        needs=_TIMED,
        grid=(choice("window", "window_days", 14, 28, 56),),
        also=("popular",),
    ),
    Source(
        "seasonal",
        Family.popularity,
        "items taken in these weeks of earlier years",
        SeasonalSettings,
        "jobs.recall.channels.seasonal:candidates",
        _LISTED,
        "in season",
        needs=_TIMED,
        grid=(choice("window", "window_days", 7, 14, 28),),
        also=("popular",),
    ),
    Source(
        "popular",
        Family.fallback,
        "what many users take lately; fills every list",
        PopularSettings,
        "jobs.recall.channels.popular:candidates",
        _LISTED,
        "{popular}",
        also=("user",),
    ),
)
