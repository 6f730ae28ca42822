"""silver.i2i_candidates: each method's own list of similar items, (ds, method, item, neighbor).

cooccurrence: the same users take both (`jobs.recall.methods.cooccurrence`).
session: the same visits hold both (`jobs.recall.methods.cooccurrence`).
slim: what an item says of another beside all that others say (`jobs.recall.methods.slim`).
swing: pairs of users who have little else in common take both (`jobs.recall.methods.swing`).
transition: users take one soon after the other (`jobs.recall.methods.transition`).
content: their texts mean the same (`jobs.recall.methods.content`), asked of the day's Milvus
collection. augmented: the LLM described them alike (`jobs.recall.methods.augmented`) or put them
together
    (`jobs.recall.methods.companions`) as far as it is plausible, for items that few users took.
Scores compare within one method; gold.i2i_daily fuses them.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Read, Run, table
from jobs.llm.daily import of_version
from jobs.llm.prompt import prompt_of
from jobs.recall.methods.augmented import augmented_neighbors, described_items
from jobs.recall.methods.companions import companion_pairs, questions
from jobs.recall.methods.content import content_neighbors, item_texts_with_vectors, search_of_day
from jobs.recall.methods.cooccurrence import cooccurrence_neighbors, session_neighbors
from jobs.recall.methods.discriminator import plausible_pairs
from jobs.recall.methods.slim import slim_neighbors
from jobs.recall.methods.swing import swing_neighbors
from jobs.recall.methods.transition import transition_neighbors
from jobs.silver.item_companions import rare_contents

TABLE = "silver.i2i_candidates"
_BY_BEHAVIOR = {"interactions": Read("silver.interactions"), "items": Read("silver.items")}


@table(TABLE, slice={"method": "cooccurrence"}, reads=_BY_BEHAVIOR)
def cooccurrence(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """The neighbors of every item that at least `min_support` users took."""
    settings = run.settings.recall.cooccurrence
    return cooccurrence_neighbors(interactions, items, run.ds, settings, run.scratch)


@table(TABLE, slice={"method": "session"}, reads=_BY_BEHAVIOR)
def session(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """The neighbors of every item that sessions of at least `min_support` users hold."""
    return session_neighbors(interactions, items, run.ds, run.settings.recall.session, run.scratch)


@table(TABLE, slice={"method": "slim"}, reads=_BY_BEHAVIOR)
def slim(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """The neighbors of every item, weighed against each other."""
    return slim_neighbors(interactions, items, run.ds, run.settings.recall.slim, run.scratch)


@table(TABLE, slice={"method": "swing"}, reads=_BY_BEHAVIOR)
def swing(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """The neighbors of every item, by pairs of its users."""
    return swing_neighbors(interactions, items, run.ds, run.settings.recall.swing, run.scratch)


@table(TABLE, slice={"method": "transition"}, reads=_BY_BEHAVIOR)
def transition(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """What at least `min_support` users took soon after each item."""
    settings = run.settings.recall.transition
    return transition_neighbors(interactions, items, run.ds, settings, run.scratch)


@table(
    TABLE,
    slice={"method": "content"},
    reads={
        "items": Read("silver.items"),
        "texts": Read("silver.item_texts"),
        "embeddings": Read("silver.item_embeddings"),
    },
)
def content(run: Run, items: DataFrame, texts: DataFrame, embeddings: DataFrame) -> DataFrame:
    """The neighbors of every sellable item with text."""
    from jobs.vectors.encoder import Encoder

    item_texts = item_texts_with_vectors(texts, embeddings, items, Encoder.of(run.settings).name)
    search = search_of_day(run.settings, run.ds)
    return content_neighbors(item_texts, search, run.settings.recall.content, run.scratch)


@table(
    TABLE,
    slice={"method": "augmented"},
    reads={
        "interactions": Read("silver.interactions"),
        "items": Read("silver.items"),
        "texts": Read("silver.item_texts"),
        "embeddings": Read("silver.item_embeddings"),
        "enrichments": Read("silver.item_enrichments"),
        "companions": Read("silver.item_companions"),
    },
)
def augmented(
    run: Run,
    interactions: DataFrame,
    items: DataFrame,
    texts: DataFrame,
    embeddings: DataFrame,
    enrichments: DataFrame,
    companions: DataFrame,
) -> DataFrame:
    """The neighbors of every item that few users took and of which the LLM said something."""
    settings = run.settings.recall.augmented
    described = described_items(texts, enrichments)
    pairs = None
    if run.params.companion_budget:
        contents, candidates = rare_contents(run, items, interactions, texts, embeddings)
        prompt, model = prompt_of("companion", run.settings), run.settings.llm_model
        answers = of_version(companions, prompt, model)
        chosen = companion_pairs(questions(contents, candidates), candidates, answers, items)
        pairs = plausible_pairs(chosen, items, interactions, settings.min_lift)
    return augmented_neighbors(described, items, interactions, settings, pairs)
