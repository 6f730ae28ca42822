"""One day's item vectors in files, read in parts: what an index is loaded from."""

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
class DayVectors:
    """The item vectors of one day.

    encoder: who made the vectors. folder: Parquet files with item_id string and embedding
    list<float>, in item_id order within and across the files' names.
    """

    ds: date
    encoder: str
    folder: str

    def parts(self) -> Iterator[tuple[list[str], Vectors]]:
        """item ids in order and their vectors (n, dimension), at most PART_ROWS at a time.

        Raises UpstreamMissing when an item has no vector.
        """
        for path in sorted(Path(self.folder).glob("*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(
                PART_ROWS, columns=["item_id", "embedding"]
            ):
                if batch.num_rows:
                    yield self._part(batch)

    def _part(self, batch: pa.RecordBatch) -> tuple[list[str], Vectors]:
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
        return ids, flat.reshape(len(ids), -1)

    @cached_property
    def _summary(self) -> tuple[int, int, str]:
        names, bits = hashlib.sha256(self.encoder.encode()), hashlib.sha256()
        rows, dimension = 0, 0
        for ids, vectors in self.parts():
            names.update("".join(f"\0{item_id}" for item_id in ids).encode())
            bits.update(np.ascontiguousarray(vectors).tobytes())
            rows, dimension = rows + len(ids), vectors.shape[1]
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
        """SHA-256 of the encoder, the ids and the vectors' bits."""
        return self._summary[2]

    def sample(self, size: int) -> Vectors:
        """At most `size` of the vectors, evenly spaced in id order."""
        if not self.rows:
            return np.empty((0, self.dimension), np.float32)
        wanted = np.unique(np.linspace(0, self.rows - 1, size).astype(int))
        taken, start = [], 0
        for _, vectors in self.parts():
            here = wanted[(wanted >= start) & (wanted < start + len(vectors))] - start
            taken.append(vectors[here])
            start += len(vectors)
        return np.concatenate(taken)

    def nearest(self, queries: Vectors, k: int) -> tuple[list[list[str]], list[list[float]]]:
        """The k items of largest inner product with each query, by comparing with every row.

        Order and cut: score descending, item_id ascending.
        """
        ids = np.empty((len(queries), 0), dtype=object)
        scores = np.empty((len(queries), 0), np.float32)
        for part_ids, vectors in self.parts():
            named = np.broadcast_to(np.array(part_ids, dtype=object), (len(queries), len(part_ids)))
            ids = np.concatenate([ids, named], axis=1)
            scores = np.concatenate([scores, queries @ vectors.T], axis=1)
            # Stable, and ids come in order: equal scores stay in id order.
            best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            ids = np.take_along_axis(ids, best, axis=1)
            scores = np.take_along_axis(scores, best, axis=1)
        return ids.tolist(), scores.tolist()
