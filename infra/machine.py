"""What a machine must have before anything is installed: each lack is one line, with what to do.

`make demo` runs this first, with whatever Python there is: it needs the standard library alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GIB = 1024**3
DISK_BYTES = 5 * GIB
# what an installation was seen to use; the second shares large files with the first
ENVIRONMENT_BYTES = {".venv": 7 * GIB, ".venv-serve": 5 * GIB}
JAVA_LEAST = 17


def lacks_to_install(root: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """Every reason why the demo could not be installed and run in the checkout `root`.

    variables: the RECLAKE_* ones say what is elsewhere, and so not needed here.
    """
    if not variables.get("RECLAKE_SPARK_URL"):
        yield from java_lacks(java_version())
    home = Path(variables.get("RECLAKE_HOME") or root / ".reclake").expanduser()
    missing = [name for name in ENVIRONMENT_BYTES if not (root / name).exists()]
    if variables.get("RECLAKE_LLM_URL") and ".venv-serve" in missing:
        missing.remove(".venv-serve")
    environments = sum(ENVIRONMENT_BYTES[name] for name in missing)
    if not environments:
        yield from disk_lacks(home, free_disk(home))
    elif on_one_disk(root, home):
        yield from environment_lacks(root, free_disk(root), environments + DISK_BYTES)
    else:
        yield from environment_lacks(root, free_disk(root), environments)
        yield from disk_lacks(home, free_disk(home))


def java_lacks(version: int | None) -> Iterator[str]:
    if version is None:
        yield (
            f"Java {JAVA_LEAST} is missing: install it (Debian and Ubuntu: "
            f"`apt-get install openjdk-{JAVA_LEAST}-jre-headless`) or set JAVA_HOME"
        )
    elif version < JAVA_LEAST:
        yield f"Java is version {version}, Spark needs {JAVA_LEAST}: set JAVA_HOME to a newer one"


def environment_lacks(root: Path, free_bytes: int, wanted_bytes: int) -> Iterator[str]:
    if free_bytes < wanted_bytes:
        yield (
            f"{root} has {free_bytes / GIB:.1f} GiB of free disk, the demo with its Python "
            f"environments needs {wanted_bytes / GIB:.0f}: free some, or clone to a larger disk"
        )


def disk_lacks(home: Path, free_bytes: int) -> Iterator[str]:
    if free_bytes < DISK_BYTES:
        yield (
            f"{home} has {free_bytes / GIB:.1f} GiB of free disk, the demo needs "
            f"{DISK_BYTES / GIB:.0f}: free some, or set RECLAKE_HOME to a folder on a larger disk"
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


def free_disk(folder: Path) -> int:
    """Free bytes on the disk that a folder is, or will be, on."""
    return shutil.disk_usage(_existing(folder)).free


def on_one_disk(one: Path, other: Path) -> bool:
    """Whether two folders are, or will be, on the same disk."""
    return _existing(one).stat().st_dev == _existing(other).stat().st_dev


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


if __name__ == "__main__":
    sys.exit("\n".join(lacks_to_install(ROOT, os.environ)) or 0)
