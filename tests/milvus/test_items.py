"""milvus.items as the runtime runs it: from the embedding table to the alias."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from pyspark.sql import functions as F

from jobs.lake import Lake
from jobs.lake.errors import UpstreamMissing
from jobs.settings import RunParams
from jobs.vectors.encoder import Encoder
from jobs.vectors.index import LIVE, ItemIndex
from tests.vectors.texts import publish_texts

pytestmark = pytest.mark.server

D28, D29 = date(2017, 12, 28), date(2017, 12, 29)


@pytest.fixture
def shop(make_lake: Callable[..., Lake], index: ItemIndex) -> Lake:
    """A lake whose Milvus is the empty one of `index`."""
    return make_lake(milvus_uri=index.settings.milvus_uri)


def keep_vectors(lake: Lake, texts: dict[str, str], day: date) -> None:
    """Put the texts' true vectors into silver.item_embeddings."""
    encoder = Encoder.of(lake.settings)
    vectors = encoder.encode(list(texts.values())).tolist()
    rows = [(*pair, vector) for pair, vector in zip(texts.items(), vectors, strict=True)]
    frame = lake.spark.createDataFrame(
        rows, "item_id string, text string, embedding array<float>"
    ).select(
        "item_id",
        F.sha2("text", 256).alias("text_hash"),
        F.lit(encoder.name).alias("encoder"),
        "embedding",
        F.lit(day).alias("first_ds"),
    )
    lake.tables.insert_new("silver.item_embeddings", frame)


def searched_by(lake: Lake, target: date | str, text: str) -> list[str]:
    index, vectors = ItemIndex(lake.settings), Encoder.of(lake.settings).encode([text])
    if isinstance(target, str):
        return list(index.search(target, vectors, 10)[0][0])
    search = index.of_day(target, Encoder.of(lake.settings).name)
    return list(search(vectors, 10)[0][0])


def test_a_day_answers_with_the_first_item_of_each_text(shop: Lake) -> None:
    texts = {"can": "lager beer", "bottle": "lager beer", "nappy": "baby diapers"}
    publish_texts(shop, "silver.item_texts", D28, texts)
    keep_vectors(shop, texts, D28)
    assert shop.run("milvus.items", ds=D28).rows_out == 3
    assert searched_by(shop, D28, "beer") == ["bottle", "nappy"]
    assert searched_by(shop, LIVE, "beer") == ["bottle", "can", "nappy"]


def test_a_day_searches_its_own_items_and_texts(shop: Lake) -> None:
    first = {"beer": "lager beer", "nappy": "baby diapers", "gone": "pale ale beer"}
    second = {"beer": "lager beer", "nappy": "beer glasses"}
    for day, texts in ((D28, first), (D29, second)):
        publish_texts(shop, "silver.item_texts", day, texts)
        keep_vectors(shop, texts, day)
    done = shop.run("milvus.items", ds=D29)
    assert (done.rows_in, done.rows_out) == (2, 2)
    assert shop.run("milvus.items", ds=D28).rows_out == 3

    assert searched_by(shop, D28, "lager beer") == ["beer", "gone", "nappy"]
    assert searched_by(shop, D29, "beer glasses") == ["nappy", "beer"]
    assert searched_by(shop, LIVE, "beer glasses") == ["nappy", "beer"]


def test_a_day_of_the_same_texts_loads_nothing(shop: Lake) -> None:
    texts = {"beer": "lager beer", "nappy": "baby diapers"}
    publish_texts(shop, "silver.item_texts", D28, texts)
    keep_vectors(shop, texts, D28)
    loaded = shop.run("milvus.items", ds=D28)
    same = {"run_id": "same", "ds": D29, "known_on": D29}
    (of_texts,) = shop.log.past(["silver.item_texts"]).records
    for record in (of_texts, replace(of_texts, **same)):
        # two days of texts that were made from the same
        shop.log.record_run(replace(record, made_from='{"params": {}}'))
    shop.tables.publish(
        shop.tables.stage_copy(
            "silver.item_texts",
            shop.tables.version("silver.item_texts"),
            {"ds": str(D28)},
            {"ds": str(D29)},
        )
    )
    shop.run("milvus.items", ds=D28)
    carried = shop.run("milvus.items", ds=D29)
    assert (carried.rows_in, carried.rows_out) == (2, 2)
    index = ItemIndex(shop.settings)
    collection = json.loads(loaded.counts)["collection"]
    assert index.days() == {D28: collection, D29: collection}
    assert searched_by(shop, D29, "beer") == searched_by(shop, D28, "beer") == ["beer", "nappy"]


def test_an_item_without_a_vector_stops_the_day(shop: Lake) -> None:
    publish_texts(shop, "silver.item_texts", D28, {"beer": "lager beer", "nappy": "baby diapers"})
    keep_vectors(shop, {"beer": "lager beer", "nappy": "an older text"}, D28)
    with pytest.raises(UpstreamMissing, match="such as 'nappy'"):
        shop.run("milvus.items", ds=D28)
    assert ItemIndex(shop.settings).aliases() == {}


def test_a_dry_run_and_an_empty_day_leave_milvus_alone(shop: Lake) -> None:
    publish_texts(shop, "silver.item_texts", D28, {"beer": "lager beer"})
    keep_vectors(shop, {"beer": "lager beer"}, D28)
    publish_texts(shop, "silver.item_texts", D29, {})
    dry = shop.run("milvus.items", ds=D28, params=RunParams(dry_run=True))
    assert (dry.rows_in, dry.rows_out) == (1, 0)
    assert shop.run("milvus.items", ds=D29).rows_out == 0
    assert ItemIndex(shop.settings)._client.list_collections() == []
