"""What calls will cost before they are made, and when a run has to stop making them.

A call is expected to cost what the answered calls of its prompt version cost so far, by the ledger,
and to take as long. Before the first answer, its time is what the model took for as many tokens of
other prompts. Its tokens are then counted with the model's tokenizer, if RECLAKE_LLM_TOKENIZER
names one, else as a token for four characters, and its answer is taken to have full length. The
word pieces that cut texts (`jobs.llm.tokens`) don't count here: a prompt's JSON has a third more of
them than tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.llm.prompt import Prompt
from jobs.llm.status import ERROR, RETRIED, SKIPPED
from jobs.llm.tokens import count

if TYPE_CHECKING:
    from jobs.llm.settings import Price

CHARACTERS_PER_TOKEN = 4
# What a chat template writes around a message: ChatML's and Llama 3's marks, role and line ends.
TOKENS_AROUND_A_MESSAGE = 5
# With more questions than this, an even sample is counted; a million would take a minute.
COUNTED_QUESTIONS = 1_000
NO_PRICE = "unknown: no price of this model in RECLAKE_LLM__PRICES"


@dataclass(frozen=True)
class Rate:
    """What one call costs: tokens, retries included.

    calls_per_second: of a whole run, None when unknown.
    """

    prompt_tokens: float
    cached_tokens: float
    completion_tokens: float
    calls_per_second: float | None = None

    @property
    def tokens(self) -> float:
        """Sent and received together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class _Commit:
    """What one run committed at one moment. tokens: prompt, cached, completion."""

    run_id: str
    at: datetime
    calls: int
    tokens: tuple[int, int, int]


def measured(ledger: DataFrame, prompt_version: str, model: str) -> Rate | None:
    """What answered calls of one prompt version to one model have cost; None without such a call.

    Failed calls don't count: a night without a server would halve the mean cost.
    ledger: prompt_version, model, status, prompt_tokens, cached_tokens, completion_tokens, run_id,
        recorded_at, as in `ops.llm_ledger`.
    Calls a second are those of the newest run that committed twice or more: the calls of its later
    commits, over the time since its first.
    """
    sent = ledger.where((F.col("prompt_version") == prompt_version) & (F.col("model") == model))
    commits = _commits(sent)
    calls = sum(commit.calls for commit in commits)
    tokens = [sum(commit.tokens[n] for commit in commits) for n in range(3)]
    if not calls or not tokens[0]:
        return None
    prompted, cached, received = (kind / calls for kind in tokens)
    return Rate(prompted, cached, received, _a_second(commits, lambda commit: commit.calls))


def received_a_second(ledger: DataFrame, model: str) -> float | None:
    """Tokens a second that `model` answers, whatever the prompt; None when unknown.

    Measured on the newest run that committed twice or more, as in `measured`.
    """
    commits = _commits(ledger.where(F.col("model") == model))
    return _a_second(commits, lambda commit: commit.tokens[2])


def _commits(rows: DataFrame) -> list[_Commit]:
    """What each run committed at each moment, in time order."""
    kinds = ("prompt_tokens", "cached_tokens", "completion_tokens")
    found = (
        rows.where(F.col("status") != SKIPPED)
        .groupBy("run_id", "recorded_at")
        .agg(
            F.count_if(~F.col("status").isin(RETRIED, ERROR)).alias("calls"),
            *(F.coalesce(F.sum(kind), F.lit(0)).alias(kind) for kind in kinds),
        )
        .orderBy("recorded_at")
        .collect()
    )
    return [
        _Commit(row.run_id, row.recorded_at, row.calls, tuple(row[kind] for kind in kinds))
        for row in found
    ]


def _a_second(commits: Sequence[_Commit], amount: Callable[[_Commit], int]) -> float | None:
    by_run: dict[str, list[_Commit]] = {}
    for commit in commits:
        by_run.setdefault(commit.run_id, []).append(commit)
    for first, *later in reversed(by_run.values()):
        if later:
            seconds = (later[-1].at - first.at).total_seconds()
            return sum(map(amount, later)) / seconds
    return None


def guessed(prompt: Prompt, questions: Sequence[str]) -> Rate:
    """What a call would cost at most: the fixed part, the mean question and a whole answer.

    Counted with `prompt.tokenizer`, or as a token for four characters if it names none. If there
    are more than COUNTED_QUESTIONS questions, those at even distances from the first count.
    """
    sample = questions[:: max(1, -(-len(questions) // COUNTED_QUESTIONS))]
    fixed = sum(_tokens(message["content"], prompt) for message in prompt.fixed_messages)
    asked = sum(_tokens(question, prompt) for question in sample) / max(len(sample), 1)
    around = TOKENS_AROUND_A_MESSAGE * (len(prompt.fixed_messages) + 1)
    return Rate(fixed + asked + around, 0.0, float(prompt.max_tokens))


def _tokens(text: str, prompt: Prompt) -> float:
    return count(text, prompt.tokenizer) if prompt.tokenizer else len(text) / CHARACTERS_PER_TOKEN


@dataclass
class Budget:
    """What a run may spend. tokens: sent and received. minutes: how long it may start calls.

    None is no limit, and 0 sends nothing. clock: seconds, only ever forward; starts now.
    """

    tokens: int | None = None
    minutes: float | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.started = self.clock()

    def exhausted(self, spent_tokens: float, next_tokens: float) -> str:
        """Why the next call may not be sent, or ''.

        spent_tokens: spent by calls made, and expected for calls under way. next_tokens: expected
        for the next call.
        """
        if self.tokens is not None and spent_tokens + next_tokens > self.tokens:
            return f"token_budget {self.tokens:,} is spent"
        if self.minutes is not None and self.clock() - self.started >= 60 * self.minutes:
            return f"minutes_budget {self.minutes:g} is over"
        return ""

    def calls_within(self, calls: int, rate: Rate) -> int:
        """How many of the calls fit the budget; its minutes count only where the pace is known."""
        if self.tokens is not None:
            calls = min(calls, int(self.tokens // max(rate.tokens, 1)))
        if self.minutes is not None and (rate.calls_per_second or self.minutes == 0):
            calls = min(calls, int(60 * self.minutes * (rate.calls_per_second or 0)))
        return calls


def estimate(
    questions: Sequence[str],
    prompt: Prompt,
    known: Rate | None,
    budget: Budget,
    price: Price | None,
    received_a_second: float | None = None,
) -> dict[str, int | float | str]:
    """What a plan would cost: calls, tokens, minutes and money, within the budget.

    `planned_tokens_are` says measured, counted (by the model's tokenizer) or guessed (by
    characters); the last two bound the answers from above. `planned_minutes_are` says measured,
    guessed (by `received_a_second`, the model's pace for other prompts) or unknown.
    """
    rate = known or guessed(prompt, questions)
    minutes_are = "measured" if rate.calls_per_second else "unknown"
    if not rate.calls_per_second and received_a_second and rate.completion_tokens:
        pace = received_a_second / rate.completion_tokens
        rate, minutes_are = replace(rate, calls_per_second=pace), "guessed"
    unmeasured = "counted" if prompt.tokenizer else "guessed"
    calls = budget.calls_within(len(questions), rate)
    cost: float | str = NO_PRICE
    if price is not None:
        one = price.cost(rate.prompt_tokens, rate.cached_tokens, rate.completion_tokens)
        cost = round(calls * one, 6)
    minutes: float | str = "unknown: the ledger has no run of this model with two commits"
    if rate.calls_per_second:
        minutes = round(calls / rate.calls_per_second / 60, 2)
    return {
        "planned_calls": calls,
        "planned_skipped": len(questions) - calls,
        "planned_prompt_tokens": round(calls * rate.prompt_tokens),
        "planned_completion_tokens": round(calls * rate.completion_tokens),
        "planned_tokens_are": "measured" if known else unmeasured,
        "planned_minutes": minutes,
        "planned_minutes_are": minutes_are,
        "planned_cost": cost,
    }
