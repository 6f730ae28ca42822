"""How well the LLM answered on each day, beside the days before, so that a drift is seen.

One row per (ds, prompt, prompt_version, model) of which a question was answered or given up. A
model that is changed behind its name, a template that breaks, a catalogue that turns to another
language: each shows in one of readable answers, gate scores and lengths before it shows in lists.
The contract has the limits.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import Read, Run, table
from jobs.llm.status import ERROR, INVALID, RETRIED, SKIPPED, SUCCESS, TOO_LONG

TRAILING_DAYS = 7
_KEY = ("prompt", "prompt_version", "model")
_UNREADABLE = (INVALID, TOO_LONG)


@table(
    "gold.llm_quality_daily",
    reads={
        "ledger": Read("ops.llm_ledger"),
        "items": Read("silver.item_enrichments"),
        "users": Read("silver.user_enrichments"),
        "companions": Read("silver.item_companions"),
    },
)
def llm_quality_daily(
    run: Run, ledger: DataFrame, items: DataFrame, users: DataFrame, companions: DataFrame
) -> DataFrame:
    """The day's questions by prompt version and model; none where nothing was asked.

    ledger: prompt, prompt_version, model, ds, status, prompt_tokens, completion_tokens, latency_ms,
    cost. items, users, companions: prompt_version, model, selected_ds, gate_score: all answers ever
    given.
    trailing columns: over the TRAILING_DAYS days before, null where nothing was asked then.
    """
    asked = ledger.where(~F.col("status").isin(RETRIED, SKIPPED))
    scored = reduce(
        DataFrame.unionByName,
        (
            frame.where("gate_score IS NOT NULL").select(
                F.lit(prompt).alias("prompt"),
                "prompt_version",
                "model",
                F.col("selected_ds").alias("ds"),
                "gate_score",
            )
            for prompt, frame in (("item", items), ("user", users), ("companion", companions))
        ),
    )
    today, before = _on_day(run), _in_days_before(run)
    of_day = (
        asked.where(today)
        .groupBy(*_KEY)
        .agg(
            F.count("*").alias("calls"),
            (F.count_if(F.col("status") == SUCCESS) / F.count("*")).alias("success_share"),
            _readable().alias("readable_share"),
            (F.count_if(F.col("status") == ERROR) / F.count("*")).alias("error_share"),
            F.avg("completion_tokens").alias("completion_tokens"),
            (F.avg("latency_ms") / 1000.0).alias("seconds"),
            F.sum("cost").alias("cost"),
        )
    )
    earlier = (
        asked.where(before)
        .groupBy(*_KEY)
        .agg(
            _readable().alias("trailing_readable_share"),
            F.avg("completion_tokens").alias("trailing_completion_tokens"),
        )
    )
    scores = scored.where(today).groupBy(*_KEY).agg(F.avg("gate_score").alias("gate_score"))
    earlier_scores = (
        scored.where(before).groupBy(*_KEY).agg(F.avg("gate_score").alias("trailing_gate_score"))
    )
    return reduce(
        lambda rows, more: rows.join(more, [*_KEY], "left"),
        (scores, earlier, earlier_scores),
        of_day,
    )


def _readable() -> Column:
    """The share of answers that fit the schema, of all that were answered; null without one."""
    answered = F.count_if(F.col("status") != ERROR)
    unreadable = F.count_if(F.col("status").isin(*_UNREADABLE))
    return F.when(answered > 0, (answered - unreadable) / answered)


def _on_day(run: Run) -> Column:
    return F.col("ds") == F.lit(run.ds)


def _in_days_before(run: Run) -> Column:
    day = F.lit(run.ds)
    return F.col("ds").between(F.date_sub(day, TRAILING_DAYS), F.date_sub(day, 1))
