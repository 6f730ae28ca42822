"""One day's item vectors in files, read in parts to load an index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.lake.errors import UpstreamMissing
from jobs.vectors.encoder import Vectors

# Rows of one part: 3 MB of MiniLM vectors, and one Milvus insert.
PART_ROWS = 2_000


@dataclass(frozen=True)
class Part:
    """Some items in id order. vectors: (n, dimension). is_first_of_text: whether the item
    has the smallest id of those that share its text.
    """

    item_ids: list[str]
    is_first_of_text: list[bool]
    vectors: Vectors


@dataclass(frozen=True)
class DayVectors:
    """The item vectors of one day.

    encoder: name of the vectors' encoder. folder: Parquet files with item_id string,
    is_first_of_text bool and embedding list<float>, in item_id order within and across the files'
    names.
    """

    ds: date
    encoder: str
    folder: Path

    def parts(self) -> Iterator[Part]:
        """The items in id order, at most PART_ROWS at a time.

        Raises UpstreamMissing when an item has no vector.
        """
        for path in sorted(self.folder.glob("*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(
                PART_ROWS, columns=["item_id", "is_first_of_text", "embedding"]
            ):
                if batch.num_rows:
                    yield self._part(batch)

    def _part(self, batch: pa.RecordBatch) -> Part:
        ids, vectors = batch.column("item_id").to_pylist(), batch.column("embedding")
        if vectors.null_count:
            lacking = next(i for i, v in zip(ids, vectors.is_valid(), strict=True) if not v.as_py())
            raise UpstreamMissing(
                f"milvus.items ds={self.ds}: {vectors.null_count:,} or more items of "
                f"silver.item_texts have no vector by {self.encoder} in silver.item_embeddings, "
                f"such as {lacking!r}. No alias was moved. "
                f"Run `reclake run silver.item_embeddings --ds {self.ds}` first."
            )
        flat = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        firsts = batch.column("is_first_of_text").to_pylist()
        return Part(ids, firsts, flat.reshape(len(ids), -1))

    @cached_property
    def _summary(self) -> tuple[int, int, str]:
        names, bits = hashlib.sha256(self.encoder.encode()), hashlib.sha256()
        rows, dimension = 0, 0
        for part in self.parts():
            firsts = zip(part.item_ids, part.is_first_of_text, strict=True)
            names.update("".join(f"\0{item_id}\0{first:d}" for item_id, first in firsts).encode())
            bits.update(np.ascontiguousarray(part.vectors).tobytes())
            rows, dimension = rows + len(part.item_ids), part.vectors.shape[1]
        names.update(bits.digest())
        return rows, dimension, names.hexdigest()

    @property
    def rows(self) -> int:
        return self._summary[0]

    @property
    def dimension(self) -> int:
        """Length of the vectors; 0 when there are none."""
        return self._summary[1]

    @property
    def digest(self) -> str:
        """SHA-256 of the encoder's name, the ids, is_first_of_text, and the vectors' bits."""
        return self._summary[2]

    def sample(self, size: int) -> Vectors:
        """At most `size` of the vectors, evenly spaced in id order."""
        if not self.rows:
            return np.empty((0, self.dimension), np.float32)
        wanted = np.unique(np.linspace(0, self.rows - 1, size).astype(int))
        taken, start = [], 0
        for part in self.parts():
            end = start + len(part.vectors)
            taken.append(part.vectors[wanted[(wanted >= start) & (wanted < end)] - start])
            start = end
        return np.concatenate(taken)

    def nearest(self, queries: Vectors, k: int) -> tuple[list[list[str]], list[list[float]]]:
        """The k items of largest inner product with each query, by comparing with every row.

        Order and cut: score descending, item_id ascending.
        """
        ids = np.empty((len(queries), 0), dtype=object)
        scores = np.empty((len(queries), 0), np.float32)
        for part in self.parts():
            shape = (len(queries), len(part.item_ids))
            named = np.broadcast_to(np.array(part.item_ids, dtype=object), shape)
            ids = np.concatenate([ids, named], axis=1)
            scores = np.concatenate([scores, queries @ part.vectors.T], axis=1)
            # Stable, and ids come in order: equal scores stay in id order.
            best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            ids = np.take_along_axis(ids, best, axis=1)
            scores = np.take_along_axis(scores, best, axis=1)
        return ids.tolist(), scores.tolist()
