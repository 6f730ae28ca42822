"""Fields that several sections of recall share: meaning, unit and range, written once."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, and a section never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Neighbors = Annotated[int, Field(ge=1, le=1000, description="neighbors to keep of each item")]
Candidates = Annotated[int, Field(ge=1, description="candidates to keep of each user")]
ExcludeSeenDays = Annotated[
    int,
    Field(
        ge=0,
        description="days of interactions whose items are left out of a user's candidates; 0 "
        "leaves out none",
    ),
]
ItemsPerText = Annotated[
    int, Field(ge=1, description="items with the same text that one list may hold")
]
MinSupport = Annotated[
    int, Field(ge=1, description="distinct users that must stand behind a pair of items")
]
HalfLifeDays = Annotated[
    float,
    Field(
        gt=0,
        description="days after which an interaction counts half; in the history of a user, days "
        "before the user's last interaction",
    ),
]
WindowDays = Annotated[int, Field(ge=1, description="days of interactions that count")]
UserExponent = Annotated[
    float,
    Field(ge=0, le=2, description="how much a long history takes from a user's weight, degree^-x"),
]
ItemExponent = Annotated[
    float,
    Field(ge=0, le=3, description="how much a popular item loses weight as the source, degree^-x"),
]
NeighborExponent = Annotated[
    float,
    Field(ge=0, le=3, description="how much a popular item loses weight as a neighbor, degree^-x"),
]
Shrinkage = Annotated[
    float,
    Field(
        ge=0,
        description="users behind a pair, not counting the first, at which its score counts half; "
        "0 counts every pair in full",
    ),
]
GapMinutes = Annotated[
    float,
    Field(
        ge=0,
        description="minutes without an event after which a new session begins, where the data has "
        "no session_id",
    ),
]
Smoothing = Annotated[
    float,
    Field(
        gt=0,
        description="users with the usual behavior that are added to each item's own users, so "
        "that few users prove little",
    ),
]


def all_weights(weights: dict[str, float], known: tuple[str, ...], field: str) -> dict[str, float]:
    """One weight for each name, 0 where none is given.

    Raises ValueError for an unknown name, for a weight outside 0 to 1, and where all are 0.
    """
    if unknown := sorted(set(weights) - set(known)):
        raise ValueError(f"{field}: unknown {', '.join(unknown)}; known: {', '.join(known)}")
    if outside := {name: w for name, w in weights.items() if not 0 <= w <= 1}:
        raise ValueError(f"{field}: expected 0 to 1, found {outside}")
    if sum(weights.values()) <= 0:
        raise ValueError(f"{field}: all are 0, so nothing could be ranked")
    return {name: weights.get(name, 0.0) for name in known}
