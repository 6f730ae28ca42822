"""The quality gate: does an answer speak of its subject?

Small models answer in perfect JSON about something else. So every value of an answer is compared
with the subject's own texts by cosine of sentence embeddings. The value's score is its cosine with
the nearest of these texts, plus the field's ease; for a pair, the nearest text of the product that
the value says less of. A value below the threshold is left out. An answer is rejected when a
required field keeps no value, or when its required fields speak of different things, such as one of
the title and one of the category. A cosine of the whole answer doesn't do: words repeated from the
question hide the invented ones (docs/decisions/0005-llm-enrichment.evidence.md has the figures).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jobs.llm.prompt import Answer, Fields, Prompt

MOST_USES_OF_A_WORD = 3
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
# Fewer texts than this are encoded as fast by one thread.
TEXTS_A_THREAD = 64
# Vectors kept for the next answers, 1.5 kB each of 384 dimensions. A quarter of the texts
# of a chunk are in earlier ones: categories and keywords above all.
MOST_KNOWN = 10_000
# The score where the answer, or the subject once its headings are cut, has no text.
NOTHING_TO_COMPARE = -1.0


class TextEncoder(Protocol):
    """Texts to L2-normalised rows, float32 (texts, dimensions); a text's row depends on it alone.

    Used by several threads at once.
    """

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Verdict:
    """score: the weakest required field's best value, or their agreement where that is weaker.

    answer: the kept values of an accepted answer, or all of a rejected one.
    """

    accepted: bool
    score: float
    answer: Answer


class AnswerGate:
    """Judges answers with one encoder. threshold: -1 to 1, the least score of a kept value."""

    def __init__(self, encoder: TextEncoder, threshold: float) -> None:
        self.encoder = encoder
        self.threshold = threshold
        self._known: dict[str, NDArray[np.float32]] = {}

    def judge(self, prompt: Prompt, pairs: Sequence[tuple[Fields, Answer]]) -> list[Verdict]:
        """One verdict for each (what was asked about, what was answered), in order."""
        asked = [(prompt.subjects(fields), answer) for fields, answer in pairs]
        texts = {text for subjects, _ in asked for own in subjects for text in own}
        texts |= {text for _, answer in asked for text in _gated_values(prompt, answer)}
        vector = self._embed(sorted(texts))
        return [self._judge_one(prompt, subjects, answer, vector) for subjects, answer in asked]

    def _embed(self, texts: list[str]) -> dict[str, NDArray[np.float32]]:
        """The vector of each text; the vectors used last are kept for the next chunk."""
        vectors = {text: self._known[text] for text in texts if text in self._known}
        vectors |= self._encode([text for text in texts if text not in vectors])
        self._known = dict(islice((vectors | self._known).items(), MOST_KNOWN))
        return vectors

    def _encode(self, texts: list[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors of texts, by threads: an answer has five texts of 2 ms on one core."""
        if not texts:
            return {}
        threads = max(1, min(len(os.sched_getaffinity(0)), len(texts) // TEXTS_A_THREAD))
        parts = [texts[first::threads] for first in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            return {
                text: vector.copy()  # a row alone would keep all of its part in memory
                for part, found in zip(parts, pool.map(self.encoder.encode, parts), strict=True)
                for text, vector in zip(part, found, strict=True)
            }

    def _judge_one(
        self,
        prompt: Prompt,
        subjects: list[list[str]],
        answer: Answer,
        vector: dict[str, NDArray[np.float32]],
    ) -> Verdict:
        def score(text: str, ease: float) -> float:
            if repeats_itself(text):
                return 0.0
            nearest = (
                max(
                    (float(vector[text] @ vector[part]) for part in own), default=NOTHING_TO_COMPARE
                )
                for own in subjects
            )
            return min(nearest) + ease

        kept = dict(answer)
        best: dict[str, float] = {}
        foremost: dict[str, str] = {}
        for field, ease in prompt.gate.ease.items():
            scores = {text: score(text, ease) for text in _values(answer.get(field))}
            best[field] = max(scores.values(), default=NOTHING_TO_COMPARE)
            if scores:
                foremost[field] = max(scores, key=lambda text, scores=scores: scores[text])  # type: ignore[misc]
            likely = {text for text, scored in scores.items() if scored >= self.threshold}
            kept[field] = _keep(answer.get(field), likely)
        for field, weights in prompt.weights.items():
            names = set(kept[field] or ())
            kept[weights] = {n: w for n, w in (answer.get(weights) or {}).items() if n in names}
        weakest = min(best[field] for field in prompt.gate.required)
        if prompt.gate.agree is not None:
            said = [vector[foremost[f]] for f in prompt.gate.required if f in foremost]
            cosines = [float(one @ other) for one, other in combinations(said, 2)]
            weakest = min([weakest, *(cosine + prompt.gate.agree for cosine in cosines)])
        accepted = weakest >= self.threshold
        return Verdict(accepted, weakest, kept if accepted else answer)


def repeats_itself(text: str) -> bool:
    """Whether `text` stutters, runs in a circle, or says one word more than three times.

    A circle is one clause with a word of four letters or more twice, its ending aside, or a text
    with two such words: it explains a thing by itself, which is near to the thing in any encoder.

    >>> repeats_itself("Soda, soft drink, soda, soft drink, soda.")
    True
    >>> repeats_itself("Batteries for alkaline batteries.")
    True
    >>> repeats_itself("Cantaloupe melon, a sweet melon.")
    False
    """
    lower = text.lower()
    words = re.findall(r"\w+", lower)
    runs = Counter(zip(words, words[1:], words[2:], strict=False))
    return (
        max(Counter(words).values(), default=0) > MOST_USES_OF_A_WORD
        or re.search(r"\b(\w+) \1\b", lower) is not None
        or max(runs.values(), default=0) > 1
        or any(_said_twice(clause) for clause in lower.split(","))
        or len(_said_twice(lower)) > 1
    )


def _said_twice(text: str) -> set[str]:
    """The words that `text` has twice, as far as their first letters tell."""
    stems = Counter(re.sub(r"(ies|y|es|s|ed|ing)$", "", word) for word in _LONG_WORD.findall(text))
    return {stem for stem, uses in stems.items() if uses > 1}


def _values(value: Any) -> list[str]:
    """The texts of one answer field: a string, a list of strings, a mapping to strings or None."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    return list(value.values()) if isinstance(value, dict) else list(value)


def _gated_values(prompt: Prompt, answer: Answer) -> list[str]:
    return [text for field in prompt.gate.ease for text in _values(answer.get(field))]


def _keep(value: Any, kept: set[str]) -> Any:
    """`value` without the texts that aren't in `kept`; None for a string that isn't."""
    if value is None or isinstance(value, str):
        return value if value in kept else None
    if isinstance(value, dict):
        return {name: text for name, text in value.items() if text in kept}
    return [text for text in value if text in kept]
