"""Whether a day's answers are like those of the week before, by prompt version and model."""

from __future__ import annotations

from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake.step import Judgement, Run

TRAILING_DAYS = 7
# Fewer calls than this, of the day or of the week, say nothing.
FEWEST_CALLS = 20
MOST_READABLE_LOST = 0.1
MOST_SCORE_MOVED = 0.1
MOST_TIMES_LENGTH = 2.0


def judge_drift(
    run: Run, made_on: date, rows: DataFrame, published: DataFrame, history: DataFrame
) -> Judgement:
    """Compare the day's rows of gold.llm_quality_daily with the mean of the days before.

    history: the table's published rows of the TRAILING_DAYS before, and of the day itself, which do
    not count. Means are over calls. Answers have drifted if the readable share falls by
    MOST_READABLE_LOST, the score moves by MOST_SCORE_MOVED, or they are MOST_TIMES_LENGTH times as
    long or as short.
    """
    before = _means(history.where(F.col("ds") < F.lit(run.ds)))
    problems, compared = [], 0
    for key, today in _means(rows).items():
        earlier = before.get(key)
        if earlier is None or min(today["calls"], earlier["calls"]) < FEWEST_CALLS:
            continue
        compared += 1
        name = "/".join(key)
        share, share_before = today["readable_share"], earlier["readable_share"]
        if _less(share_before, share) > MOST_READABLE_LOST:
            problems.append(f"{name}: readable {share:.2f}, before {share_before:.2f}")
        score, score_before = today["gate_score"], earlier["gate_score"]
        if abs(_less(score_before, score)) > MOST_SCORE_MOVED:
            problems.append(f"{name}: gate score {score:.2f}, before {score_before:.2f}")
        long, usual = today["completion_tokens"], earlier["completion_tokens"]
        if long and usual and not usual / MOST_TIMES_LENGTH <= long <= usual * MOST_TIMES_LENGTH:
            problems.append(f"{name}: {long:.0f} tokens an answer, before {usual:.0f}")
    if problems:
        return Judgement(False, "; ".join(problems))
    return Judgement(True, f"{compared} prompt versions like the {TRAILING_DAYS} days before")


def _means(rows: DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    """calls, and the means of the measures over calls, by (prompt, prompt_version, model)."""
    measures = ("readable_share", "gate_score", "completion_tokens")
    key = ("prompt", "prompt_version", "model")
    weighted = [
        (
            F.sum(F.col(name) * F.col("calls"))
            / F.sum(F.when(F.col(name).isNotNull(), F.col("calls")))
        ).alias(name)
        for name in measures
    ]
    found = rows.groupBy(*key).agg(F.sum("calls").alias("calls"), *weighted).collect()
    return {tuple(row[name] for name in key): row.asDict() for row in found}


def _less(before: float | None, now: float | None) -> float:
    return 0.0 if before is None or now is None else before - now
