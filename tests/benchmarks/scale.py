"""Scale: time and memory of the job `cooccurrence` from 2.5 to 20 million interactions.

Each point is one process that reads Parquet and writes Parquet: ours on a local Spark, the peer's
with implicit. Both make lists of the same length with the same number of threads. RECLAKE_SCALE is
the largest point, in millions of interactions (20).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console

from jobs.evaluation.memory import PeakMemory
from jobs.settings import get_settings
from tests.benchmarks.households import write_interactions, write_items
from tests.benchmarks.result import Result

MILLIONS = (2.5, 5, 10, 20)
DAY = date(2017, 12, 31)
NEIGHBORS = 50
MOST_GIGABYTES = 8
MOST_OF_A_DOUBLING = 2.1
MOST_OF_THE_PEER = 1.5
PEER = "implicit CosineRecommender"


def measure() -> Iterator[Result]:
    folder = get_settings().home / "bench" / "scale"
    folder.mkdir(parents=True, exist_ok=True)
    largest = float(os.environ.get("RECLAKE_SCALE", MILLIONS[-1]))
    before: dict[str, Any] | None = None
    for millions in (m for m in MILLIONS if m <= largest):
        name = f"I2I job, {millions:g} M interactions"
        source = folder / f"{millions:g}m.parquet"
        users = write_interactions(source, int(millions * 1_000_000))
        write_items(source, _catalogue(source))
        Console().print(f"{name} of {users:,} users")
        ours = _in_a_process("ours", source)
        peer = _in_a_process("peer", source)
        yield Result(
            name, ours["seconds"], "s", MOST_OF_THE_PEER, PEER, peer["seconds"],
            at_most=True, of_ratio=True,
        )  # fmt: skip
        yield Result(
            f"{name}, peak memory", ours["gigabytes"], "GiB", MOST_GIGABYTES, PEER,
            peer["gigabytes"], at_most=True,
        )  # fmt: skip
        if before:
            growth = ours["seconds"] / before["seconds"]
            yield Result(
                f"{name}, time compared with half as many",
                growth,
                "x",
                MOST_OF_A_DOUBLING,
                at_most=True,
            )
        before = ours
        source.unlink()
        _catalogue(source).unlink()


def _catalogue(source: Path) -> Path:
    """Where the products of `source` lie, as silver.items is there before a day's I2I."""
    return source.with_suffix(".items.parquet")


def _in_a_process(side: str, source: Path) -> dict[str, Any]:
    """Seconds of one run and the most memory of its process, which starts without a cache."""
    command = [sys.executable, "-m", "tests.benchmarks.scale", side, str(source)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ended.stdout.splitlines()[-1])


def _ours(source: Path, target: Path) -> float:
    """Seconds of the step on a Spark that has run one of a twentieth before."""
    from pyspark.sql import functions as F

    from jobs.lake.scratch import Scratch
    from jobs.recall.methods.cooccurrence import cooccurrence_neighbors
    from jobs.recall.sources.methods import CooccurrenceSettings
    from jobs.spark import local

    spark = local(target.parent)
    settings = CooccurrenceSettings(neighbors=NEIGHBORS)

    def run(share: float) -> float:
        scratch = target.parent / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        start = time.perf_counter()
        taken = spark.read.parquet(str(source))
        if share < 1:
            taken = taken.where(F.pmod(F.xxhash64("user_id"), F.lit(100)) < 100 * share)
        items = spark.read.parquet(str(_catalogue(source)))
        found = cooccurrence_neighbors(taken, items, settings, Scratch(scratch))
        found.write.mode("overwrite").parquet(str(target))
        return time.perf_counter() - start

    run(0.05)
    return run(1)


def _peer(source: Path, target: Path) -> float:
    """Seconds of the same with implicit: ids to numbers, one matrix, its top K, and back."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from implicit.nearest_neighbours import CosineRecommender
    from scipy.sparse import csr_matrix

    start = time.perf_counter()
    rows = pq.read_table(source, columns=["user_id", "item_id"])
    users, items = (rows[name].combine_chunks().dictionary_encode() for name in rows.column_names)
    cells = (users.indices.to_numpy(), items.indices.to_numpy())
    matrix = csr_matrix((np.ones(rows.num_rows, np.float32), cells))
    matrix.data[:] = 1
    model = CosineRecommender(K=NEIGHBORS, num_threads=os.cpu_count() or 1)
    model.fit(matrix, show_progress=False)
    similar = model.similarity.tocoo()
    found = {
        "item_id": items.dictionary.take(pa.array(similar.row)),
        "neighbor_item_id": items.dictionary.take(pa.array(similar.col)),
        "score": pa.array(similar.data),
    }
    pq.write_table(pa.table(found), target)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale")
    parser.add_argument("side", choices=("ours", "peer"))
    parser.add_argument("source", type=Path)
    given = parser.parse_args()
    run = {"ours": _ours, "peer": _peer}[given.side]
    with PeakMemory() as memory:
        seconds = run(given.source, given.source.with_name(given.side))
    print(json.dumps({"seconds": seconds, "gigabytes": memory.gigabytes}))  # noqa: T201


if __name__ == "__main__":
    main()
