"""A validation part cut from train, to choose settings on while test stays unseen.

    last     each user's newest fifth of times, at least one and never all
    one      each user's newest time, never all
    time     the newest fifth of all interactions, cut between two days
    random   a fifth of each user's items, at least one and never all
    auto     last, or random where all interactions have one time

The same rows and seed give the same parts, in whatever order the rows come.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.evaluation.data import BadData, is_timed
from jobs.evaluation.vocabulary import Split

SHARE = 0.2


def cut(
    interactions: pa.Table, split: Split, seed: int, most_users: int
) -> tuple[pa.Table, pa.Table]:
    """The part to learn from, and the held-out part. Raises BadData when one would be empty.

    interactions: as `jobs.evaluation.data` reads them. most_users: users in the held-out part, a
    random sample if there are more; the first part keeps its rows of all users.
    """
    rows = interactions.sort_by(
        [("user_id", "ascending"), ("event_ts", "ascending"), ("item_id", "ascending")]
    )
    draw = np.random.default_rng(seed)
    timed = is_timed(rows)
    if split is Split.auto:
        split = Split.last if timed else Split.random
    if split is not Split.random and not timed:
        raise BadData(f"--split {split}: all interactions have one time. Use --split random.")
    user = pc.rank(rows["user_id"], tiebreaker="dense").to_numpy().astype(np.int64) - 1
    if split is Split.random:
        item = pc.rank(rows["item_id"], tiebreaker="dense").to_numpy().astype(np.int64)
        held_out = _first_units(user, item, SHARE, draw.random)
    elif split is Split.time:
        days = rows["event_date"].cast(pa.int32()).to_numpy()
        held_out = days > np.sort(days)[round(len(days) * (1 - SHARE)) - 1]
    else:
        at = rows["event_ts"].cast(pa.int64()).to_numpy()
        held_out = _first_units(user, -at, SHARE if split is Split.last else 0)
    asked = np.unique(user[held_out])
    if len(asked) > most_users:
        asked = np.sort(draw.choice(asked, most_users, replace=False))
    train = rows.filter(pa.array(~held_out))
    validation = rows.filter(pa.array(held_out & np.isin(user, asked)))
    if not train.num_rows or not validation.num_rows:
        raise BadData(
            f"--split {split}: nothing is left to learn from or to hold out, of "
            f"{rows.num_rows:,} interactions. Use another split, or more data."
        )
    return train, validation


def _first_units(
    user: NDArray, unit: NDArray, share: float, order: Callable[[int], NDArray] | None = None
) -> NDArray[np.bool_]:
    """Which rows belong to the first share of their user's distinct units.

    unit: of each row, an item or a time; all rows of a unit go together. share: 0 to 1; at least
    one unit goes, and one stays. order: makes a key for each of a number of units, the smallest
    first; without it units are in their own order.
    """
    units, row = np.unique(np.stack([user, unit]), axis=1, return_inverse=True)
    keys = units[1] if order is None else order(units.shape[1])
    places = np.lexsort((keys, units[0]))
    of_user = units[0][places]
    counts = np.bincount(of_user)[of_user]
    wanted = np.clip(np.rint(counts * share), 1, counts - 1)
    held_out = np.zeros(len(places), np.bool_)
    held_out[places] = np.arange(len(places)) - np.searchsorted(of_user, of_user) < wanted
    return held_out[row.reshape(-1)]
