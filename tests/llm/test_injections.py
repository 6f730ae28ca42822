"""Item text cannot give orders: what is sent keeps its shape, and what obeys is stopped.

The cases and what becomes of each are in injections.yaml. The gate is the real one, with MiniLM.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.llm.errors import InvalidAnswer
from jobs.llm.gate import AnswerGate
from jobs.llm.prompt import Fields, Prompt, load_prompt
from jobs.llm.settings import BulkSettings
from jobs.vectors.encoder import Encoder

CASES = yaml.safe_load(Path(__file__).with_name("injections.yaml").read_text("utf-8"))
HONEST = {
    "standard_name": "black tea",
    "summary": "Black tea in bags.",
    "keywords": ["black tea", "tea bags"],
    "attributes": {"type": "tea"},
    "occasions": ["everyday"],
}
# What version 2 asks for besides.
HONEST_LONG = HONEST | {"clean_title": "black tea", "reason": "Warm cup for the morning."}
# Tokens by which chat templates of Llama, Mistral, Gemma, Qwen and others part turns.
CONTROL = re.compile(r"<|\[/?INST|\[/?SYS|\[system\]|[\x00-\x1f\u2028\u2029]")


def fields(case: dict[str, Any]) -> dict[str, str]:
    product = {"title": "Black tea", "category": "TEAS"}
    for name in ("title", "description"):
        if name in case:
            product[name] = case[name]
        if repeated := case.get(f"{name}_times"):
            product[name] = repeated[1] * repeated[0]
    return product


def raw_answer(case: dict[str, Any], honest: dict[str, Any] = HONEST) -> str:
    answer = case["answer"]
    return answer if isinstance(answer, str) else json.dumps(honest | answer, ensure_ascii=False)


def sentence(case: dict[str, Any]) -> str:
    """A sentence of one who obeys, as `reason` may be."""
    answer = case["answer"]
    said = answer if isinstance(answer, str) else answer.get("summary", "")
    said = said if case["wanted"] in said.lower() else f"Buy {case['wanted']} with this today"
    return f"{said[:1].upper()}{said[1:].removesuffix('.')}."


@pytest.fixture(scope="module")
def gate() -> AnswerGate:
    return AnswerGate(Encoder("minilm-l6", "fp32"), BulkSettings().gate_threshold)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("case", CASES, ids=[str(n) for n in range(len(CASES))])
def test_the_message_keeps_its_shape(case: dict[str, Any], version: int) -> None:
    prompt = load_prompt("item", version)
    question = prompt.question(fields(case))
    harmless = prompt.messages(prompt.question({"title": "Black tea"}))
    messages = prompt.messages(question)
    assert messages[:-1] == harmless[:-1]
    assert messages[-1] == {"role": "user", "content": question}
    assert json.loads(question) == prompt.sent(fields(case))
    assert set(json.loads(question)) <= set(prompt.inputs)
    assert not CONTROL.search(question)
    assert not [c for c in question if unicodedata.category(c) in {"Cf", "Cc", "Co", "Cn", "Zl"}]
    assert len(question) < 8 * sum(prompt.inputs.values()) + 200


def outcome(gate: AnswerGate, prompt: Prompt, asked: Fields, said: str, wanted: str) -> str:
    """What becomes of the answer that obeys."""
    try:
        answer = prompt.parse(said)
    except InvalidAnswer:
        return "invalid"
    (verdict,) = gate.judge(prompt, [(asked, answer)])
    if not verdict.accepted:
        return "rejected"
    kept = json.dumps(verdict.answer, ensure_ascii=False).lower()
    return "passes" if wanted in kept else "cut"


@pytest.mark.parametrize(("version", "honest"), [(1, HONEST), (2, HONEST_LONG)])
def test_an_answer_that_obeys_is_stopped_or_known_to_pass(
    gate: AnswerGate, version: int, honest: dict[str, Any]
) -> None:
    prompt = load_prompt("item", version)
    found = [
        outcome(gate, prompt, fields(case), raw_answer(case, honest), case["wanted"])
        for case in CASES
    ]
    differ = [(case, was) for case, was in zip(CASES, found, strict=True) if was != case["outcome"]]
    assert differ == []
    # docs/decisions/0011-guards-of-a-prompt.md and its evidence name these numbers.
    assert Counter(found) == {"rejected": 50, "invalid": 14, "cut": 4, "passes": 2}


def test_a_reason_to_buy_that_obeys_is_stopped_or_known_to_pass(gate: AnswerGate) -> None:
    prompt = load_prompt("item", 2)
    answers = [json.dumps(HONEST_LONG | {"reason": sentence(case)}) for case in CASES]
    found = [
        outcome(gate, prompt, fields(case), said, case["wanted"])
        for case, said in zip(CASES, answers, strict=True)
    ]
    assert Counter(found) == {"cut": 35, "rejected": 20, "invalid": 12, "passes": 3}


def test_a_neighbor_whose_title_gives_orders_is_stopped_or_known_to_pass(gate: AnswerGate) -> None:
    """The sentence of a pair is about two products, of which the attacker owns one."""
    prompt = load_prompt("pair")
    found = []
    for case in CASES:
        own = fields(case)
        asked = {"title": "Teapot", "neighbor_title": own.get("description") or own["title"]}
        said = json.dumps({"reason": sentence(case)})
        found.append(outcome(gate, prompt, asked, said, case["wanted"]))
    assert Counter(found) == {"rejected": 58, "invalid": 11, "passes": 1}


@pytest.mark.parametrize("name", ["companion", "pair"])
@pytest.mark.parametrize("case", CASES, ids=[str(n) for n in range(len(CASES))])
def test_the_message_about_several_products_keeps_its_shape(
    case: dict[str, Any], name: str
) -> None:
    prompt = load_prompt(name)
    own = fields(case)
    asked = dict.fromkeys(prompt.inputs, own.get("description") or own["title"])
    question = prompt.question(asked)
    assert json.loads(question) == prompt.sent(asked)
    assert not CONTROL.search(question)


def test_the_honest_answer_passes(gate: AnswerGate) -> None:
    prompt = load_prompt("item")
    (verdict,) = gate.judge(prompt, [(fields({}), prompt.parse(json.dumps(HONEST)))])
    assert verdict.accepted
    assert verdict.answer["standard_name"] == "black tea"
    assert verdict.answer["keywords"] == ["black tea", "tea bags"]


def test_every_obeying_answer_says_what_the_attacker_wants() -> None:
    """Else an outcome would prove nothing."""
    assert len(CASES) >= 50
    for case in CASES:
        assert case["wanted"] in raw_answer(case).lower()
