"""What the demo says of itself."""

from __future__ import annotations

import re
from typing import Any

from infra.demo.run import Spent


class Servers:
    """A stack whose servers use 1,234 CPU seconds between two looks."""

    def __init__(self) -> None:
        self._seconds = iter([100.0, 1334.0])

    def cpu_seconds(self) -> float:
        return next(self._seconds)


def test_what_was_spent_leaves_out_what_servers_had_used_before() -> None:
    stack: Any = Servers()
    said = str(Spent(stack))
    assert re.fullmatch(r"0 min \d s and 1,23[4-9] CPU seconds of all processes", said)
