"""What histories bring up in a table of neighbors, against plain loops."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.recall.kernels.neighbor_table import TERM_SCALE, NeighborTable, recall_in_tasks

ITEMS = ["a", "b", "c", "ü", "10", "9", "Z"]
# Few values, so that equal terms and equal sums are common.
values = st.sampled_from([0.0, 0.25, 0.5, 1.0])
tables = st.dictionaries(st.tuples(st.sampled_from(ITEMS), st.sampled_from(ITEMS)), values)
# `unknown` is in no table.
taken = st.dictionaries(st.sampled_from([*ITEMS, "unknown"]), values)
seen = st.one_of(st.none(), st.lists(st.sampled_from([*ITEMS, "unknown"]), unique=True))
Histories = list[tuple[dict[str, float], list[str] | None]]


def brute_force(rows: dict[tuple[str, str], float], histories: Histories, k: int) -> list[tuple]:
    found = []
    for user, (taken, seen) in enumerate(histories):
        terms: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for item, strength in taken.items():
            for (source, neighbor), score in rows.items():
                if source == item:
                    terms[neighbor].append((-round(strength * score * TERM_SCALE), item))
        ranked = sorted(
            (sum(term for term, _ in all_terms), neighbor, min(all_terms)[1])
            for neighbor, all_terms in terms.items()
            if neighbor not in (seen or []) and any(term for term, _ in all_terms)
        )
        for rank, (total, neighbor, because) in enumerate(ranked[:k], start=1):
            found.append((str(user), rank, neighbor, -total / TERM_SCALE, because))
    return found


def as_table(rows: dict[tuple[str, str], float]) -> pa.Table:
    return pa.table(
        {
            "item_id": pa.array([item for item, _ in rows], pa.string()),
            "neighbor_item_id": pa.array([neighbor for _, neighbor in rows], pa.string()),
            "score": pa.array(list(rows.values()), pa.float64()),
        }
    )


def as_batch(histories: Histories) -> pa.RecordBatch:
    strings = pa.list_(pa.string())
    return pa.record_batch(
        {
            "user_id": pa.array([str(user) for user in range(len(histories))], pa.string()),
            "items": pa.array([list(taken) for taken, _ in histories], strings),
            "strengths": pa.array(
                [list(taken.values()) for taken, _ in histories], pa.list_(pa.float64())
            ),
            "seen": pa.array([seen for _, seen in histories], strings),
        }
    )


def rows_of(batch: pa.RecordBatch) -> list[tuple]:
    return [tuple(row.values()) for row in batch.to_pylist()]


@settings(deadline=None)
@given(tables, st.lists(st.tuples(taken, seen), max_size=4), st.integers(1, 8))
def test_recall_equals_plain_loops(
    rows: dict[tuple[str, str], float], histories: Histories, k: int
) -> None:
    found = NeighborTable.from_rows(as_table(rows)).recall(as_batch(histories), k)
    assert rows_of(found) == brute_force(rows, histories, k)


def test_sources_are_told_apart_in_a_table_of_many_items() -> None:
    draw = np.random.default_rng(5)
    items = [f"i{number:02}" for number in range(60)]
    rows = {
        (item, neighbor): float(draw.integers(1, 9)) / 8
        for item in items
        for neighbor in draw.choice(items, 12, replace=False).tolist()
    }
    histories: Histories = [
        ({item: float(draw.integers(1, 9)) / 8 for item in draw.choice(items, 5).tolist()}, None)
        for _ in range(40)
    ]
    found = NeighborTable.from_rows(as_table(rows)).recall(as_batch(histories), 4)
    assert rows_of(found) == brute_force(rows, histories, 4)


def test_tasks_read_the_saved_table_and_batches_may_be_slices(tmp_path: Path) -> None:
    rows = {("a", "b"): 0.5, ("a", "c"): 1.0, ("b", "c"): 0.25}
    histories: Histories = [({"a": 1.0}, None), ({"b": 1.0}, []), ({"a": 1.0, "b": 1.0}, ["b"])]
    folder = tmp_path / "table"
    NeighborTable.from_rows(as_table(rows)).save(folder)
    batch = as_batch(histories)
    (found,) = recall_in_tasks(folder, 2)(iter([batch.slice(1, 2)]))
    assert rows_of(found) == [("1", 1, "c", 0.25, "b"), ("2", 1, "c", 1.25, "a")]
