"""Which texts a day encodes, and what its ids get."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.vectors import embeddings
from jobs.vectors.embeddings import embeddings_to_add, encode_distinct, encode_words
from jobs.vectors.encoder import Encoder

ENCODER = Encoder("minilm-l6", "fp32")
TEXTS = "item_id string, text string, text_hash string"
KEPT = "item_id string, text_hash string, encoder string, embedding array<float>"
# No text has this vector, so whoever carries it got it from the table.
MARK = [1.0] + [0.0] * 383


@pytest.fixture
def texts(spark: SparkSession) -> DataFrame:
    rows = [("i1", "beer", "h-beer"), ("i2", "beer", "h-beer"), ("i3", "bread", "h-bread")]
    return spark.createDataFrame(rows, TEXTS)


def added(texts: DataFrame, kept: list[tuple], scratch: Path) -> dict[str, list[float]]:
    frame = texts.sparkSession.createDataFrame(kept, KEPT)
    rows = embeddings_to_add(texts, frame, "item_id", ENCODER, Scratch(scratch)).collect()
    assert {row.encoder for row in rows} <= {"minilm-l6:fp32"}
    assert len({(row.item_id, row.text_hash) for row in rows}) == len(rows)
    return {row.item_id: list(row.embedding) for row in rows}


def test_every_new_item_gets_the_vector_of_its_text(texts: DataFrame, tmp_path: Path) -> None:
    beer, bread = ENCODER.encode(["beer", "bread"]).tolist()
    assert added(texts, [], tmp_path) == {"i1": beer, "i2": beer, "i3": bread}


def test_a_kept_item_is_not_added_and_its_text_is_not_encoded_again(
    texts: DataFrame, tmp_path: Path
) -> None:
    made = added(texts, [("i1", "h-beer", "minilm-l6:fp32", MARK)], tmp_path)
    assert set(made) == {"i2", "i3"}
    assert made["i2"] == MARK


def test_a_text_kept_for_an_item_that_is_gone_is_used(texts: DataFrame, tmp_path: Path) -> None:
    made = added(texts, [("gone", "h-bread", "minilm-l6:fp32", MARK)], tmp_path)
    assert set(made) == {"i1", "i2", "i3"}
    assert made["i3"] == MARK


def test_an_item_whose_text_changed_is_added_again(texts: DataFrame, tmp_path: Path) -> None:
    made = added(texts, [("i3", "h-older", "minilm-l6:fp32", MARK)], tmp_path)
    assert np.array_equal(made["i3"], ENCODER.encode(["bread"])[0])


def test_vectors_of_another_encoder_are_as_good_as_none(texts: DataFrame, tmp_path: Path) -> None:
    kept = [(item, hash_, "minilm-l6:bf16", MARK) for item, _, hash_ in texts.collect()]
    made = added(texts, kept, tmp_path)
    assert set(made) == {"i1", "i2", "i3"}
    assert MARK not in made.values()


def test_nothing_is_added_when_all_is_kept(texts: DataFrame, tmp_path: Path) -> None:
    kept = [(item, hash_, "minilm-l6:fp32", MARK) for item, _, hash_ in texts.collect()]
    assert added(texts, kept, tmp_path) == {}


def test_each_distinct_text_is_encoded_once(texts: DataFrame, tmp_path: Path) -> None:
    rows = encode_distinct(texts, ENCODER, Scratch(tmp_path)).collect()
    assert sorted(row.text_hash for row in rows) == ["h-beer", "h-bread"]


def test_each_distinct_word_has_a_vector(texts: DataFrame, tmp_path: Path) -> None:
    rows = encode_words(texts, "text", ENCODER, Scratch(tmp_path)).collect()
    beer, bread = ENCODER.encode(["beer", "bread"]).tolist()
    assert {row.text: list(row.embedding) for row in rows} == {"beer": beer, "bread": bread}
    assert len(rows) == 2


def test_few_texts_are_encoded_here_and_many_in_tasks_with_the_same_vectors(
    texts: DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encoded() -> DataFrame:
        return encode_distinct(texts, ENCODER, Scratch(tmp_path))

    def tasks(frame: DataFrame) -> int:
        return frame.select(F.spark_partition_id()).distinct().count()

    here = encoded()
    assert tasks(here) == 1
    monkeypatch.setattr(embeddings, "TEXTS_OF_A_TASK", 1)
    there = encoded()
    assert tasks(there) == 2
    assert sorted(map(tuple, here.collect())) == sorted(map(tuple, there.collect()))


def test_a_day_without_new_texts_loads_no_model(texts: DataFrame, tmp_path: Path) -> None:
    no_model = Encoder("/no/such/model", "fp32")
    assert encode_distinct(texts.limit(0), no_model, Scratch(tmp_path)).collect() == []
