"""Settings of how strongly users took to items, and of the matrix of both."""

from __future__ import annotations

from pydantic import Field

from jobs.recall.settings.fields import HalfLifeDays, Section


class StrengthSettings(Section):
    """How strongly users took to items (`jobs.recall.kernels.strength`)."""

    half_life_days: HalfLifeDays = 180.0
    history_length: int = Field(
        1000, ge=1, description="newest distinct items of a user that count, in items"
    )
    saturation: float = Field(
        1.0,
        gt=0,
        description="decayed weight of a (user, item) pair at which its strength is one half; "
        "repeats beyond it add less and less",
    )


class MatrixSettings(StrengthSettings):
    """How strongly users took to items, and how the matrix of both is computed."""

    max_matrix_entries: int = Field(
        20_000_000,
        ge=0,
        description="(user, item) pairs up to which the matrix is held in memory, about 40 bytes "
        "each; beyond it Spark joins and shuffles the pairs",
    )
    block_products: int = Field(
        20_000_000,
        ge=1,
        description="multiplications in one Spark task of the matrix product",
    )
