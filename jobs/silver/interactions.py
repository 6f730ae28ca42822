"""What users did with items, one row per (user_id, item_id, event_ts, event_type, session_id).

Without sessions, equal times make one event; two orders of one item on one day are two events.
The first record of a key counts, by the order received: ingest_ds, source_file, source_row. A later
record is quarantined as a duplicate, also when the first came with an earlier run. A purchase of
less than 0 pieces, as tills write it, is a return. Events of type `other` stay in bronze and are
counted as folded. An interaction with an unknown item or user is kept, since the item's or user's
record may come later.

The rows are what happened. Readers see what that leaves (`jobs.recall.kernels.taken`).
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import Outcome, Read, Run, View, table
from jobs.lake.intake.mapping import EventType
from jobs.recall.kernels.taken import RETURN, pieces_factor, taken, unwanted
from jobs.recall.settings.events import STANDARD_WEIGHTS

KEY = ("user_id", "item_id", "event_ts", "event_type", "session_id")

NEGATIVE = "quantity below 0 of an event that is no purchase and no return"
DUPLICATE = "duplicate key: this user, item, time, event type and session came before"


@table(
    "silver.interactions",
    reads={"received": Read("bronze.events", pending=True), "held": Read("silver.interactions")},
    accounts_for="received",
    views={"": View(taken, settings=("events",)), "unwanted": View(unwanted)},
)
def interactions(run: Run, received: DataFrame, held: DataFrame) -> Outcome:
    """The key, event_date date (UTC), weight double, quantity, amount?, ingest_ds.

    received: records not taken in yet. held: interactions of earlier runs.
    """
    # Each file holds a range of days, so that readers of some days skip the others' files.
    by_day = judge_events(received, held).repartitionByRange("event_date")
    judged = run.scratch.once(by_day)
    used = F.col("event_type") != EventType.other.value
    rejected = judged.where(F.col("reason").isNotNull())
    payload = F.struct(*KEY, "quantity", "amount")
    return Outcome(
        rows=judged.where(used & F.col("reason").isNull()).select(
            *KEY,
            "event_date",
            weight().alias("weight"),
            "quantity",
            "amount",
            "ingest_ds",
        ),
        quarantined=rejected.select(
            "source_file",
            F.col("source_row").cast("string").alias("row_id"),
            F.when(F.col("reason") == NEGATIVE, "quantity").alias("column"),
            "reason",
            F.to_json(payload, {"ignoreNullFields": "false"}).alias("payload"),
        ),
        folded=judged.where(~used),
    )


def judge_events(received: DataFrame, held: DataFrame) -> DataFrame:
    """The received records with event_date and the reason why the record can't be used, or null.

    A purchase of less than 0 pieces comes back as a return of so many pieces.
    """
    below = F.col("quantity") < 0
    sold = F.col("event_type") == EventType.purchase.value
    back = below & (sold | (F.col("event_type") == RETURN))
    events = received.withColumns(
        {
            "event_date": F.to_date("event_ts"),
            "event_type": F.when(back, F.lit(RETURN)).otherwise(F.col("event_type")),
            "quantity": F.when(back, -F.col("quantity")).otherwise(F.col("quantity")),
        }
    )
    used = F.col("event_type") != EventType.other.value
    candidate = used & (F.col("quantity") >= 0)
    # A record that can't be used must not make a good record of its key a duplicate.
    first_received = Window.partitionBy(*KEY).orderBy(
        (~candidate).cast("int"), "ingest_ds", "source_file", "source_row"
    )
    known = keys_held(held, events).withColumn("held", F.lit(True)).alias("known")
    negative = used & (F.col("quantity") < 0)
    again = candidate & ((F.col("place") > 1) | F.col("held").isNotNull())
    # An event may have no session.
    same = [F.col(f"events.{name}").eqNullSafe(F.col(f"known.{name}")) for name in KEY]
    same.append(F.col("events.event_date") == F.col("known.event_date"))
    return (
        events.withColumn("place", F.row_number().over(first_received))
        .alias("events")
        .join(known, same, "left")
        .select("events.*", "held")
        .withColumn("reason", F.when(negative, NEGATIVE).when(again, DUPLICATE))
        .drop("place", "held")
    )


def keys_held(held: DataFrame, events: DataFrame) -> DataFrame:
    """event_date and key of the held interactions, from the first day of `events` to the last.

    The two days are fetched first: with literal dates Delta leaves out the files of other days.
    """
    days = events.agg(F.min("event_date").alias("first"), F.max("event_date").alias("last"))
    first, last = days.collect()[0]
    return held.where(F.col("event_date").between(F.lit(first), F.lit(last))).select(
        "event_date", *KEY
    )


def weight() -> Column:
    """The standard weight of the event type x (1 + ln q), q the quantity within 1 and 10; 0 for an
    event that takes nothing: a return, a dislike, a hide."""
    standard = F.lit(0.0)
    for event_type, value in STANDARD_WEIGHTS.items():
        standard = F.when(F.col("event_type") == event_type, F.lit(value)).otherwise(standard)
    return standard * pieces_factor(F.col("quantity"))
