"""vLLM on the CPU, with an OpenAI-compatible API. It lives in an environment of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx

from infra.stack.paths import SERVE_PYTHON
from infra.stack.ports import LOOPBACK
from infra.stack.process import Command
from infra.stack.service import Service

NAME = "vllm"
PREFERRED_PORT = 8001
CONTEXT_TOKENS = 4096
KV_CACHE_GIB = 2

# Without whitespace between the tokens of an answer, which a small model may repeat without end.
STRUCTURED_OUTPUTS = '{"backend":"xgrammar","disable_any_whitespace":true}'


def command(model_dir: Path, served_name: str, port: int, *, extra: Sequence[str] = ()) -> Command:
    """How to serve a model folder.

    extra: more of vLLM's own options.
    The ledger's cached tokens come from `--enable-prompt-tokens-details`.
    `--enforce-eager` is a must: the CPU build answers wrongly without it.
    """
    argv = (
        str(SERVE_PYTHON),
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(model_dir),
        "--served-model-name",
        served_name,
        "--dtype",
        "bfloat16",
        "--max-model-len",
        str(CONTEXT_TOKENS),
        "--enforce-eager",
        "--enable-prompt-tokens-details",
        "--structured-outputs-config",
        STRUCTURED_OUTPUTS,
        "--host",
        LOOPBACK,
        "--port",
        str(port),
        *extra,
    )
    env = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": str(KV_CACHE_GIB),
        "VLLM_HOST_IP": LOOPBACK,
    }
    return Command(argv, env, unset=("PYTHONPATH", "VIRTUAL_ENV"))


def url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}/v1"


def service(model_dir: Path, served_name: str, port: int, *, extra: Sequence[str] = ()) -> Service:
    started = command(model_dir, served_name, port, extra=extra)
    return Service(NAME, started, lambda: ask_models(port, served_name), timeout_seconds=600)


def ask_models(port: int, served_name: str) -> None:
    """Asks which models are served; raises when `served_name` is not among them."""
    models = httpx.get(f"{url(port)}/models", timeout=5).raise_for_status().json()
    served = [model["id"] for model in models["data"]]
    if served_name not in served:
        raise ConnectionError(f"port {port} serves {served}, not {served_name}")
