"""The I2I methods: the settings and the entry of each."""

from __future__ import annotations

from itertools import product

from pydantic import Field

from jobs.lake.step import Read, Search
from jobs.recall.settings.fields import (
    GapMinutes,
    HalfLifeDays,
    ItemExponent,
    ItemsPerText,
    MinSupport,
    NeighborExponent,
    Neighbors,
    Section,
    Shrinkage,
    UserExponent,
)
from jobs.recall.settings.strength import MatrixSettings, StrengthSettings
from jobs.recall.sources.source import Family, Need, Source, choice


class CooccurrenceSettings(MatrixSettings):
    """Item similarity from what the same users take (`jobs.recall.methods.cooccurrence`).

    The exponents of the items were the best, or within 0.001 of the best, on a fifth of the train
    parts of Gowalla and Amazon-book (recall@20); 0.5 and 0.5 would be the cosine. The user exponent
    is the largest that costs nothing where a random fifth is held out. Where later days are held
    out, a larger one is better still (docs/decisions/0007-recall.evidence.md).
    """

    min_support: MinSupport = 2
    user_exponent: UserExponent = 0.75
    item_exponent: ItemExponent = 0.75
    neighbor_exponent: NeighborExponent = 0.25
    shrinkage: Shrinkage = 2.0
    neighbors: Neighbors = 50


class SessionSettings(MatrixSettings):
    """Item similarity from what one visit holds (`jobs.recall.methods.session`).

    history_length counts the items of a session. The exponents were chosen on the October of Online
    Retail. The half-life lies between the best for that data and the best for MovieLens 100K.
    """

    half_life_days: HalfLifeDays = 60.0
    history_length: int = Field(200, ge=1, description="most items of a session that count")
    min_support: MinSupport = 2
    session_exponent: float = Field(
        0.75, ge=0, le=2, description="how much a large session loses weight, degree^-x"
    )
    item_exponent: ItemExponent = 0.6
    neighbor_exponent: NeighborExponent = 0.4
    shrinkage: Shrinkage = 2.0
    gap_minutes: GapMinutes = 30.0
    neighbors: Neighbors = 50

    def of_sessions(self) -> CooccurrenceSettings:
        """The settings of `jobs.recall.methods.cooccurrence` with sessions in place of users."""
        shared = self.model_dump(exclude={"session_exponent", "gap_minutes"})
        return CooccurrenceSettings(**shared, user_exponent=self.session_exponent)


class SlimSettings(MatrixSettings):
    """Item similarity by learned weights (`jobs.recall.methods.slim`)."""

    min_support: MinSupport = 2
    candidates: int = Field(
        100,
        ge=1,
        le=1000,
        description="nearest items by cosine, whose weights are learned for each item",
    )
    penalty: float = Field(
        60.0,
        gt=0,
        description="ridge penalty on the weights, in users of mean strength; a larger one spreads "
        "the weight over more items",
    )
    user_exponent: UserExponent = 0.25
    neighbors: Neighbors = 50


class SwingSettings(MatrixSettings):
    """Item similarity from pairs of users (`jobs.recall.methods.swing`).

    The exponents were chosen on a fifth of the train part of Gowalla (recall@20); the paper's are
    0.5 for the user and 0 for both items. `block_products` counts terms: an item of one user,
    looked up among the items of another.
    """

    min_support: int = Field(
        2, ge=2, description="distinct users that must stand behind a pair of items"
    )
    alpha: float = Field(
        1.0,
        ge=0,
        description="added to the number of items that two users share; the sum divides the "
        "pair's vote, so with a larger value the number matters less",
    )
    user_exponent: UserExponent = 0.25
    item_exponent: ItemExponent = 1.5
    neighbor_exponent: NeighborExponent = 0.4
    users: int = Field(
        200,
        ge=2,
        le=2000,
        description="most users of an item that count, those with the most weight",
    )
    neighbors: Neighbors = 50


class TransitionSettings(StrengthSettings):
    """Item similarity from what comes soon after what (`jobs.recall.methods.transition`)."""

    history_length: int = Field(1000, ge=1, description="newest events of a user that count")
    min_support: MinSupport = 2
    window: int = Field(
        3, ge=1, le=100, description="later times of a user that an item can lead to"
    )
    position_decay: float = Field(
        0.7, gt=0, le=1, description="factor for each time between two items; 1 turns it off"
    )
    basket_length: int = Field(
        50, ge=1, description="most items of one time that count, those with the most weight"
    )
    user_exponent: UserExponent = 0.5
    item_exponent: ItemExponent = 0.75
    neighbor_exponent: NeighborExponent = 0.25
    shrinkage: Shrinkage = 2.0
    neighbors: Neighbors = 50


class ContentSettings(Section):
    """Item similarity from the embedding of the item's text (`jobs.recall.methods.content`)."""

    neighbors: Neighbors = 50
    user_search_depth: int = Field(
        200,
        ge=1,
        le=16_384,
        description="texts that the vector index returns for each user; more than the channel "
        "keeps, because items that the user took lately are left out",
    )
    items_per_text: ItemsPerText = 10
    min_score: float = Field(
        0.3,
        ge=-1,
        le=1,
        description="least cosine of a neighbor; texts with less are unrelated",
    )


class AugmentedSettings(Section):
    """Item similarity from what the LLM said (`jobs.recall.methods.augmented`)."""

    max_users: int = Field(
        20,
        ge=0,
        description="most distinct users of an item that gets neighbors from this method; "
        "behavior says enough about items with more",
    )
    tag_descriptions: int = Field(
        200, ge=1, description="most descriptions that share a tag; a tag in more is left out"
    )
    items_per_description: int = Field(
        10, ge=1, description="items with the same description that one list may hold"
    )
    min_score: float = Field(
        0.1, ge=0, le=1, description="least weighted Jaccard index of a neighbor"
    )
    candidates: int = Field(
        8, ge=2, le=20, description="items with near texts from which the LLM chooses companions"
    )
    min_cosine: float = Field(
        0.35, ge=-1, le=1, description="least cosine of a candidate; texts with less are unrelated"
    )
    max_cosine: float = Field(
        0.9, ge=-1, le=1, description="largest cosine of a candidate; texts with more are the same"
    )
    min_lift: float = Field(
        1.0,
        ge=0,
        description="least lift of two categories for a pair that the LLM put together: how many "
        "times as often as by chance users take items of both; 0 keeps all pairs, also those "
        "without a category",
    )
    neighbors: Neighbors = 50


_TIMED = frozenset({Need.times})
_INTERACTIONS = Read("silver.interactions")
_ITEMS = Read("silver.items")
_ITEM_TEXTS = Read("silver.item_texts")
_ITEM_EMBEDDINGS = Read("silver.item_embeddings")
_ITEM_SEARCH = Search("milvus.items")
_BY_BEHAVIOR = {"interactions": _INTERACTIONS, "items": _ITEMS}
_TOGETHER = "chosen together by {users}"
_SUPPORT = choice("support", "min_support shrinkage", (1, 0.0), (2, 0.0), (2, 2.0), (3, 2.0))
_DEGREES = choice(
    "item exponents",
    "item_exponent neighbor_exponent",
    (0.5, 0.5),
    (0.6, 0.4),
    (0.75, 0.25),
    (0.9, 0.1),
)
_HALF_LIFE = choice("half-life", "half_life_days", 15.0, 30.0, 90.0, 365.0, 3650.0, needs=_TIMED)

METHODS = (
    Source(
        "cooccurrence",
        Family.behavior,
        "the same users take both items",
        CooccurrenceSettings,
        "jobs.recall.methods.cooccurrence:candidates",
        _BY_BEHAVIOR,
        _TOGETHER,
        grid=(
            # What the channel i2i does with a history is chosen by the cheapest method's lists.
            choice(
                "position decay",
                "position_decay",
                *(1.0, 0.95, 0.9, 0.8, 0.7, 0.5),
                section="item_history",
                needs=_TIMED,
            ),
            choice(
                "history half-life",
                "half_life_days",
                *(30.0, 90.0, 365.0, 3650.0),
                section="item_history",
                needs=_TIMED,
            ),
            choice(
                "history length",
                "history_length",
                *(20, 50, 200),
                section="item_history",
                needs=_TIMED,
            ),
            _SUPPORT,
            _DEGREES,
            choice("user exponent", "user_exponent", 0.25, 0.5, 0.75, 1.0),
            _HALF_LIFE,
        ),
        in_tasks=True,
    ),
    Source(
        "session",
        Family.behavior,
        "the same visits hold both items",
        SessionSettings,
        "jobs.recall.methods.session:candidates",
        _BY_BEHAVIOR,
        _TOGETHER,
        needs=_TIMED,
        grid=(
            _SUPPORT,
            _DEGREES,
            choice("session exponent", "session_exponent", 0.25, 0.5, 0.75, 1.0),
            _HALF_LIFE,
        ),
    ),
    Source(
        "slim",
        Family.behavior,
        "how much an item predicts another, beside all other items",
        SlimSettings,
        "jobs.recall.methods.slim:candidates",
        _BY_BEHAVIOR,
        _TOGETHER,
        grid=(
            choice(
                "penalty and support",
                "penalty min_support",
                *product((15.0, 30.0, 60.0, 120.0), (1, 2)),
            ),
            choice("user exponent", "user_exponent", 0.0, 0.25, 0.5),
            choice("candidates", "candidates", 100, 200),
            _HALF_LIFE,
        ),
        in_tasks=True,
    ),
    Source(
        "swing",
        Family.behavior,
        "pairs of users with little else in common take both items",
        SwingSettings,
        "jobs.recall.methods.swing:candidates",
        _BY_BEHAVIOR,
        _TOGETHER,
        grid=(
            choice("alpha", "alpha", 0.1, 1.0, 10.0),
            choice(
                "item exponents",
                "item_exponent neighbor_exponent",
                (1.0, 0.25),
                (1.5, 0.4),
                (2.0, 0.5),
            ),
            choice("user exponent", "user_exponent", 0.25, 0.5, 0.75),
            _HALF_LIFE,
        ),
        in_tasks=True,
    ),
    Source(
        "transition",
        Family.order,
        "users take one item soon after the other",
        TransitionSettings,
        "jobs.recall.methods.transition:candidates",
        _BY_BEHAVIOR,
        "users took it soon after",
        needs=_TIMED,
        grid=(
            choice("window and decay", "window position_decay", (1, 1.0), (3, 0.7), (10, 0.7)),
            _SUPPORT,
            _DEGREES,
        ),
    ),
    Source(
        "content",
        Family.content,
        "the texts of both items mean the same",
        ContentSettings,
        "jobs.recall.methods.content:candidates",
        {
            "items": _ITEMS,
            "texts": _ITEM_TEXTS,
            "embeddings": _ITEM_EMBEDDINGS,
            "search": _ITEM_SEARCH,
        },
        "similar product: {title}",
        needs=frozenset({Need.texts}),
        also=("encoder", "milvus"),
    ),
    Source(
        "augmented",
        Family.language_model,
        "an LLM described both items alike, or put them together",
        AugmentedSettings,
        "jobs.recall.methods.augmented:candidates",
        {
            "interactions": _INTERACTIONS,
            "items": _ITEMS,
            "texts": _ITEM_TEXTS,
            "embeddings": _ITEM_EMBEDDINGS,
            "enrichments": Read("silver.item_enrichments"),
            "companions": Read("silver.item_companions"),
            "search": _ITEM_SEARCH,
        },
        "put together by a language model",
        needs=frozenset({Need.tags}),
        grid=(choice("most users", "max_users", 5, 20, 100),),
        also=(
            "encoder",
            "llm",
        ),
    ),
)
