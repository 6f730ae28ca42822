"""What a search among texts takes and answers, whoever answers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jobs.vectors.encoder import Vectors

# (ids, cosines): for each vector that was asked, its nearest items, best first.
TextHits = tuple[Sequence[Sequence[str]], Sequence[Sequence[float]]]
# From vectors, float32 (n, dimension), and how many texts each is to find: one item of each text.
TextSearch = Callable[[Vectors, int], TextHits]
