"""One call against a server that fails: what is tried again, what is given up, what is recorded."""

from __future__ import annotations

import asyncio
import logging

import pytest

from jobs.llm.client import LLMClient, Reply
from jobs.llm.errors import ServerRefuses
from jobs.llm.prompt import Prompt
from jobs.settings import Settings
from tests.llm.faulty_server import FaultyServer, Response, completion, says, serve

GOOD = '{"standard_name":"tea","keywords":["tea"]}'
SECRET = "sk-do-not-tell"


def client_of(url: str, **changed: float) -> LLMClient:
    arguments = {"timeout_seconds": 60.0, "max_attempts": 3, "first_wait_seconds": 0.01, **changed}
    return LLMClient(url, "tiny", SECRET, **arguments)  # type: ignore[arg-type]


def ask(client: LLMClient, prompt: Prompt, title: str = "tea") -> Reply:
    async def once() -> Reply:
        async with client:
            return await client.ask(prompt, prompt.question({"title": title}))

    return asyncio.run(once())


def errors(reply: Reply) -> list[str]:
    return [attempt.error.split(":")[0] for attempt in reply.attempts]


def test_an_answer_comes_with_what_it_cost(prompt: Prompt) -> None:
    with serve(lambda question, number: says(GOOD)) as server:
        reply = ask(client_of(server.url), prompt)
    (attempt,) = reply.attempts
    assert reply.text == GOOD
    assert (attempt.prompt_tokens, attempt.completion_tokens, attempt.cached_tokens) == (
        100,
        20,
        90,
    )
    assert attempt.latency_ms > 0
    request = server.requests[0]
    assert request["model"] == "tiny"
    assert (request["seed"], request["temperature"], request["max_tokens"]) == (3, 0.0, 200)
    assert request["response_format"]["json_schema"]["schema"] == prompt.answer_schema


@pytest.mark.parametrize(
    ("failure", "name"),
    [
        (Response(503, "{}"), "InternalServerError"),
        (Response(429, "{}"), "RateLimitError"),
        (Response(408, "{}"), "APIStatusError"),
        (Response(hang_up=True), "APIConnectionError"),
        (Response(200, '{"choices": [{"mess'), "JSONDecodeError"),
        (Response(200, '{"choices": []}'), "ValueError"),
        (Response(200, "[]"), "ValueError"),
        (Response(200, '"garbage"'), "ValueError"),
    ],
    ids=["503", "429", "408", "hang-up", "cut-body", "no-choice", "a-list", "a-string"],
)
def test_a_passing_failure_is_tried_again_with_the_same_request(
    prompt: Prompt, failure: Response, name: str
) -> None:
    def behave(question: str, number: int) -> Response:
        return failure if number == 1 else says(GOOD)

    with serve(behave) as server:
        reply = ask(client_of(server.url), prompt)
    assert reply.text == GOOD
    assert errors(reply) == [name, ""]
    assert [attempt.number for attempt in reply.attempts] == [1, 2]
    assert len({attempt.call_id for attempt in reply.attempts}) == 2
    assert server.requests[0] == server.requests[1]


def test_a_slow_server_is_given_up_after_its_attempts(prompt: Prompt) -> None:
    with serve(lambda question, number: Response(wait_seconds=30)) as server:
        reply = ask(client_of(server.url, timeout_seconds=0.05, max_attempts=2), prompt)
    assert reply.text is None
    assert not reply.declined
    assert errors(reply) == ["APITimeoutError"] * 2
    assert reply.attempts[0].prompt_tokens is None


def test_nobody_listens(prompt: Prompt) -> None:
    with serve(lambda question, number: says(GOOD)) as server:
        gone = server.url
    reply = ask(client_of(gone), prompt)
    assert errors(reply) == ["APIConnectionError"] * 3


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_question_that_cannot_be_answered_is_asked_once(prompt: Prompt, status: int) -> None:
    with serve(lambda question, number: Response(status, '{"error": "too long"}')) as server:
        reply = ask(client_of(server.url), prompt)
    assert reply.text is None
    assert reply.declined
    assert len(reply.attempts) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_refuses_everything_stops_the_day(prompt: Prompt, status: int) -> None:
    with (
        serve(lambda question, number: Response(status, '{"error": "no"}')) as server,
        pytest.raises(ServerRefuses, match=rf"answers {status} to model 'tiny'.*RECLAKE_LLM_MODEL"),
    ):
        ask(client_of(server.url), prompt)
    assert len(server.requests) == 1


def test_an_answer_without_text_is_an_empty_answer(prompt: Prompt) -> None:
    def behave(question: str, number: int) -> Response:
        return Response(body=completion(None, finish_reason="length"))

    with serve(behave) as server:
        assert ask(client_of(server.url), prompt).text == ""


def test_the_key_is_never_logged(prompt: Prompt, caplog: pytest.LogCaptureFixture) -> None:
    def behave(question: str, number: int) -> Response:
        return Response(503, "{}") if number == 1 else Response(401, '{"error": "bad key"}')

    caplog.set_level(logging.DEBUG)
    with serve(behave) as server:
        client = client_of(server.url)
        with pytest.raises(ServerRefuses) as refused:
            ask(client, prompt)
    assert caplog.records
    assert SECRET not in caplog.text
    assert SECRET not in str(refused.value)


def test_without_a_server_the_error_names_the_setting() -> None:
    with pytest.raises(ServerRefuses, match="RECLAKE_LLM_URL isn't set"):
        LLMClient.from_settings(Settings(llm_url=""))


def test_one_client_serves_many_questions_at_once(prompt: Prompt) -> None:
    def behave(question: str, number: int) -> Response:
        return Response(body=completion(GOOD), wait_seconds=0.2)

    async def many(server: FaultyServer) -> list[Reply]:
        async with client_of(server.url) as client:
            questions = [prompt.question({"title": f"tea {n}"}) for n in range(8)]
            return await asyncio.gather(*(client.ask(prompt, q) for q in questions))

    with serve(behave) as server:
        replies = asyncio.run(many(server))
    assert {reply.text for reply in replies} == {GOOD}
    assert server.most_at_once == 8
