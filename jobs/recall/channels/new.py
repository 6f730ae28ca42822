"""Channel `new`: items that the shop has not had for long (gold.popular_items_daily)."""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Run
from jobs.recall.channels.listed import candidates_of_kind


def candidates(
    run: Run, interactions: DataFrame, listed: DataFrame, users: DataFrame, profiles: DataFrame
) -> DataFrame:
    """Items that the shop has not had for long."""
    settings = run.settings.new
    return candidates_of_kind(run, "new", settings, interactions, listed, users, profiles)
