"""Where the stack keeps things in the checkout."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(sys.executable)
SERVE_ENVIRONMENT = ROOT / ".venv-serve"
SERVE_PYTHON = SERVE_ENVIRONMENT / "bin" / "python"
