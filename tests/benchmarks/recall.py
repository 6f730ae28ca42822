"""Recall: run times of the I2I kernel, user recall and the I2I job, beside peers in the same run.

Gowalla's train part comes from the folder RECLAKE_DATA; without it nothing is measured. The
kernel's peer is implicit's C++, the job's peer a self-join in Spark SQL.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from rich.console import Console
from scipy.sparse import csr_matrix

from infra.stack import spark_connect
from jobs.evaluation.data import read_interactions
from jobs.evaluation.vocabulary import Format
from jobs.settings import get_settings
from tests.benchmarks.result import Result

THREADS = 2
NEIGHBORS = 200
KERNEL_RUNS, JOB_RUNS = 3, 2


def measure() -> Iterator[Result]:
    gowalla = Path(os.environ.get("RECLAKE_DATA", "shared/data"), "gowalla", "train.txt.gz")
    if not gowalla.exists():
        Console().print(f"{gowalla} is not there: set RECLAKE_DATA. Nothing was measured.")
        return
    train = read_interactions(gowalla, Format.lightgcn)
    yield from _kernels(train)
    yield from _jobs(train, get_settings().home / "bench" / "recall")


def _kernels(train: pa.Table) -> Iterator[Result]:
    """The product of `cooccurrence` beside implicit's, and how fast lists are made of its rows."""
    from implicit.nearest_neighbours import CosineRecommender

    from jobs.recall.kernels.neighbor_table import NeighborTable
    from jobs.recall.kernels.sparse_product import SparseProduct

    ones = np.full(train.num_rows, 1 << 20, np.int64)
    entries = pa.table(
        {
            "user_id": train["user_id"],
            "item_id": train["item_id"],
            "left": ones,
            "right": ones,
            "row_scale": np.full(train.num_rows, 2.0**-40),
        }
    )
    product = SparseProduct.from_entries(entries, 20_000_000)

    def multiply() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(
                pool.map(
                    lambda block: product.best_cells(block, NEIGHBORS, 1, 2.0),
                    range(product.block_count),
                )
            )

    users, items = (
        np.unique(train[n].to_numpy(), return_inverse=True)[1] for n in train.column_names[:2]
    )
    matrix = csr_matrix((np.ones(len(users)), (users, items)))

    def peer() -> None:
        CosineRecommender(K=NEIGHBORS, num_threads=THREADS).fit(matrix, show_progress=False)

    ours, theirs = _best_of(multiply), _best_of(peer)
    yield Result(
        "I2I kernel, Gowalla, top 200", ours, "s", 1.2, "implicit CosineRecommender", theirs,
        at_most=True, of_ratio=True, repetitions=KERNEL_RUNS,
    )  # fmt: skip

    neighbors = pa.concat_tables(
        pa.Table.from_batches([product.top_of_block(block, NEIGHBORS, 1, 2.0)])
        for block in range(product.block_count)
    )
    table = NeighborTable.from_rows(neighbors)
    draw = np.random.default_rng(7)
    names = neighbors["item_id"].unique().to_pylist()
    asked, history = 20_000, 50
    taken = [[names[n] for n in draw.integers(0, len(names), history)] for _ in range(asked)]
    histories = pa.record_batch(
        {
            "user_id": pa.array([f"u{n}" for n in range(asked)]),
            "items": pa.array(taken),
            "strengths": pa.array(draw.random((asked, history)).tolist()),
            "seen": pa.array(taken),
        }
    )
    parts = [histories.slice(n, 1_000) for n in range(0, asked, 1_000)]

    def score() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda part: table.recall(part, 100), parts))

    yield Result(
        "user recall, 200 neighbors x 50 items",
        asked / _best_of(score),
        "users/s",
        20_000,
        repetitions=KERNEL_RUNS,
    )


def _jobs(train: pa.Table, home: Path) -> Iterator[Result]:
    """The step from Delta to Delta on a running Connect server, beside a self-join in Spark SQL."""
    from jobs.spark import connect

    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    with spark_connect(home, memory="6g") as address:
        spark = connect(get_settings().model_copy(update={"spark_url": address}))
        seconds, peer_seconds = _seconds_of_jobs(spark, train, home)
        spark.stop()
    name = "I2I job, Gowalla, Delta to Delta"
    yield Result(name, seconds, "s", 15, at_most=True, repetitions=JOB_RUNS)
    yield Result(
        name, seconds, "s", 0.1, "self-join in Spark SQL", peer_seconds,
        at_most=True, of_ratio=True, repetitions=JOB_RUNS,
    )  # fmt: skip


def _seconds_of_jobs(spark: SparkSession, train: pa.Table, home: Path) -> tuple[float, float]:
    from pyspark.sql import functions as F

    from jobs.lake.scratch import Scratch
    from jobs.recall.methods.cooccurrence import cooccurrence_neighbors
    from jobs.recall.sources.methods import CooccurrenceSettings

    source = str(home / "gowalla")
    pq.write_table(train, home / "gowalla.parquet")
    rows = spark.read.parquet(str(home / "gowalla.parquet"))
    rows.write.format("delta").save(source)
    settings = CooccurrenceSettings(neighbors=NEIGHBORS)

    def ours() -> None:
        scratch = home / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        taken = spark.read.format("delta").load(source)
        items = taken.select("item_id", F.lit(True).alias("is_sellable")).distinct()
        found = cooccurrence_neighbors(taken, items, settings, Scratch(scratch))
        found.write.format("delta").mode("overwrite").save(str(home / "ours"))

    def peer() -> None:
        spark.read.format("delta").load(source).createOrReplaceTempView("taken")
        found = spark.sql(
            """
            WITH sizes AS (SELECT item_id, count(*) AS n FROM taken GROUP BY item_id),
            pairs AS (
                SELECT a.item_id, b.item_id AS neighbor, count(*) AS both
                FROM taken a JOIN taken b ON a.user_id = b.user_id AND a.item_id <> b.item_id
                GROUP BY a.item_id, b.item_id
            ), ranked AS (
                SELECT p.item_id, neighbor, both / sqrt(s.n * t.n) AS score, row_number() OVER (
                    PARTITION BY p.item_id ORDER BY both / sqrt(s.n * t.n) DESC, neighbor) AS rank
                FROM pairs p JOIN sizes s ON p.item_id = s.item_id
                JOIN sizes t ON p.neighbor = t.item_id
            )
            SELECT * FROM ranked WHERE rank <= 200
            """
        )
        found.write.format("delta").mode("overwrite").save(str(home / "peer"))

    # The peer takes a minute and more, so both run less often than a kernel.
    return _best_of(ours, JOB_RUNS), _best_of(peer, JOB_RUNS)


def _best_of(work: Callable[[], None], times: int = KERNEL_RUNS) -> float:
    """Seconds of the fastest of some runs, after one that warms up."""
    work()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)
