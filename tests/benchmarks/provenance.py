"""What a figure was measured with: the code, the versions, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
# Whose version a figure depends on.
PACKAGES = ("pyspark", "delta-spark", "deltalake", "numpy", "numba", "torch", "pymilvus")


def provenance() -> dict[str, Any]:
    """commit (with `+` where files differ from it), versions by package, hardware."""
    return {
        "commit": _git("rev-parse", "--short=12", "HEAD") + ("+" if _git("status", "-s") else ""),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "hardware": {
            "cpu": _cpu(),
            "cores": os.cpu_count() or 1,
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        },
    }


def sentence(found: dict[str, Any]) -> str:
    """The same in one line of the page."""
    hardware = found["hardware"]
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return (
        f"Commit `{found['commit']}` on {hardware['cores']} cores of {hardware['cpu']} with "
        f"{hardware['memory_gib']:g} GiB; {versions}."
    )


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return ran.stdout.strip() or ("unknown" if ran.returncode else "")


def _cpu() -> str:
    """The processor's name, as Linux knows it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
