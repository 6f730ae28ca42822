"""Channel `seasonal`: items taken in these weeks of earlier years (gold.popular_items_daily)."""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Run
from jobs.recall.channels.listed import candidates_of_kind


def candidates(
    run: Run, interactions: DataFrame, listed: DataFrame, users: DataFrame, profiles: DataFrame
) -> DataFrame:
    """Items taken in these weeks of earlier years."""
    settings = run.settings.seasonal
    return candidates_of_kind(run, "seasonal", settings, interactions, listed, users, profiles)
