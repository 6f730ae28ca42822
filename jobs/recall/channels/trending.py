"""Channel `trending`: items whose users come faster than usual (gold.popular_items_daily)."""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Run
from jobs.recall.channels.listed import candidates_of_kind


def candidates(
    run: Run, interactions: DataFrame, listed: DataFrame, users: DataFrame, profiles: DataFrame
) -> DataFrame:
    """Items whose users come faster than usual."""
    settings = run.settings.trending
    return candidates_of_kind(run, "trending", settings, interactions, listed, users, profiles)
