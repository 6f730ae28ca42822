"""One asyncio client of OpenAI-compatible servers.

A request is tried again, with the same seed, when the server is busy, away or garbled (429, 5xx,
timeout, broken connection, unreadable body). It is given up when the server says that it can't
answer this request (400, 413, 422). When the server refuses every request (401, 403, 404), the
whole day stops: ServerRefuses.

A request that reached no server is not an attempt: it waits up to `patience_seconds` for a server,
since a restart takes minutes. Nor is an attempt spent on a dropped server that does not list its
models, as when a gateway stands in front of a server that is away: a few calls would use up all
their attempts there while the others wait. A retry waits like any request until fewer requests are
under way than `Pace` allows, lest retries overload a server again.

A GPU answers hundreds of short calls a second, and one process asks it: the cost of a call here
decides whether the engine waits for questions. So a request is a plain POST through aiohttp. The
openai package walks through every value of a prompt's examples and schema, which took more time
than all the rest of a call.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from jobs.llm.errors import ServerRefuses
from jobs.llm.pace import Pace
from jobs.llm.prompt import Prompt
from jobs.llm.servers import Servers, Turn
from jobs.llm.status import ERROR, REFUSED, TOO_LONG

if TYPE_CHECKING:
    from jobs.llm.settings import LLMSettings

logger = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 20.0
CONNECT_SECONDS = 10.0
LONGEST_ERROR = 300
# The error of a request whose run ended before its answer came.
CUT_SHORT = "the run ended before an answer came"
# Calls under way at the start; the first answers show whether more calls bring more. On two busy
# cores, the first answers of sixteen calls take longer than the timeout.
FIRST_CALLS_A_SERVER = 8
# A connection that is idle for so long is closed here, before the server closes it in the moment of
# a request: vLLM waits 5 s.
KEEP_ALIVE_SECONDS = 4.0
_REFUSES_ALL = {401, 403, 404}
_WORTH_ANOTHER_TRY = {408, 409, 425, 429}
_OVERLOADED = {429, 503}
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
# vLLM's two wordings, and OpenAI's code.
_TOO_LONG = re.compile(
    r"maximum context length|maximum model length|context_length_exceeded", re.IGNORECASE
)


@dataclass(frozen=True)
class Attempt:
    """One request and what it cost. `error` is '' when the server answered.

    number: within its call, 1 first; 0 where no server was reached. server: the base URL that was
    asked.
    """

    call_id: str
    number: int
    latency_ms: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    error: str = ""
    server: str = ""


@dataclass
class Reply:
    """What became of one question.

    text: what the model said, the words of a refusal included; None when every attempt failed.
    status: '' when the text is to be read as an answer, else `refused`, `too_long` or `error`.
    declined: the server says that it can't answer this one. cut: the answer ended at its limit.
    attempts: all requests of the call so far.
    """

    text: str | None = None
    status: str = ""
    declined: bool = False
    cut: bool = False
    attempts: list[Attempt] = field(default_factory=list)


class Asker(Protocol):
    """Whoever answers questions: servers by HTTP, or an engine in a process beside this one.

    name: for messages. limit: how many calls it wants under way now. Used as an async context
    manager inside the event loop that asks.
    """

    name: str

    @property
    def limit(self) -> int: ...

    async def __aenter__(self) -> Asker: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def ask(
        self, prompt: Prompt, question: str, attempts: list[Attempt] | None = None
    ) -> Reply:
        """Ask one question until it is answered or given up. Raises ServerRefuses.

        attempts: earlier requests of the call. Each request is added when it ends, so that those of
        a cancelled or failed call are known too.
        """
        ...


class NobodyThere(Exception):
    """No server could be reached for `patience_seconds`."""


class HTTPStatus(Exception):
    """A server's answer of 400 or more. asked_wait: seconds of its `Retry-After`, 0 without."""

    def __init__(self, status: int, body: str, asked_wait: float) -> None:
        super().__init__(f"{status} {body}".rstrip())
        self.status = status
        self.body = body
        self.asked_wait = asked_wait


class LLMClient:
    """Asks the servers at `urls`, which all serve `model`.

    concurrency: most calls under way at once; `limit` is the best number up to this (`Pace`).
    timeout_seconds: of one request. max_attempts: requests of one question that reach a server.
    """

    def __init__(
        self,
        urls: Sequence[str],
        model: str,
        api_key: str,
        *,
        timeout_seconds: float,
        max_attempts: int,
        concurrency: int,
        patience_seconds: float,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
    ) -> None:
        self.name = ", ".join(urls)
        self.model = model
        self.pace = Pace(FIRST_CALLS_A_SERVER * len(urls), concurrency, timeout_seconds)
        self.servers = Servers(
            urls, first_pause=first_wait_seconds, longest_pause=longest_wait_seconds
        )
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds
        self._patience_seconds = patience_seconds
        self._retrying = AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(max_attempts),
            wait=_Wait(first_wait_seconds, longest_wait_seconds),
            reraise=True,
        )
        self._proxies = {url: _proxy_of(url) for url in urls}
        self._ended = asyncio.Event()

    @classmethod
    def from_settings(cls, settings: LLMSettings) -> LLMClient:
        """The client that the settings describe. Raises ServerRefuses when no server is named."""
        if not settings.llm_urls:
            raise ServerRefuses(
                "RECLAKE_LLM_URL isn't set, so there is no server to ask. No call was made. Name "
                "your server, or start the demo's with `make demo`. With a server named, a run "
                "with token_budget 0 sends nothing, and texts keep the answers that are paid"
            )
        return cls(
            settings.llm_urls,
            settings.llm_model,
            settings.llm_api_key.get_secret_value(),
            timeout_seconds=settings.llm.timeout_seconds,
            max_attempts=settings.llm.max_attempts,
            concurrency=settings.llm.concurrency,
            patience_seconds=settings.llm.patience_seconds,
        )

    @property
    def limit(self) -> int:
        return self.pace.limit

    async def __aenter__(self) -> LLMClient:
        key = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        self._http = aiohttp.ClientSession(
            headers=key,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    async def ask(
        self, prompt: Prompt, question: str, attempts: list[Attempt] | None = None
    ) -> Reply:
        """Ask one question until it is answered or given up. Raises ServerRefuses."""
        reply = Reply(attempts=[] if attempts is None else attempts)
        try:
            await self._retrying(self._try_once, prompt, question, reply)
        except HTTPStatus as error:
            url = reply.attempts[-1].server
            if error.status in _REFUSES_ALL:
                raise ServerRefuses(
                    f"{url} answers {error.status} to model {self.model!r}: "
                    f"{error.body[:LONGEST_ERROR]}. Answers committed so far are kept. Check "
                    "RECLAKE_LLM_URL, RECLAKE_LLM_MODEL and RECLAKE_LLM_API_KEY"
                ) from error
            reply.declined = not _may_pass(error)
            too_long = error.status == 413 or says_too_long(error.body)
            reply.status = TOO_LONG if reply.declined and too_long else ERROR
        except (aiohttp.ClientError, ValueError, TimeoutError, NobodyThere):
            reply.status = ERROR
        return reply

    async def _try_once(self, prompt: Prompt, question: str, reply: Reply) -> None:
        """One request that reaches a server; its outcome is in `reply`, its error is raised.

        Raises NobodyThere.
        """
        since = time.perf_counter()
        while True:
            if self.servers.under_way >= self.pace.limit:
                await self._ended.wait()
                since = time.perf_counter()
            elif turn := self.servers.take(safely=bool(reply.attempts)):
                looked = await self._looked_at(turn) if turn.trial else turn
                if looked and await self._reached(looked, prompt, question, reply):
                    return
            else:
                self._require_patience(time.perf_counter() - since, reply)
                await asyncio.sleep(min(self.servers.seconds_until_due(), self._patience_seconds))

    async def _looked_at(self, turn: Turn) -> Turn | None:
        """The turn at a dropped server after a look at its models, a request that costs nothing;
        None ends the turn."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._body("GET", turn.server.url, "/models")
        except (HTTPStatus, aiohttp.ClientError, TimeoutError) as error:
            if not isinstance(error, HTTPStatus) or error.status >= 500:
                self.servers.silent(turn)
                return None
        except BaseException:
            self.servers.left(turn)
            raise
        finally:
            self._wake_waiting()
        turn = self.servers.listed(turn)
        if not turn.trial:
            self._back(turn)
        return turn

    async def _reached(self, turn: Turn, prompt: Prompt, question: str, reply: Reply) -> bool:
        """Send one request to one server. Whether it got there; raises its error if it did."""
        number = len(reply.attempts) + 1
        sent_at = time.perf_counter()

        def note(**said: Any) -> None:
            latency_ms = round((time.perf_counter() - sent_at) * 1000, 1)
            call_id, server = uuid.uuid4().hex, turn.server.url
            reply.attempts.append(Attempt(call_id, number, latency_ms, server=server, **said))

        try:
            request = {"model": self.model, **_request(prompt, question)}
            async with asyncio.timeout(self._timeout_seconds):
                body = await self._body("POST", turn.server.url, "/chat/completions", request)
            completion = json.loads(body)
            reply.text, reply.status, reply.cut = _said(completion)
        except (HTTPStatus, aiohttp.ClientError, ValueError, TimeoutError) as error:
            if self._failed(turn, error, sent_at):
                return False
            note(error=_short(error))
            raise
        except BaseException:
            self.servers.left(turn)
            note(error=CUT_SHORT)
            raise
        else:
            self._answered(turn, sent_at)
        finally:
            self._wake_waiting()
        note(**_tokens(completion.get("usage")))
        return True

    async def _body(
        self, method: str, url: str, page: str, request: dict[str, Any] | None = None
    ) -> bytes:
        """A server's answer to one request. Raises HTTPStatus and aiohttp's errors."""
        proxy = self._proxies[url]
        async with self._http.request(method, url + page, json=request, proxy=proxy) as response:
            body = await response.read()
        if response.status >= 400:
            wait = response.headers.get("retry-after", "")
            said = body.decode("utf-8", "replace")
            raise HTTPStatus(response.status, said, float(wait) if wait.isdecimal() else 0.0)
        return body

    def _wake_waiting(self) -> None:
        """Let all waiting requests look again whether the limit has room; the first go on."""
        self._ended.set()
        self._ended.clear()

    def _answered(self, turn: Turn, sent_at: float) -> None:
        """Record an answer."""
        self.pace.answered(self.servers.under_way, time.perf_counter() - sent_at)
        if self.servers.answered(turn):
            self._back(turn)

    def _back(self, turn: Turn) -> None:
        logger.info("%s: the server is back", turn.server.url)
        self.pace.interrupted()

    def _require_patience(self, waited: float, reply: Reply) -> None:
        """Raises NobodyThere when a call has waited too long, and records it in `reply`."""
        if waited > self._patience_seconds:
            error = f"no server could be reached for {waited:.0f} s"
            reply.attempts.append(Attempt(uuid.uuid4().hex, 0, 0.0, error=error, server=self.name))
            raise NobodyThere(error)

    def _failed(self, turn: Turn, error: Exception, sent_at: float) -> bool:
        """Record a failed request. Whether it reached no server."""
        unreachable = isinstance(error, _NEVER_SENT)
        status = error.status if isinstance(error, HTTPStatus) else None
        if status in _OVERLOADED or (isinstance(error, TimeoutError) and not unreachable):
            self.pace.overloaded(sent_at)
        if status is not None and status < 500:
            changed = self.servers.answered(turn)
        else:
            changed = self.servers.failed(turn, unreachable=unreachable)
            if changed:
                logger.warning("%s: gets no calls for a while: %s", turn.server.url, _short(error))
        if changed:
            self.pace.interrupted()
        return unreachable


class _Wait(wait_exponential_jitter):
    """Doubling waits, or as long as the server asks for (`Retry-After` in seconds), if longer."""

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        super().__init__(first_seconds, longest_seconds)
        self._longest_seconds = longest_seconds

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome and retry_state.outcome.exception()
        asked = error.asked_wait if isinstance(error, HTTPStatus) else 0.0
        return max(super().__call__(retry_state), min(asked, self._longest_seconds))


def says_too_long(error: str) -> bool:
    """Whether a server's words mean that question and answer don't fit the model's context."""
    return _TOO_LONG.search(error) is not None


def _proxy_of(url: str) -> str | None:
    """The proxy that the environment names for an address."""
    address = urlsplit(url)
    if proxy_bypass(address.hostname or ""):
        return None
    return getproxies().get(address.scheme)


def _request(prompt: Prompt, question: str) -> dict[str, Any]:
    schema = {"name": prompt.name, "schema": prompt.answer_schema, "strict": True}
    return {
        "messages": prompt.messages(question),
        "response_format": {"type": "json_schema", "json_schema": schema},
        "max_tokens": prompt.max_tokens,
        "temperature": prompt.temperature,
        "seed": prompt.seed,
    }


def _said(completion: Any) -> tuple[str, str, bool]:
    """Text, status and whether the text was cut. Raises ValueError on a body without a choice."""
    try:
        choice = completion["choices"][0]
        refusal = choice["message"].get("refusal")
        text = refusal or choice["message"].get("content") or ""
        reason = choice.get("finish_reason")
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError("the server's body isn't a chat completion") from error
    if not isinstance(text, str):
        raise ValueError(f"the server's message is no text but {type(text).__name__}")
    refused = bool(refusal) or reason == "content_filter"
    return text, REFUSED if refused else "", reason == "length"


def _tokens(usage: Any) -> dict[str, int | None]:
    """The token counts of `usage`, by the names of `Attempt`."""
    counts = usage if isinstance(usage, dict) else {}
    details = counts.get("prompt_tokens_details")
    said = {
        "prompt_tokens": counts.get("prompt_tokens"),
        "completion_tokens": counts.get("completion_tokens"),
        "cached_tokens": details.get("cached_tokens") if isinstance(details, dict) else None,
    }
    return {name: value if isinstance(value, int) else None for name, value in said.items()}


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, HTTPStatus):
        return error.status >= 500 or error.status in _WORTH_ANOTHER_TRY
    return isinstance(error, (aiohttp.ClientError, ValueError, TimeoutError))


def _short(error: Exception) -> str:
    said = str(error) or "no whole answer in time"
    return f"{type(error).__name__}: {said}"[:LONGEST_ERROR]
