"""Metrics worked by hand on a few lists, and against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from jobs.judging.metrics import Lists, Pairs, accuracy, bootstrap_interval, evaluate


def lists_of(found: dict[int, list[int]]) -> Lists:
    rows = [(u, item, rank) for u, items in found.items() for rank, item in enumerate(items, 1)]
    user, item, rank = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Lists(user, item, rank)


def pairs_of(found: dict[int, list[int]]) -> Pairs:
    rows = [(u, item) for u, items in found.items() for item in items]
    user, item = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return Pairs(user, item)


def test_accuracy_by_hand() -> None:
    # user 0 hits at ranks 1 and 3 of three test items, user 1 misses, user 2 has no list,
    # user 3 has a list and nothing to find
    lists = lists_of({0: [5, 6, 7], 1: [5, 6], 3: [5]})
    test = pairs_of({0: [5, 7, 9], 1: [8], 2: [5]})
    each = accuracy(lists, test, 3)
    assert each.user.tolist() == [0, 1, 2]
    assert each.recall.tolist() == [2 / 3, 0, 0]
    assert each.hit_rate.tolist() == [1, 0, 0]
    assert each.mrr.tolist() == [1, 0, 0]
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert each.ndcg.tolist() == pytest.approx([(1 + 1 / 2) / ideal, 0, 0])


def test_ranks_beyond_k_do_not_count() -> None:
    each = accuracy(lists_of({0: [5, 6, 7]}), pairs_of({0: [7, 8]}), 2)
    assert (each.recall.tolist(), each.mrr.tolist()) == ([0], [0])
    found = accuracy(lists_of({0: [5, 6, 7]}), pairs_of({0: [6, 8]}), 2)
    assert found.mrr.tolist() == [1 / 2]
    assert found.ndcg.tolist() == pytest.approx([(1 / math.log2(3)) / (1 + 1 / math.log2(3))])


def test_what_is_listed_by_hand() -> None:
    # item 0 has users 0, 1; item 1 has users 0, 1; item 2 has user 2; item 3 has nobody
    train = pairs_of({0: [0, 1], 1: [0, 1], 2: [2]})
    found = evaluate(lists_of({0: [0, 1], 1: [0, 2]}), train, pairs_of({0: [2]}), items=4, k=2)
    assert (found.coverage, found.cold_coverage) == (3 / 4, 0)
    with_cold = evaluate(lists_of({0: [0, 3]}), train, pairs_of({0: [3]}), items=4, k=2)
    assert (with_cold.coverage, with_cold.cold_coverage) == (1 / 2, 1)
    surprise = [-math.log2(2 / 3), -math.log2(2 / 3), -math.log2(1 / 3)]
    assert found.novelty == pytest.approx((2 * surprise[0] + surprise[1] + surprise[2]) / 4)
    # cosine of 0 and 1 is 1, of 0 and 2 is 0
    assert found.diversity == pytest.approx((0 + 1) / 2)
    assert found.popularity_bias == pytest.approx((2 + 2 + 2 + 1) / 4 / 1)


def test_a_cold_item_in_two_lists_is_covered_once() -> None:
    # nobody took 1 and 2; both users are shown 1, nobody 2
    train, test = pairs_of({0: [0], 1: [0]}), pairs_of({0: [1]})
    found = evaluate(lists_of({0: [0, 1], 1: [1, 0]}), train, test, items=3, k=2)
    assert (found.coverage, found.cold_coverage) == (2 / 3, 1 / 2)


def test_items_that_hardly_anybody_took_are_below_one_user_each() -> None:
    # item 0 has two users, item 1 one, item 2 nobody: listed are 3/2 users an item, wanted 1/2
    train, test = pairs_of({0: [0, 1], 1: [0]}), pairs_of({0: [2], 1: [1]})
    found = evaluate(lists_of({0: [0, 1]}), train, test, items=3, k=2)
    assert found.popularity_bias == pytest.approx((3 / 2) / (1 / 2))


def test_before_anybody_took_anything_no_item_surprises() -> None:
    found = evaluate(lists_of({0: [0, 1]}), pairs_of({}), pairs_of({0: [1]}), items=2, k=2)
    assert (found.novelty, found.cold_coverage, found.recall) == (0, 1, 1)


@given(
    st.dictionaries(st.integers(0, 5), st.lists(st.integers(0, 9), max_size=6, unique=True)),
    st.dictionaries(
        st.integers(0, 5), st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True)
    ),
    st.integers(1, 6),
)
def test_accuracy_equals_plain_loops(
    found: dict[int, list[int]], wanted: dict[int, list[int]], k: int
) -> None:
    each = accuracy(lists_of(found), pairs_of(wanted), k)
    assert each.user.tolist() == sorted(wanted)
    for place, user in enumerate(sorted(wanted)):
        top, truth = found.get(user, [])[:k], set(wanted[user])
        gains = [1 / math.log2(rank + 1) for rank, item in enumerate(top, 1) if item in truth]
        ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(truth)) + 1))
        first = next((1 / rank for rank, item in enumerate(top, 1) if item in truth), 0)
        assert each.recall[place] == len(set(top) & truth) / len(truth)
        assert each.ndcg[place] == pytest.approx(sum(gains) / ideal)
        assert each.mrr[place] == first


def test_an_interval_holds_the_mean_and_comes_out_the_same_again() -> None:
    values = np.random.default_rng(1).random(400)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert bootstrap_interval(values) == (low, high)


def test_an_interval_is_that_of_a_thousand_draws_by_plain_loops() -> None:
    values = np.random.default_rng(1).random(40)
    draw = np.random.default_rng(7)
    means = sorted(float(values[draw.integers(0, 40, 40)].mean()) for _ in range(1000))
    # 2.5% and 97.5% of the way from the first, number 0, to the last, number 999
    low = means[24] + 0.975 * (means[25] - means[24])
    high = means[974] + 0.025 * (means[975] - means[974])
    assert bootstrap_interval(values) == pytest.approx((low, high), abs=1e-12)


def test_the_interval_of_nobody_is_zero_for_each_metric() -> None:
    for values, ends in ((np.empty(0), 0), (np.empty((3, 0)), [0, 0, 0])):
        assert [end.tolist() for end in bootstrap_interval(values)] == [ends, ends]


def test_accuracy_equals_trec_eval() -> None:
    draw = np.random.default_rng(3)
    found = {user: draw.permutation(40)[: draw.integers(1, 15)].tolist() for user in range(60)}
    wanted = {user: draw.permutation(40)[: draw.integers(1, 9)].tolist() for user in range(60)}
    each = accuracy(lists_of(found), pairs_of(wanted), 10)
    truth = {str(u): {str(i): 1 for i in items} for u, items in wanted.items()}
    # Cut by hand, since trec_eval's reciprocal rank looks at whole lists.
    scored = {
        str(u): {str(i): 1.0 / rank for rank, i in enumerate(items[:10], 1)}
        for u, items in found.items()
    }
    names = {
        "recall": "recall_10",
        "ndcg": "ndcg_cut_10",
        "hit_rate": "success_10",
        "mrr": "recip_rank",
    }
    theirs = pytrec_eval.RelevanceEvaluator(truth, set(names.values())).evaluate(scored)
    for ours, name in names.items():
        of_users = [theirs[str(user)][name] for user in each.user]
        assert getattr(each, ours) == pytest.approx(of_users), name
