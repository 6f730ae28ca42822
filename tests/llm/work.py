"""Work lists of words, and how a test pays for them with a server whose answers are scripted."""

from __future__ import annotations

import json
from collections.abc import Sequence

from jobs.llm.bulk import Tally, enrich
from jobs.llm.gate import AnswerGate
from jobs.llm.plan import Ask, Plan, plan, posed
from jobs.llm.prompt import Prompt
from jobs.llm.settings import BulkSettings
from tests.llm.conftest import MemorySink, WordEncoder, client_of, limits, target
from tests.llm.faulty_server import FaultyServer, Response, says

TABLE = "silver.item_enrichments"

WORDS = [f"tea{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(400)]


def asks(count: int) -> list[Ask]:
    """Items titled by a word of their own."""
    return [Ask({"content_hash": f"c{n}"}, f"c{n}", {"title": WORDS[n]}) for n in range(count)]


def twins(count: int) -> list[Ask]:
    """Each question asked for two keys."""
    return [
        Ask({"content_hash": f"{key}{n}"}, f"{key}{n}", {"title": WORDS[n]})
        for n in range(count)
        for key in "ab"
    ]


def title_of(question: str) -> str:
    return json.loads(question)["title"]


def echo(question: str, number: int) -> Response:
    """A right answer: the title itself."""
    word = title_of(question)
    return says(json.dumps({"standard_name": word, "keywords": [word]}))


def pay(
    planned: Plan, prompt: Prompt, server: FaultyServer, sink: object, settings: BulkSettings
) -> Tally:
    client = client_of(server.url)
    gate = AnswerGate(WordEncoder(), settings.gate_threshold)
    return enrich(planned, prompt, client, gate, sink, target(), settings)  # type: ignore[arg-type]


def run(
    work: Sequence[Ask],
    prompt: Prompt,
    server: FaultyServer,
    sink: MemorySink,
    settings: BulkSettings | None = None,
) -> Tally:
    return pay(
        plan(posed(work, prompt), sink.rows(TABLE)), prompt, server, sink, settings or limits()
    )
