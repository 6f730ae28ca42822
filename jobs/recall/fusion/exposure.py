"""Exposure: a cap on the share of all users in whose lists one item stands.

    weight(u, i) = score(u, i) / best score of u

All candidates of all users are visited by falling weight. A row is admitted if its user has a place
left and its item may be shown to one more user. So an item that too many users want goes to the
users for whom it weighs most, and each other user gets the next best candidate. Users and items
both go by the weight, so no user and item prefer each other to what they have: this is the stable
matching of Gale and Shapley (1962) with several places on both sides.

Lists stay as long as they would be without the cap. A user whose candidates are all shown to enough
other users still takes the best of them: the cap is relaxed, and the log says by how much. This
never happens for lists of k items and a cap of c users if each of n users has k + n · k / c
candidates, since n · k places fill at most n · k / c items.
"""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.kernels.compiled import kernel

logger = logging.getLogger(__name__)


def cap_exposure(
    scored: DataFrame, users: DataFrame, k: int, max_exposure: float, scratch: Scratch
) -> DataFrame:
    """The rows without those that the cap keeps out of their user's list.

    scored: user_id, item_id string, score double > 0, at most one row for each pair, and any other
    columns; all columns are returned. users: user_id string, who gets a list. k: length of a list.
    max_exposure: share of the users, above 0, up to 1. scratch: must live until the result is read.
    Ties: within a user by item_id ascending; between users by a hash of user and item, so that the
    same users do not always come first.

    Only rows that may stand in a list, and whose item more users want than may have it, come to
    this process, about 60 bytes each.
    """
    # A share of 0.29 of 100 users is 28.999999999999996 of them.
    limit = max(1, int(max_exposure * users.count() + 1e-9))
    in_order = Window.partitionBy("user_id").orderBy(F.desc("score"), F.asc("item_id"))
    of_user = Window.partitionBy("user_id")
    wanted = scored.groupBy("item_id").agg((F.count("*") > limit).alias("is_scarce"))
    free = F.when(F.col("is_scarce"), 0).otherwise(1)
    placed = (
        scored.select("user_id", "item_id", "score")
        .join(wanted, "item_id")
        .withColumn("free_before", F.sum(free).over(in_order))
        .withColumn("free", F.sum(free).over(of_user))
        .withColumn("weight", F.col("score") / F.max("score").over(of_user))
        .where(F.col("is_scarce") & (F.col("free_before") < k))
    )
    rows = (
        placed.withColumn("draw", F.xxhash64("user_id", "item_id"))
        .select("user_id", "item_id", "weight", "draw", "free_before", "free")
        .orderBy(F.desc("weight"), "item_id", "draw", "user_id")
        .toArrow()
    )
    user, item = (
        rows[name].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
        for name in ("user_id", "item_id")
    )
    free_before, free_of_user = (rows[name].to_numpy() for name in ("free_before", "free"))
    admitted, relaxed = admit(user, item, free_before, free_of_user, k, limit)
    if relaxed:
        shown = np.bincount(item[admitted])
        logger.warning(
            "%d rows beyond the cap on exposure: %d items are in more than %d lists, the most in "
            "%d, because users have no other candidates",
            relaxed,
            np.count_nonzero(shown > limit),
            limit,
            shown.max(),
        )
    closed = rows.select(["user_id", "item_id"]).filter(pa.array(~admitted))
    refused = scratch.from_arrow(scored.sparkSession, [closed], closed.schema)
    return scored.join(refused, ["user_id", "item_id"], "left_anti")


@kernel
def admit(
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    free_before: NDArray[np.int64],
    free: NDArray[np.int64],
    k: int,
    limit: int,
) -> tuple[NDArray[np.bool_], int]:
    """Which rows stand in a list, and how many of them are beyond the cap. Rows come by falling
    weight.

    user, item: codes from 0. free_before, free: how many of the user's rows have an item that fewer
    users want than may have it: before this row, and in all.
    """
    admitted = np.zeros(len(user), np.bool_)
    if not len(user):
        return admitted, 0
    listed = np.zeros(user.max() + 1, np.int64)
    shown = np.zeros(item.max() + 1, np.int64)
    for row in range(len(user)):
        has_place = free_before[row] + listed[user[row]] < k
        if has_place and shown[item[row]] < limit:
            admitted[row] = True
            listed[user[row]] += 1
            shown[item[row]] += 1
    relaxed = 0
    for row in range(len(user)):
        if not admitted[row] and free[row] + listed[user[row]] < k:
            admitted[row] = True
            listed[user[row]] += 1
            relaxed += 1
    return admitted, relaxed
