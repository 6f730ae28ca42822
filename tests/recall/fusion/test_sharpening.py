"""Sharpening: values worked by hand, and the definition as an oracle."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.recall.fusion.sharpening import Sharpening
from tests.recall.fusion.reordered import Pairs, Scores, reordered

ITEMS = "abcdefg"


def test_what_the_other_candidates_bring_up_too_loses(tmp_path: Path) -> None:
    # Of u, spread(b) = 1.0 · 0.5 from a + 0.5 · 0.6 from c = 0.8, the largest; spread(c) =
    # 0.9 · 0.4 from b = 0.36; nothing brings a up. With a share of 1/4:
    # a: 3/4 · 1 + 1/4, c: 3/4 · 0.5 + 1/4 · (1 - 0.36 / 0.8), b: 3/4 · 0.9 + 1/4 · 0.
    # v has only one candidate, so nothing spreads.
    users = {"u": {"a": 1.0, "b": 0.9, "c": 0.5}, "v": {"b": 0.2}}
    similar = {("a", "b"): 0.5, ("c", "b"): 0.6, ("b", "c"): 0.4, ("a", "x"): 9.0}
    found = reordered(tmp_path, users, similar, Sharpening(0.25, pool=100))
    assert found["u"] == {"a": 1.0, "b": pytest.approx(0.675), "c": pytest.approx(0.5125)}
    assert found["v"] == {"b": 1.0}
    strong = reordered(tmp_path, users, similar, Sharpening(0.5, pool=100))
    # 1/2 · 0.5 + 1/2 · 0.55 is more than 1/2 · 0.9
    assert list(strong["u"]) == ["a", "c", "b"]


def test_what_lies_beyond_the_pool_neither_spreads_nor_moves(tmp_path: Path) -> None:
    users = {"u": {"a": 1.0, "b": 0.9, "c": 0.8, "d": 0.7}}
    similar = {("a", "b"): 1.0, ("c", "a"): 5.0, ("a", "c"): 5.0}
    found = reordered(tmp_path, users, similar, Sharpening(0.5, pool=2))
    assert found["u"] == {"a": 1.0, "b": 0.45, "c": 0.4, "d": 0.35}


def by_definition(scores: Scores, similar: Pairs, share: float, pool: int) -> Scores:
    best = max(scores.values())
    value = {item: (1 - share) * (score / best) for item, score in scores.items()}
    candidates = sorted(scores, key=lambda item: (-scores[item], item))[:pool]
    spread = {j: sum(scores[i] * similar.get((i, j), 0.0) for i in candidates) for j in candidates}
    largest = max(spread.values()) or 1.0
    return value | {j: value[j] + share * (1 - spread[j] / largest) for j in candidates}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(ITEMS), st.sampled_from([0.1, 0.2, 0.25, 0.5, 0.7]), min_size=1
        ),
        min_size=1,
        max_size=3,
    ),
    st.dictionaries(
        st.tuples(st.sampled_from(ITEMS), st.sampled_from(ITEMS)).filter(lambda p: p[0] != p[1]),
        st.sampled_from([0.0, 0.2, 0.5, 1.0, 1.7]),
    ),
    st.sampled_from([0.1, 0.25, 0.5]),
    st.integers(1, 8),
)
def test_values_are_those_of_the_definition(
    tmp_path_factory: pytest.TempPathFactory,
    lists: list[Scores],
    similar: Pairs,
    share: float,
    pool: int,
) -> None:
    users = {f"u{number}": found for number, found in enumerate(lists)}
    value = Sharpening(share, pool)
    found = reordered(tmp_path_factory.mktemp("similar"), users, similar, value)
    for user, given_scores in users.items():
        assert found[user] == pytest.approx(by_definition(given_scores, similar, share, pool))
        assert all(0 < value <= 1 for value in found[user].values())
