"""What a machine must have before the stack starts: each lack is one line that says what to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import psutil

from infra.stack.paths import SERVE_PYTHON
from infra.stack.ports import becomes_free

GIB = 1024**3
DISK_BYTES = 5 * GIB
# what each service was seen to use in the demo, its workers included
RAM_BYTES = {"airflow": 2 * GIB, "spark": 2 * GIB, "vllm": 3 * GIB, "milvus": GIB // 2}
JAVA_LEAST = 17


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


def java_lacks(version: int | None) -> Iterator[str]:
    if version is None:
        yield (
            f"Java {JAVA_LEAST} is missing: install it (Debian and Ubuntu: "
            f"`apt-get install openjdk-{JAVA_LEAST}-jre-headless`) or set JAVA_HOME"
        )
    elif version < JAVA_LEAST:
        yield f"Java is version {version}, Spark needs {JAVA_LEAST}: set JAVA_HOME to a newer one"


def disk_lacks(home: Path, free_bytes: int) -> Iterator[str]:
    if free_bytes < DISK_BYTES:
        yield (
            f"{home} has {free_bytes / GIB:.1f} GiB of free disk, the demo needs "
            f"{DISK_BYTES / GIB:.0f}: free some, or set RECLAKE_HOME to a folder on a larger disk"
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
                f"port {port} ({variable}) is taken by another program: end that, choose another "
                f"port, or unset {variable} to have a free one found"
            )


def java_version() -> int | None:
    """The major version of the Java that Spark will use, None when there is none."""
    java_home = os.environ.get("JAVA_HOME")
    java = Path(java_home) / "bin" / "java" if java_home else shutil.which("java")
    if java is None:
        return None
    try:
        answer = subprocess.run(
            [str(java), "-version"], check=True, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_java_version(answer.stderr + answer.stdout)


def parse_java_version(answer: str) -> int | None:
    """The major version in what `java -version` says.

    >>> parse_java_version('openjdk version "17.0.15" 2025-04-15')
    17
    >>> parse_java_version('java version "1.8.0_392"')
    8
    """
    match = re.search(r'version "(?:1\.)?(\d+)', answer)
    return int(match[1]) if match else None


def free_disk(home: Path) -> int:
    """Free bytes on the disk that `home` is, or will be, on."""
    folder = home
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
