"""milvus.items: the day's item vectors in Milvus, and the alias that readers follow.

One entity for each item of the day's silver.item_texts. After the collection was compared with the
embedding table, an alias switch moves readers to it.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import EffectResult, Read, Run, Sink, effect
from jobs.lake.settings import Sections
from jobs.vectors.day_vectors import DayVectors
from jobs.vectors.encoder import Encoder
from jobs.vectors.hits import TextSearch
from jobs.vectors.index import LIVE, ItemIndex


def search_of_day(settings: Sections, ds: date) -> TextSearch:
    """A search over the item texts of `ds`, whatever is live in Milvus."""
    return ItemIndex(settings.milvus).of_day(ds, Encoder.of(settings.encoder).name)


def carry_day(settings: Sections, earlier: date, ds: date) -> bool:
    """Let the day be searched in the collection of an earlier day that has the same rows."""
    return ItemIndex(settings.milvus).carry(earlier, ds)


@effect(
    "milvus.items",
    reads={
        "item_texts": Read("silver.item_texts"),
        "item_embeddings": Read("silver.item_embeddings"),
    },
    settings=("milvus", "encoder"),
    opens=search_of_day,
    carry=carry_day,
)
def items_index(
    run: Run, sink: Sink, item_texts: DataFrame, item_embeddings: DataFrame
) -> EffectResult:
    """Load the day's vectors into a collection of its own, verify it, move the aliases.

    Raises UpstreamMissing when an item of the day has no vector, IndexMismatch when Milvus does
    not hold the loaded vectors; then no alias has moved. A day without items has no collection.
    """
    vectors = stage_vectors(run, item_texts, item_embeddings)
    if run.params.dry_run or not vectors.rows:
        return EffectResult(rows_in=vectors.rows, rows_out=0)
    published = ItemIndex(run.settings.milvus).publish(vectors)
    counts = {"collection": published.collection, LIVE: published.live}
    return EffectResult(vectors.rows, vectors.rows, counts, settled=True)


def stage_vectors(run: Run, item_texts: DataFrame, item_embeddings: DataFrame) -> DayVectors:
    """The vector of each item's text of the day, written by Spark for the index to read.

    item_texts: item_id, text_hash string. item_embeddings: item_id, text_hash, encoder string,
    embedding array<float>. A text without a vector is staged with a null, so that the reader can
    name it.
    """
    encoder = Encoder.of(run.settings.encoder).name
    of_encoder = item_embeddings.where(F.col("encoder") == encoder)
    joined = item_texts.select("item_id", "text_hash").join(
        of_encoder, ["item_id", "text_hash"], "left"
    )
    is_first = F.row_number().over(Window.partitionBy("text_hash").orderBy("item_id")) == 1
    staged = joined.select("item_id", is_first.alias("is_first_of_text"), "embedding")
    return DayVectors(run.ds, encoder, run.scratch.computed(staged.orderBy("item_id")).folder)
