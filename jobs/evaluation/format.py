"""The words of `reclake evaluate`, apart from what they do: importing them costs nothing."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """How a file of interactions is written (`jobs.evaluation.data`)."""

    lightgcn = "lightgcn"
    parquet = "parquet"


class Seen(StrEnum):
    """Whether the items that a user took in train may be listed, and count in test."""

    auto = "auto"
    exclude = "exclude"
    allow = "allow"
