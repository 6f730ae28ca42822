"""The best cells of a row, against sorting all of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.recall.kernels.heap import _put_likely_first, put_best_first

few = st.sampled_from([0.25, 0.5, 1.0])
near = st.integers(0, 20).map(lambda steps: 1 + steps * 2.0**-52)
far = st.integers(-300, 300).map(lambda exponent: 10.0**exponent)


@settings(deadline=None)
@given(
    st.one_of(*(st.lists(scores, max_size=60) for scores in (few, near, far))),
    st.integers(1, 30),
    st.randoms(use_true_random=False),
)
def test_the_best_cells_are_those_that_sorting_puts_first(
    values: list[float], k: int, draw: np.random.RandomState
) -> None:
    places = list(range(len(values)))
    draw.shuffle(places)
    # beyond the cells lies what must not be looked at
    scores, columns = np.array([*values, 1e308]), np.array([*places, 0], np.int32)
    size = put_best_first(scores, columns, len(values), k)
    best = sorted(zip(values, places, strict=True), key=lambda cell: (-cell[0], cell[1]))[:k]
    assert list(zip(scores[:size], columns[:size], strict=True)) == best


def test_many_cells_of_one_score_are_cut_by_column() -> None:
    columns = np.arange(5_000, dtype=np.int32)[::-1].copy()
    size = put_best_first(np.full(5_000, 0.5), columns, 5_000, 3)
    assert columns[:size].tolist() == [0, 1, 2]


def test_cells_far_below_the_best_are_found_where_there_are_no_nearer_ones() -> None:
    scores, columns = np.array([1e-30, 1.0, 1e-20, 1e-10]), np.arange(4, dtype=np.int32)
    size = put_best_first(scores, columns, 4, 3)
    assert list(zip(scores[:size], columns[:size], strict=True)) == [(1, 1), (1e-10, 3), (1e-20, 2)]


def test_cells_that_are_clearly_worse_than_k_others_never_meet_the_heap() -> None:
    scores, columns = 2.0 ** -np.arange(15), np.arange(15, dtype=np.int32)
    assert _put_likely_first(scores[::-1].copy(), columns[::-1].copy(), 15, 3) == 3
