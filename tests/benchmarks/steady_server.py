"""A server whose answers all take the same time, however many are under way.

For what a client costs: nothing here competes with the client but the parsing of requests. The
answers are those that a real model gave (`tests/llm/labels`), in turn, each with a name and a
summary of its own, since a real model hardly says the same of two products. It speaks as little of
the OpenAI protocol as its two clients need, ours and `vllm bench serve`, which wants a stream.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any

from infra.stack.ports import LOOPBACK

USAGE = {"prompt_tokens": 600, "completion_tokens": 90, "total_tokens": 690}


def main() -> None:
    # not above: `llm` imports this module, and measures its own memory
    from tests.benchmarks.gate import LABELS

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.steady_server")
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float, help="that an answer takes")
    given = parser.parse_args()
    answers = [json.loads(json.loads(line)["answer"]) for line in LABELS.open()]
    asyncio.run(_serve(given.port, given.seconds, _distinct(answers)))


def _distinct(answers: list[dict[str, Any]]) -> Iterator[str]:
    """The answers in turn, without end; the last word of name and summary is in no other one."""
    for number, answer in enumerate(itertools.cycle(answers)):
        word = "".join("abcdefghij"[int(digit)] for digit in str(number))
        name, summary = answer["standard_name"].split()[0], answer["summary"].rstrip(".")
        own = {"standard_name": f"{name} {word}", "summary": f"{summary[:60]} {word}."}
        yield json.dumps(answer | own)


async def _serve(port: int, seconds: float, answers: Iterator[str]) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                _, body = await received(reader)
                request = json.loads(body or b"{}")
                await asyncio.sleep(seconds)
                form = _stream if request.get("stream") else _whole
                writer.write(form(next(answers)))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(handle, LOOPBACK, port) as listening:
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        await listening.serve_forever()


async def received(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head, with the empty line after it, and body of the next HTTP request."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    ]
    return head, await reader.readexactly(sum(lengths))


def _whole(answer: str) -> bytes:
    message = {"role": "assistant", "content": answer}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return _response("application/json", json.dumps({"choices": [choice], "usage": USAGE}))


def _stream(answer: str) -> bytes:
    said = ({"choices": [{"index": 0, "text": answer}]}, {"choices": [], "usage": USAGE})
    lines = [*map(json.dumps, said), "[DONE]"]
    return _response("text/event-stream", "".join(f"data: {line}\n\n" for line in lines))


def _response(kind: str, body: str) -> bytes:
    data = body.encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


if __name__ == "__main__":
    main()
