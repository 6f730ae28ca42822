"""vLLM's engine behind two pipes: requests come in as JSON lines, replies go out as JSON lines.

Runs in the environment that has vLLM, and needs that and the standard library alone:

    python engine_process.py '{"model": "/path/to/model", "max_model_len": 4096}'

The argument holds vLLM's engine arguments. First line out: {"ready": true}. A request: {"id",
"messages", "schema", "max_tokens", "temperature", "seed"}. A reply: {"id", "text",
"finish_reason", "prompt_tokens", "cached_tokens", "completion_tokens"}, or {"id", "error"}.
Requests are batched continuously, so replies come in any order. {"drop": id} ends a request that
nobody waits for any more, without a reply. The process ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, TextIO


async def answer(engine: Any, tokenizer: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The reply to one request; an error of vLLM is a reply too."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    try:
        text = tokenizer.apply_chat_template(
            request["messages"], tokenize=False, add_generation_prompt=True
        )
        prompt = {"prompt_token_ids": tokenizer.encode(text, add_special_tokens=False)}
        sampling = SamplingParams(
            max_tokens=request["max_tokens"],
            temperature=request["temperature"],
            seed=request["seed"],
            structured_outputs=StructuredOutputsParams(json=request["schema"]),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        results = [r async for r in engine.generate(prompt, sampling, request["id"])]
        result, said = results[-1], results[-1].outputs[0]
        return {
            "id": request["id"],
            "text": said.text,
            "finish_reason": said.finish_reason,
            "prompt_tokens": len(result.prompt_token_ids),
            "cached_tokens": result.num_cached_tokens,
            "completion_tokens": len(said.token_ids),
        }
    except Exception as error:
        return {"id": request["id"], "error": f"{type(error).__name__}: {error}"}


async def serve(arguments: dict[str, Any], replies: TextIO) -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
    tokenizer = engine.get_tokenizer()

    def write(reply: dict[str, Any]) -> None:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    async def reply_to(request: dict[str, Any]) -> None:
        write(await answer(engine, tokenizer, request))

    write({"ready": True})
    under_way: dict[str, asyncio.Task[None]] = {}
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            request = json.loads(line)
            if dropped := request.get("drop"):
                if dropped in under_way:  # vLLM ends a request whose generator is cancelled
                    under_way[dropped].cancel()
                continue
            name = request["id"]
            under_way[name] = asyncio.create_task(reply_to(request))
            under_way[name].add_done_callback(lambda _, name=name: under_way.pop(name))  # type: ignore[misc]
    finally:
        engine.shutdown()


if __name__ == "__main__":
    # vLLM and its processes print as they like; the replies have the output to themselves.
    own_output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asyncio.run(serve(json.loads(sys.argv[1]), own_output))
