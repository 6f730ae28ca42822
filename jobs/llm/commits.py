"""What is written of calls: the ledger first, then the answers that the gate judged, in chunks.

A commit writes the ledger first, so that a paid request is known even if its answer is lost.
`jobs.llm.status` says which rows are final.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from jobs.llm.answering import Answered
from jobs.llm.client import Attempt
from jobs.llm.gate import AnswerGate
from jobs.llm.plan import Call
from jobs.llm.prompt import Answer, Prompt
from jobs.llm.status import FINAL, REJECTED, RETRIED, SKIPPED, SUCCESS

if TYPE_CHECKING:
    from jobs.llm.settings import Price

logger = logging.getLogger(__name__)

LEDGER = "ops.llm_ledger"
COMMIT_ATTEMPTS = 3


class ChunkSink(Protocol):
    """Where chunks go (`jobs.lake.sink.Sink`); the same `chunk_id` again adds nothing."""

    def schema(self, table: str) -> pa.Schema: ...

    def append(self, table: str, rows: pa.Table, chunk_id: str) -> None: ...


@dataclass(frozen=True)
class Destination:
    """Where and under what name the answers of one run are kept.

    table: the answer table. schema, ledger_schema: its columns and the ledger's.
    """

    table: str
    schema: pa.Schema
    ledger_schema: pa.Schema
    model: str
    ds: date
    run_id: str


@dataclass(frozen=True)
class AnswerWriter:
    """Writes what became of the calls of one run. price: of the model, None without one. server:
    for the ledger, where a request names none."""

    prompt: Prompt
    gate: AnswerGate
    sink: ChunkSink
    to: Destination
    price: Price | None
    server: str

    def commit(self, chunk: list[tuple[Call, Answered]]) -> Counter[str]:
        """Judge and write one chunk, in a thread beside the event loop. Rows written by status."""
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
        self._write(LEDGER, pa.Table.from_pylist(ledger, self.to.ledger_schema), chunk_id)
        if answers:
            table = pa.Table.from_pylist(answers, self.to.schema)
            self._write(self.to.table, table, chunk_id)
        rows: Counter[str] = Counter()
        for outcome, (call, _) in zip(outcomes, chunk, strict=True):
            rows[outcome["status"]] += len(call.asks)
        return rows

    def skip(self, calls: Sequence[Call], reason: str) -> None:
        """Put calls that are not made in the ledger, as requests number 0."""
        rows = [
            row
            for call in calls
            for row in self._ledger_rows(
                call, [Attempt(uuid.uuid4().hex, 0, 0.0, error=reason)], SKIPPED
            )
        ]
        table = pa.Table.from_pylist(rows, self.to.ledger_schema)
        self._write(LEDGER, table, uuid.uuid4().hex)

    def copy(self, rows: Sequence[Mapping[str, Any]]) -> Counter[str]:
        """Write rows that another key was given; how many by status."""
        copies = [{**row, "selected_ds": self.to.ds} for row in rows]
        table = pa.Table.from_pylist(copies, schema=self.to.schema)
        self._write(self.to.table, table, uuid.uuid4().hex)
        return Counter(row["status"] for row in copies)

    def _write(self, table: str, rows: pa.Table, chunk_id: str) -> None:
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
            "model": self.to.model,
            "selected_ds": self.to.ds,
        }

    def _ledger_rows(
        self, call: Call, attempts: Sequence[Attempt], status: str
    ) -> list[dict[str, Any]]:
        return [
            {
                "call_id": attempt.call_id,
                "ds": self.to.ds,
                "prompt": self.prompt.name,
                "prompt_version": self.prompt.prompt_version,
                "model": self.to.model,
                "subject": call.asks[0].subject,
                "status": status if attempt is attempts[-1] else RETRIED,
                "attempt": attempt.number,
                "prompt_tokens": attempt.prompt_tokens,
                "completion_tokens": attempt.completion_tokens,
                "cached_tokens": attempt.cached_tokens,
                "cost": self.cost(attempt),
                "latency_ms": attempt.latency_ms,
                "error": _storable(attempt.error) or None,
                "server": attempt.server or self.server,
                "run_id": self.to.run_id,
            }
            for attempt in attempts
        ]

    def cost(self, attempt: Attempt) -> float | None:
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
