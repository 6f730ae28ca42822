"""The gate on answers whose scores can be worked out by hand: cosine of word counts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np
import numpy.typing as npt
import pytest

from jobs.llm.gate import AnswerGate, repeats_itself
from jobs.llm.prompt import Prompt, load_prompt
from tests.llm.conftest import WordEncoder


@pytest.fixture
def gate() -> AnswerGate:
    return AnswerGate(WordEncoder(), threshold=0.6)


def test_an_answer_in_the_subject_s_own_words_is_accepted(gate: AnswerGate, prompt: Prompt) -> None:
    answer = {"standard_name": "black tea", "keywords": ["tea"]}
    (verdict,) = gate.judge(prompt, [({"title": "black tea"}, answer)])
    assert verdict.accepted
    assert verdict.score == pytest.approx(1.0)
    # "tea" shares one word of two: cosine 1 / sqrt(2) = 0.707
    assert verdict.answer == answer


def test_a_doubted_value_is_left_out_and_the_rest_is_kept(gate: AnswerGate, prompt: Prompt) -> None:
    answer = {"standard_name": "toilet tissue", "keywords": ["toothbrush", "tissue"]}
    (verdict,) = gate.judge(prompt, [({"title": "toilet tissue"}, answer)])
    assert verdict.accepted
    assert verdict.answer == {"standard_name": "toilet tissue", "keywords": ["tissue"]}


def test_a_doubted_required_field_rejects_and_keeps_the_answer_to_look_at(
    gate: AnswerGate, prompt: Prompt
) -> None:
    answer = {"standard_name": "pawlies", "keywords": ["pie"]}
    (verdict,) = gate.judge(prompt, [({"title": "fruit pie"}, answer)])
    assert not verdict.accepted
    assert verdict.score == pytest.approx(0.0)
    assert verdict.answer == answer


def test_the_score_is_that_of_the_nearest_of_the_subject_s_texts(
    gate: AnswerGate, prompt: Prompt
) -> None:
    # Own texts: "pasta: canned", its parts "pasta" and "canned". "pasta" meets its part in full.
    answer = {"standard_name": "pasta", "keywords": ["pasta"]}
    (verdict,) = gate.judge(prompt, [({"title": "pasta: canned"}, answer)])
    assert verdict.score == pytest.approx(1.0)


def test_ease_is_added_to_a_field_s_cosines(prompt: Prompt) -> None:
    eased = prompt.model_copy(
        update={"gate": prompt.gate.model_copy(update={"ease": {"standard_name": 0.1}})}
    )
    answer = {"standard_name": "green tea", "keywords": ["tea"]}
    pair = ({"title": "black tea"}, answer)
    gate = AnswerGate(WordEncoder(), threshold=0.55)
    # One word of two in common: cosine 1 / 2.
    assert [v.accepted for v in gate.judge(prompt, [pair])] == [False]
    assert [v.accepted for v in gate.judge(eased, [pair])] == [True]
    assert gate.judge(eased, [pair])[0].score == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("said", "score"),
    [
        # One word of three is in each title: 1 / sqrt(3), and the ease of 0.25.
        ("Mugs for tea.", 3**-0.5 + 0.25),
        # Of mugs it says nothing, however much of tea.
        ("Tea, black tea.", 0.25),
    ],
)
def test_a_sentence_about_a_pair_has_to_speak_of_both(
    gate: AnswerGate, said: str, score: float
) -> None:
    prompt = load_prompt("pair")
    fields = {"title": "TEA", "category": "MUGS", "neighbor_title": "MUGS"}
    (verdict,) = gate.judge(prompt, [(fields, {"reason": said})])
    assert verdict.score == pytest.approx(score)
    assert verdict.accepted == (score > 0.6)


def test_a_pair_of_which_one_has_no_words_accepts_nothing(gate: AnswerGate) -> None:
    (verdict,) = gate.judge(load_prompt("pair"), [({"title": "tea"}, {"reason": "Tea."})])
    assert verdict.score == pytest.approx(-0.75)


def test_required_values_that_speak_of_two_things_reject_the_answer(prompt: Prompt) -> None:
    """The name is near the title and the search word near the category, but they are not alike."""
    both = {"required": ("standard_name", "keywords"), "own": ("title",)}
    loose = prompt.model_copy(update={"gate": prompt.gate.model_copy(update=both)})
    agreeing = prompt.model_copy(
        update={"gate": prompt.gate.model_copy(update=both | {"agree": 0.1})}
    )
    gate = AnswerGate(WordEncoder(), threshold=0.6)
    apart = ({"title": "gasoline, coupons"}, {"standard_name": "gasoline", "keywords": ["coupons"]})
    assert [v.accepted for v in gate.judge(loose, [apart])] == [True]
    (verdict,) = gate.judge(agreeing, [apart])
    # No word in common: cosine 0, and 0.1 of ease.
    assert (verdict.accepted, verdict.score) == (False, pytest.approx(0.1))
    alike = ({"title": "green tea, tea"}, {"standard_name": "green tea", "keywords": ["tea"]})
    (verdict,) = gate.judge(agreeing, [alike])
    # One word of two in common: cosine 1 / sqrt(2), and 0.1 of ease.
    assert (verdict.accepted, verdict.score) == (True, pytest.approx(0.807, abs=1e-3))
    (verdict,) = gate.judge(agreeing, [({"title": "tea"}, {"standard_name": "tea"})])
    assert not verdict.accepted  # a required value is missing; there is no pair to compare


def test_an_answer_that_repeats_itself_scores_nothing(gate: AnswerGate) -> None:
    prompt = load_prompt("item")
    answer = {
        "standard_name": "soda",
        "summary": "Soda, soft drink, soda, soft drink, soda.",
        "keywords": ["soda"],
        "attributes": {"type": "soda"},
        "occasions": ["party"],
    }
    (verdict,) = gate.judge(prompt, [({"title": "soda, soft drink"}, answer)])
    assert (verdict.accepted, verdict.score) == (False, 0.0)


def test_mappings_lose_their_doubted_values(gate: AnswerGate) -> None:
    prompt = load_prompt("item")
    answer = {
        "standard_name": "dog chews",
        "summary": "Dog chews.",
        "keywords": ["dog", "crabs"],
        "attributes": {"type": "crabs"},
        "occasions": ["party"],
    }
    (verdict,) = gate.judge(prompt, [({"title": "dog chews"}, answer)])
    assert verdict.accepted
    assert verdict.answer == {
        "standard_name": "dog chews",
        "summary": "Dog chews.",
        "keywords": ["dog"],
        "attributes": {},
        "occasions": [],
    }


def test_a_doubted_interest_loses_its_weight_too(gate: AnswerGate) -> None:
    prompt = load_prompt("user", 2)
    answer = {
        "interests": ["tea", "frogs"],
        "interest_weights": {"tea": 4.0, "frogs": 5.0},
        "next_products": ["tea"],
        "search_phrases": ["tea"],
    }
    (verdict,) = gate.judge(prompt, [({"profile": "Favourite products: tea."}, answer)])
    assert verdict.accepted
    assert (verdict.answer["interests"], verdict.answer["interest_weights"]) == (
        ["tea"],
        {"tea": 4.0},
    )


def test_a_verdict_does_not_depend_on_the_other_answers(gate: AnswerGate, prompt: Prompt) -> None:
    pairs = [
        ({"title": "black tea"}, {"standard_name": "tea", "keywords": ["tea"]}),
        ({"title": "dog chews"}, {"standard_name": "crabs", "keywords": ["dog"]}),
    ]
    alone = [gate.judge(prompt, [pair])[0] for pair in pairs]
    assert gate.judge(prompt, pairs) == alone
    assert gate.judge(prompt, pairs[::-1]) == alone[::-1]


class LetterEncoder:
    """Texts by how often they have each letter, which depends on no other text."""

    def __init__(self) -> None:
        self.parts: list[int] = []

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.parts.append(len(texts))
        counts = np.array([[text.count(a) for a in ascii_lowercase] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_a_verdict_does_not_depend_on_the_threads(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"{a}{b} tea" for a in ascii_lowercase for b in "aeiou"]
    pairs = [
        ({"title": title}, {"standard_name": name, "keywords": [title, name]})
        for title, name in zip(words, reversed(words), strict=True)
    ]
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})
    one, several = LetterEncoder(), LetterEncoder()
    alone = AnswerGate(one, 0.7).judge(prompt, pairs[:20])
    monkeypatch.setattr("jobs.llm.gate.TEXTS_A_THREAD", 10)
    together = AnswerGate(several, 0.7).judge(prompt, pairs)
    assert together[:20] == alone
    assert {verdict.accepted for verdict in together} == {True, False}
    assert (one.parts, sorted(several.parts)) == ([40], [43, 43, 44])


def test_a_text_is_encoded_once_while_it_is_used(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.llm.gate.MOST_KNOWN", 3)
    encoder = LetterEncoder()
    gate = AnswerGate(encoder, 0.7)

    def judge(title: str) -> None:
        pair = ({"title": title}, {"standard_name": "tea", "keywords": ["tea"]})
        assert gate.judge(prompt, [pair]) == AnswerGate(LetterEncoder(), 0.7).judge(prompt, [pair])

    judge("black tea")  # and "tea"
    judge("green tea")
    judge("herbal tea")  # in place of "black tea"
    judge("green tea")  # nothing to encode
    judge("black tea")
    assert encoder.parts == [2, 1, 1, 1]


def test_a_subject_without_words_of_its_own_accepts_nothing(gate: AnswerGate) -> None:
    prompt = load_prompt("user")
    answer = {"interests": ["tea"], "next_products": ["tea"], "search_phrases": ["tea"]}
    profile = "Shops rarely. Small baskets."  # the gate's `cut` leaves nothing of it
    (verdict,) = gate.judge(prompt, [({"profile": profile}, answer)])
    assert not verdict.accepted
    assert verdict.score < 0


def test_a_field_that_the_answer_leaves_out_is_no_value(gate: AnswerGate, prompt: Prompt) -> None:
    (verdict,) = gate.judge(prompt, [({"title": "tea"}, {"standard_name": "tea"})])
    assert verdict.accepted
    assert verdict.answer == {"standard_name": "tea", "keywords": None}


def test_nothing_to_judge(gate: AnswerGate, prompt: Prompt) -> None:
    assert gate.judge(prompt, []) == []


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("Baked beef, beef stew, and other beef dishes.", False),
        ("Soft drinks in a pack of cans.", False),
        ("Soda soda in bottles.", True),  # one word twice without a comma
        ("A can of corn, a can of beans.", True),  # "a can of" twice
        ("Salt or oil, salt and oil.", False),  # two words twice, but not three in a row
        ("Red tea in tin, red tea or tin.", False),
        ("Juice and milk and tea and water and beer.", True),  # "and" four times
        ("Batteries for alkaline batteries.", True),  # explains a thing by itself
        ("Deodorant, a kind of deodorants for men.", False),  # across a comma, and once
        ("Water, juice, water from juice.", True),  # two words twice
        ("Tea with tea.", False),  # too short to tell from "in", "for"
        ("", False),
    ],
)
def test_repetition(text: str, repeats: bool) -> None:
    assert repeats_itself(text) is repeats
