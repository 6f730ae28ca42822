"""Answers tried again, and two versions of a prompt side by side, on real Delta tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.cli.llm.versions import compare
from jobs.lake import Lake
from jobs.lake.errors import UpstreamMissing
from jobs.llm.plan import message_hash
from jobs.llm.prompt import load_prompt
from jobs.llm.second_try import NothingToTry, try_again
from tests.cli.small_lake import write_table
from tests.llm.faulty_server import Response, says, serve

DAY = date(2017, 12, 28)
GOOD = {
    "standard_name": "bananas",
    "summary": "Bananas from the store.",
    "keywords": ["bananas", "fruit"],
    "attributes": {"type": "fruit"},
    "occasions": ["everyday"],
}
TABLE = "silver.item_enrichments"


@pytest.fixture
def shop(make_lake: Callable[..., Lake]) -> Callable[..., Lake]:
    """A lake with two items, bananas and soap, and answers to choose."""

    def make(*answers: dict[str, Any], **settings: object) -> Lake:
        lake = make_lake(**settings)
        item = {"valid_from": DAY, "is_sellable": True, "category": "FRUIT", "row_hash": "r"}
        items = [
            {**item, "item_id": title, "title": title.upper(), "content_hash": f"c-{title}"}
            for title in ("bananas", "soap")
        ]
        folder = Path(lake.settings.lake)
        write_table(folder, lake.contracts["silver.items"], items)
        head = {
            "message_hash": "m",
            "prompt_version": load_prompt("item").prompt_version,
            "model": lake.settings.llm_model,
            "selected_ds": DAY,
        }
        write_table(folder, lake.contracts[TABLE], [{**head, **answer} for answer in answers])
        return lake

    return make


def statuses(lake: Lake) -> dict[str, str]:
    rows = lake.tables.rows(TABLE, ["content_hash", "status"], []).to_pylist()
    return {row["content_hash"]: row["status"] for row in rows}


def test_unreadable_answers_of_the_version_in_use_are_asked_again(
    shop: Callable[..., Lake],
) -> None:
    invalid = {"status": "invalid_output", "raw_text": "{"}
    prompt = load_prompt("item")
    asked = message_hash(prompt, prompt.question({"title": "BANANAS", "category": "FRUIT"}))
    with serve(lambda question, number: says(json.dumps(GOOD))) as server:
        lake = shop(
            {**invalid, "content_hash": "c-bananas", "message_hash": asked},
            {**invalid, "content_hash": "c-gone"},
            {"content_hash": "c-soap", "status": "too_long"},
            {**invalid, "content_hash": "c-old", "prompt_version": "v1-other"},
            llm_url=server.url,
        )
        before = statuses(lake)
        tried = try_again(lake, "item", "invalid_output", dry_run=True)
        assert (tried.rows, tried.known, tried.counts["planned_calls"]) == (2, 1, 1)
        assert "asked again this would be" in tried.summary()
        assert (server.requests, statuses(lake)) == ([], before)
        done = try_again(lake, "item", "invalid_output", dry_run=False)
    assert (done.counts["sent"], done.changed) == (1, 1)
    assert done.summary().endswith("1 accepted now.")
    assert statuses(lake) == before | {"c-bananas": "success"}
    (row,) = lake.tables.rows(
        TABLE, ["standard_name", "raw_text"], [("content_hash", "=", "c-bananas")]
    ).to_pylist()
    assert row == {"standard_name": "bananas", "raw_text": json.dumps(GOOD)}
    (paid,) = lake.tables.rows("ops.llm_ledger", ["subject", "status"], []).to_pylist()
    assert paid == {"subject": "c-bananas", "status": "success"}


def test_an_answer_that_is_unreadable_again_stays_one_row(shop: Callable[..., Lake]) -> None:
    with serve(lambda question, number: says("[]")) as server:
        lake = shop(
            {"content_hash": "c-soap", "status": "invalid_output", "raw_text": "{"},
            llm_url=server.url,
        )
        done = try_again(lake, "item", "invalid_output", dry_run=False)
    assert (done.counts["invalid"], done.changed) == (1, 0)
    assert [row["raw_text"] for row in lake.tables.rows(TABLE, ["raw_text"], []).to_pylist()] == [
        "[]"
    ]


def test_rejected_answers_are_judged_by_todays_gate(shop: Callable[..., Lake]) -> None:
    rejected = {"status": "rejected_by_gate", "gate_score": 0.1}
    lake = shop(
        {**rejected, "content_hash": "c-bananas", "raw_text": json.dumps(GOOD)},
        {**rejected, "content_hash": "c-soap", "raw_text": json.dumps(GOOD)},
    )
    done = try_again(lake, "item", "rejected_by_gate", dry_run=False)
    assert (done.rows, done.changed) == (2, 1)
    assert statuses(lake) == {"c-bananas": "success", "c-soap": "rejected_by_gate"}
    (row,) = lake.tables.rows(
        TABLE, ["standard_name", "gate_score"], [("content_hash", "=", "c-bananas")]
    ).to_pylist()
    assert row["standard_name"] == "bananas"
    assert row["gate_score"] > lake.settings.llm.gate_threshold
    assert try_again(lake, "item", "rejected_by_gate", dry_run=False).changed == 0


OWN = {"title": "BANANAS", "category": "FRUIT"}
PAIR = {"content_hash": "c-bananas", "neighbor_content_hash": "c-soap"}
COMPANION = {"content_hash": "c-bananas", "candidates": "soap; towels"}


@pytest.mark.parametrize(
    ("name", "table", "key", "shown", "answer"),
    [
        (
            "pair",
            "silver.pair_reasons",
            PAIR,
            OWN | {"neighbor_title": "SOAP", "neighbor_category": "FRUIT"},
            {"reason": "Soap goes with bananas."},
        ),
        (
            "companion",
            "silver.item_companions",
            COMPANION,
            OWN | {"candidates": "soap; towels"},
            {"also": ["soap"]},
        ),
    ],
)
def test_what_needs_more_than_one_subject_is_judged_and_compared_too(
    shop: Callable[..., Lake],
    name: str,
    table: str,
    key: dict[str, str],
    shown: dict[str, str],
    answer: dict[str, Any],
) -> None:
    lake, prompt = shop(), load_prompt(name)
    head = {
        "message_hash": message_hash(prompt, prompt.question(shown)),
        "prompt_version": prompt.prompt_version,
        "model": lake.settings.llm_model,
        "status": "rejected_by_gate",
        "gate_score": 0.1,
        "raw_text": json.dumps(answer),
        "selected_ds": DAY,
    }
    gone = key | {"content_hash": "c-gone"}
    other = {"prompt_version": "v1-other", "selected_ds": DAY + timedelta(days=1)}
    rows = [head | key, head | gone, head | key | other]
    write_table(Path(lake.settings.lake), lake.contracts[table], rows)
    done = try_again(lake, name, "rejected_by_gate", dry_run=False)
    assert (done.rows, done.known, done.changed) == (2, 1, 1)
    found = lake.tables.rows(table, ["content_hash", "prompt_version", "status", *answer], [])
    accepted = [row for row in found.to_pylist() if row["status"] == "success"]
    assert [row["content_hash"] for row in accepted] == ["c-bananas"]
    assert {field: accepted[0][field] for field in answer} == answer

    # Nothing is planned, since the questions of the sample are those that were answered.
    planned = compare(lake, name, (1, 1), DAY, 5, dry_run=True)
    assert planned["versions"][0]["counts"]["planned_calls"] == 0
    (row,) = planned["rows"]
    assert "title BANANAS" in row["subject"]
    assert ("SOAP" in row["subject"]) == (name == "pair")
    with pytest.raises(UpstreamMissing, match="its questions are the sample"):
        compare(lake, name, (1, 1), DAY - timedelta(days=1), 5, dry_run=True)


def test_what_cannot_be_replayed(shop: Callable[..., Lake]) -> None:
    lake = shop()
    with pytest.raises(NothingToTry, match="error: cannot be replayed; one of invalid_output"):
        try_again(lake, "item", "error", dry_run=False)
    with pytest.raises(
        NothingToTry, match="shop: no such prompt; one of item, user, companion, pair"
    ):
        try_again(lake, "shop", "invalid_output", dry_run=False)


def test_two_versions_answer_the_same_sample_and_nothing_is_paid_twice(
    shop: Callable[..., Lake],
) -> None:
    def behave(question: str, number: int) -> Response:
        """The title in the fields that the version's schema has."""
        title = json.loads(question)["title"]
        said = GOOD | {"standard_name": title, "summary": f"{title.capitalize()} here, a lot."}
        said |= {"clean_title": title, "reason": f"{title.capitalize()} for dinner."}
        schema = server.requests[-1]["response_format"]["json_schema"]["schema"]["properties"]
        return says(json.dumps({name: text for name, text in said.items() if name in schema}))

    with serve(behave) as server:
        lake = shop(llm_url=server.url)
        planned = compare(lake, "item", (1, 1), DAY, 5, dry_run=True)
        assert planned["versions"][0]["counts"]["planned_calls"] == 2
        assert server.requests == []
        found = compare(lake, "item", (1, 2), DAY, 5, dry_run=False)
        first, second = found["versions"]
        assert first["prompt_version"].startswith("v1-")
        assert second["prompt_version"].startswith("v2-")
        for version in found["versions"]:
            assert (version["counts"]["sent"], version["answers"], version["success"]) == (
                2,
                2,
                1.0,
            )
            assert version["gate_score"] > lake.settings.llm.gate_threshold
        assert [row["subject"] for row in found["rows"]] == [
            "category FRUIT, title BANANAS",
            "category FRUIT, title SOAP",
        ]
        assert found["rows"][0]["answers"][0]["raw_text"].startswith('{"standard_name": "bananas"')
        asked = len(server.requests)
        again = compare(lake, "item", (1, 2), DAY, 5, dry_run=False)
        assert again["rows"] == found["rows"]
        assert len(server.requests) == asked
    with pytest.raises(UpstreamMissing, match="nothing to ask about"):
        compare(lake, "item", (1, 2), date(2017, 1, 1), 5, dry_run=False)
