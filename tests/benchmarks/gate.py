"""How well the gate tells right answers from wrong ones, against labels made by hand.

`tests/llm/labels/item_gate.jsonl` has answers of the demo's model to prompt `item` version 1. An
answer is right if its name and summary can be read and are true of the product. One reader gave
`label`; another gave `second_label` later, and saw neither the first labels nor the gate's scores.
The parity of a hash of the content splits the answers into two halves. The first reader's labels
choose the threshold on one half; it is judged on the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path

from sklearn.metrics import cohen_kappa_score

from jobs.llm.gate import AnswerGate, TextEncoder
from jobs.llm.prompt import load_prompt
from jobs.settings import get_settings
from jobs.vectors.encoder import Encoder
from tests.benchmarks.result import Result

LABELS = Path("tests/llm/labels/item_gate.jsonl")
LEAST_PRECISION = 0.9


@dataclass(frozen=True)
class Judged:
    """One labelled answer. score: the gate's; right: as the first reader says, second: as the other
    does; even: in the half that chooses the threshold."""

    score: float
    right: bool
    second: bool
    even: bool


def judge(lines: Sequence[str], encoder: TextEncoder) -> list[Judged]:
    """Score labelled answers. lines: JSON with content, answer, label and second_label, which are
    right or wrong."""
    prompt = load_prompt("item")
    rows = [json.loads(line) for line in lines]
    pairs = [(row["content"], prompt.parse(row["answer"])) for row in rows]
    verdicts = AnswerGate(encoder, threshold=-1).judge(prompt, pairs)
    return [
        Judged(
            verdict.score,
            row["label"] == "right",
            row["second_label"] == "right",
            is_even(row["content"]),
        )
        for row, verdict in zip(rows, verdicts, strict=True)
    ]


def is_even(content: dict[str, str | None]) -> bool:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest()[-1] % 2 == 0


def precision_and_recall(judged: Sequence[Judged], threshold: float) -> tuple[float, float]:
    """Of what is accepted, the share that is right; of what is right, the share accepted.

    The precision of nothing is 1.
    """
    accepted = [each.right for each in judged if each.score >= threshold]
    right = sum(each.right for each in judged)
    precision = sum(accepted) / len(accepted) if accepted else 1.0
    return precision, sum(accepted) / right if right else 0.0


def wilson(right: int, of: int) -> tuple[float, float]:
    """The 95% interval of a share of `of` trials (Wilson, 1927); 0 to 1 without a trial."""
    if not of:
        return 0.0, 1.0
    z, share = 1.96, right / of
    middle = share + z * z / (2 * of)
    spread = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (middle - spread) / (1 + z * z / of), (middle + spread) / (1 + z * z / of)


def choose_threshold(judged: Sequence[Judged], least_precision: float = LEAST_PRECISION) -> float:
    """Of the hundredths with that precision, the one with the best recall; the lowest of equals."""
    hundredths = [step / 100 for step in range(101)]
    precise = [
        theta for theta in hundredths if precision_and_recall(judged, theta)[0] >= least_precision
    ]
    return max(precise, key=lambda theta: (precision_and_recall(judged, theta)[1], -theta))


def measure() -> Iterator[Result]:
    settings = get_settings()
    judged = judge(LABELS.read_text("utf-8").splitlines(), Encoder.of(settings))
    chosen, other = ([j for j in judged if j.even is even] for even in (True, False))
    theta = choose_threshold(chosen)
    precision, recall = precision_and_recall(chosen, theta)
    yield Result("labelled answers", len(judged), "answers", target=200)
    yield Result("right answers", sum(j.right for j in judged) / len(judged), "share")
    kappa = cohen_kappa_score([j.right for j in judged], [j.second for j in judged])
    yield Result("agreement of the two readers", float(kappa), "kappa")
    yield Result("threshold chosen on one half", theta, "cosine")
    yield Result("precision on the half that chose the threshold", precision, "share")
    yield Result("recall on the half that chose the threshold", recall, "share")
    precision, recall = precision_and_recall(other, theta)
    accepted = [j.right for j in other if j.score >= theta]
    low, high = wilson(sum(accepted), len(accepted))
    yield Result("accepted on the other half", len(accepted), "answers")
    yield Result("precision on the other half", precision, "share", target=LEAST_PRECISION)
    yield Result("precision on the other half, 95% interval from", low, "share")
    yield Result("precision on the other half, 95% interval to", high, "share")
    yield Result("recall on the other half", recall, "share")
    by_second, _ = precision_and_recall([replace(j, right=j.second) for j in other], theta)
    yield Result(
        "precision on the other half, by the second reader",
        by_second,
        "share",
        target=LEAST_PRECISION,
    )
    precision, recall = precision_and_recall(judged, settings.llm.gate_threshold)
    yield Result("precision on both halves, at the set threshold", precision, "share")
    yield Result("recall on both halves, at the set threshold", recall, "share")
