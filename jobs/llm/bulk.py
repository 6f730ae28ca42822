"""Bulk enrichment: a work list minus everything ever answered, asked, gated and committed.

Calls overlap with commits: while one half of a chunk is written, the next calls are under way.
No more than `chunk_size` calls are ever sent and not yet committed, which is what a kill can lose.
Within a commit the ledger comes first, so that what was paid is known even if its answers are not.
Failed calls are in the ledger alone and are asked again by the next run; a row in the answer
table is final.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import uuid
from collections import Counter
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
from jobs.llm.client import LLMClient, Reply
from jobs.llm.errors import InvalidAnswer, TooManyErrors
from jobs.llm.gate import Gate
from jobs.llm.prompt import Answer, Fields, Prompt

if TYPE_CHECKING:
    from jobs.settings import LLMSettings

logger = logging.getLogger(__name__)

SUCCESS = "success"
REJECTED = "rejected_by_gate"
INVALID = "invalid_output"
ERROR = "error"
RETRIED = "retried"

LEDGER = "ops.llm_ledger"
# A share of fewer calls than this says nothing yet.
FEWEST_CALLS_TO_JUDGE = 20
CHARACTERS_PER_TOKEN = 4
COMMIT_ATTEMPTS = 3


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
    server: str
    ds: date
    run_id: str


@dataclass
class Tally:
    """What a run did so far.

    rows: answer rows by status. calls: questions asked, however often. errors: calls without an
    answer; declined: those of them that the server called unanswerable. retries: requests beyond
    the first of a call.
    """

    rows: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    errors: int = 0
    declined: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


def message_hash(prompt: Prompt, question: str) -> str:
    """What identifies a question under one prompt version: 64 hex digits."""
    return hashlib.sha256(f"{prompt.prompt_version}\n{question}".encode()).hexdigest()


def plan(asks: Sequence[Ask], prompt: Prompt, answered: Sequence[Mapping[str, Any]]) -> Plan:
    """Split a work list by what was ever answered.

    asks: most urgent first, keys distinct. answered: rows of the answer table under this prompt
    version and model that have one of the asks' message hashes.
    """
    key_names = tuple(asks[0].key) if asks else ()
    keys = {tuple(row[name] for name in key_names) for row in answered}
    by_question = {row["message_hash"]: row for row in answered}
    cached, copies = 0, []
    calls: dict[str, tuple[str, list[Ask]]] = {}
    for ask in asks:
        question = prompt.question(ask.fields)
        hashed = message_hash(prompt, question)
        if tuple(ask.key.values()) in keys:
            cached += 1
        elif hashed in by_question:
            copies.append({**by_question[hashed], **ask.key})
        else:
            calls.setdefault(hashed, (question, []))[1].append(ask)
    return Plan(cached, copies, [Call(q, h, tuple(a)) for h, (q, a) in calls.items()])


def estimate(plan: Plan, prompt: Prompt) -> dict[str, int]:
    """What a plan would cost: calls, and tokens at four characters each, answers at full length."""
    fixed = sum(len(message["content"]) for message in prompt.fixed_messages)
    characters = sum(fixed + len(call.question) for call in plan.calls)
    return {
        "planned_calls": len(plan.calls),
        "planned_prompt_tokens": characters // CHARACTERS_PER_TOKEN,
        "planned_completion_tokens_at_most": len(plan.calls) * prompt.max_tokens,
    }


def enrich(
    plan: Plan,
    prompt: Prompt,
    client: LLMClient,
    gate: Gate,
    sink: ChunkSink,
    target: Target,
    limits: LLMSettings,
) -> Tally:
    """Make the plan's calls and commit their answers; returns what was done.

    Raises TooManyErrors or ServerRefuses; answers received before that are committed first.
    """
    return asyncio.run(_Bulk(prompt, client, gate, sink, target, limits).run(plan))


class _Bulk:
    """One run of one plan. All state is touched by the event loop's thread alone."""

    def __init__(
        self,
        prompt: Prompt,
        client: LLMClient,
        gate: Gate,
        sink: ChunkSink,
        target: Target,
        limits: LLMSettings,
    ) -> None:
        self.prompt = prompt
        self.client = client
        self.gate = gate
        self.sink = sink
        self.target = target
        self.limits = limits
        self.tally = Tally()
        self.waiting: list[tuple[Call, Reply]] = []
        self.under_way: dict[asyncio.Task[Reply], Call] = {}
        self.commit: asyncio.Task[None] | None = None
        self.committing = 0
        self.planned = 0
        self.started = time.perf_counter()

    async def run(self, plan: Plan) -> Tally:
        self.planned = len(plan.calls)
        if plan.copies:
            copies = [{**row, "selected_ds": self.target.ds} for row in plan.copies]
            rows = pa.Table.from_pylist(copies, schema=self.target.schema)
            self._append(self.target.table, rows, uuid.uuid4().hex)
            self.tally.rows.update(row["status"] for row in copies)
        todo = list(reversed(plan.calls))
        async with self.client:
            try:
                while todo or self.under_way or self.waiting or self.commit:
                    self._start(todo)
                    self._maybe_commit(last=not todo and not self.under_way)
                    await self._next_event()
                    self._judge_errors()
            finally:
                await self._wind_up()
        return self.tally

    def _start(self, todo: list[Call]) -> None:
        room = self.limits.chunk_size - len(self.waiting) - self.committing
        most = min(self.limits.concurrency, room)
        while todo and len(self.under_way) < most:
            call = todo.pop()
            asked = asyncio.create_task(self.client.ask(self.prompt, call.question))
            self.under_way[asked] = call

    def _maybe_commit(self, *, last: bool) -> None:
        enough = max(1, self.limits.chunk_size // 2)
        if self.commit is None and self.waiting and (last or len(self.waiting) >= enough):
            chunk, self.waiting = self.waiting, []
            self.committing = len(chunk)
            self.commit = asyncio.create_task(asyncio.to_thread(self._commit, chunk))

    async def _next_event(self) -> None:
        events = [*self.under_way, *([self.commit] if self.commit else [])]
        done, _ = await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        for event in done:
            if event is self.commit:
                self.commit, self.committing = None, 0
                event.result()
                self._report()
            else:
                self._finish(event)

    def _finish(self, asked: asyncio.Task[Any]) -> None:
        call = self.under_way.pop(asked)
        reply = asked.result()
        self.waiting.append((call, reply))
        self.tally.calls += 1
        self.tally.errors += reply.text is None
        self.tally.declined += reply.declined
        self.tally.retries += len(reply.attempts) - 1
        for attempt in reply.attempts:
            self.tally.prompt_tokens += attempt.prompt_tokens or 0
            self.tally.completion_tokens += attempt.completion_tokens or 0
            self.tally.cached_tokens += attempt.cached_tokens or 0

    def _judge_errors(self) -> None:
        calls, errors, planned = self.tally.calls, self.tally.errors, self.planned
        too_many = calls >= FEWEST_CALLS_TO_JUDGE and errors > self.limits.max_error_share * calls
        # A few questions that no server can answer don't speak against the server.
        none_answered = calls == planned and errors == calls > self.tally.declined
        if too_many or none_answered:
            raise TooManyErrors(
                f"{self.target.table} ds={self.target.ds}: {errors} of {calls} calls to "
                f"{self.target.server} failed; RECLAKE_LLM__MAX_ERROR_SHARE allows a share of "
                f"{self.limits.max_error_share:g}. {planned - calls} calls were not made; answers "
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
                if not asked.cancelled() and asked.exception() is None:
                    self._finish(asked)
        if self.commit is not None:
            (failed,) = await asyncio.gather(self.commit, return_exceptions=True)
            if failed is not None:
                logger.error("%s: a chunk could not be committed: %s", self.target.table, failed)
        if self.waiting:
            await asyncio.to_thread(self._commit, self.waiting)
            self.waiting = []

    def _report(self) -> None:
        rate = self.tally.calls / (time.perf_counter() - self.started)
        logger.info(
            "%s ds=%s: %d of %d calls, %.1f a second, %.0f s left",
            self.target.table,
            self.target.ds,
            self.tally.calls,
            self.planned,
            rate,
            (self.planned - self.tally.calls) / rate,
        )

    def _commit(self, chunk: list[tuple[Call, Reply]]) -> None:
        """Gate and write one chunk; runs in a thread beside the event loop."""
        outcomes = self._outcomes(chunk)
        ledger = [
            row
            for (call, reply), outcome in zip(chunk, outcomes, strict=True)
            for row in self._ledger_rows(call, reply, outcome["status"])
        ]
        answers = [
            {**ask.key, **self._head(call), **outcome}
            for (call, _), outcome in zip(chunk, outcomes, strict=True)
            if outcome["status"] != ERROR
            for ask in call.asks
        ]
        chunk_id = uuid.uuid4().hex
        self._append(LEDGER, pa.Table.from_pylist(ledger, self.target.ledger_schema), chunk_id)
        if answers:
            table = pa.Table.from_pylist(answers, self.target.schema)
            self._append(self.target.table, table, chunk_id)
        for outcome, (call, _) in zip(outcomes, chunk, strict=True):
            self.tally.rows[outcome["status"]] += len(call.asks)

    def _append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
        again = retry(
            retry=retry_if_not_exception_type(Terminal),
            stop=stop_after_attempt(COMMIT_ATTEMPTS),
            wait=wait_exponential_jitter(1.0, 10.0),
            before_sleep=before_sleep_log(logger, logging.WARNING),
            reraise=True,
        )
        again(self.sink.append)(table, rows, chunk_id)

    def _outcomes(self, chunk: Sequence[tuple[Call, Reply]]) -> list[dict[str, Any]]:
        """Status, gate score and answer columns of each call, in order."""
        parsed = [_parse(self.prompt, reply) for _, reply in chunk]
        pairs = [
            (call.asks[0].fields, answer)
            for (call, _), (_, answer) in zip(chunk, parsed, strict=True)
            if answer is not None
        ]
        verdicts = iter(self.gate.judge(self.prompt, pairs))
        outcomes: list[dict[str, Any]] = []
        for (_, reply), (status, answer) in zip(chunk, parsed, strict=True):
            outcome: dict[str, Any] = {"status": status, "raw_text": reply.text}
            if answer is not None:
                verdict = next(verdicts)
                outcome |= {name: _column(value) for name, value in verdict.answer.items()}
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

    def _ledger_rows(self, call: Call, reply: Reply, status: str) -> list[dict[str, Any]]:
        last = len(reply.attempts)
        return [
            {
                "call_id": attempt.call_id,
                "ds": self.target.ds,
                "prompt": self.prompt.name,
                "prompt_version": self.prompt.prompt_version,
                "model": self.target.model,
                "subject": call.asks[0].subject,
                "status": status if attempt.number == last else RETRIED,
                "attempt": attempt.number,
                "prompt_tokens": attempt.prompt_tokens,
                "completion_tokens": attempt.completion_tokens,
                "cached_tokens": attempt.cached_tokens,
                "latency_ms": attempt.latency_ms,
                "error": attempt.error or None,
                "server": self.target.server,
                "run_id": self.target.run_id,
            }
            for attempt in reply.attempts
        ]


def _column(value: Any) -> Any:
    """An answer field as Arrow takes it: a mapping as pairs, nothing left as null."""
    return (list(value.items()) if isinstance(value, dict) else value) or None


def _parse(prompt: Prompt, reply: Reply) -> tuple[str, Answer | None]:
    if reply.text is None:
        return ERROR, None
    try:
        return SUCCESS, prompt.parse(reply.text)
    except InvalidAnswer:
        return INVALID, None
