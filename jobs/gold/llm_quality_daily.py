"""How well the LLM answered on each day, so that a drift is seen.

One row per (ds, prompt, prompt_version, model) with a question that was answered or given up. When
a model changes behind its name, a template breaks or a catalogue turns to another language, the
share of readable answers, gate scores or lengths show it before lists do. The contract has the
limits; `jobs.llm.drift` has the limits of change against the week before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import PublishGate, Read, Run, table
from jobs.llm.drift import TRAILING_DAYS, judge_drift
from jobs.llm.status import ERROR, INVALID, RETRIED, SKIPPED, SUCCESS, TOO_LONG
from jobs.llm.subjects import TABLES

TABLE = "gold.llm_quality_daily"
_KEY = ("prompt", "prompt_version", "model")


@table(
    TABLE,
    reads={
        "ledger": Read("ops.llm_ledger", pinned=True),
        **{prompt: Read(answers, pinned=True) for prompt, answers in TABLES.items()},
    },
    gate=PublishGate(
        judge_drift,
        reads={"history": Read(TABLE, TRAILING_DAYS)},
        rebuilds=False,
        runbook="docs/runbooks/contract-failed.md",
    ),
)
def llm_quality_daily(run: Run, ledger: DataFrame, **answers: DataFrame) -> DataFrame:
    """The day's questions by prompt version and model; no row where nothing was asked.

    ledger: prompt, prompt_version, model, ds, status, completion_tokens, latency_ms, cost. answers:
    of each prompt, all answers ever given: prompt_version, model, selected_ds, gate_score.
    """
    asked = ledger.where(F.col("ds") == F.lit(run.ds)).where(
        ~F.col("status").isin(RETRIED, SKIPPED)
    )
    scored = [
        frame.where(F.col("selected_ds") == F.lit(run.ds)).select(
            F.lit(prompt).alias("prompt"), "prompt_version", "model", "gate_score"
        )
        for prompt, frame in answers.items()
    ]
    # Calls and scores in one grouping: a join of two would cost a small step twice as much.
    both = reduce(
        lambda rows, more: rows.unionByName(more, allowMissingColumns=True),
        scored,
        asked.select(*_KEY, "status", "completion_tokens", "latency_ms", "cost"),
    )
    # An answer whose call is of another day makes a group without a call.
    calls = F.nullif(F.count("status"), F.lit(0))
    answered = F.count_if(F.col("status") != ERROR)
    unreadable = F.count_if(F.col("status").isin(INVALID, TOO_LONG))
    measured = both.groupBy(*_KEY).agg(
        calls.alias("calls"),
        (F.count_if(F.col("status") == SUCCESS) / calls).alias("success_share"),
        F.when(answered > 0, (answered - unreadable) / answered).alias("readable_share"),
        (F.count_if(F.col("status") == ERROR) / calls).alias("error_share"),
        F.avg("completion_tokens").alias("completion_tokens"),
        (_exact(F.avg, "latency_ms") / 1000.0).alias("seconds"),
        _exact(F.sum, "cost").alias("cost"),
        _exact(F.avg, "gate_score").alias("gate_score"),
    )
    return measured.where("calls IS NOT NULL")


def _exact(aggregate: Callable[[Column], Column], name: str) -> Column:
    """A sum or mean of doubles that does not depend on the order of the rows."""
    return aggregate(F.col(name).cast("decimal(28,9)")).cast("double")
