"""The labelled answers, and how a threshold is chosen from them."""

from __future__ import annotations

import json

import pytest

from jobs.llm.prompt import load_prompt
from tests.benchmarks.gate import (
    LABELS,
    Judged,
    choose_threshold,
    is_even,
    judge,
    precision_and_recall,
    wilson,
)
from tests.llm.conftest import WordEncoder


def judged(*scored: tuple[float, bool]) -> list[Judged]:
    return [Judged(score, right, second=right, even=True) for score, right in scored]


def test_two_hundred_distinct_contents_are_labelled() -> None:
    rows = [json.loads(line) for line in LABELS.read_text("utf-8").splitlines()]
    prompt = load_prompt("item")
    assert len({prompt.question(row["content"]) for row in rows}) == 200
    for reader in ("label", "second_label"):
        assert {row[reader] for row in rows} == {"right", "wrong"}
    assert 80 < sum(is_even(row["content"]) for row in rows) < 120


def test_labels_are_scored_by_the_gate() -> None:
    said = {"keywords": ["tea", "teas"], "attributes": {"type": "tea"}, "occasions": ["dinner"]}
    answer = said | {"standard_name": "black tea", "summary": "Black tea."}
    content = {"title": "black tea", "category": None}
    labels = {"label": "right", "second_label": "wrong"}
    line = json.dumps({"content": content, "answer": json.dumps(answer), **labels})
    (one,) = judge([line], WordEncoder())
    assert (one.score, one.right, one.second) == (pytest.approx(1.0), True, False)


def test_the_threshold_has_the_best_recall_of_those_that_are_precise_enough() -> None:
    scored = judged((0.9, True), (0.8, True), (0.7, True), (0.6, False), (0.5, True))
    # From 0.61 to 0.7 all three accepted are right; at 0.5 four of five are.
    assert precision_and_recall(scored, 0.5) == (0.8, 1.0)
    assert precision_and_recall(scored, 0.7) == (1.0, 0.75)
    assert choose_threshold(scored, 0.9) == 0.61
    assert choose_threshold(scored, 0.8) == 0.0


def test_the_interval_of_a_share() -> None:
    # z² = 3.84: (0.9 + 0.192 ± 1.96 · √(0.009 + 0.0096)) / 1.384, for 9 of 10
    assert wilson(9, 10) == (pytest.approx(0.596, abs=1e-3), pytest.approx(0.982, abs=1e-3))
    assert wilson(0, 0) == (0.0, 1.0)


def test_where_nothing_is_precise_enough_nothing_is_accepted() -> None:
    scored = judged((0.9, False), (0.8, True))
    theta = choose_threshold(scored, 0.9)
    assert precision_and_recall(scored, theta) == (1.0, 0.0)
