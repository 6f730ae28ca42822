"""One asyncio client of an OpenAI-compatible server.

A call is tried again, with the same seed, when the server is busy, away or garbled (429, 5xx,
timeout, broken connection, unreadable body), and given up when the server says that this request
can't be answered (400, 413, 422). When it says that no request of ours can be answered (401, 403,
404), the whole day stops: ServerRefuses.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

import openai
from openai import AsyncOpenAI
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from jobs.llm.errors import ServerRefuses
from jobs.llm.prompt import Prompt

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

    from jobs.settings import Settings

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 20.0
_REFUSES_ALL = {401, 403, 404}
_WORTH_ANOTHER_TRY = {408, 409, 425, 429}


@dataclass(frozen=True)
class Attempt:
    """One request and what it cost. `error` is '' when the server answered."""

    call_id: str
    number: int
    latency_ms: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    error: str = ""


@dataclass
class Reply:
    """What became of one question.

    text: None when every attempt failed. declined: the server says that it can't answer this one.
    """

    text: str | None = None
    declined: bool = False
    attempts: list[Attempt] = field(default_factory=list)


class LLMClient:
    """Asks one server. Use as an async context manager inside the event loop that asks."""

    def __init__(
        self,
        url: str,
        model: str,
        api_key: str,
        *,
        timeout_seconds: float,
        max_attempts: int,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
    ) -> None:
        self.url = url
        self.model = model
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds
        self._max_attempts = max_attempts
        self._first_wait_seconds = first_wait_seconds
        self._openai: AsyncOpenAI | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> LLMClient:
        """The client that the settings describe. Raises ServerRefuses when no server is named."""
        if not settings.llm_url:
            raise ServerRefuses(
                "RECLAKE_LLM_URL isn't set, so there is no server to ask. No call was made. Start "
                "the demo's server with `make demo`, name your own, or run with item_budget and "
                "user_budget 0"
            )
        return cls(
            settings.llm_url,
            settings.llm_model,
            settings.llm_api_key.get_secret_value(),
            timeout_seconds=settings.llm.timeout_seconds,
            max_attempts=settings.llm.max_attempts,
        )

    async def __aenter__(self) -> LLMClient:
        # The SDK insists on a key where a server of one's own wants none. It retries by itself
        # unless told not to, which would hide attempts from the ledger.
        self._openai = AsyncOpenAI(
            base_url=self.url,
            api_key=self._api_key or "none",
            timeout=self._timeout_seconds,
            max_retries=0,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._openai is not None:
            await self._openai.close()

    async def ask(self, prompt: Prompt, question: str) -> Reply:
        """Ask one question until it is answered or given up. Raises ServerRefuses."""
        reply = Reply()
        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(self._max_attempts),
            wait=wait_exponential_jitter(self._first_wait_seconds, LONGEST_WAIT_SECONDS),
            retry_error_callback=_give_up,
        )
        try:
            reply.text = await retrying(self._try_once, prompt, question, reply.attempts)
        except openai.APIStatusError as error:
            if error.status_code in _REFUSES_ALL:
                raise ServerRefuses(
                    f"{self.url} answers {error.status_code} to model {self.model!r}: "
                    f"{_short(error)}. Answers committed so far are kept. Check RECLAKE_LLM_URL, "
                    "RECLAKE_LLM_MODEL and RECLAKE_LLM_API_KEY"
                ) from error
            reply.declined = True
        return reply

    async def _try_once(self, prompt: Prompt, question: str, attempts: list[Attempt]) -> str:
        assert self._openai is not None, "ask() outside of `async with`"
        started = time.perf_counter()
        call_id, number = uuid.uuid4().hex, len(attempts) + 1

        def latency_ms() -> float:
            return round((time.perf_counter() - started) * 1000, 1)

        try:
            completion = await self._openai.chat.completions.create(
                model=self.model, **_request(prompt, question)
            )
            text = _text_of(completion)
        except (openai.APIError, ValueError) as error:
            attempts.append(Attempt(call_id, number, latency_ms(), error=_short(error)))
            raise
        usage = getattr(completion, "usage", None)
        cached = getattr(usage, "prompt_tokens_details", None)
        attempts.append(
            Attempt(
                call_id,
                number,
                latency_ms(),
                prompt_tokens=getattr(usage, "prompt_tokens", None),
                completion_tokens=getattr(usage, "completion_tokens", None),
                cached_tokens=getattr(cached, "cached_tokens", None),
            )
        )
        return text


def _request(prompt: Prompt, question: str) -> dict[str, Any]:
    schema = {"name": prompt.name, "schema": prompt.answer_schema, "strict": True}
    return {
        "messages": prompt.messages(question),
        "response_format": {"type": "json_schema", "json_schema": schema},
        "max_tokens": prompt.max_tokens,
        "temperature": prompt.temperature,
        "seed": prompt.seed,
    }


def _text_of(completion: ChatCompletion) -> str:
    """The answer's text, or the words of a refusal. Raises ValueError on a body without either."""
    try:
        message = completion.choices[0].message
        return message.content or message.refusal or ""
    except (AttributeError, IndexError, TypeError) as error:
        raise ValueError("the server's body isn't a chat completion") from error


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, openai.APIStatusError):
        return error.status_code >= 500 or error.status_code in _WORTH_ANOTHER_TRY
    return isinstance(error, (openai.APIError, ValueError))


def _give_up(state: RetryCallState) -> None:
    """No answer: the attempts say why."""
    return None


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
