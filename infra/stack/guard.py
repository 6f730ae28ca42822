"""Ends a service when the program that started it is gone, however that ended.

Waits on its standard input, of which that program holds the other end: end of file means it died.
A test run that is killed thus leaves no server behind.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from infra.stack.paths import PYTHON, ROOT
from infra.stack.process import ProcessId, end

_MAIN = "from infra.stack.guard import main; main()"


@contextmanager
def guarded(process: ProcessId) -> Iterator[None]:
    """Has `process` ended if this program dies inside the block; ends it after the block."""
    guard = subprocess.Popen(
        [str(PYTHON), "-c", _MAIN, json.dumps(asdict(process))],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield
    finally:
        end(process)
        guard.communicate()


def main() -> None:
    process = ProcessId(**json.loads(sys.argv[1]))
    sys.stdin.read()
    end(process)
