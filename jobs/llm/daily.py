"""One day's enrichment of one table: the work list, its paid part, and the calls."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake.step import EffectResult, Run
from jobs.llm.answers import of_version
from jobs.llm.budget import (
    NO_PRICE,
    Budget,
    Rate,
    estimate,
    measured,
    received_a_second,
)
from jobs.llm.bulk import Tally, enrich
from jobs.llm.commits import LEDGER, ChunkSink, Destination
from jobs.llm.engine import asker_of
from jobs.llm.gate import AnswerGate
from jobs.llm.plan import Ask, Plan, Question, in_shard, plan, posed
from jobs.llm.prompt import Prompt
from jobs.llm.status import ERROR, FINAL, INVALID, REFUSED, REJECTED, SKIPPED, SUCCESS, TOO_LONG

if TYPE_CHECKING:
    from jobs.llm.settings import Price

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkList:
    """A selection under one prompt version and model.

    asks: rows that were never answered, most urgent first. cached: how many rows were answered.
    """

    asks: Sequence[Ask]
    cached: int


def work_list(
    selected: DataFrame,
    key: Sequence[str],
    subject: str,
    prompt: Prompt,
    answers: DataFrame,
    model: str,
) -> WorkList:
    """The rows of a selection that were never answered; answered rows never leave Spark.

    selected: `key` string, the prompt's inputs as far as there are any, rank int. key: the answer
    table's key without prompt version and model. subject: the key column that the ledger names.
    """
    shown = [name for name in prompt.inputs if name in selected.columns]
    marked = (
        selected.join(
            of_version(answers, prompt, model).select(*key, F.lit(True).alias("is_answered")),
            [*key],
            "left",
        )
        .orderBy("rank")
        .select(
            *key,
            "is_answered",
            *(
                F.when(F.col("is_answered").isNull(), F.col(name)).alias(name)
                for name in shown
                if name not in key
            ),
        )
        .toArrow()
    )
    new = marked.filter(pc.is_null(marked["is_answered"]))
    asks = [
        Ask({name: row[name] for name in key}, row[subject], {name: row[name] for name in shown})
        for batch in new.to_batches(max_chunksize=10_000)
        for row in batch.to_pylist()
    ]
    return WorkList(asks, marked.num_rows - len(asks))


def enrich_day(
    run: Run,
    sink: ChunkSink,
    table: str,
    prompt: Prompt,
    work: WorkList,
    answers: DataFrame,
    ledger: DataFrame,
) -> EffectResult:
    """Pay for what was never answered, and commit it to `table` and the ledger.

    work: the day's selection. answers: the whole answer table. ledger: all of `ops.llm_ledger`, for
    what a call costs. A run of one shard takes the asks whose question falls to the shard, so that
    no two shards pay for one question or write one row; the first shard counts the cached rows.
    Counts of the result: selected, cached, copied (answered for another key), sent (calls), the
    answer rows by status, calls that failed or were skipped by the budget, retries, tokens and
    cost; for a dry run, what would be sent (`jobs.llm.budget.estimate`).
    """
    settings, params = run.settings.llm, run.params
    questions, cached = posed(work.asks, prompt), work.cached
    if run.shard is not None:
        questions = in_shard(questions, run.shard, params.shards)
        cached = cached if run.shard == 0 else 0
    selected = len(questions) + cached
    planned = plan(questions, _answered(questions, prompt, answers, settings.llm_model))
    counts: dict[str, int | float | str] = {
        "selected": selected,
        "cached": cached + planned.cached,
        "copied": len(planned.copies),
        "prompt_version": prompt.prompt_version,
    }
    if run.shard is not None:
        counts["shard"] = f"{run.shard + 1} of {params.shards}"
    tokens = params.token_budget
    if tokens is not None and run.shard is not None:
        tokens //= params.shards
    budget = Budget(tokens, params.minutes_budget)
    known = measured(ledger, prompt.prompt_version, settings.llm_model) if planned.calls else None
    price = settings.llm.prices.get(settings.llm_model)
    if params.dry_run:
        texts = [call.question for call in planned.calls]
        pace = received_a_second(ledger, settings.llm_model) if texts else None
        costs = estimate(texts, prompt, known, budget, price, pace)
        return EffectResult(selected, 0, counts | costs)
    tally = _pay(run, sink, table, prompt, planned, budget, known)
    rows_out = sum(tally.rows[status] for status in FINAL)
    # One shard of several says nothing of the others.
    settled = run.shard is None or params.shards == 1
    settled = settled and not planned.calls and not planned.copies
    return EffectResult(selected, rows_out, counts | _counts(tally, price), settled=settled)


def _answered(
    questions: Sequence[Question], prompt: Prompt, answers: DataFrame, model: str
) -> list[dict[str, object]]:
    """Rows of the answer table that answer one of the questions, by this version and model."""
    if not questions:
        return []
    hashes = sorted({question.message_hash for question in questions})
    wanted = answers.sparkSession.createDataFrame(pa.table({"message_hash": hashes}))
    known = of_version(answers, prompt, model)
    rows: list[dict[str, object]] = (
        known.join(F.broadcast(wanted), "message_hash", "left_semi").toArrow().to_pylist()
    )
    return rows


def _pay(
    run: Run,
    sink: ChunkSink,
    table: str,
    prompt: Prompt,
    planned: Plan,
    budget: Budget,
    known: Rate | None,
) -> Tally:
    settings = run.settings.llm
    if not planned.calls and not planned.copies:
        logger.info("%s ds=%s: nothing to pay for", table, run.ds)
        return Tally()
    from jobs.vectors.encoder import (
        Encoder,
    )  # imports torch, which a day without calls does not need

    target = Destination(
        table=table,
        schema=sink.schema(table),
        ledger_schema=sink.schema(LEDGER),
        model=settings.llm_model,
        ds=run.ds,
        run_id=run.run_id,
    )
    client = asker_of(settings)
    gate = AnswerGate(Encoder.of(run.settings.encoder), settings.llm.gate_threshold)
    return enrich(planned, prompt, client, gate, sink, target, settings.llm, budget, known)


def _counts(tally: Tally, price: Price | None) -> dict[str, int | float | str]:
    return {
        "sent": tally.calls,
        "success": tally.rows[SUCCESS],
        "rejected": tally.rows[REJECTED],
        "invalid": tally.rows[INVALID],
        "refused": tally.rows[REFUSED],
        "too_long": tally.rows[TOO_LONG],
        "errors": tally.rows[ERROR],
        "skipped_budget": tally.rows[SKIPPED],
        "retries": tally.retries,
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        "cached_tokens": tally.cached_tokens,
        "cost": round(tally.cost, 6) if price else NO_PRICE,
    }
