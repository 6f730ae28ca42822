"""One call against a server that fails: what is tried again, what is given up, what is recorded."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from jobs.llm.client import LLMClient, Reply
from jobs.llm.errors import ServerRefuses
from jobs.llm.pace import Pace
from jobs.llm.prompt import Prompt
from jobs.settings import Settings
from tests.llm.conftest import client_of
from tests.llm.faulty_server import Response, completion, says, serve

GOOD = '{"standard_name":"tea","keywords":["tea"]}'
SECRET = "sk-do-not-tell"


def ask(client: LLMClient, prompt: Prompt, title: str = "tea") -> Reply:
    async def once() -> Reply:
        async with client:
            return await client.ask(prompt, prompt.question({"title": title}))

    return asyncio.run(once())


def ask_many(client: LLMClient, prompt: Prompt, count: int) -> list[Reply]:
    """Different questions, all at once."""

    async def many() -> list[Reply]:
        async with client:
            questions = [prompt.question({"title": f"tea {n}"}) for n in range(count)]
            return await asyncio.gather(*(client.ask(prompt, q) for q in questions))

    return asyncio.run(many())


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


def test_a_call_of_less_than_a_millisecond_took_some_time(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at this clock costs 0.14 ms: one to three of them are 0.1, 0.3 or 0.4."""
    looks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(looks) * 0.00014)
    monkeypatch.setattr("jobs.llm.client.time", clock)
    with serve(lambda question, number: says(GOOD)) as server:
        (attempt,) = ask(client_of(server.url), prompt).attempts
    assert attempt.latency_ms in (0.1, 0.3, 0.4)


@pytest.mark.parametrize(
    ("failure", "name"),
    [
        (Response(503, "{}"), "HTTPStatus"),
        (Response(429, "{}"), "HTTPStatus"),
        (Response(408, "{}"), "HTTPStatus"),
        (Response(hang_up=True), "ServerDisconnectedError"),
        (Response(200, '{"choices": [{"mess'), "JSONDecodeError"),
        (Response(200, '{"choices": []}'), "ValueError"),
        (Response(200, "[]"), "ValueError"),
        (Response(200, '"garbage"'), "ValueError"),
        (Response(200, '{"choices": {"a": 1}}'), "ValueError"),
        (Response(200, completion(5)), "ValueError"),  # type: ignore[arg-type]
        (Response(200, completion([{"type": "text", "text": "tea"}])), "ValueError"),  # type: ignore[arg-type]
    ],
    ids=[
        "503",
        "429",
        "408",
        "hang-up",
        "cut-body",
        "no-choice",
        "a-list",
        "a-string",
        "a-mapping-of-choices",
        "a-number-for-a-text",
        "parts-for-a-text",
    ],
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


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "none",
        {"prompt_tokens": "100", "completion_tokens": None, "prompt_tokens_details": [1]},
    ],
)
def test_an_answer_with_a_garbled_bill_is_an_answer(prompt: Prompt, usage: object) -> None:
    body = json.dumps(json.loads(completion(GOOD)) | {"usage": usage})
    with serve(lambda question, number: Response(body=body)) as server:
        reply = ask(client_of(server.url), prompt)
    (attempt,) = reply.attempts
    assert (reply.text, attempt.error) == (GOOD, "")
    assert (attempt.prompt_tokens, attempt.completion_tokens, attempt.cached_tokens) == (
        None,
        None,
        None,
    )


def test_a_slow_server_is_given_up_after_its_attempts(prompt: Prompt) -> None:
    with serve(lambda question, number: Response(wait_seconds=30)) as server:
        reply = ask(client_of(server.url, timeout_seconds=0.05, max_attempts=2), prompt)
    assert reply.text is None
    assert not reply.declined
    assert errors(reply) == ["TimeoutError"] * 2
    assert reply.attempts[0].prompt_tokens is None


def test_a_server_that_trickles_garbage_without_end_is_given_up(prompt: Prompt) -> None:
    """Each read of it succeeds, so only a limit on the whole answer ends it."""

    def behave(question: str, number: int) -> Response:
        return Response(body='{"choices": [', trickle=True) if number == 1 else says(GOOD)

    with serve(behave) as server:
        reply = ask(client_of(server.url, timeout_seconds=1.0), prompt)
    assert reply.text == GOOD
    assert errors(reply) == ["TimeoutError", ""]


def test_nobody_listens(prompt: Prompt) -> None:
    """A request that no server received is none: one row says how long the call waited."""
    with serve(lambda question, number: says(GOOD)) as server:
        gone = server.url
    reply = ask(client_of(gone, patience_seconds=0.1), prompt)
    assert (reply.text, reply.status) == (None, "error")
    assert errors(reply) == ["no server could be reached for 0 s"]
    assert (reply.attempts[0].server, reply.attempts[0].number) == (gone, 0)


def test_a_call_waits_for_a_server_that_is_started_again(prompt: Prompt) -> None:
    """Refused connections cost no attempt, so the call outlives more of them than it has."""
    with serve(lambda question, number: says(GOOD)) as server:
        gone = server.url
    client = client_of(gone, max_attempts=1)

    async def once() -> Reply:
        async with client:
            asking = asyncio.create_task(client.ask(prompt, prompt.question({"title": "tea"})))
            while client.servers.all[0].failures < 5:
                await asyncio.sleep(0.01)
            with serve(lambda question, number: says(GOOD), port=int(gone[:-3].split(":")[-1])):
                return await asking

    reply = asyncio.run(once())
    assert reply.text == GOOD
    assert errors(reply) == [""]


def test_a_server_that_is_away_behind_a_gateway_costs_a_call_one_attempt(prompt: Prompt) -> None:
    """The gateway hangs up on all, longer than the call has attempts for; then all go at once."""
    away = Response(hang_up=True)

    def behave(question: str, number: int) -> Response:
        return away if server.models is away else replace(says(GOOD), wait_seconds=0.5)

    with serve(behave) as server:
        server.models = away
        client = client_of(server.url, max_attempts=4)

        async def once() -> list[Reply]:
            async with client:
                questions = [prompt.question({"title": f"tea {n}"}) for n in range(8)]
                asking = [asyncio.create_task(client.ask(prompt, q)) for q in questions]
                while server.looks < 5 and not all(task.done() for task in asking):
                    await asyncio.sleep(0.01)
                server.models = Response(404)  # it may not have this page, but it is there
                server.most_at_once = 0
                return await asyncio.gather(*asking)

        replies = asyncio.run(once())
    assert [reply.text for reply in replies] == [GOOD] * 8
    assert {errors(reply)[-1] for reply in replies} == {""}
    assert max(len(reply.attempts) for reply in replies) == 2
    assert server.most_at_once == 8


@pytest.mark.parametrize("models", [Response(hang_up=True), Response(503, "{}")])
def test_calls_that_wait_for_a_dropped_server_end_when_their_patience_does(
    prompt: Prompt, models: Response
) -> None:
    with serve(lambda question, number: Response(hang_up=True)) as server:
        server.models = models
        client = client_of(server.url, patience_seconds=0.2, max_attempts=9)
        client.pace.limit = 3
        replies = ask_many(client, prompt, 8)
    assert {reply.status for reply in replies} == {"error"}
    assert {errors(reply)[-1] for reply in replies} == {"no server could be reached for 0 s"}
    # three that were under way, and two that took the place of the first of them
    assert sum(len(reply.attempts) - 1 for reply in replies) <= 5


def test_a_dead_server_is_left_alone_and_the_live_one_gets_the_calls(prompt: Prompt) -> None:
    with serve(lambda question, number: says(GOOD)) as server:
        gone = server.url
    with serve(lambda question, number: says(GOOD)) as live:
        client = client_of(gone, live.url, first_wait_seconds=60, longest_wait_seconds=60)
        replies = ask_many(client, prompt, 20)
    assert {reply.text for reply in replies} == {GOOD}
    assert {attempt.server for reply in replies for attempt in reply.attempts} == {live.url}
    assert client.servers.all[0].failures <= 20  # those that were under way together
    assert client.servers.all[0].due is not None


def test_a_dropped_server_interrupts_the_count_of_a_level_and_a_failed_request_does_not(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted: list[Pace] = []
    monkeypatch.setattr(Pace, "interrupted", lambda pace: interrupted.append(pace))

    def busy_once(question: str, number: int) -> Response:
        return Response(503, "{}") if number == 1 else says(GOOD)

    with serve(busy_once) as server:
        assert errors(ask(client_of(server.url), prompt)) == ["HTTPStatus", ""]
    assert len(interrupted) == 0
    gone = server.url
    with serve(lambda question, number: says(GOOD)) as live:
        assert ask(client_of(gone, live.url), prompt).text == GOOD
    assert len(interrupted) == 1


def test_calls_spread_over_servers_alike(prompt: Prompt) -> None:
    def behave(question: str, number: int) -> Response:
        return Response(body=completion(GOOD), wait_seconds=0.1)

    with serve(behave) as one, serve(behave) as other:
        ask_many(client_of(one.url, other.url), prompt, 20)
    assert (one.most_at_once, other.most_at_once) == (8, 8)


def test_503s_from_one_server_send_its_calls_to_another(prompt: Prompt) -> None:
    with (
        serve(lambda question, number: Response(503, "{}")) as ill,
        serve(lambda question, number: says(GOOD)) as well,
    ):
        replies = ask_many(client_of(ill.url, well.url, max_attempts=4), prompt, 20)
    assert {reply.text for reply in replies} == {GOOD}
    assert {reply.attempts[-1].server for reply in replies} == {well.url}


def test_a_busy_server_says_how_long_to_wait(prompt: Prompt) -> None:
    def behave(question: str, number: int) -> Response:
        return Response(429, "{}", headers={"retry-after": "1"}) if number == 1 else says(GOOD)

    with serve(behave) as server:
        client = client_of(server.url, longest_wait_seconds=0.3)
        started = time.perf_counter()
        reply = ask(client, prompt)
    assert reply.text == GOOD
    assert time.perf_counter() - started >= 0.3  # a second, but no longer than our longest


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000"),
        (400, "The prompt (total length 9) is longer than the maximum model length of 8."),
        (400, '{"error": {"code": "context_length_exceeded", "message": "too many tokens"}}'),
        (413, "Request entity too large"),
    ],
    ids=["vllm-http", "vllm-engine", "openai", "413"],
)
def test_a_question_too_long_for_the_model_is_known_as_such(
    prompt: Prompt, status: int, body: str
) -> None:
    with serve(lambda question, number: Response(status, body)) as server:
        reply = ask(client_of(server.url), prompt)
    assert (reply.text, reply.status, reply.declined) == (None, "too_long", True)
    assert len(reply.attempts) == 1


def test_a_refusal_is_known_as_such_and_keeps_its_words(prompt: Prompt) -> None:
    refused = json.loads(completion(None))
    refused["choices"][0]["message"]["refusal"] = "I can't help with that."
    filtered = completion("{", finish_reason="content_filter")
    for body, words in ((json.dumps(refused), "I can't help with that."), (filtered, "{")):
        with serve(lambda question, number, body=body: Response(body=body)) as server:
            reply = ask(client_of(server.url), prompt)
        assert (reply.text, reply.status) == (words, "refused")
        assert errors(reply) == [""]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_question_that_cannot_be_answered_is_asked_once(prompt: Prompt, status: int) -> None:
    with serve(lambda question, number: Response(status, '{"error": "no such field"}')) as server:
        reply = ask(client_of(server.url), prompt)
    assert reply.text is None
    assert reply.declined
    assert reply.status == ("too_long" if status == 413 else "error")
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
        reply = ask(client_of(server.url), prompt)
    assert (reply.text, reply.cut) == ("", True)


def test_a_key_is_sent_when_there_is_one(prompt: Prompt) -> None:
    with serve(lambda question, number: says(GOOD)) as server:
        for key in (SECRET, ""):
            ask(client_of(server.url, api_key=key), prompt)
    assert server.authorizations == [f"bearer {SECRET}", None]


def test_a_proxy_of_the_environment_gets_the_requests_but_for_no_proxy(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve(lambda question, number: says(GOOD)) as near, serve(near.behave) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        for url in ("http://llm.invalid/v1", near.url):
            assert ask(client_of(url), prompt).text == GOOD
    assert (len(proxy.requests), len(near.requests)) == (1, 1)


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


@pytest.mark.parametrize("url", ["http://a/v1, https://ann:{}@b/v1", "http://{}@b/v1"])
def test_an_address_with_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError, match="RECLAKE_LLM_API_KEY") as refused:
        Settings(llm_url=url.format(SECRET))
    assert SECRET not in str(refused.value)


def test_without_a_server_the_error_names_the_setting() -> None:
    with pytest.raises(ServerRefuses, match="RECLAKE_LLM_URL isn't set"):
        LLMClient.from_settings(Settings(llm_url=""))


def test_one_client_serves_many_questions_at_once(prompt: Prompt) -> None:
    def behave(question: str, number: int) -> Response:
        return Response(body=completion(GOOD), wait_seconds=0.2)

    with serve(behave) as server:
        replies = ask_many(client_of(server.url), prompt, 8)
    assert {reply.text for reply in replies} == {GOOD}
    assert server.most_at_once == 8


def test_what_an_overloaded_server_gave_up_is_tried_within_its_new_limit(prompt: Prompt) -> None:
    """32 at once are refused, which halves the limit; then no more than 16 are sent at once."""
    at_once: list[int] = []

    def behave(question: str, number: int) -> Response:
        if number == 1:
            return Response(503, "{}", wait_seconds=0.1)
        at_once.append(server.at_once + 1)
        return replace(says(GOOD), wait_seconds=0.1)

    with serve(behave) as server:
        client = client_of(server.url, first_wait_seconds=0.1, longest_wait_seconds=0.1)
        client.pace.limit = 32
        replies = ask_many(client, prompt, 32)
    assert [reply.text for reply in replies] == [GOOD] * 32
    assert server.most_at_once == 32
    assert max(at_once) == client.pace.limit == 16
