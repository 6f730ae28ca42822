"""Bulk enrichment: a work list minus everything ever answered, asked, gated and committed.

Calls go on while answers are gated and written in a thread beside the event loop. No more than
`chunk_size` calls are ever sent and not yet committed, which is what a kill can lose; a commit
begins with a quarter of them, so that as many again may be under way and twice as many may arrive
while it lasts. Within a commit the ledger comes first, so that what was paid is known even if its
answers are not. Which rows are final is told in `jobs.llm.status`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
from tenacity import (
    before_sleep_log,
    retry,
    retry_if_not_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from jobs.lake.errors import Terminal
from jobs.llm.answering import Answered, answer
from jobs.llm.budget import Budget, Rate, guessed
from jobs.llm.client import Asker, Attempt
from jobs.llm.errors import TooManyErrors
from jobs.llm.gate import Gate
from jobs.llm.prompt import Answer, Fields, Prompt
from jobs.llm.status import ERROR, FINAL, INVALID, REJECTED, RETRIED, SKIPPED, SUCCESS

if TYPE_CHECKING:
    from jobs.settings import LLMSettings

logger = logging.getLogger(__name__)

LEDGER = "ops.llm_ledger"
# The calls whose share of errors is judged, and the fewest of which a share says anything.
RECENT_CALLS = 100
FEWEST_CALLS_TO_JUDGE = 20
COMMIT_ATTEMPTS = 3
# A budget may cut off a million calls; their rows are made and written so many at a time.
SKIPS_AT_ONCE = 10_000


class ChunkSink(Protocol):
    """Where chunks go (`jobs.lake.sink.Sink`); the same `chunk_id` again adds nothing."""

    def append(self, table: str, rows: pa.Table, chunk_id: str) -> None: ...


@dataclass(frozen=True)
class Ask:
    """One row of a work list.

    key: the answer table's key without prompt version and model. subject: what of the key the
    ledger names. fields: what the prompt may show.
    """

    key: Mapping[str, str]
    subject: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Question:
    """An ask in a prompt's words. text: the last message of its call."""

    ask: Ask
    text: str
    message_hash: str


@dataclass(frozen=True)
class Call:
    """One question and every row of the work list that it answers."""

    question: str
    message_hash: str
    asks: tuple[Ask, ...]


@dataclass(frozen=True)
class Plan:
    """A work list split by what it still costs.

    cached: rows that are answered already. copies: rows to write without a call, since the same
    question was answered for another key. calls: questions to pay for, most urgent first.
    """

    cached: int
    copies: list[dict[str, Any]]
    calls: list[Call]

    @property
    def asked(self) -> int:
        """Rows that the calls will answer."""
        return sum(len(call.asks) for call in self.calls)


@dataclass(frozen=True)
class Target:
    """Where and under what name the answers of one run are kept.

    table: the answer table. schema, ledger_schema: its columns and the ledger's.
    """

    table: str
    schema: pa.Schema
    ledger_schema: pa.Schema
    model: str
    ds: date
    run_id: str


@dataclass
class Tally:
    """What a run did so far.

    rows: answer rows by status. calls: questions asked, however often. errors: calls without an
    answer; declined: calls that the server called unanswerable. skipped: calls that the budget
    forbade. retries: requests beyond the first of a call. cost: 0 without a price.
    """

    rows: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    errors: int = 0
    declined: int = 0
    skipped: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0


def message_hash(prompt: Prompt, question: str) -> str:
    """What identifies a question under one prompt version: 64 hex digits."""
    return hashlib.sha256(f"{prompt.prompt_version}\n{question}".encode()).hexdigest()


def posed(asks: Sequence[Ask], prompt: Prompt) -> list[Question]:
    """The question of each ask, in order; rendered and hashed here and nowhere else in a run."""
    questions = ((ask, prompt.question(ask.fields)) for ask in asks)
    return [Question(ask, text, message_hash(prompt, text)) for ask, text in questions]


def in_shard(questions: Sequence[Question], shard: int, shards: int) -> list[Question]:
    """The questions of one of so many shards, in order, shard 0 first.

    By the text, so that asks that share a call fall to one shard, on any day.
    """
    return [q for q in questions if int(q.message_hash[:8], 16) % shards == shard]


def plan(questions: Sequence[Question], answered: Sequence[Mapping[str, Any]]) -> Plan:
    """Split a work list by what was ever answered.

    questions: most urgent first, their asks' keys distinct, of one prompt. answered: rows of the
    answer table under its version and this model that have one of the questions' message hashes.
    """
    key_names = tuple(questions[0].ask.key) if questions else ()
    keys = {tuple(row[name] for name in key_names) for row in answered}
    by_question = {row["message_hash"]: row for row in answered}
    cached, copies = 0, []
    calls: dict[str, tuple[str, list[Ask]]] = {}
    for question in questions:
        ask, hashed = question.ask, question.message_hash
        if tuple(ask.key.values()) in keys:
            cached += 1
        elif hashed in by_question:
            copies.append({**by_question[hashed], **ask.key})
        else:
            calls.setdefault(hashed, (question.text, []))[1].append(ask)
    return Plan(cached, copies, [Call(q, h, tuple(a)) for h, (q, a) in calls.items()])


def enrich(
    plan: Plan,
    prompt: Prompt,
    client: Asker,
    gate: Gate,
    sink: ChunkSink,
    target: Target,
    limits: LLMSettings,
    budget: Budget | None = None,
    known: Rate | None = None,
) -> Tally:
    """Make the plan's calls and commit their answers; returns what was done.

    budget: calls beyond it are not made, and stand in the ledger as `skipped_budget`.
    known: what a call has cost so far; guessed when not given.
    Raises TooManyErrors or ServerRefuses; answers received before that are committed first.
    """
    known = known or guessed(prompt, [call.question for call in plan.calls])
    bulk = _Bulk(prompt, client, gate, sink, target, limits, budget or Budget(), known)
    return asyncio.run(bulk.run(plan))


class _Bulk:
    """One run of one plan. All state is touched by the event loop's thread alone."""

    def __init__(
        self,
        prompt: Prompt,
        client: Asker,
        gate: Gate,
        sink: ChunkSink,
        target: Target,
        limits: LLMSettings,
        budget: Budget,
        known: Rate,
    ) -> None:
        self.prompt = prompt
        self.client = client
        self.gate = gate
        self.sink = sink
        self.target = target
        self.limits = limits
        self.budget = budget
        self.known = known
        self.price = limits.prices.get(target.model)
        self.tally = Tally()
        self.waiting: list[tuple[Call, Answered]] = []
        self.waiting_since = 0.0
        self.under_way: dict[asyncio.Task[Answered], tuple[Call, list[Attempt]]] = {}
        self.recent: deque[bool] = deque(maxlen=RECENT_CALLS)
        self.commit: asyncio.Task[Counter[str]] | None = None
        self.committing = 0
        self.planned = 0
        self.started = time.perf_counter()

    async def run(self, plan: Plan) -> Tally:
        self.planned = len(plan.calls)
        if plan.copies:
            copies = [{**row, "selected_ds": self.target.ds} for row in plan.copies]
            rows = pa.Table.from_pylist(copies, schema=self.target.schema)
            await asyncio.to_thread(self._append, self.target.table, rows, uuid.uuid4().hex)
            self.tally.rows.update(row["status"] for row in copies)
        todo = list(reversed(plan.calls))
        if not todo:
            return self.tally
        async with self.client:
            try:
                while todo or self.under_way or self.waiting or self.commit:
                    await self._start(todo)
                    self._maybe_commit(last=not todo and not self.under_way)
                    await self._next_event()
                    self._judge_errors()
            finally:
                await self._wind_up()
        return self.tally

    async def _start(self, todo: list[Call]) -> None:
        while todo and len(self.under_way) < self._most():
            tokens = self._tokens_of_a_call()
            spent = self.tally.prompt_tokens + self.tally.completion_tokens
            expected = spent + len(self.under_way) * tokens
            if reason := self.budget.exhausted(expected, tokens):
                skipped = [todo.pop() for _ in range(len(todo))]
                for first in range(0, len(skipped), SKIPS_AT_ONCE):
                    some = skipped[first : first + SKIPS_AT_ONCE]
                    await asyncio.to_thread(self._skip, some, reason)
                self.tally.rows[SKIPPED] += sum(len(call.asks) for call in skipped)
                self.tally.skipped += len(skipped)
                return
            call, attempts = todo.pop(), list[Attempt]()
            asked = asyncio.create_task(answer(self.client, self.prompt, call.question, attempts))
            self.under_way[asked] = call, attempts

    def _most(self) -> int:
        room = self.limits.chunk_size - len(self.waiting) - self.committing
        return min(self.client.limit, self.limits.concurrency, room)

    def _tokens_of_a_call(self) -> float:
        """What the next call may cost: what this run's calls did, once there are some."""
        spent = self.tally.prompt_tokens + self.tally.completion_tokens
        answered = self.tally.calls - self.tally.errors
        enough = answered >= FEWEST_CALLS_TO_JUDGE and spent
        return spent / answered if enough else self.known.tokens

    def _maybe_commit(self, *, last: bool) -> None:
        if self.commit is not None or not self.waiting:
            return
        enough = len(self.waiting) >= max(1, self.limits.chunk_size // 4)
        if last or enough or self._commit_due_in() <= 0:
            chunk, self.waiting = self.waiting, []
            self.committing = len(chunk)
            self.commit = asyncio.create_task(asyncio.to_thread(self._commit, chunk))

    def _commit_due_in(self) -> float:
        return self.waiting_since + self.limits.commit_seconds - time.perf_counter()

    async def _next_event(self) -> None:
        events = [*self.under_way, *([self.commit] if self.commit else [])]
        if not events:
            return
        timeout = None
        if self.waiting and self.commit is None:
            timeout = max(self._commit_due_in(), 0.0)
        done, _ = await asyncio.wait(events, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for event in done:
            if event is self.commit:
                committed, self.commit, self.committing = self.commit, None, 0
                self.tally.rows.update(committed.result())
                self._report()
            elif error := self._finish(event):
                raise error

    def _finish(self, asked: asyncio.Task[Any]) -> BaseException | None:
        """Take note of a call that has ended, and of its requests if it was cancelled or raised."""
        call, attempts = self.under_way.pop(asked)
        error = None if asked.cancelled() else asked.exception()
        if asked.cancelled() or error is not None:
            answered = Answered(None, ERROR, None, declined=False, attempts=tuple(attempts))
        else:
            answered = asked.result()
        if not answered.attempts:
            return error
        if not self.waiting:
            self.waiting_since = time.perf_counter()
        self.waiting.append((call, answered))
        self.recent.append(answered.status in (ERROR, INVALID) and not answered.declined)
        self.tally.calls += 1
        self.tally.errors += answered.status == ERROR
        self.tally.declined += answered.declined
        self.tally.retries += sum(attempt.number > 1 for attempt in answered.attempts)
        for attempt in answered.attempts:
            self.tally.prompt_tokens += attempt.prompt_tokens or 0
            self.tally.completion_tokens += attempt.completion_tokens or 0
            self.tally.cached_tokens += attempt.cached_tokens or 0
            self.tally.cost += self._cost(attempt) or 0.0
        return error

    def _judge_errors(self) -> None:
        calls, bad = len(self.recent), sum(self.recent)
        too_many = calls >= FEWEST_CALLS_TO_JUDGE and bad > self.limits.max_error_share * calls
        # A few questions that no server can answer don't speak against the server.
        ended = self.tally.calls == self.planned - self.tally.skipped
        none_answered = ended and self.tally.calls == self.tally.errors > self.tally.declined
        if too_many or none_answered:
            left = self.planned - self.tally.calls - self.tally.skipped
            raise TooManyErrors(
                f"{self.target.table} ds={self.target.ds}: {bad} of the last {calls} calls to "
                f"{self.client.name} brought no answer, or none that can be read; "
                f"RECLAKE_LLM__MAX_ERROR_SHARE allows a share of "
                f"{self.limits.max_error_share:g}. {left} calls were not made; answers "
                f"received are committed. See {LEDGER} for the failed calls, and run again when "
                "the server is well"
            )

    async def _wind_up(self) -> None:
        """After an error or a cancellation: stop asking, keep what was answered."""
        for asked in self.under_way:
            asked.cancel()
        if self.under_way:
            await asyncio.wait(self.under_way)
            for asked in list(self.under_way):
                self._finish(asked)
        if self.commit is not None:
            (failed,) = await asyncio.gather(self.commit, return_exceptions=True)
            if isinstance(failed, BaseException):
                logger.error("%s: a chunk could not be committed: %s", self.target.table, failed)
        if self.waiting:
            await asyncio.to_thread(self._commit, self.waiting)
            self.waiting = []

    def _report(self) -> None:
        rate = self.tally.calls / (time.perf_counter() - self.started)
        left = self.planned - self.tally.calls - self.tally.skipped
        logger.info(
            "%s ds=%s: %d of %d calls, %.1f a second, %d at once, %.0f s left",
            self.target.table,
            self.target.ds,
            self.tally.calls,
            self.planned,
            rate,
            len(self.under_way),
            left / rate,
        )

    def _commit(self, chunk: list[tuple[Call, Answered]]) -> Counter[str]:
        """Gate and write one chunk, in a thread beside the event loop. Rows written by status."""
        outcomes = self._outcomes(chunk)
        ledger = [
            row
            for (call, answered), outcome in zip(chunk, outcomes, strict=True)
            for row in self._ledger_rows(call, answered.attempts, outcome["status"])
        ]
        answers = [
            {**ask.key, **self._head(call), **outcome}
            for (call, _), outcome in zip(chunk, outcomes, strict=True)
            if outcome["status"] in FINAL
            for ask in call.asks
        ]
        chunk_id = uuid.uuid4().hex
        self._append(LEDGER, pa.Table.from_pylist(ledger, self.target.ledger_schema), chunk_id)
        if answers:
            table = pa.Table.from_pylist(answers, self.target.schema)
            self._append(self.target.table, table, chunk_id)
        rows: Counter[str] = Counter()
        for outcome, (call, _) in zip(outcomes, chunk, strict=True):
            rows[outcome["status"]] += len(call.asks)
        return rows

    def _skip(self, calls: Sequence[Call], reason: str) -> None:
        """Put calls that are not made in the ledger, as requests number 0."""
        rows = [
            row
            for call in calls
            for row in self._ledger_rows(
                call, [Attempt(uuid.uuid4().hex, 0, 0.0, error=reason)], SKIPPED
            )
        ]
        table = pa.Table.from_pylist(rows, self.target.ledger_schema)
        self._append(LEDGER, table, uuid.uuid4().hex)

    def _append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
        again = retry(
            retry=retry_if_not_exception_type(Terminal),
            stop=stop_after_attempt(COMMIT_ATTEMPTS),
            wait=wait_exponential_jitter(1.0, 10.0),
            before_sleep=before_sleep_log(logger, logging.WARNING),
            reraise=True,
        )
        again(self.sink.append)(table, rows, chunk_id)

    def _outcomes(self, chunk: Sequence[tuple[Call, Answered]]) -> list[dict[str, Any]]:
        """Status, gate score and answer columns of each call, in order."""
        pairs = [
            (call.asks[0].fields, answered.answer)
            for call, answered in chunk
            if answered.answer is not None
        ]
        verdicts = iter(self.gate.judge(self.prompt, pairs))
        outcomes: list[dict[str, Any]] = []
        for _, answered in chunk:
            raw_text = None if answered.raw_text is None else _storable(answered.raw_text)
            outcome: dict[str, Any] = {"status": answered.status, "raw_text": raw_text}
            if answered.answer is not None:
                verdict = next(verdicts)
                outcome |= answer_columns(verdict.answer)
                outcome["status"] = SUCCESS if verdict.accepted else REJECTED
                outcome["gate_score"] = verdict.score
            outcomes.append(outcome)
        return outcomes

    def _head(self, call: Call) -> dict[str, Any]:
        return {
            "message_hash": call.message_hash,
            "prompt_version": self.prompt.prompt_version,
            "model": self.target.model,
            "selected_ds": self.target.ds,
        }

    def _ledger_rows(
        self, call: Call, attempts: Sequence[Attempt], status: str
    ) -> list[dict[str, Any]]:
        return [
            {
                "call_id": attempt.call_id,
                "ds": self.target.ds,
                "prompt": self.prompt.name,
                "prompt_version": self.prompt.prompt_version,
                "model": self.target.model,
                "subject": call.asks[0].subject,
                "status": status if attempt is attempts[-1] else RETRIED,
                "attempt": attempt.number,
                "prompt_tokens": attempt.prompt_tokens,
                "completion_tokens": attempt.completion_tokens,
                "cached_tokens": attempt.cached_tokens,
                "cost": self._cost(attempt),
                "latency_ms": attempt.latency_ms,
                "error": _storable(attempt.error) or None,
                "server": attempt.server or self.client.name,
                "run_id": self.target.run_id,
            }
            for attempt in attempts
        ]

    def _cost(self, attempt: Attempt) -> float | None:
        """By the price table; None without a price, or without an answer."""
        if self.price is None or attempt.prompt_tokens is None:
            return None
        cached, received = attempt.cached_tokens or 0, attempt.completion_tokens or 0
        return self.price.cost(attempt.prompt_tokens, cached, received)


def _storable(text: str) -> str:
    """`text` with `?` for each half of a character, which no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def answer_columns(answer: Answer) -> dict[str, Any]:
    """An answer's fields as Arrow takes them: a mapping as pairs, nothing left as null."""
    return {
        name: (list(value.items()) if isinstance(value, dict) else value) or None
        for name, value in answer.items()
    }
