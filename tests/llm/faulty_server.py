"""A server that speaks just enough of the OpenAI protocol to fail in every way a real one does.

For failure paths only; what a server answers when it is well is tested on a real vLLM.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Response:
    """status, headers, body: as sent. wait_seconds: before the first byte.

    hang_up: send nothing at all. trickle: after the body, a byte of garbage now and then for ever.
    """

    status: int = 200
    body: str = ""
    wait_seconds: float = 0.0
    hang_up: bool = False
    trickle: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class FaultyServer:
    """Answers each request by `behave(question, number)`; number counts that question's requests.

    models: its answer to a GET, of which there were so many `looks`. requests: every other
    request's body, in order of arrival. most_at_once: requests under way together.
    """

    behave: Callable[[str, int], Response]
    url: str = ""
    models: Response = Response(body='{"object": "list", "data": []}')
    looks: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    _seen: dict[str, int] = field(default_factory=dict)

    def questions(self) -> list[str]:
        return [request["messages"][-1]["content"] for request in self.requests]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(
                    line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:-2]
                )
                if head.startswith(b"GET"):
                    self.looks += 1
                    response = self.models
                else:
                    request = json.loads(await reader.readexactly(int(fields["content-length"])))
                    self.authorizations.append(fields.get("authorization"))
                    response = self._respond(request)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                await asyncio.sleep(response.wait_seconds)
                self.at_once -= 1
                if response.hang_up:
                    break
                if response.trickle:
                    await self._trickle(writer, response)
                body = response.body.encode()
                extra = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
                writer.write(
                    f"HTTP/1.1 {response.status} X\r\ncontent-type: application/json\r\n{extra}"
                    f"content-length: {len(body)}\r\n\r\n".encode()
                )
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _trickle(self, writer: asyncio.StreamWriter, response: Response) -> None:
        writer.write(b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\n\r\n")
        writer.write(response.body.encode())
        while True:
            writer.write(b"\x07")
            await writer.drain()
            await asyncio.sleep(0.01)

    def _respond(self, request: dict[str, Any]) -> Response:
        self.requests.append(request)
        question = request["messages"][-1]["content"]
        self._seen[question] = self._seen.get(question, 0) + 1
        return self.behave(question, self._seen[question])


def completion(text: str | None, finish_reason: str = "stop", cached: int = 90) -> str:
    """The body of a chat completion: 100 prompt tokens, of which `cached`, and 20 more."""
    return json.dumps(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish_reason,
                    "message": {"role": "assistant", "content": text},
                }
            ],
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
                "prompt_tokens_details": {"cached_tokens": cached},
            },
        }
    )


def says(text: str) -> Response:
    return Response(body=completion(text))


@contextmanager
def serve(behave: Callable[[str, int], Response], port: int = 0) -> Iterator[FaultyServer]:
    """The server on a port of this machine, any free one by default, in a thread of its own."""
    server = FaultyServer(behave)
    started, ended = threading.Event(), Future[None]()

    async def run() -> None:
        listening = await asyncio.start_server(server.handle, "127.0.0.1", port)
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        started.set()
        await asyncio.wrap_future(ended)
        # A closed loop leaves its sockets open, and an open one takes connections without answers.
        listening.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    started.wait()
    try:
        yield server
    finally:
        ended.set_result(None)
        thread.join()
