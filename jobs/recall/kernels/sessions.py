"""Sessions: what a user took in one visit."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

# Stands between a user's id and a session's; the part behind it never holds another.
_SEPARATOR = "\x1f"


def with_sessions(interactions: DataFrame, gap_minutes: float) -> DataFrame:
    """The interactions with sessions in the place of users.

    interactions: user_id string, event_ts timestamp, session_id string or null, and any others.
    An event without a session_id belongs to the session of the user's previous such event if at
    most `gap_minutes` lie between; equal times are one session.
    Returns the same columns, with the session's id in user_id, and owner_id string: the user, whose
    id the session's id begins with.
    """
    given = F.lower(F.hex(F.xxhash64("session_id")))
    in_order = Window.partitionBy("user_id", F.col("session_id").isNull()).orderBy("event_ts")
    gap = F.unix_micros("event_ts") - F.lag(F.unix_micros("event_ts")).over(in_order)
    begins = F.coalesce(gap > F.lit(int(gap_minutes * 60_000_000)), F.lit(False)).cast("int")
    so_far = in_order.rangeBetween(Window.unboundedPreceding, Window.currentRow)
    number = F.sum("begins").over(so_far).cast("string")
    session = F.when(F.col("session_id").isNotNull(), given).otherwise(F.concat(F.lit("-"), number))
    return (
        interactions.withColumn("begins", begins)
        .withColumn("owner_id", F.col("user_id"))
        .withColumn("session", session)
        .withColumn("user_id", F.concat_ws(_SEPARATOR, "owner_id", "session"))
        .drop("begins", "session")
    )


def owner() -> Column:
    """The user of a session, from the session's id in user_id."""
    return F.regexp_replace("user_id", f"{_SEPARATOR}[^{_SEPARATOR}]*$", "")
