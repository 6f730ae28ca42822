"""How published lists are judged."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

LONGEST_HORIZON_DAYS = 28


class MetricsSettings(BaseModel):
    """How published lists are judged (`jobs.judging.published`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon_days: tuple[int, ...] = Field(
        (1, 7), description="horizons: days after a list in which users are watched"
    )
    k: int = Field(20, ge=1, le=1000, description="ranks of a list that count")
    users: int = Field(20_000, ge=1, description="most users in the sample, the same every day")
    max_loss: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of the published lists' ndcg that a day's lists may lose, by the lower "
        "end of the 95% interval, before the day is refused; 1 refuses none",
    )
    min_users: int = Field(30, ge=1, description="fewest compared users for a day to be refused")

    @model_validator(mode="after")
    def _horizons_are_kept(self) -> MetricsSettings:
        if outside := [h for h in self.horizon_days if not 1 <= h <= LONGEST_HORIZON_DAYS]:
            raise ValueError(f"horizon_days: expected 1 to {LONGEST_HORIZON_DAYS}, found {outside}")
        return self
