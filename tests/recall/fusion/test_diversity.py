"""Diversity: values worked by hand, and the definition of marginal relevance as an oracle."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.recall.fusion.diversity import MarginalRelevance
from tests.recall.fusion.reordered import Pairs, Scores, reordered

ITEMS = "abcdefg"


def ranked(
    folder: Path, users: dict[str, Scores], similar: Pairs, diversity: float, pool: int = 100
) -> dict[str, Scores]:
    return reordered(folder, users, similar, MarginalRelevance(diversity, pool))


def test_what_is_like_an_item_above_it_loses(tmp_path: Path) -> None:
    # Of u, b is a neighbor of a: 1/2 · 0.9 + 1/2 · (1 - 1); c is like nothing: 1/2 · 0.5 + 1/2.
    # Of v, whose best has 0.5, c has none above it that it is like: 1/2 · 0.4 / 0.5 + 1/2.
    users = {"u": {"a": 1.0, "b": 0.9, "c": 0.5}, "v": {"c": 0.4, "b": 0.5}}
    found = ranked(tmp_path, users, {("a", "b"): 1.3, ("c", "a"): 0.0}, diversity=0.5)
    assert list(found["u"].items()) == [("a", 1.0), ("c", 0.75), ("b", 0.45)]
    assert list(found["v"].items()) == [("b", 1.0), ("c", pytest.approx(0.9))]


def test_the_larger_of_both_directions_counts(tmp_path: Path) -> None:
    similar = {("a", "b"): 0.2, ("b", "a"): 0.6, ("a", "c"): 0.4}
    found = ranked(tmp_path, {"u": dict.fromkeys("abc", 0.1)}, similar, diversity=1)
    # all are equally good, so a is first, then c, 1 - 0.4, then b, 1 - 0.6
    assert found["u"] == {"a": 1.0, "c": pytest.approx(0.6), "b": pytest.approx(0.4)}
    assert list(found["u"]) == ["a", "c", "b"]


def test_beyond_the_pool_the_old_order_stays(tmp_path: Path) -> None:
    scores = {"a": 1.0, "b": 0.9, "c": 0.8, "d": 0.7}
    similar = dict.fromkeys(combinations("abc", 2), 1.0)
    found = ranked(tmp_path, {"u": scores}, similar, diversity=0.5, pool=2)
    # d is like nothing, but not among the two that are put in order
    assert list(found["u"].items()) == [("a", 1.0), ("b", 0.45), ("c", 0.4), ("d", 0.35)]


def test_equal_values_are_in_id_order_though_the_table_does_not_know_them(tmp_path: Path) -> None:
    found = ranked(tmp_path, {"u": dict.fromkeys("zcyb", 0.3)}, {("a", "b"): 1.0}, diversity=0.3)
    assert list(found["u"]) == ["b", "c", "y", "z"]
    assert set(found["u"].values()) == {1.0}


def by_definition(scores: Scores, similar: Pairs, diversity: float, pool: int) -> Scores:
    """One item after the other: the greatest marginal relevance, ties by id."""
    best = max(scores.values())
    own = {item: (1 - diversity) * (score / best) for item, score in scores.items()}
    in_order = sorted(scores, key=lambda item: (-scores[item], item))
    open_items, listed = set(in_order[:pool]), {}

    def value(item: str) -> float:
        near = [similar.get(pair, 0.0) for j in listed for pair in ((item, j), (j, item))]
        return own[item] + diversity * (1 - min(1.0, max(near, default=0.0)))

    while open_items:
        chosen = min(open_items, key=lambda item: (-value(item), item))
        listed[chosen] = value(chosen)
        open_items.remove(chosen)
    return listed | {item: own[item] for item in in_order[pool:]}


scores = st.dictionaries(
    st.sampled_from(ITEMS), st.sampled_from([0.1, 0.2, 0.25, 0.5, 0.7]), min_size=1
)
pairs = st.dictionaries(
    st.tuples(st.sampled_from(ITEMS), st.sampled_from(ITEMS)).filter(
        lambda pair: pair[0] != pair[1]
    ),
    st.sampled_from([0.0, 0.2, 0.5, 1.0, 1.7]),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(scores, min_size=1, max_size=3),
    pairs,
    st.sampled_from([0.1, 0.3, 0.5, 1.0]),
    st.integers(1, 8),
)
def test_values_are_those_of_the_definition_and_fall_along_the_list(
    tmp_path_factory: pytest.TempPathFactory,
    lists: list[Scores],
    similar: Pairs,
    diversity: float,
    pool: int,
) -> None:
    users = {f"u{number}": found for number, found in enumerate(lists)}
    found = ranked(tmp_path_factory.mktemp("similar"), users, similar, diversity, pool)
    for user, given_scores in users.items():
        expected = by_definition(given_scores, similar, diversity, pool)
        assert found[user] == expected
        # the order in which they were chosen is the order by value, then id
        chosen = list(expected)[:pool]
        assert [item for item in found[user] if item in chosen] == chosen
        others = list(expected)[pool:]
        assert max((expected[i] for i in others), default=0) <= expected[chosen[-1]]
        assert all(0 <= value <= 1 for value in expected.values())
