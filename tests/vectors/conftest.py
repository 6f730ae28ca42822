"""A Milvus server for the tests of the index, and small vectors to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.stack import milvus
from jobs.settings import Settings
from jobs.vectors.day_vectors import DayVectors
from jobs.vectors.encoder import GRID, Encoder, Vectors
from jobs.vectors.index import ItemIndex

MakeDay = Callable[..., DayVectors]

# Whose vectors the days of these tests hold.
ENCODER = Encoder.of(Settings()).name


def on_grid(matrix: np.ndarray) -> Vectors:
    """Rows of length 1, rounded as the encoder rounds them."""
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return (np.rint(unit * GRID) / GRID).astype(np.float32)


def random_vectors(rows: int, seed: int = 7) -> Vectors:
    return on_grid(np.random.default_rng(seed).normal(size=(rows, 16)))


@pytest.fixture(scope="session")
def milvus_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with milvus(tmp_path_factory.mktemp("milvus")) as uri:
        yield uri


@pytest.fixture
def index(milvus_uri: str, tmp_path: Path) -> ItemIndex:
    """The index of an empty Milvus."""
    index = ItemIndex(Settings(home=tmp_path, milvus_uri=milvus_uri))
    for alias in index.aliases():
        index._client.drop_alias(alias)
    for collection in index._client.list_collections():
        index._client.drop_collection(collection)
    return index


@pytest.fixture
def make_day(tmp_path: Path) -> MakeDay:
    """Makes a day's vectors: rows of a matrix, named i0000, i0001, … unless `ids` says otherwise.

    Each item has a text of its own, unless `firsts` says which are the first of their text.

    The rows lie in several files, as Spark writes them.
    """

    def make(
        ds: date,
        vectors: Vectors,
        ids: list[str] | None = None,
        firsts: list[bool] | None = None,
    ) -> DayVectors:
        ids = ids or [f"i{number:04d}" for number in range(len(vectors))]
        folder = tmp_path / f"vectors-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        table = pa.table(
            {
                "item_id": ids,
                "is_first_of_text": firsts or [True] * len(ids),
                "embedding": pa.array(vectors.tolist(), pa.list_(pa.float32())),
            }
        )
        middle = len(ids) // 3
        pq.write_table(table.slice(0, middle), folder / "part-00000.parquet")
        pq.write_table(table.slice(middle), folder / "part-00001.parquet")
        return DayVectors(ds, ENCODER, folder)

    return make
