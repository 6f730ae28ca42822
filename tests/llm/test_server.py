"""The whole path on a real vLLM with a random model: protocol, guided answers, pay once."""

from __future__ import annotations

import asyncio
from datetime import date

import httpx
import pytest
from pyspark.sql import SparkSession

from jobs.lake import EffectResult, Sink
from jobs.llm.bulk import Tally, enrich
from jobs.llm.client import Reply
from jobs.llm.commits import LEDGER
from jobs.llm.errors import ServerRefuses
from jobs.llm.gate import AnswerGate
from jobs.llm.plan import Ask, plan, posed
from jobs.llm.prompt import Prompt, load_prompt
from jobs.settings import RunParams
from jobs.silver.user_enrichments import enrich_users
from tests.llm.conftest import MODEL, MemorySink, WordEncoder, client_of, limits, target
from tests.llm.test_prompt import ORDERS

pytestmark = pytest.mark.server

# vLLM caches whole blocks only, and a block has this many tokens on a CPU.
CPU_BLOCK = 128

TITLES = [
    "FLUID MILK WHITE ONLY",
    "SOFT DRINKS 12/18&15PK CAN CAR",
    "👩\u200d🍳 ナッツ שוקולד",
    "tea " * 25_000,
    *ORDERS,
]


def asks() -> list[Ask]:
    return [Ask({"content_hash": f"c{n}"}, f"c{n}", {"title": t}) for n, t in enumerate(TITLES)]


def first_field(prompt: Prompt) -> str:
    return next(iter(prompt.answer_schema["properties"]))


def tokens_of(url: str, prompt: Prompt, question: str) -> list[int]:
    """What the server makes of a whole call."""
    messages = prompt.messages(question)
    answer = httpx.post(
        f"{url.removesuffix('/v1')}/tokenize", json={"model": MODEL, "messages": messages}
    )
    tokens: list[int] = answer.raise_for_status().json()["tokens"]
    return tokens


def run(url: str, prompt: Prompt, sink: MemorySink, work: list[Ask]) -> Tally:
    answers = sink.rows("silver.item_enrichments")
    gate = AnswerGate(WordEncoder(), 0.5)
    planned = plan(posed(work, prompt), answers)
    return enrich(planned, prompt, client_of(url), gate, sink, target(), limits())


def test_answers_fit_the_schema_and_nothing_is_paid_twice(
    tiny_vllm: str, prompt: Prompt, sink: MemorySink
) -> None:
    tally = run(tiny_vllm, prompt, sink, asks())
    rows = sink.rows("silver.item_enrichments")
    assert sorted(row["content_hash"] for row in rows) == sorted(
        f"c{n}" for n in range(len(TITLES))
    )
    # A random model speaks nonsense, but guided decoding makes it schema-valid nonsense.
    assert {row["status"] for row in rows} <= {"success", "rejected_by_gate"}
    for row in rows:
        prompt.parse(row["raw_text"])
    ledger = sink.rows(LEDGER)
    assert len(ledger) == tally.calls == len({ask.fields["title"] for ask in asks()})
    assert all(row["prompt_tokens"] > 0 and row["completion_tokens"] > 0 for row in ledger)
    again = run(tiny_vllm, prompt, sink, asks())
    assert (again.calls, len(sink.rows(LEDGER))) == (0, len(ledger))


@pytest.mark.parametrize(
    ("name", "version"),
    [("item", 1), ("item", 2), ("user", 1), ("user", 2), ("companion", 1), ("pair", 1)],
)
def test_a_shipped_prompt_is_understood_and_its_fixed_part_is_cached(
    tiny_vllm: str, name: str, version: int
) -> None:
    prompt = load_prompt(name, version)
    questions = [prompt.question({next(iter(prompt.inputs)): text}) for text in ("tea", "soap")]

    async def both() -> list[Reply]:
        async with client_of(tiny_vllm) as client:
            return [await client.ask(prompt, question) for question in questions]

    replies = asyncio.run(both())
    for reply in replies:
        assert reply.text
        # A random model may run to the last token; what it says follows the schema until there.
        assert reply.text.startswith(f'{{"{first_field(prompt)}":')
    (second,) = replies[1].attempts
    both_tokens = [tokens_of(tiny_vllm, prompt, question) for question in questions]
    shared = next(n for n, (a, b) in enumerate(zip(*both_tokens, strict=False)) if a != b)
    assert second.prompt_tokens == len(both_tokens[1])
    assert shared > second.prompt_tokens - 20
    assert second.cached_tokens == shared - shared % CPU_BLOCK


def test_the_same_seed_says_the_same(tiny_vllm: str, prompt: Prompt) -> None:
    question = prompt.question({"title": "tea"})

    async def twice() -> list[str | None]:
        async with client_of(tiny_vllm) as client:
            return [(await client.ask(prompt, question)).text for _ in range(2)]

    first, second = asyncio.run(twice())
    assert first == second


def test_an_unknown_model_stops_the_day(tiny_vllm: str, prompt: Prompt) -> None:
    async def once() -> Reply:
        async with client_of(tiny_vllm, model="gpt-99") as client:
            return await client.ask(prompt, prompt.question({"title": "tea"}))

    with pytest.raises(ServerRefuses, match="404 to model 'gpt-99'"):
        asyncio.run(once())


def test_a_question_longer_than_the_context_is_too_long(tiny_vllm: str, prompt: Prompt) -> None:
    wide = prompt.model_copy(update={"inputs": {"title": 100_000}})

    async def once() -> Reply:
        async with client_of(tiny_vllm) as client:
            return await client.ask(wide, wide.question({"title": "long tea " * 10_000}))

    reply = asyncio.run(once())
    assert (reply.declined, reply.status) == (True, "too_long")
    assert "maximum context length" in reply.attempts[0].error


def test_a_day_on_real_tables_is_paid_once(make_lake, tiny_vllm: str, spark: SparkSession) -> None:
    lake = make_lake(llm_url=tiny_vllm, llm_model=MODEL)
    profiles = spark.createDataFrame(
        [(f"u{n}", f"Favourite products: tea {n}.", f"p{n}", n) for n in range(5)],
        "user_id string, profile string, profile_hash string, interactions_count_90d long",
    )

    def enrich_once() -> EffectResult:
        day = date(2017, 12, 28)
        run = lake.by_hand(day, params=RunParams(user_budget=3))
        known = lake.tables.read("silver.user_enrichments")
        ledger = lake.tables.read("ops.llm_ledger")
        return enrich_users(run, Sink(lake.tables), profiles, known, ledger)

    first, second = enrich_once(), enrich_once()
    assert (first.counts["sent"], first.counts["errors"], first.rows_out) == (3, 0, 3)
    assert (second.counts["sent"], second.counts["cached"]) == (0, 3)
    rows = lake.tables.read("silver.user_enrichments").collect()
    assert sorted(row["user_id"] for row in rows) == ["u2", "u3", "u4"]
    ledger = lake.tables.read("ops.llm_ledger").collect()
    # A random model may run to its limit, and is then asked in the prompt's simpler form.
    ended = [row["subject"] for row in ledger if row["status"] != "retried"]
    assert sorted(ended) == ["p2", "p3", "p4"]
    assert all(row["cached_tokens"] is not None for row in ledger)
