"""Channel `popular`: what many users take lately. Only this channel has a full list for everyone
(columns: `jobs.recall.channels.eligible`)."""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Run
from jobs.recall.channels.eligible import seen_items
from jobs.recall.channels.listed import best_listed
from jobs.recall.lists.popular import POPULAR, of_kind, segments_listed


def recall_popular(
    popular: DataFrame,
    segments: DataFrame,
    users: DataFrame,
    seen: DataFrame,
    length: int,
) -> DataFrame:
    """Exactly `length` rows for every user, if so many items are listed.

    popular: segment string, rank int, item_id string (one kind of gold.popular_items_daily).
    segments: user_id, segment string, at most one row a user. users: user_id string, the active
    users. seen: distinct user_id, item_id string; seen items come after all others, so they only
    fill a list that would be short without them.

    First come the items of the user's segment, then those of all users. The score is 1/rank: 1 for
    the first item of the list, 1/2 for the second. So lists of large and of small segments weigh
    alike in the fusion.
    """
    return best_listed(popular, segments, users, seen, length).drop("is_seen")


def candidates(
    run: Run, interactions: DataFrame, listed: DataFrame, users: DataFrame, profiles: DataFrame
) -> DataFrame:
    """Popular items of the user's segment, continued by those of all users: a full list."""
    settings, of_all = run.settings.popular, of_kind(listed, POPULAR)
    segments = segments_listed(users, of_all, settings)
    seen = seen_items(interactions, run.last_event_day, settings.seen_last_days)
    return recall_popular(of_all, segments, profiles, seen, run.settings.user.popular_items)
