"""The choices of options of `reclake evaluate`, without their code: importing them is cheap."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """How a file of interactions is written (`jobs.evaluation.data`)."""

    lightgcn = "lightgcn"
    parquet = "parquet"


class Metric(StrEnum):
    """The metric that settings are chosen by (`jobs.judging.metrics`)."""

    recall = "recall"
    ndcg = "ndcg"
    hit_rate = "hit_rate"
    mrr = "mrr"


class Split(StrEnum):
    """Which interactions are held out to choose settings on (`jobs.evaluation.split`)."""

    auto = "auto"
    last = "last"
    one = "one"
    time = "time"
    random = "random"


class Seen(StrEnum):
    """Whether items that a user took in train may be listed, and count in test."""

    auto = "auto"
    exclude = "exclude"
    allow = "allow"
