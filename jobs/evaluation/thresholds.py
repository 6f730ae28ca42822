"""How theta and epsilon of the channel `product_names` change what it lists and finds.

For each theta and epsilon of a grid, the channel's own functions make a day's lists, which are
measured on what users took next. Names and vectors are made once; each theta matches the names
anew, and each epsilon selects items of the matches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.evaluation.ablation import taken_after
from jobs.evaluation.evaluate import coded, coded_lists, ids_of
from jobs.judging.metrics import accuracy
from jobs.lake.scratch import Scratch
from jobs.lake.step import Read, find_step
from jobs.recall.channels.product_names import NamedProducts, match_names, recall_matched
from jobs.recall.sources.channels import ProductNamesSettings

if TYPE_CHECKING:
    from jobs.lake.runtime import Lake

THETAS = (0.5, 0.6, 0.7, 0.8)
EPSILONS = (0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Kept:
    """What the channel keeps at one theta and epsilon.

    names: pairs of a user and a matched name of the catalogue, which epsilon does not change.
    users: those with a list. items: distinct items in lists. recall: mean over the judged users, 0
    for a user without a list; None where nobody is judged. is_set: whether it is in use.
    """

    theta: float
    epsilon: float
    names: int
    users: int
    items: int
    recall: float | None
    is_set: bool


@dataclass(frozen=True)
class Sweep:
    """The grid, by theta and then epsilon, empty where the LLM named nothing.

    asked: users for whom the LLM named a product. judged: those who took something next.
    """

    asked: int
    judged: int
    k: int
    kept: list[Kept]


def sweep_lake(
    lake: Lake, as_of: date, horizon_days: int, k: int, folder: Path, started: Callable[[str], None]
) -> Sweep:
    """The grid on the lists of a day, against the days after; folder: empty, shared with Spark."""
    from jobs.recall.channels.product_names import named_products

    run = lake.by_hand(as_of, Scratch(folder))
    reads = find_step("silver.user_candidates", "product_names").reads
    frames = {
        name: lake.read_as_of(read.table, as_of)
        for name, read in reads.items()
        if isinstance(read, Read)
    }
    products = named_products(run, **frames)
    after = taken_after(lake, as_of, horizon_days)
    settings = lake.settings.recall.product_names
    return sweep(
        products,
        frames["interactions"],
        frames["items"],
        after,
        as_of,
        settings,
        k,
        run.scratch,
        started,
    )


def sweep(
    products: NamedProducts,
    interactions: DataFrame,
    items: DataFrame,
    after: DataFrame,
    ds: date,
    settings: ProductNamesSettings,
    k: int,
    scratch: Scratch,
    started: Callable[[str], None],
) -> Sweep:
    """The grid, the settings' own thresholds in it.

    products, interactions, items: as the channel takes them. after: user_id, item_id string, taken
    in the days after. k: how many first ranks count. scratch: of the caller. started: called with
    each step.
    """
    asked = products.wanted.select("user_id").distinct()
    users = asked.count()
    if not users:
        return Sweep(0, 0, k, [])
    test = after.join(asked, "user_id", "left_semi").select("user_id", "item_id").toArrow()
    judged = len(test["user_id"].unique())
    kept = []
    for theta in sorted({*THETAS, settings.theta}):
        started(f"theta {theta:g}")
        of_theta = settings.model_copy(update={"theta": theta})
        matches = scratch.once(
            match_names(products.wanted, products.vectors, products.search, of_theta, scratch)
        )
        names = matches.count()
        for epsilon in sorted({*EPSILONS, settings.epsilon}):
            chosen = of_theta.model_copy(update={"epsilon": epsilon})
            lists = recall_matched(matches, products, interactions, items, ds, chosen)
            rows = lists.select("user_id", "item_id", "rank").toArrow()
            kept.append(
                Kept(
                    theta,
                    epsilon,
                    names,
                    len(rows["user_id"].unique()),
                    len(rows["item_id"].unique()),
                    _recall(rows, test, k) if judged else None,
                    (theta, epsilon) == (settings.theta, settings.epsilon),
                )
            )
    return Sweep(users, judged, k, kept)


def _recall(rows: pa.Table, test: pa.Table, k: int) -> float:
    users = ids_of(rows["user_id"], test["user_id"])
    items = ids_of(rows["item_id"], test["item_id"])
    found = accuracy(coded_lists(rows, users, items), coded(test, users, items), k)
    return float(found.recall.mean())


def sentence(found: Sweep) -> str:
    """One sentence: what the thresholds in use find, and whether the grid has better ones."""
    if not found.asked:
        return (
            "No user's text of the day holds an LLM answer, so the channel product_names lists "
            "nothing, and theta and epsilon change nothing."
        )
    (used,) = (kept for kept in found.kept if kept.is_set)
    said = (
        f"With theta {used.theta:g} and epsilon {used.epsilon:g}, as set, the channel "
        f"product_names lists {used.items:,} items for {used.users:,} of the {found.asked:,} users "
        "for whom the LLM named products"
    )
    if used.recall is None:
        return f"{said}; none of these users took anything in the days after, so it has no recall."
    best = max(found.kept, key=lambda kept: (kept.recall or 0.0, kept.is_set))
    better = (
        "no other thresholds of the grid reach more"
        if best.recall == used.recall
        else f"theta {best.theta:g} and epsilon {best.epsilon:g} reach the most, {best.recall:.4f}"
    )
    return (
        f"{said}. Its recall on what {found.judged:,} of them took next is {used.recall:.4f}; "
        f"{better}."
    )
