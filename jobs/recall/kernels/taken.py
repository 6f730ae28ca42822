"""What the log of interactions leaves when returns and dislikes are told off: the views of
`silver.interactions`.

    return    takes back pieces that the same user bought of the item before, the newest purchase
              first; pieces that were never bought change nothing
    dislike   takes back all that the user did with the item before
    hide      takes back nothing, but the user does not want to see the item

A run sees the returns and dislikes that were known on its day, so an earlier day made again keeps
the purchase.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake.file_bounds import Bounds
from jobs.lake.intake.mapping import EventType
from jobs.lake.settings import Sections
from jobs.recall.settings.events import STANDARD_WEIGHTS

RETURN = EventType.return_.value
DISLIKE = EventType.dislike.value
HIDE = EventType.hide.value
PURCHASE = EventType.purchase.value
# Ten pieces say little less than a hundred, and some shops count millilitres.
MOST_PIECES = 10

_PAIR = ("user_id", "item_id")
# A millionth of a piece is the rounding of sums, not goods.
_DIGITS = 6


def taken(rows: DataFrame, ds: date, settings: Sections, bounds: Bounds) -> DataFrame:
    """The interactions that count, with the columns of silver.interactions.

    Returned pieces are taken off `quantity`, `weight` and `amount`; a purchase of which nothing is
    left is gone. `weight` is that of the settings' event types.
    """
    rows = weighed(rows, settings.events.weights)
    if not may_hold(bounds, (RETURN, DISLIKE, HIDE)):
        return rows
    is_taken = ~F.col("event_type").isin(RETURN, DISLIKE, HIDE)
    if not may_hold(bounds, (RETURN, DISLIKE)):
        return rows.where(is_taken)
    changed = rows.where(F.col("event_type").isin(RETURN, DISLIKE)).select(*_PAIR).distinct()
    untouched = rows.where(is_taken).join(changed, list(_PAIR), "left_anti")
    touched = rows.join(changed, list(_PAIR), "left_semi")
    return untouched.select(*rows.columns).unionByName(what_is_left(touched))


def unwanted(rows: DataFrame, ds: date, settings: Sections, bounds: Bounds) -> DataFrame:
    """The (user, item) pairs of which the user's last word is a dislike or a hide: user_id,
    item_id, event_type, event_date of that word.

    What the user takes afterwards takes the word back, a return does not. At one time, the word
    comes last, and a dislike after a hide.
    """
    columns = (*_PAIR, "event_type", "event_date")
    if not may_hold(bounds, (DISLIKE, HIDE)):
        return rows.select(*columns).where(F.lit(False))
    said = F.col("event_type").isin(DISLIKE, HIDE)
    refused = rows.where(said).select(*_PAIR).distinct()
    words = rows.where(F.col("event_type") != RETURN).join(refused, list(_PAIR), "left_semi")
    order = F.struct("event_ts", said.cast("int"), (F.col("event_type") == DISLIKE).cast("int"))
    last = words.groupBy(*_PAIR).agg(
        *(F.max_by(name, order).alias(name) for name in ("event_type", "event_date"))
    )
    return last.where(said).select(*columns)


def what_is_left(rows: DataFrame) -> DataFrame:
    """Interactions without what was returned, and without what was done before a dislike.

    rows: all rows of their (user, item) pairs, in the columns of silver.interactions, of which
    `amount` may be missing; they come back. At one time, a return comes after a purchase, and a
    dislike last.

    As with nested brackets, what is left of a purchase is how far the balance of pieces, which
    never falls below 0, stays above its value before the purchase.
    """
    pieces = F.when(F.col("quantity") == 0, F.lit(1.0)).otherwise(F.col("quantity"))
    is_purchase = F.col("event_type") == PURCHASE
    signed = F.when(is_purchase, pieces).when(F.col("event_type") == RETURN, -pieces).otherwise(0.0)
    place = F.when(F.col("event_type") == RETURN, 1).otherwise(0)
    pair = Window.partitionBy(*_PAIR)
    in_order = pair.orderBy("event_ts", place, "event_type", "session_id")
    so_far = in_order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    from_here = in_order.rowsBetween(Window.currentRow, Window.unboundedFollowing)
    disliked = F.max(F.when(F.col("event_type") == DISLIKE, F.col("event_ts"))).over(pair)
    scaled = {
        "weight": _scaled(
            "weight", pieces_factor(F.col("kept")) / pieces_factor(F.col("quantity"))
        ),
        "amount": _scaled("amount", F.col("kept") / F.col("pieces")),
        "quantity": F.when(F.col("is_whole"), F.col("quantity")).otherwise(F.col("kept")),
    }
    return (
        rows.withColumns({"pieces": pieces, "disliked": disliked})
        .withColumn("sum", F.sum(signed).over(so_far))
        .withColumn("balance", F.col("sum") - F.least(F.lit(0.0), F.min("sum").over(so_far)))
        .withColumn("least", F.min("balance").over(from_here))
        .withColumn("kept", F.col("least") - (F.col("balance") - F.col("pieces")))
        .withColumn("kept", F.round(F.least(F.col("kept"), F.col("pieces")), _DIGITS))
        .withColumn("kept", F.when(is_purchase, F.col("kept")).otherwise(F.col("pieces")))
        .where(~F.col("event_type").isin(RETURN, DISLIKE, HIDE) & (F.col("kept") > 0))
        .where(F.col("disliked").isNull() | (F.col("event_ts") > F.col("disliked")))
        .withColumn("is_whole", F.col("kept") >= F.round("pieces", _DIGITS))
        .withColumns({name: value for name, value in scaled.items() if name in rows.columns})
        .select(*rows.columns)
    )


def weighed(rows: DataFrame, weights: dict[str, float]) -> DataFrame:
    """The rows with the weights of the settings; unchanged where these are the standard ones."""
    factor = None
    for event_type, standard in STANDARD_WEIGHTS.items():
        if weights[event_type] != standard:
            changed = F.lit(weights[event_type] / standard)
            is_type = F.col("event_type") == event_type
            factor = F.when(is_type, changed) if factor is None else factor.when(is_type, changed)
    if factor is None:
        return rows
    return rows.withColumn("weight", F.col("weight") * factor.otherwise(1.0))


def pieces_factor(quantity: Column) -> Column:
    """1 + ln q, q the quantity within 1 and `MOST_PIECES`.

    A quantity of 0 (a till line without count) weighs like one piece.
    """
    return 1 + F.log(F.least(F.greatest(quantity, F.lit(1.0)), F.lit(float(MOST_PIECES))))


def may_hold(bounds: Bounds, event_types: Sequence[str]) -> bool:
    """Whether a row of the table may have one of the event types."""
    found = bounds("event_type")
    if found is None:
        return True
    least, largest = found
    return least is not None and any(least <= name <= largest for name in event_types)


def _scaled(column: str, factor: Column) -> Column:
    return F.when(F.col("is_whole"), F.col(column)).otherwise(F.col(column) * factor)
