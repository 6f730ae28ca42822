"""The table runtime. A table module needs `table`, `Read` and `Run` from here and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.lake.step import (
    EffectResult,
    Judgement,
    Outcome,
    PublishGate,
    Read,
    Run,
    Search,
    View,
    effect,
    table,
)

if TYPE_CHECKING:
    from jobs.lake.runtime import Lake
    from jobs.lake.sink import Sink

__all__ = [
    "EffectResult",
    "Judgement",
    "Lake",
    "Outcome",
    "PublishGate",
    "Read",
    "Run",
    "Search",
    "Sink",
    "View",
    "effect",
    "table",
]


def __getattr__(name: str) -> Any:
    """`Lake` and `Sink` bring Spark with them, so they are imported when first asked for."""
    if name == "Lake":
        from jobs.lake.runtime import Lake

        return Lake
    if name == "Sink":
        from jobs.lake.sink import Sink

        return Sink
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
