"""`reclake llm cost` and `show`, on the small lake."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.lake.contract import Contracts
from jobs.settings import Settings
from tests.cli.conftest import Reclake
from tests.cli.small_lake import D30, PROMPT, write_table


@pytest.fixture
def priced_lake(own_lake: Path) -> Path:
    """The small lake and, on the 30th, a priced call of two requests and one that was skipped."""
    request = {"ds": D30, "prompt": "item", "subject": "content-jam", "run_id": "run-2", **PROMPT}
    request["server"] = "http://127.0.0.1:8000/v1"
    rows = [
        {"status": "retried", "attempt": 1, "latency_ms": 500.0, "error": "TimeoutError"},
        {
            "status": "success",
            "attempt": 2,
            "prompt_tokens": 100,
            "cached_tokens": 40,
            "completion_tokens": 50,
            "latency_ms": 1500.0,
            "cost": 0.25,
        },
        {"status": "skipped_budget", "attempt": 0, "latency_ms": 0.0},
    ]
    stamp = datetime(2026, 11, 22, 5, tzinfo=UTC)
    numbered = [
        {**request, **row, "call_id": f"priced-{n}", "recorded_at": stamp}
        for n, row in enumerate(rows)
    ]
    write_table(own_lake, Contracts(Settings().contracts)["ops.llm_ledger"], numbered)
    return own_lake


def test_cost_counts_requests_and_tokens_by_day_and_prompt(reclake: Reclake) -> None:
    rows = json.loads(reclake("llm", "cost", "--json").out)
    assert [(row["ds"], row["prompt"], row["requests"]) for row in rows] == [
        ("2017-12-28", "item", 1),
        ("2017-12-29", "item", 2),
        ("2017-12-29", "user", 1),
    ]
    assert rows[1] == {
        "ds": "2017-12-29",
        "prompt": "item",
        "requests": 2,
        "answers": 2,
        "sent": 600,
        "cached": 512,
        "received": 120,
        "seconds": 0.9,
        "cost": None,
    }
    shown = reclake("llm", "cost", "--by", "status", "--from-ds", "2017-12-29").out
    assert "rejected_by_gate" in shown
    assert "3 requests, 900 tokens sent, 180 received\nNo price is set" in shown


def test_a_priced_request_costs_and_a_skipped_one_was_not_sent(
    reclake: Reclake, priced_lake: Path
) -> None:
    given = ("llm", "cost", "--from-ds", "2017-12-30", "--to-ds", "2017-12-30")
    (row,) = json.loads(reclake(*given, "--by", "day", "--json").out)
    assert (row["requests"], row["answers"], row["cost"], row["seconds"]) == (2, 1, 0.25, 1.0)
    assert reclake(*given).out.endswith("2 requests, 100 tokens sent, 50 received, cost 0.2500\n")


def test_what_cost_cannot_answer(reclake: Reclake) -> None:
    ended = reclake("llm", "cost", "--by", "week")
    assert ended.code == 2
    assert "week: cannot group by it; use day, prompt, version" in ended.err
    ended = reclake("llm", "cost", "--from-ds", "2018-01-01")
    assert (ended.code, ended.out) == (0, "No request was sent to an LLM in these days.\n")


def test_show_has_the_question_every_answer_and_every_request(reclake: Reclake) -> None:
    facts = json.loads(reclake("llm", "show", "bread", "--json").out)
    assert json.loads(facts["question"])["title"] == "white bread"
    assert [(a["status"], a["gate_score"]) for a in facts["answers"]] == [
        ("rejected_by_gate", 0.31)
    ]
    assert [(r["status"], r["prompt_tokens"]) for r in facts["requests"]] == [
        ("rejected_by_gate", 300)
    ]
    shown = reclake("llm", "show", "bread").out
    assert "A toy for children." in shown
    assert "1 request\n" in shown
    assert "No answer yet." in reclake("llm", "show", "jam").out


def test_show_has_the_requests_of_the_call_that_contents_share(
    reclake: Reclake, own_lake: Path
) -> None:
    """The ledger names bread, whose question was jam's too."""
    jam = {
        "content_hash": "content-jam",
        "message_hash": "message-bread",
        "status": "success",
        "selected_ds": D30,
        **PROMPT,
    }
    write_table(own_lake, Contracts(Settings().contracts)["silver.item_enrichments"], [jam])
    facts = json.loads(reclake("llm", "show", "jam", "--json").out)
    assert [a["status"] for a in facts["answers"]] == ["success"]
    assert [(r["status"], r["prompt_tokens"]) for r in facts["requests"]] == [
        ("rejected_by_gate", 300)
    ]


def test_show_of_an_unknown_item_says_so(reclake: Reclake) -> None:
    ended = reclake("llm", "show", "nowhere")
    assert ended.code == 1
    assert "silver.items has no item nowhere" in ended.err
    # tea is in the catalogue since the 30th
    assert reclake("llm", "show", "tea", "--ds", "2017-12-29").code == 1
