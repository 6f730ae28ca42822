"""Calls without a server: vLLM's engine in a process beside this one, for a host with a GPU.

`RECLAKE_LLM_URL=engine:/path/to/model` asks it, with the same work list, cache, ledger and commits.
The engine batches continuously; as with servers, `Pace` finds the best number of calls at once, up
to `llm.concurrency`. It lives in an environment of its own (`RECLAKE_LLM_ENGINE_PYTHON`), as the
server does.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jobs.llm.client import (
    CUT_SHORT,
    FIRST_CALLS_A_SERVER,
    Asker,
    Attempt,
    LLMClient,
    Reply,
    says_too_long,
)
from jobs.llm.errors import ServerRefuses
from jobs.llm.pace import Pace
from jobs.llm.prompt import Prompt
from jobs.llm.status import ERROR, TOO_LONG

if TYPE_CHECKING:
    from jobs.llm.settings import LLMSettings

SCHEME = "engine:"
SCRIPT = Path(__file__).parent / "engine_process.py"
START_SECONDS = 900.0
END_SECONDS = 30.0
LONGEST_LINE_BYTES = 64 * 1024 * 1024


def asker_of(settings: LLMSettings) -> Asker:
    """The servers or the engine of the settings. Raises ServerRefuses when neither is set."""
    if not settings.llm_url.startswith(SCHEME):
        return LLMClient.from_settings(settings)
    model = settings.llm_url.removeprefix(SCHEME)
    python = str(settings.llm_engine_python)
    arguments = json.dumps({**settings.llm_engine_args, "model": model})
    return EngineClient(
        settings.llm_url,
        [python, str(SCRIPT), arguments],
        concurrency=settings.llm.concurrency,
        timeout_seconds=settings.llm.timeout_seconds,
    )


class EngineClient:
    """Asks a process that speaks as `engine_process.py` does.

    concurrency: most calls under way at once. timeout_seconds: of one request, its wait inside the
    engine included; the engine is told to drop a request that nobody waits for.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, concurrency: int, timeout_seconds: float
    ) -> None:
        self.name = name
        self.pace = Pace(FIRST_CALLS_A_SERVER, concurrency, timeout_seconds)
        self._command = command
        self._timeout_seconds = timeout_seconds
        self._process: Process | None = None
        self._asked: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._ended = ""

    @property
    def limit(self) -> int:
        return self.pace.limit

    async def __aenter__(self) -> EngineClient:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "VIRTUAL_ENV")
        }
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                limit=LONGEST_LINE_BYTES,
                env={**environment, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"},
            )
            assert self._process.stdout is not None
            ready = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
        except OSError as error:
            raise ServerRefuses(self._did_not_start(str(error))) from error
        except TimeoutError as error:
            await self._end()
            why = f"it was not ready after {START_SECONDS:.0f} s"
            raise ServerRefuses(self._did_not_start(why)) from error
        if not ready:
            code = await self._process.wait()
            raise ServerRefuses(self._did_not_start(f"it ended with code {code}; see the log"))
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()
        await self._reading

    async def ask(
        self, prompt: Prompt, question: str, attempts: list[Attempt] | None = None
    ) -> Reply:
        """Ask one question once: an engine that can't answer it won't on another try either."""
        reply = Reply(attempts=[] if attempts is None else attempts)
        call_id = uuid.uuid4().hex
        request = {
            "id": call_id,
            "messages": prompt.messages(question),
            "schema": prompt.answer_schema,
            "max_tokens": prompt.max_tokens,
            "temperature": prompt.temperature,
            "seed": prompt.seed,
        }
        sent_at = time.perf_counter()
        said: Mapping[str, Any] = {"error": CUT_SHORT}
        try:
            said = await asyncio.wait_for(self._reply_to(request), self._timeout_seconds)
            self.pace.answered(len(self._asked), time.perf_counter() - sent_at)
        except TimeoutError:
            said = {"error": f"no reply for {self._timeout_seconds:g} s"}
            self.pace.overloaded(sent_at)
            await self._send({"drop": call_id})
        finally:
            self._asked.pop(call_id, None)
            error = str(said.get("error", ""))[:300]
            reply.attempts.append(
                Attempt(
                    call_id,
                    len(reply.attempts) + 1,
                    round((time.perf_counter() - sent_at) * 1000, 1),
                    prompt_tokens=said.get("prompt_tokens"),
                    completion_tokens=said.get("completion_tokens"),
                    cached_tokens=said.get("cached_tokens"),
                    error=error,
                    server=self.name,
                )
            )
        if error:
            reply.declined = says_too_long(error)
            reply.status = TOO_LONG if reply.declined else ERROR
        else:
            reply.text, reply.cut = said["text"], said["finish_reason"] == "length"
        return reply

    async def _reply_to(self, request: dict[str, Any]) -> Mapping[str, Any]:
        if self._ended:
            return {"error": self._ended}
        reply = self._asked[request["id"]] = asyncio.get_running_loop().create_future()
        await self._send(request)
        return await reply

    async def _send(self, line: dict[str, Any]) -> None:
        assert self._process is not None, "ask() outside of `async with`"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            await self._process.stdin.drain()
        except ConnectionError:
            pass  # it has ended, which `_read` says to all who wait

    async def _read(self) -> None:
        """Hand each reply to whom it is for, until the engine ends."""
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if (asked := self._asked.get(said["id"])) and not asked.done():
                asked.set_result(said)
        code = await self._process.wait()
        self._ended = f"the engine ended with code {code}"
        for asked in self._asked.values():
            if not asked.done():
                asked.set_result({"error": self._ended})

    async def _end(self) -> None:
        """Close its input, which ends it; kill it when that takes too long."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), END_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _did_not_start(self, why: str) -> str:
        return (
            f"{self.name}: the engine did not start: {why}. No call was made. Check the path in "
            f"RECLAKE_LLM_URL, RECLAKE_LLM_ENGINE_PYTHON ({self._command[0]}) and "
            "RECLAKE_LLM_ENGINE_ARGS"
        )
