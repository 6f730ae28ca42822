"""What a machine must have before the stack starts: each lack is one line that says what to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import psutil

from infra.machine import GIB, disk_lacks, free_disk, java_lacks, java_version
from infra.stack.paths import SERVE_PYTHON
from infra.stack.ports import becomes_free

# what each service was seen to use in the demo, its workers included
RAM_BYTES = {"airflow": 2 * GIB, "spark": 2 * GIB, "vllm": 3 * GIB, "milvus": GIB // 2}


def lacks(home: Path, *, starts: Collection[str], ports: Mapping[str, int]) -> Iterator[str]:
    """Every reason why these services cannot start here, one line each; nothing when they can.

    starts: names of the services that do not run yet. ports: those of their ports that were asked
    for, by name of the variable that says so.
    """
    if "spark" in starts:
        yield from java_lacks(java_version())
    yield from disk_lacks(home, free_disk(home))
    wanted = sum(RAM_BYTES[name] for name in starts)
    yield from memory_lacks(psutil.virtual_memory().available, wanted)
    yield from port_lacks(ports)
    if "vllm" in starts and not SERVE_PYTHON.exists():
        yield (
            "vLLM is not installed: run `make install`, "
            "or set RECLAKE_LLM_URL to an OpenAI-compatible server of yours"
        )


def spark_url_lacks(url: str) -> Iterator[str]:
    if not re.fullmatch(r"sc://[^:/]+:\d+", url):
        yield (
            f"RECLAKE_SPARK_URL is {url}, but this Airflow reaches Spark only by sc://host:port: "
            "set it to the address of a Spark Connect server, or unset it to have a server started"
        )


def memory_lacks(available_bytes: int, wanted_bytes: int) -> Iterator[str]:
    if available_bytes < wanted_bytes:
        yield (
            f"{available_bytes / GIB:.1f} GiB of memory is available, the stack needs "
            f"{wanted_bytes / GIB:.1f}: end other programs, or set RECLAKE_LLM_URL and "
            "RECLAKE_MILVUS_URI to servers elsewhere"
        )


def port_lacks(ports: Mapping[str, int]) -> Iterator[str]:
    for variable, port in ports.items():
        if not becomes_free(port):
            yield (
                f"port {port} ({variable}) is taken by another program: end that program, choose "
                f"another port, or unset {variable} to get a free port"
            )
