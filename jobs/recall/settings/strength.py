"""Settings of the strength of (user, item) pairs, and of their matrix."""

from __future__ import annotations

from pydantic import Field

from jobs.recall.settings.fields import HalfLifeDays, Section


class StrengthSettings(Section):
    """The strength of (user, item) pairs (`jobs.recall.kernels.strength`)."""

    half_life_days: HalfLifeDays = 180.0
    history_length: int = Field(
        1000, ge=1, description="newest distinct items of a user that count"
    )
    saturation: float = Field(
        1.0,
        gt=0,
        description="decayed weight of a (user, item) pair at which its strength is one half; "
        "further repeats add less and less",
    )


class MatrixSettings(StrengthSettings):
    """The strength of (user, item) pairs, and how their matrix is computed."""

    max_matrix_entries: int = Field(
        20_000_000,
        ge=0,
        description="most (user, item) pairs of a matrix in memory, about 40 bytes each; with "
        "more, Spark joins and shuffles the pairs",
    )
    block_products: int = Field(
        20_000_000,
        ge=1,
        description="multiplications in one Spark task of the matrix product",
    )
