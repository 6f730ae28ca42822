"""What a work list still costs: its questions, less those that were ever answered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.llm.prompt import Fields, Prompt


@dataclass(frozen=True)
class Ask:
    """One row of a work list.

    key: the answer table's key without prompt version and model. subject: the part of the key that
    the ledger names. fields: values that the prompt may show.
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

    cached: number of rows that are answered. copies: rows to write without a call, since the same
    question was answered for another key. calls: questions to pay for, most urgent first.
    """

    cached: int
    copies: list[dict[str, Any]]
    calls: list[Call]

    @property
    def asked(self) -> int:
        """Rows that the calls will answer."""
        return sum(len(call.asks) for call in self.calls)


def message_hash(prompt: Prompt, question: str) -> str:
    """What identifies a question under one prompt version: 64 hex digits."""
    return hashlib.sha256(f"{prompt.prompt_version}\n{question}".encode()).hexdigest()


def posed(asks: Sequence[Ask], prompt: Prompt) -> list[Question]:
    """The question of each ask, in order; rendered and hashed here and nowhere else in a run."""
    questions = ((ask, prompt.question(ask.fields)) for ask in asks)
    return [Question(ask, text, message_hash(prompt, text)) for ask, text in questions]


def in_shard(questions: Sequence[Question], shard: int, shards: int) -> list[Question]:
    """The questions of one of `shards` shards, in order; the first shard is 0.

    The question's text decides, so that asks that share a call fall to one shard, on any day.
    """
    return [q for q in questions if int(q.message_hash[:8], 16) % shards == shard]


def plan(questions: Sequence[Question], answered: Sequence[Mapping[str, Any]]) -> Plan:
    """Split a work list by what was ever answered.

    questions: of one prompt, most urgent first, their asks' keys distinct. answered: rows of the
    answer table with this version, this model and the message hash of one of the questions.
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
