"""A day's vectors in files: their digest, a sample, and the brute force that others must equal."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.lake.errors import UpstreamMissing
from jobs.vectors import day_vectors
from jobs.vectors.day_vectors import DayVectors
from tests.vectors.conftest import MakeDay, random_vectors

DS = date(2017, 12, 28)


def test_the_digest_follows_ids_vectors_and_encoder(make_day: MakeDay) -> None:
    vectors = random_vectors(9)
    day = make_day(DS, vectors)
    moved = vectors.copy()
    moved[4, 3] += 1 / 2048
    same = [make_day(DS, vectors), make_day(date(2018, 1, 1), vectors)]
    other = [
        make_day(DS, vectors[:8]),
        make_day(DS, vectors, [f"j{n}" for n in range(9)]),
        make_day(DS, moved),
        make_day(DS, vectors, firsts=[True] * 8 + [False]),
        DayVectors(DS, "other:fp32", day.folder),
    ]
    assert {made.digest for made in same} == {day.digest}
    assert len({made.digest for made in [day, *other]}) == 6
    assert (day.rows, day.dimension) == (9, 16)


def test_the_digest_does_not_depend_on_the_parts(
    make_day: MakeDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_day(DS, random_vectors(9)).digest
    monkeypatch.setattr(day_vectors, "PART_ROWS", 2)
    assert make_day(DS, random_vectors(9)).digest == whole


def test_brute_force_breaks_ties_by_id(make_day: MakeDay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_vectors, "PART_ROWS", 2)
    near, far = np.eye(2, dtype=np.float32)
    day = make_day(DS, np.array([near, far, near, far, near]), ["a", "b", "c", "d", "e"])
    ids, scores = day.nearest(np.array([near, far]), 4)
    assert ids == [["a", "c", "e", "b"], ["b", "d", "a", "c"]]
    assert scores == [[1, 1, 1, 0], [1, 1, 0, 0]]


def test_a_sample_is_spread_over_the_files(make_day: MakeDay) -> None:
    vectors = random_vectors(9)
    day = make_day(DS, vectors)
    assert np.array_equal(day.sample(3), vectors[[0, 4, 8]])
    assert np.array_equal(day.sample(50), vectors)


def test_an_item_without_a_vector_is_named(tmp_path: Path) -> None:
    rows = {
        "item_id": ["a", "b"],
        "is_first_of_text": [True, True],
        "embedding": pa.array([[1.0], None], pa.list_(pa.float32())),
    }
    pq.write_table(pa.table(rows), tmp_path / "part-0.parquet")
    with pytest.raises(UpstreamMissing, match=r"no vector by m:fp32 .* such as 'b'") as error:
        DayVectors(DS, "m:fp32", tmp_path).rows  # noqa: B018
    assert "reclake run silver.item_embeddings --ds 2017-12-28" in str(error.value)


def test_a_day_without_items_has_no_rows(tmp_path: Path) -> None:
    day = DayVectors(DS, "m:fp32", tmp_path)
    assert (day.rows, day.dimension, len(day.sample(3))) == (0, 0, 0)
