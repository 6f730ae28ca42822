"""What an event says about taste, by its type (`jobs.silver.interactions`)."""

from __future__ import annotations

from pydantic import Field, field_validator

from jobs.recall.settings.fields import Section

# The weight of one event of a type beside that of one bought piece.
STANDARD_WEIGHTS = {"view": 0.1, "click": 0.2, "wishlist": 0.5, "cart": 0.5, "purchase": 1.0}


class EventSettings(Section):
    """How much each type of event counts, in all lists."""

    weights: dict[str, float] = Field(
        STANDARD_WEIGHTS,
        validate_default=True,
        description="weight of one event of each type beside that of one bought piece, 0 to 1; a "
        "type with weight 0 teaches nothing, and a type that is not named keeps its standard "
        "weight",
    )

    @field_validator("weights")
    @classmethod
    def _weights_name_types(cls, weights: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(set(weights) - set(STANDARD_WEIGHTS)):
            known = ", ".join(STANDARD_WEIGHTS)
            raise ValueError(f"weights: unknown {', '.join(unknown)}; known: {known}")
        if outside := {name: w for name, w in weights.items() if not 0 <= w <= 1}:
            raise ValueError(f"weights: expected 0 to 1, found {outside}")
        return STANDARD_WEIGHTS | weights
