"""The demo's language model, converted once into a folder under the home."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from infra.stack.paths import ROOT, SERVE_PYTHON
from infra.stack.waiting import ServiceFailed, last_lines

_SCRIPT = ROOT / "infra" / "stack" / "convert_smollm2.py"


def model_dir(home: Path) -> Path:
    return home / "models" / "smollm2"


def ensure_model(home: Path, say: Callable[[str], None] = lambda _: None) -> Path:
    """The model folder, made on the first call (about 20 s). Raises ServiceFailed."""
    folder = model_dir(home)
    if folder.is_dir():
        return folder
    if not SERVE_PYTHON.exists():
        raise ServiceFailed(
            f"vLLM is not installed in {SERVE_PYTHON.parents[1]}: run `make install`"
        )
    say("converting SmolLM2-135M for vLLM (about 20 s, once)")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    log = home / "logs" / "model.log"
    for parent in (partial, log.parent):
        parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(
            [str(SERVE_PYTHON), str(_SCRIPT), str(partial)],
            check=False,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if done.returncode != 0:
        shutil.rmtree(partial)
        raise ServiceFailed(f"SmolLM2 could not be converted:\n{last_lines(log)}")
    partial.replace(folder)
    return folder
