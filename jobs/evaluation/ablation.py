"""Is the LLM worth its cost? The same lists without texts, with template texts, with LLM texts.

The arms differ only in the item texts that the encoder reads. `no text`: none, so the content
method does not exist. `template`: each item's own words. `enriched`: the day's texts, which add the
LLM's words where the gate accepted them. All else is that of the daily run; the slices are those of
`jobs.judging.published`. Texts of users play no part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.evaluation.data import INTERACTIONS, last_day
from jobs.evaluation.evaluate import coded, ids_of, lists_of
from jobs.evaluation.methods import Bench, EncodeTexts, prepare
from jobs.judging.metrics import Accuracy, Pairs, accuracy, bootstrap_interval
from jobs.judging.published import COLD_USERS, HEAD_SHARE, in_sample_order
from jobs.lake.errors import UpstreamMissing
from jobs.recall.kernels.taken import PURCHASE
from jobs.settings import Settings

if TYPE_CHECKING:
    from jobs.lake.runtime import Lake

NO_TEXT, TEMPLATE, ENRICHED = ARMS = ("no text", "template", "enriched")
METHODS = ("content", "default")
SLICES = ("all", "head", "long_tail", "cold")
METRICS = ("recall", "ndcg")
_DRAWS = 1000


@dataclass(frozen=True)
class Row:
    """One metric of one method's lists for one slice of the test items.

    users: over how many the mean goes. values: by arm; an arm without the method is left out.
    uplift: enriched less template, over the same users, with its 95% bootstrap interval.
    """

    method: str
    slice: str
    metric: str
    users: int
    values: dict[str, float]
    uplift: float
    low: float
    high: float


@dataclass(frozen=True)
class Shop:
    """The interactions that the arms share, and the texts of each arm.

    train, test: in the columns of `jobs.evaluation.data.INTERACTIONS`. texts: item_id, template,
    enriched string. described: items whose two texts differ.
    """

    train: pa.Table
    test: pa.Table
    texts: pa.Table

    @property
    def described(self) -> int:
        return int(
            pc.sum(pc.not_equal(self.texts["template"], self.texts["enriched"])).as_py() or 0
        )


def shop_of(lake: Lake, as_of: date, horizon_days: int) -> Shop:
    """What the lake knew on a day, and what a sample of its users took in the days after.

    Raises UpstreamMissing where the day has no texts, or no known user took anything afterwards.
    """
    from jobs.silver.item_texts import own_words

    # What counts is weighed and without returns already: all of it is taken as it is.
    as_taken = {"event_type": F.lit(PURCHASE).alias("event_type")}
    columns = [as_taken.get(f.name, F.col(f.name)) for f in INTERACTIONS]
    before = lake.read_as_of("silver.interactions", as_of).where("weight > 0")
    after = taken_after(lake, as_of, horizon_days)
    known = after.join(before.select("user_id").distinct(), "user_id", "left_semi")
    asked = in_sample_order(known.select("user_id").distinct()).limit(
        lake.settings.recall.metrics.users
    )
    texts = (
        lake.read_as_of("silver.item_texts", as_of)
        .select("item_id", F.col("text").alias("enriched"))
        .join(
            lake.read_as_of("silver.items", as_of).select("item_id", own_words().alias("template")),
            "item_id",
        )
        .select("item_id", "template", "enriched")
        .toArrow()
    )
    test = known.join(asked, "user_id", "left_semi").select(*columns).toArrow()
    if not texts.num_rows or not test.num_rows:
        missing = "silver.item_texts has no rows" if not texts.num_rows else "nobody took anything"
        raise UpstreamMissing(
            f"ablation as of {as_of}, {horizon_days} days after: {missing}. Nothing was evaluated. "
            f"Run recall_daily for {as_of}, and take in the drops up to "
            f"{as_of + timedelta(days=horizon_days)}."
        )
    return Shop(
        before.select(*columns).toArrow().cast(INTERACTIONS), test.cast(INTERACTIONS), texts
    )


def taken_after(lake: Lake, as_of: date, horizon_days: int) -> DataFrame:
    """silver.interactions of the days after, as known on the last of them."""
    known = lake.read_as_of("silver.interactions", as_of + timedelta(days=horizon_days))
    return known.where((F.col("event_date") > F.lit(as_of)) & (F.col("weight") > 0))


def ablate(
    spark: SparkSession,
    shop: Shop,
    k: int,
    settings: Settings,
    folder: Path,
    encode: EncodeTexts,
    started: Callable[[str], None],
) -> list[Row]:
    """The metrics at k of METHODS by arm, for each slice of the test items that has any.

    settings: as `jobs.evaluation.evaluate.settings_for` returns them. folder: empty, shared with
    the executors. encode: the settings' encoder. started: called with each arm and step.
    """
    users = ids_of(shop.train["user_id"], shop.test["user_id"])
    items = ids_of(shop.train["item_id"], shop.test["item_id"], shop.texts["item_id"])
    asked, ds = ids_of(shop.test["user_id"]), last_day(shop.train)
    wanted = coded(shop.test, users, items)
    slices = _sliced(wanted, coded(shop.train, users, items), len(items))
    remembering = Remembering(encode)
    found: dict[tuple[str, str], dict[str, Accuracy]] = {}
    for arm in ARMS:
        texts = None
        if arm != NO_TEXT:
            texts = shop.texts.select(["item_id", arm]).rename_columns(["item_id", "text"])
        of_arm = folder / arm.replace(" ", "_")
        of_arm.mkdir()
        train = prepare(spark, shop.train, texts, asked, ds, settings, of_arm, remembering)
        bench = Bench(train, of_arm, lambda step, arm=arm: started(f"{arm}: {step}"))  # type: ignore[misc]
        for method in METHODS:
            if method == "content" and texts is None:
                continue
            lists = lists_of(bench.lists(method), k, users, items)
            found[arm, method] = {name: accuracy(lists, part, k) for name, part in slices.items()}
    return [
        _row(found, method, name, metric)
        for method in METHODS
        for name in slices
        for metric in METRICS
    ]


class Remembering:
    """An encoder that encodes no text twice: the arms share nearly all of theirs."""

    def __init__(self, encode: EncodeTexts) -> None:
        self._encode = encode
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if new := [text for text in dict.fromkeys(texts) if text not in self._vectors]:
            self._vectors |= zip(new, self._encode(new), strict=True)
        return np.stack([self._vectors[text] for text in texts])


def verdict(rows: Sequence[Row], described: int) -> str:
    """One sentence: whether the LLM's texts made the published lists better, worse, or neither."""
    if not described:
        return "No text of the day holds an LLM answer, so there is nothing to compare."
    row = next(
        row for row in rows if (row.method, row.slice, row.metric) == ("default", "all", METRICS[0])
    )
    change = row.uplift / row.values[TEMPLATE] if row.values[TEMPLATE] else 0.0
    figures = (
        f"recall {row.values[ENRICHED]:.4f} with LLM texts, {row.values[TEMPLATE]:.4f} with "
        f"templates ({change:+.1%}; 95% interval of the difference {row.low:+.4f} to "
        f"{row.high:+.4f}), {row.values[NO_TEXT]:.4f} without texts; {row.users:,} users, "
        f"{described:,} items described"
    )
    if row.low > 0:
        return f"The enrichment pays on this data: {figures}."
    if row.high < 0:
        return f"The enrichment makes the lists worse on this data: {figures}."
    return f"The enrichment does not pay on this data, no difference can be told: {figures}."


def _row(
    found: Mapping[tuple[str, str], Mapping[str, Accuracy]], method: str, name: str, metric: str
) -> Row:
    each = {
        arm: getattr(found[arm, method][name], metric) for arm in ARMS if (arm, method) in found
    }
    difference = each[ENRICHED] - each[TEMPLATE]
    low, high = bootstrap_interval(difference, draws=_DRAWS)
    return Row(
        method,
        name,
        metric,
        len(difference),
        {arm: float(values.mean()) for arm, values in each.items()},
        float(difference.mean()),
        float(low),
        float(high),
    )


def _sliced(wanted: Pairs, taken: Pairs, items: int) -> dict[str, Pairs]:
    """The test pairs of each slice that has any; an item's slice depends on its train users."""
    counts = np.bincount(taken.item, minlength=items)
    known = np.flatnonzero(counts)
    order = known[np.lexsort((known, -counts[known]))]
    is_head = np.zeros(items, np.bool_)
    is_head[order[: int(np.ceil(HEAD_SHARE * max(len(known) - 1, 0)))]] = True
    is_cold = counts <= COLD_USERS
    is_head &= ~is_cold
    of_slice = {
        "all": np.ones(items, np.bool_),
        "head": is_head,
        "long_tail": ~is_head & ~is_cold,
        "cold": is_cold,
    }
    parts = {name: of_slice[name][wanted.item] for name in SLICES}
    return {
        name: Pairs(wanted.user[part], wanted.item[part])
        for name, part in parts.items()
        if part.any()
    }
