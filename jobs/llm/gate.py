"""The quality gate: does an answer speak of the thing that it was asked about?

Small models answer in perfect JSON about something else. Every value of an answer is compared
with the subject's own words by cosine of sentence embeddings: its score is the cosine with the
nearest of the subject's own texts, plus the field's ease. A value below the threshold is left
out; a required field that keeps no value rejects the answer. Whole-answer cosines don't do: words
repeated from the question hide the invented ones (ADR 0005 has the figures).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jobs.llm.prompt import Answer, Fields, Prompt

MOST_USES_OF_A_WORD = 3
# The score where the answer, or the subject once its headings are cut, has no text.
NOTHING_TO_COMPARE = -1.0


class TextEncoder(Protocol):
    """Texts to L2-normalised rows, float32 (texts, dimensions)."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Verdict:
    """score: the weakest required field's best value.

    answer: what is kept of an accepted answer, and all of a rejected one.
    """

    accepted: bool
    score: float
    answer: Answer


class Gate:
    """Judges answers with one encoder. threshold: -1 to 1, the least score of a kept value."""

    def __init__(self, encoder: TextEncoder, threshold: float) -> None:
        self.encoder = encoder
        self.threshold = threshold

    def judge(self, prompt: Prompt, pairs: Sequence[tuple[Fields, Answer]]) -> list[Verdict]:
        """One verdict for each (what was asked about, what was answered), in order."""
        asked = [(prompt.own_texts(fields), answer) for fields, answer in pairs]
        texts = {text for own, answer in asked for text in (*own, *_gated_values(prompt, answer))}
        vector = self._embed(sorted(texts))
        return [self._judge_one(prompt, own, answer, vector) for own, answer in asked]

    def _embed(self, texts: list[str]) -> dict[str, NDArray[np.float32]]:
        return dict(zip(texts, self.encoder.encode(texts), strict=True)) if texts else {}

    def _judge_one(
        self,
        prompt: Prompt,
        own: list[str],
        answer: Answer,
        vector: dict[str, NDArray[np.float32]],
    ) -> Verdict:
        def score(text: str, ease: float) -> float:
            if repeats_itself(text):
                return 0.0
            cosines = [float(vector[text] @ vector[subject]) for subject in own]
            return max(cosines, default=NOTHING_TO_COMPARE) + ease

        kept = dict(answer)
        best: dict[str, float] = {}
        for field, ease in prompt.gate.ease.items():
            scores = {text: score(text, ease) for text in _values(answer.get(field))}
            best[field] = max(scores.values(), default=NOTHING_TO_COMPARE)
            likely = {text for text, scored in scores.items() if scored >= self.threshold}
            kept[field] = _keep(answer.get(field), likely)
        weakest = min(best[field] for field in prompt.gate.required)
        accepted = weakest >= self.threshold
        return Verdict(accepted, weakest, kept if accepted else answer)


def repeats_itself(text: str) -> bool:
    """Whether `text` stutters, says three words in a row twice, or one more than three times.

    >>> repeats_itself("Soda, soft drink, soda, soft drink, soda.")
    True
    >>> repeats_itself("Baked beef, beef stew, and other beef dishes.")
    False
    """
    words = re.findall(r"\w+", text.lower())
    runs = Counter(zip(words, words[1:], words[2:], strict=False))
    often = max(Counter(words).values(), default=0) > MOST_USES_OF_A_WORD
    stutters = re.search(r"\b(\w+) \1\b", text.lower()) is not None
    return often or stutters or max(runs.values(), default=0) > 1


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
