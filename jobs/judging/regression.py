"""Whether a day's lists are clearly worse than published ones: the gates of the two gold tables.

Only what users take next shows the quality of a day's lists, and on the day nobody knows it. So the
gates measure lists on what users took since an earlier day, and compare them with the lists that
were published for that day, for the same users:

    lists of users   the table function makes the earlier day again, from what was known then. If
                     neither code nor settings changed, these are the published rows: the loss is 0.
    neighbors        the day's own table gives the neighbors of what users took last before the
                     earlier day's end. It knows what users took since; the published table did not.
                     So a table that finds less is broken, but a slightly worse table may pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.judging.metrics import (
    Lists,
    Pairs,
    Values,
    accuracy,
    bootstrap_interval,
    codes_of,
)
from jobs.judging.published import by_last_items, in_sample_order, last_items, together
from jobs.judging.settings import MetricsSettings
from jobs.lake import Judgement, Run
from jobs.recall.kernels.mapped import in_id_order

HISTORY_DAYS = 90
RUNBOOK = "docs/runbooks/recall-regressed.md"
OFFERED, PUBLISHED = "offered", "published"


@dataclass(frozen=True)
class Comparison:
    """Two lists of the same users. offered, published: the mean ndcg of each, 0 to 1.

    least_loss: the lower end of the 95% bootstrap interval of published - offered, over users.
    """

    users: int
    offered: float
    published: float
    least_loss: float


def judge_user_lists(
    run: Run, made_on: date, rows: DataFrame, published: DataFrame, interactions: DataFrame
) -> Judgement:
    """Whether readers may get the user lists of a day, for `jobs.lake.PublishGate`.

    rows, published: user_id, item_id string, rank int; both of day `made_on`: rows as they would be
    made now. interactions: user_id, item_id string, event_date date, weight double.
    """
    settings = run.settings.metrics
    wanted = _taken_since(interactions, made_on, settings)
    lists = _both(rows, published, "user_id", "item_id", "rank")
    shown = lists.where(F.col("rank") <= settings.k)
    of_asked = shown.join(_users(wanted, rows), "user_id", "left_semi").toArrow()
    return judgement(compare(of_asked, wanted, settings.k), made_on, settings)


def judge_neighbor_lists(
    run: Run, made_on: date, rows: DataFrame, published: DataFrame, interactions: DataFrame
) -> Judgement:
    """Whether readers may get the neighbors of a day, for `jobs.lake.PublishGate`.

    rows, published: item_id, neighbor_item_id string, rank int; rows of the run's own day,
    published of day `made_on`. interactions: as for `judge_user_lists`. The sample holds users who
    also took something in the HISTORY_DAYS days up to `made_on`.
    """
    settings = run.settings.metrics
    wanted = _taken_since(interactions, made_on, settings)
    recent = F.col("event_date").between(made_on - timedelta(days=HISTORY_DAYS - 1), made_on)
    before = interactions.where(recent & (F.col("weight") > 0))
    last = last_items(before.join(_users(wanted, rows), "user_id", "left_semi"))
    lists = _both(rows, published, "item_id", "neighbor_item_id", "rank")
    shown = by_last_items(lists, last, settings.k, ("made",)).where(F.col("rank") <= settings.k)
    return judgement(compare(shown.toArrow(), wanted, settings.k), made_on, settings)


def compare(lists: pa.Table, wanted: pa.Table, k: int) -> Comparison:
    """Measure both lists of each user on what the user took.

    lists: made string (`offered` or `published`), user_id, item_id string, rank int. wanted:
    distinct user_id, item_id string. Users without a published list are left out; a user without an
    offered list counts 0 there.
    """
    offered, published = (lists.filter(pc.equal(lists["made"], m)) for m in (OFFERED, PUBLISHED))
    wanted = wanted.filter(pc.is_in(wanted["user_id"], value_set=published["user_id"].unique()))
    # In the order of their ids, so that the same users are drawn whatever order they came in.
    users = in_id_order(lists["user_id"], wanted["user_id"])
    items = in_id_order(lists["item_id"], wanted["item_id"])
    test = Pairs(codes_of(wanted["user_id"], users), codes_of(wanted["item_id"], items))

    def ndcg_of(part: pa.Table) -> Values:
        user, item = codes_of(part["user_id"], users), codes_of(part["item_id"], items)
        hits = Lists(user, item, part["rank"].to_numpy().astype(np.int64))
        return accuracy(hits, test, k).ndcg

    now, then = ndcg_of(offered), ndcg_of(published)
    if not len(then):
        return Comparison(0, 0.0, 0.0, 0.0)
    least_loss, _ = bootstrap_interval(then - now)
    return Comparison(len(then), float(now.mean()), float(then.mean()), float(least_loss))


def judgement(found: Comparison, made_on: date, settings: MetricsSettings) -> Judgement:
    """Refuses lists when the lower end of the interval of their loss is above `max_loss` of the
    published lists' ndcg. Fewer than `min_users` users decide nothing."""
    what = f"{found.users:,} users who had lists of {made_on} and took something since"
    if found.users < settings.min_users:
        return Judgement(True, f"not compared, for want of users: {what}")
    allowed = settings.max_loss * found.published
    observed = (
        f"ndcg@{settings.k} is {found.offered:.4f} as lists are made today and "
        f"{found.published:.4f} as they were published, for {what}; a loss of at least "
        f"{found.least_loss:.4f} (95%), allowed {allowed:.4f}"
    )
    return Judgement(found.least_loss <= allowed, observed)


def _both(rows: DataFrame, published: DataFrame, *columns: str) -> DataFrame:
    frames = {OFFERED: rows, PUBLISHED: published}
    return together({made: frame.select(*columns) for made, frame in frames.items()}, "made")


def _taken_since(interactions: DataFrame, made_on: date, settings: MetricsSettings) -> pa.Table:
    """The distinct user_id, item_id taken after a day; if users are many, of a sample that is the
    same each time."""
    after = interactions.where((F.col("event_date") > F.lit(made_on)) & (F.col("weight") > 0))
    asked = in_sample_order(after.select("user_id").distinct()).limit(settings.users)
    return (
        after.join(asked, "user_id", "left_semi").select("user_id", "item_id").distinct().toArrow()
    )


def _users(wanted: pa.Table, beside: DataFrame) -> DataFrame:
    """The users of a table in this process, which is small enough to send to every task."""
    users = pa.table({"user_id": wanted["user_id"].unique()})
    return F.broadcast(beside.sparkSession.createDataFrame(users, "user_id string"))
