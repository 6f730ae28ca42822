"""Metrics of ranked lists, by what users took next.

Accuracy is the mean over all users with at least one test item; a user without a list counts as 0.

    recall     hits / test items of the user
    ndcg       Σ_hits 1/log2(rank + 1), divided by its value when the first min(k, test items)
               ranks are all hits: the definition of LightGCN (He et al., SIGIR 2020) and of
               `trec_eval`
    hit_rate   share of users with at least one hit
    mrr        1 / rank of the first hit, 0 without one

The other metrics look at the lists alone, over all users with a list.

    coverage         share of the catalogue that is in some list
    cold_coverage    share of the items that nobody took in train that is in some list; 0 if there
                     are no such items
    novelty          mean -log2(share of train users who took the item), in bits (Zhou et al., PNAS
                     2010); an item that nobody took counts as taken by one user
    diversity        1 - mean cosine of two items of a list, by their train users; lists of one
                     item are left out
    popularity_bias  mean train users of a listed item / mean train users of a test item; 1 where
                     listed items are as popular as test items
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Codes = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Lists:
    """Recommended items, one a row: `user` and `item` are codes from 0, `rank` is from 1.

    At most one row for each (user, rank) and for each (user, item); in any order.
    """

    user: Codes
    item: Codes
    rank: Codes


@dataclass(frozen=True)
class Pairs:
    """Distinct (user, item) pairs, as codes from 0."""

    user: Codes
    item: Codes


@dataclass(frozen=True)
class Metrics:
    """All metrics of one method at one k; shares lie in 0 to 1."""

    recall: float
    ndcg: float
    hit_rate: float
    mrr: float
    coverage: float
    novelty: float
    diversity: float
    popularity_bias: float
    cold_coverage: float = 0.0


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of each test user, in the order of `user` (ascending codes)."""

    user: Codes
    recall: Values
    ndcg: Values
    hit_rate: Values
    mrr: Values


def accuracy(lists: Lists, test: Pairs, k: int) -> Accuracy:
    """The accuracy metrics of each user of `test`, from the first k ranks of the lists."""
    users, sizes = np.unique(test.user, return_counts=True)
    width = int(max(lists.item.max(initial=-1), test.item.max(initial=-1))) + 1
    wanted = np.isin(lists.user * width + lists.item, test.user * width + test.item)
    hit = wanted & (lists.rank <= k)
    row = np.searchsorted(users, lists.user[hit])
    rank = lists.rank[hit]
    hits = np.bincount(row, minlength=len(users))
    gain = np.bincount(row, 1.0 / np.log2(rank + 1.0), minlength=len(users))
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))])
    first = np.full(len(users), np.inf)
    np.minimum.at(first, row, rank.astype(np.float64))
    return Accuracy(
        user=users,
        recall=hits / sizes,
        ndcg=gain / ideal[np.minimum(sizes, k)],
        hit_rate=(hits > 0).astype(np.float64),
        mrr=1.0 / first,
    )


def evaluate(lists: Lists, train: Pairs, test: Pairs, items: int, k: int) -> Metrics:
    """All metrics at k.

    items: how many items the catalogue has; every item code is below it.
    """
    each = accuracy(lists, test, k)
    shown = lists.rank <= k
    user, item = lists.user[shown], lists.item[shown]
    taken = np.bincount(train.item, minlength=items)
    users = len(np.unique(train.user))
    surprise = -np.log2(np.maximum(taken, 1) / max(users, 1))
    return Metrics(
        recall=_mean(each.recall),
        ndcg=_mean(each.ndcg),
        hit_rate=_mean(each.hit_rate),
        mrr=_mean(each.mrr),
        coverage=len(np.unique(item)) / items if items else 0.0,
        novelty=_mean(surprise[item]),
        diversity=_diversity(user, item, train, taken),
        cold_coverage=float((taken[np.unique(item)] == 0).sum() / max((taken == 0).sum(), 1)),
        popularity_bias=_mean(taken[item]) / max(_mean(taken[test.item]), 1e-12),
    )


def bootstrap_interval(values: Values, seed: int = 7, draws: int = 1000) -> tuple[Values, Values]:
    """The 95% percentile interval of the mean when users are drawn with replacement.

    values: (users,), or (metrics, users) for several means by the same draws; without a user the
    ends are 0. Returns the lower and the upper ends, of the shape of the means.
    """
    users = values.shape[-1]
    if not users:
        return np.zeros(values.shape[:-1]), np.zeros(values.shape[:-1])
    draw = np.random.default_rng(seed)
    means = [values[..., draw.integers(0, users, users)].mean(axis=-1) for _ in range(draws)]
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high


def codes_of(column: pa.ChunkedArray, ids: pa.Array) -> Codes:
    """The place of each value of a column among distinct ids, all of which are known."""
    return pc.index_in(column, value_set=ids).to_numpy().astype(np.int64)


def _diversity(user: Codes, item: Codes, train: Pairs, taken: Codes) -> float:
    """1 - the mean cosine of two items of one list, averaged over lists of two or more.

    taken: train users of each item of the catalogue.
    """
    if not len(user):
        return 0.0
    lists, row = np.unique(user, return_inverse=True)
    items, columns = len(taken), int(train.user.max(initial=-1)) + 1
    unit = 1.0 / np.sqrt(np.maximum(taken, 1))[train.item]
    vectors = csr_matrix((unit, (train.item, train.user)), shape=(items, columns))
    listed = csr_matrix((np.ones(len(item)), (row, item)), shape=(len(lists), items))
    # |Σ v|² of unit vectors is their number plus twice the cosines of all pairs
    together = (listed @ vectors).power(2).sum(axis=1).A1
    alone = np.bincount(row, taken[item] > 0, minlength=len(lists))
    sizes = np.bincount(row, minlength=len(lists)).astype(np.float64)
    several = sizes > 1
    pairs = sizes[several] * (sizes[several] - 1)
    return _mean(1.0 - (together[several] - alone[several]) / pairs)


def _mean(values: NDArray) -> float:
    return float(values.mean()) if len(values) else 0.0
