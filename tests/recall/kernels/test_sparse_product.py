"""The sparse product against a plain double loop."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.recall.kernels.sparse_product import (
    NEIGHBOR_SCHEMA,
    SparseProduct,
    blocks_in_tasks,
    top_rows_in_tasks,
)

Entry = tuple[str, str, int, int | None]

SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("left", pa.int64()),
        pa.field("right", pa.int64()),
        pa.field("row_scale", pa.float64()),
    ]
)


def as_table(entries: list[Entry], owners: dict[str, str] | None = None) -> pa.Table:
    rows = [dict(zip(SCHEMA.names, (*entry, 0.5), strict=True)) for entry in entries]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    if owners is None:
        return table
    of_rows = pa.array([owners[user] for user, *_ in entries], pa.string())
    return table.append_column("owner_id", of_rows)


def brute_force(
    entries: list[Entry],
    k: int,
    min_support: int,
    shrinkage: float = 0,
    owners: dict[str, str] | None = None,
) -> list[tuple]:
    """Every pair of entries of one user, summed; then each item's best k."""
    totals: dict[tuple[str, str], int] = defaultdict(int)
    behind: dict[tuple[str, str], set[str]] = defaultdict(set)
    for user, item, left, _ in entries:
        for other_user, neighbor, _, right in entries:
            if user == other_user and item != neighbor and right is not None:
                totals[item, neighbor] += left * right
                behind[item, neighbor].add(owners[user] if owners else user)
    support = {pair: len(users) for pair, users in behind.items()}
    kept = {
        pair: (n - 1) / (n - 1 + shrinkage) if shrinkage else 1.0 for pair, n in support.items()
    }
    rows = []
    for item in sorted({item for _, item, _, _ in entries}):
        found = [
            (-total * 0.5 * kept[item, neighbor], neighbor)
            for (source, neighbor), total in totals.items()
            if source == item
            and total * kept[item, neighbor] > 0
            and support[item, neighbor] >= min_support
        ]
        for rank, (score, neighbor) in enumerate(sorted(found)[:k], start=1):
            rows.append((item, rank, neighbor, -score, support[item, neighbor]))
    return rows


def all_rows(product: SparseProduct, k: int, min_support: int, shrinkage: float = 0) -> list[tuple]:
    blocks = range(product.block_count)
    batches = [product.top_of_block(block, k, min_support, shrinkage) for block in blocks]
    table = pa.Table.from_batches(batches, schema=NEIGHBOR_SCHEMA)
    return [tuple(row.values()) for row in table.to_pylist()]


# Few values, so that equal sums and with them ties are common.
factors = st.integers(0, 3)
matrices = st.dictionaries(
    st.tuples(st.sampled_from("uvwxyz"), st.sampled_from(["a", "b", "c", "ü", "10", "9", "Z"])),
    st.tuples(factors, st.one_of(st.none(), factors)),
    max_size=42,
).map(lambda cells: [(user, item, *pair) for (user, item), pair in cells.items()])


@settings(deadline=None)
@given(matrices, st.integers(1, 8), st.integers(1, 4), st.sampled_from([1, 6_000, 10**9]))
def test_the_product_equals_a_double_loop(
    entries: list[Entry], k: int, min_support: int, block_products: int
) -> None:
    product = SparseProduct.from_entries(as_table(entries), block_products)
    assert all_rows(product, k, min_support) == brute_force(entries, k, min_support)


@settings(deadline=None)
@given(matrices, st.integers(1, 3), st.sampled_from([0, 0.5, 2]))
def test_users_of_one_owner_count_once_and_few_owners_count_less(
    entries: list[Entry], min_support: int, shrinkage: float
) -> None:
    owners = {"u": "u", "v": "u", "w": "w", "x": "w", "y": "w", "z": "z"}
    product = SparseProduct.from_entries(as_table(entries, owners), 10**9)
    assert all_rows(product, 8, min_support, shrinkage) == brute_force(
        entries, 8, min_support, shrinkage, owners
    )


@settings(deadline=None)
@given(matrices, st.randoms(use_true_random=False))
def test_the_order_of_the_entries_does_not_matter(entries: list[Entry], random: object) -> None:
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    once = SparseProduct.from_entries(as_table(entries), 10**9)
    again = SparseProduct.from_entries(as_table(shuffled), 10**9)
    assert all_rows(once, 3, 1) == all_rows(again, 3, 1)


def test_a_wide_row_and_a_narrow_row_are_summed_alike() -> None:
    # u has 60 items, so rows of u count into all items; v has 2, so rows of v alone sort.
    wide = [("u", f"i{n:02}", 2, 1 + n % 7) for n in range(60)]
    narrow = [("v", "n1", 3, 1), ("v", "n2", 3, 5)]
    product = SparseProduct.from_entries(as_table(wide + narrow), 10**9)
    assert all_rows(product, 4, 1) == brute_force(wide + narrow, 4, 1)


def test_ties_at_the_cut_go_to_the_smaller_id() -> None:
    entries = [("u", item, 1, 1) for item in ("a", "b", "c", "d")]
    product = SparseProduct.from_entries(as_table(entries), 10**9)
    neighbors = [(row[0], row[2]) for row in all_rows(product, 2, 1)]
    assert neighbors == [
        ("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b"), ("d", "a"),
        ("d", "b"),
    ]  # fmt: skip


def test_blocks_cover_every_row_once() -> None:
    entries = [("u", f"i{n:03}", 1, 1) for n in range(100)]
    product = SparseProduct.from_entries(as_table(entries), 20_000)
    assert product.block_count > 5
    assert product.blocks[0] == 0
    assert product.blocks[-1] == 100
    assert np.all(np.diff(product.blocks) > 0)


def test_a_few_tasks_take_all_blocks(spark: SparkSession) -> None:
    tasks = int(spark.conf.get("spark.sql.shuffle.partitions") or 0)
    for blocks, expected in ((0, 1), (1, 1), (50 * tasks, tasks)):
        frame = blocks_in_tasks(spark, blocks).withColumn("task", F.spark_partition_id())
        rows = frame.collect()
        assert [row.id for row in rows] == list(range(blocks))
        assert len({row.task for row in rows}) == min(blocks, expected)


def test_an_empty_matrix_has_no_blocks() -> None:
    assert SparseProduct.from_entries(as_table([]), 10).block_count == 0


def test_a_saved_product_gives_the_same_rows_in_a_task(tmp_path: Path) -> None:
    entries = [(user, item, 2, 3) for user in "uvw" for item in "abcd"]
    product = SparseProduct.from_entries(as_table(entries), 10**9)
    product.save(tmp_path / "product")
    blocks = pa.record_batch([pa.array([0])], names=["id"])
    (batch,) = top_rows_in_tasks(tmp_path / "product", 3, 2, 1.0)(iter([blocks]))
    assert [tuple(row.values()) for row in batch.to_pylist()] == all_rows(product, 3, 2, 1.0)


def test_sums_stay_exact_up_to_2_to_the_53() -> None:
    # 2^26 · 2^26 + 1 needs 53 bits; one more bit and the 1 would be lost.
    big = 2**26
    entries: list[Entry] = [
        ("u", "a", big, 0),
        ("u", "b", 0, big),
        ("v", "a", 1, 0),
        ("v", "b", 0, 1),
    ]
    product = SparseProduct.from_entries(as_table(entries), 10**9)
    ((_, _, _, score, support),) = all_rows(product, 1, 1)
    assert score * 2 == pytest.approx(2**52 + 1, abs=0)
    assert support == 2
