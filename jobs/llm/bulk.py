"""Bulk enrichment: the unanswered part of a work list is asked, gated and committed.

Calls go on while a thread beside the event loop gates and writes answers. At most `chunk_size`
calls are sent and not yet committed, so a kill can lose no more. A commit begins with a quarter of
these; while it lasts, as many again may be under way and twice as many may arrive.
`jobs.llm.commits` says what is written.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.llm.answering import Answered, answer
from jobs.llm.budget import Budget, Rate, guessed
from jobs.llm.client import Asker, Attempt
from jobs.llm.commits import LEDGER, AnswerWriter, ChunkSink, Destination
from jobs.llm.errors import TooManyErrors
from jobs.llm.gate import AnswerGate
from jobs.llm.plan import Call, Plan
from jobs.llm.prompt import Prompt
from jobs.llm.status import ERROR, INVALID, SKIPPED

if TYPE_CHECKING:
    from jobs.llm.settings import BulkSettings

logger = logging.getLogger(__name__)

# The newest calls, whose share of errors is judged.
RECENT_CALLS = 100
# The share of fewer calls says nothing.
FEWEST_CALLS_TO_JUDGE = 20
# A budget may cut off a million calls; their rows are made and written so many at a time.
SKIPS_AT_ONCE = 10_000


@dataclass
class Tally:
    """What a run did so far.

    rows: answer rows by status. calls: questions asked, each counted once. errors: calls without an
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


def enrich(
    plan: Plan,
    prompt: Prompt,
    client: Asker,
    gate: AnswerGate,
    sink: ChunkSink,
    target: Destination,
    limits: BulkSettings,
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
        gate: AnswerGate,
        sink: ChunkSink,
        target: Destination,
        limits: BulkSettings,
        budget: Budget,
        known: Rate,
    ) -> None:
        self.prompt = prompt
        self.client = client
        self.target = target
        self.limits = limits
        self.budget = budget
        self.known = known
        price = limits.prices.get(target.model)
        self.writer = AnswerWriter(prompt, gate, sink, target, price, client.name)
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
            self.tally.rows.update(await asyncio.to_thread(self.writer.copy, plan.copies))
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
                    await asyncio.to_thread(self.writer.skip, some, reason)
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
        """What the next call may cost: the mean of this run's calls, once there are some."""
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
            self.commit = asyncio.create_task(asyncio.to_thread(self.writer.commit, chunk))

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
        """Record a call that has ended, and its requests if it was cancelled or raised."""
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
            self.tally.cost += self.writer.cost(attempt) or 0.0
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
            await asyncio.to_thread(self.writer.commit, self.waiting)
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
