"""The arguments and the answers of any search among texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jobs.vectors.encoder import Vectors

# (ids, cosines): the nearest items of each vector, best first.
TextHits = tuple[Sequence[Sequence[str]], Sequence[Sequence[float]]]
# From vectors, float32 (n, dimension), and how many texts to find for each: one item of each text.
TextSearch = Callable[[Vectors, int], TextHits]
