"""Calls to an engine in a process beside: the protocol by a stand-in, and vLLM's own engine."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

import psutil
import pytest

from infra.stack.paths import SERVE_PYTHON
from infra.stack.services.vllm import STRUCTURED_OUTPUTS
from jobs.llm.bulk import Tally, enrich
from jobs.llm.client import LLMClient, Reply
from jobs.llm.commits import LEDGER
from jobs.llm.engine import EngineClient, asker_of
from jobs.llm.errors import ServerRefuses, TooManyErrors
from jobs.llm.gate import AnswerGate
from jobs.llm.plan import Ask, plan, posed
from jobs.llm.prompt import Prompt
from jobs.settings import Settings
from tests.llm.conftest import MemorySink, WordEncoder, limits, target
from tests.llm.tiny_model import make_tiny_model

TABLE = "silver.item_enrichments"

# Answers with the question's title, in reverse order of every two requests.
STAND_IN = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
held = []
for line in sys.stdin:
    request = json.loads(line)
    title = json.loads(request["messages"][-1]["content"])["title"]
    if title == "die":
        sys.exit(7)
    reply = {"id": request["id"], "error": "ValueError: longer than the maximum model length of 8"}
    if title != "long":
        text = json.dumps({"standard_name": title, "keywords": [title]})
        reply = {"id": request["id"], "text": text, "finish_reason": "stop",
                 "prompt_tokens": 100, "cached_tokens": 90, "completion_tokens": 20}
    held.insert(0, reply)
    if len(held) == 2:
        for each in held:
            print(json.dumps(each), flush=True)
        held = []
"""


def stand_in(code: str = STAND_IN, timeout_seconds: float = 60.0) -> EngineClient:
    command = [sys.executable, "-c", code]
    return EngineClient("engine:x", command, concurrency=8, timeout_seconds=timeout_seconds)


def ask_all(client: EngineClient, prompt: Prompt, *titles: str) -> list[Reply]:
    async def together() -> list[Reply]:
        async with client:
            questions = [prompt.question({"title": title}) for title in titles]
            return await asyncio.gather(*(client.ask(prompt, q) for q in questions))

    return asyncio.run(together())


def name_of(reply: Reply) -> str:
    return str(json.loads(reply.text or "{}").get("standard_name"))


def run(client: EngineClient, prompt: Prompt, sink: MemorySink, titles: list[str]) -> Tally:
    work = [Ask({"content_hash": title}, title, {"title": title}) for title in titles]
    gate = AnswerGate(WordEncoder(), 0.5)
    planned = plan(posed(work, prompt), sink.rows(TABLE))
    return enrich(planned, prompt, client, gate, sink, target(), limits())


def test_replies_find_their_questions_in_any_order(prompt: Prompt) -> None:
    replies = ask_all(stand_in(), prompt, "tea", "soap", "milk", "rice")
    assert [name_of(reply) for reply in replies] == ["tea", "soap", "milk", "rice"]
    (attempt,) = replies[0].attempts
    assert (attempt.prompt_tokens, attempt.cached_tokens, attempt.completion_tokens) == (
        100,
        90,
        20,
    )
    assert (attempt.server, attempt.error) == ("engine:x", "")


def test_a_question_too_long_for_the_engine_is_known_as_such(prompt: Prompt) -> None:
    tea, long = ask_all(stand_in(), prompt, "tea", "long")
    assert (long.text, long.status, long.declined) == (None, "too_long", True)
    assert name_of(tea) == "tea"


def test_an_engine_that_does_not_answer_in_time_is_an_error(prompt: Prompt) -> None:
    (reply,) = ask_all(stand_in(timeout_seconds=0.05), prompt, "tea")
    assert (reply.status, reply.attempts[0].error) == ("error", "no reply for 0.05 s")


# Answers nothing, and says on standard error what it is told to drop.
SILENT = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    told = json.loads(line)
    if "drop" in told:
        print("dropped", told["drop"], file=sys.stderr, flush=True)
"""


def test_an_engine_is_told_to_drop_what_nobody_waits_for(
    prompt: Prompt, capfd: pytest.CaptureFixture[str]
) -> None:
    replies = ask_all(stand_in(SILENT, timeout_seconds=0.05), prompt, "tea", "soap")
    dropped = [line.split()[1] for line in capfd.readouterr().err.splitlines() if "dropped" in line]
    assert sorted(dropped) == sorted(reply.attempts[0].call_id for reply in replies)


def test_an_engine_that_is_too_slow_gets_fewer_calls_at_once(prompt: Prompt) -> None:
    client = stand_in(SILENT, timeout_seconds=0.05)
    before = client.limit
    ask_all(client, prompt, *(f"tea {n}" for n in range(20)))
    assert (before, client.limit) == (8, 4)


def test_an_engine_that_dies_stops_the_day_and_what_was_answered_is_kept(
    prompt: Prompt, sink: MemorySink
) -> None:
    titles = [f"tea {letter}" for letter in "abcdefgh"] + ["die"] + ["x"] * 1
    titles += [f"rice {a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    with pytest.raises(TooManyErrors, match="engine:x brought no answer"):
        run(stand_in(), prompt, sink, titles)
    errors = {row["error"] for row in sink.rows(LEDGER) if row["status"] == "error"}
    assert errors == {"the engine ended with code 7"}
    assert Counter(row["status"] for row in sink.rows(TABLE))["success"] >= 2


@pytest.mark.parametrize(
    ("code", "why"), [("import sys; sys.exit(3)", "ended with code 3"), ("", "ended with code 0")]
)
def test_an_engine_that_does_not_start_is_refused(prompt: Prompt, code: str, why: str) -> None:
    with pytest.raises(ServerRefuses, match=f"{why}.*RECLAKE_LLM_ENGINE_PYTHON"):
        ask_all(stand_in(code), prompt, "tea")


def test_a_python_that_does_not_exist_is_refused(prompt: Prompt) -> None:
    client = EngineClient("engine:x", ["/no/python"], concurrency=1, timeout_seconds=1)
    with pytest.raises(ServerRefuses, match="/no/python"):
        ask_all(client, prompt, "tea")


def test_the_address_says_whom_to_ask() -> None:
    assert isinstance(asker_of(Settings(llm_url="http://a/v1, http://b/v1")), LLMClient)
    engine = asker_of(Settings(llm_url="engine:/models/x", llm_engine_args={"max_model_len": 9}))
    assert isinstance(engine, EngineClient)
    assert engine.name == "engine:/models/x"


@pytest.fixture(scope="module")
def tiny_engine(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    model = make_tiny_model(tmp_path_factory.mktemp("engine") / "model")
    return Settings(
        llm_url=f"engine:{model}",
        llm_engine_python=SERVE_PYTHON,
        llm_engine_args={
            "dtype": "bfloat16",
            "max_model_len": 4096,
            "enforce_eager": True,
            "structured_outputs_config": json.loads(STRUCTURED_OUTPUTS),
        },
    )


@pytest.mark.server
@pytest.mark.chaos
def test_vllms_engine_answers_in_the_schema_and_is_paid_once(
    tiny_engine: Settings, prompt: Prompt, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    titles = ["fluid milk", "👩\u200d🍳 ナッツ שוקולד", "soap", "rice"]
    wide = prompt.model_copy(update={"inputs": {"title": 20_000}})
    wide.__dict__.pop("prompt_version", None)
    client = asker_of(tiny_engine)
    assert isinstance(client, EngineClient)
    tally = run(client, wide, sink, [*titles, "long tea " * 5_000])
    assert tally.rows["too_long"] == 1
    assert tally.rows["success"] + tally.rows["rejected_by_gate"] == 4
    rows = [row for row in sink.rows(TABLE) if row["status"] != "too_long"]
    for row in rows:
        wide.parse(row["raw_text"])
    paid = [row for row in sink.rows(LEDGER) if row["status"] != "too_long"]
    assert all(row["prompt_tokens"] > 0 and row["completion_tokens"] > 0 for row in paid)
    assert {row["server"] for row in paid} == {tiny_engine.llm_url}
    again = run(asker_of(tiny_engine), wide, sink, titles)  # type: ignore[arg-type]
    assert again.calls == 0
    assert not [
        p for p in psutil.Process().children(recursive=True) if "engine_process" in str(p.cmdline())
    ]
