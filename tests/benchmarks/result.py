"""One measured figure, beside its peer and its target."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """value, peer_value: in `unit`. ratio: value / peer_value. target: of the ratio where
    `of_ratio`, else of the value; reached from above unless `at_most`. repetitions: runs of each
    side that the figure is the best or the mean of, the same number for both."""

    name: str
    value: float
    unit: str
    target: float | None = None
    peer: str | None = None
    peer_value: float | None = None
    at_most: bool = False
    of_ratio: bool = False
    repetitions: int = 1

    @property
    def ratio(self) -> float | None:
        return self.value / self.peer_value if self.peer_value else None

    @property
    def ok(self) -> bool | None:
        """Whether the target is met; None without one."""
        reached = self.ratio if self.of_ratio else self.value
        if self.target is None or reached is None:
            return None
        return reached <= self.target if self.at_most else reached >= self.target

    def row(self) -> dict[str, Any]:
        kept = {key: asdict(self)[key] for key in ("name", "value", "unit", "peer", "peer_value")}
        judged = {"ratio": self.ratio, "target": self.target, "ok": self.ok}
        return kept | judged | {"repetitions": self.repetitions}

    def shown(self) -> list[Any]:
        return [f"{v:.4g}" if isinstance(v, float) else v for v in self.row().values()]
