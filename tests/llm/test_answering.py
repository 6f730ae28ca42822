"""What is asked again after an answer that can't be read, and what is left of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jobs.llm.answering import Answered, answer
from jobs.llm.client import Attempt, Reply
from jobs.llm.prompt import Prompt

GOOD = '{"standard_name":"tea","keywords":["tea"]}'
SIMPLE = '{"standard_name":"plain tea","keywords":["tea"]}'
BROKEN = '{"standard_name":"te'


class Scripted:
    """Gives the replies in turn, and keeps which prompt each was asked by."""

    name = "scripted"
    limit = 1

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[Prompt] = []

    async def __aenter__(self) -> Scripted:
        return self

    async def __aexit__(self, *raised: object) -> None:
        return None

    async def ask(self, prompt: Prompt, question: str, attempts: list[Attempt]) -> Reply:
        self.asked.append(prompt)
        reply = self.replies.pop(0)
        for attempt in reply.attempts:
            attempts.append(replace(attempt, number=len(attempts) + 1))
        return reply


def says(text: str | None, status: str = "", *, cut: bool = False, requests: int = 1) -> Reply:
    """A reply after so many requests, all but the last of which failed."""
    errors = ["busy"] * (requests - 1) + ["" if status != "error" else "down"]
    attempts = [Attempt(f"{text}{n}", n, 1.0, error=e) for n, e in enumerate(errors, start=1)]
    return Reply(text, status, cut=cut, attempts=attempts)


def outcome(asker: Scripted, prompt: Prompt) -> Answered:
    return asyncio.run(answer(asker, prompt, "q"))


@pytest.fixture
def simple(prompt: Prompt) -> Prompt:
    return prompt.model_copy(update={"system": "Name it."})


@pytest.fixture
def forgiving(prompt: Prompt, simple: Prompt) -> Prompt:
    """The prompt with a simpler form."""
    forgiving = prompt.model_copy()
    forgiving.__dict__["fallback"] = simple
    return forgiving


def test_an_answer_that_can_be_read_is_asked_for_once(prompt: Prompt) -> None:
    found = outcome(Scripted(says(GOOD)), prompt)
    assert found.answer == {"standard_name": "tea", "keywords": ["tea"]}
    assert (found.status, found.raw_text, len(found.attempts)) == ("", GOOD, 1)


@pytest.mark.parametrize("unreadable", [BROKEN, "", "[1]", '{"standard_name":"tea"}'])
def test_an_unreadable_answer_is_asked_once_more_in_the_same_words(
    prompt: Prompt, unreadable: str
) -> None:
    asker = Scripted(says(unreadable), says(GOOD))
    found = outcome(asker, prompt)
    assert asker.asked == [prompt, prompt]
    assert (found.status, found.raw_text) == ("", GOOD)
    assert [attempt.number for attempt in found.attempts] == [1, 2]
    assert found.attempts[0].error.startswith("InvalidAnswer: ")
    assert found.attempts[1].error == ""


def test_without_a_simpler_form_the_second_unreadable_answer_is_a_dead_letter(
    prompt: Prompt,
) -> None:
    found = outcome(Scripted(says(BROKEN, requests=3), says("never")), prompt)
    assert (found.answer, found.status, found.raw_text) == (None, "invalid_output", "never")
    assert [attempt.number for attempt in found.attempts] == [1, 2, 3, 4]
    assert [attempt.error[:13] for attempt in found.attempts] == [
        "busy",
        "busy",
        "InvalidAnswer",
        "InvalidAnswer",
    ]


def test_the_simpler_form_is_asked_after_two_unreadable_answers(
    forgiving: Prompt, simple: Prompt
) -> None:
    asker = Scripted(says(BROKEN), says(BROKEN), says(SIMPLE))
    found = outcome(asker, forgiving)
    assert asker.asked == [forgiving, forgiving, simple]
    assert (found.answer or {})["standard_name"] == "plain tea"


def test_an_answer_that_was_cut_goes_to_the_simpler_form_at_once(
    forgiving: Prompt, simple: Prompt
) -> None:
    asker = Scripted(says(BROKEN, cut=True), says(SIMPLE))
    found = outcome(asker, forgiving)
    assert asker.asked[1] is simple
    assert "cut at its length limit" in found.attempts[0].error
    assert found.status == ""


def test_without_a_simpler_form_an_answer_that_was_cut_is_a_dead_letter(prompt: Prompt) -> None:
    asker = Scripted(says(BROKEN, cut=True))
    assert outcome(asker, prompt).status == "invalid_output"
    assert len(asker.asked) == 1


def test_an_answer_that_ends_just_at_its_limit_counts(prompt: Prompt) -> None:
    assert outcome(Scripted(says(GOOD, cut=True)), prompt).status == ""


@pytest.mark.parametrize(
    ("text", "status"), [("I won't.", "refused"), (None, "too_long"), (None, "error")]
)
def test_what_is_no_answer_is_not_asked_in_other_words(
    forgiving: Prompt, text: str | None, status: str
) -> None:
    asker = Scripted(says(text, status))
    found = outcome(asker, forgiving)
    assert (found.answer, found.status, found.raw_text) == (None, status, text)
    assert len(asker.asked) == 1


def test_a_failure_after_an_unreadable_answer_leaves_the_question_open(prompt: Prompt) -> None:
    found = outcome(Scripted(says(BROKEN), says(None, "error")), prompt)
    assert (found.answer, found.status, len(found.attempts)) == (None, "error", 2)
