"""Delta's JARs, resolved once into a folder so that later starts need no network."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from jobs.lake.errors import Terminal

DELTA = "io.delta:delta-spark_4.2_2.13:4.4.0"
_MARKER = "resolved.txt"


class JarsUnresolved(Terminal):
    """Maven Central could not be reached, or does not have the artifact."""


def delta_jars(folder: Path, say: Callable[[str], None] = lambda _: None) -> list[Path]:
    """The JARs of Delta and all that it needs, sorted by name.

    folder: kept between starts; downloaded into when it does not hold this version yet.
    say: called with one line before a download.
    Raises JarsUnresolved with the resolver's last lines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_resolved(folder):
            say(f"downloading {DELTA} and its dependencies from Maven Central (about 90 MB, once)")
            _resolve(folder)
        return sorted(folder.glob("*.jar"))


def spark_submit() -> Path:
    """The `spark-submit` of the wheel that this Python imports."""
    import pyspark

    return Path(pyspark.__file__).parent / "bin" / "spark-submit"


def _is_resolved(folder: Path) -> bool:
    marker = folder / _MARKER
    if not marker.is_file():
        return False
    wanted, *names = marker.read_text().splitlines()
    return wanted == DELTA and all((folder / name).is_file() for name in names)


def _resolve(folder: Path) -> None:
    cache = folder / ".ivy"
    cache.mkdir(exist_ok=True)
    nothing = cache / "nothing.py"  # spark-submit resolves packages before it runs this
    nothing.write_text("")
    argv = [
        str(spark_submit()),
        "--packages",
        DELTA,
        "--conf",
        f"spark.jars.ivy={cache}",
        "--conf",
        "spark.ui.enabled=false",
        str(nothing),
    ]
    env = os.environ | {
        "SPARK_HOME": str(spark_submit().parent.parent),
        "PYSPARK_PYTHON": sys.executable,
    }
    done = subprocess.run(argv, check=False, env=env, capture_output=True, text=True)
    jars = sorted((cache / "jars").glob("*.jar"))
    if done.returncode != 0 or not any(jar.name.startswith("io.delta_delta-") for jar in jars):
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise JarsUnresolved(
            f"{DELTA} could not be downloaded from Maven Central:\n{tail}\n"
            "Check the network (or the proxy in JAVA_TOOL_OPTIONS) and try again."
        )
    for old in folder.glob("*.jar"):
        old.unlink()
    for jar in jars:
        jar.replace(folder / jar.name)
    shutil.rmtree(cache)
    marker = folder / _MARKER
    partial = marker.with_suffix(".partial")
    partial.write_text("\n".join([DELTA, *(jar.name for jar in jars)]) + "\n")
    partial.replace(marker)
