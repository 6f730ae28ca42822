"""Accuracy: recall and NDCG of the published lists on public splits, beside published figures.

The splits are those of `tests/benchmarks/splits.py`; one whose data is missing is left out, with a
message. Each figure is what `reclake evaluate` prints, once with the defaults and once with the
settings in `tests/benchmarks/tuned/`. `reclake tune` chose these settings on train alone; each file
has its seed and its trials. The defaults should come within 5% of the tuned settings. Where each
user's last item is held out, recall is the hit rate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from jobs.settings import get_settings
from tests.benchmarks.result import Result
from tests.benchmarks.splits import (
    SPLITS,
    Split,
    at_random,
    online_retail_lines,
    parts_of,
    ratings,
    taken,
)

TUNED = Path(__file__).parent / "tuned"
LEAST_OF_TUNED = 0.95


def measure() -> Iterator[Result]:
    folder = get_settings().home / "bench" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ.get("RECLAKE_DATA", "shared/data"))
    yield from _dislikes(folder)
    for split in SPLITS:
        yield from _lists(split, data, folder)
    yield from _cold_items(data, folder)


def _lists(split: Split, data: Path, folder: Path) -> Iterator[Result]:
    """Recall and NDCG of the published lists, by default and tuned."""
    files = split.files(data, folder)
    if files is None:
        Console().print(f"{split.name}: no data ({data}), left out")
        return
    (found,) = _evaluate(*files, *split.options)
    yield from _figures(split, "default", found)
    chosen = TUNED / f"{split.tuned or split.name}.json"
    if not chosen.exists():
        return
    (tuned,) = _evaluate(*files, *split.options, "--settings", str(chosen))
    yield from _figures(split, "tuned", tuned)
    yield Result(
        f"{split.name} ndcg, default beside tuned", found["ndcg"], "", LEAST_OF_TUNED, "tuned",
        tuned["ndcg"], of_ratio=True,
    )  # fmt: skip


def _figures(split: Split, settings: str, found: dict[str, Any]) -> Iterator[Result]:
    of_metrics = zip(("recall", "ndcg"), split.targets, split.published, strict=True)
    for metric, target, peer_value in of_metrics:
        name = f"{split.name} {metric}, {settings}"
        yield Result(name, found[metric], "", target, split.peer, peer_value)


def _cold_items(data: Path, folder: Path) -> Iterator[Result]:
    """Items that nobody took in train, found by their text, beside 20 items drawn at random."""
    lines = online_retail_lines(data)
    if lines is None:
        return
    titles = lines.dropna(subset="title").groupby("item_id").title.agg(lambda t: t.mode()[0])
    items = titles.rename("text").reset_index()
    drawn = np.random.default_rng(7).choice(len(items), len(items) // 5, replace=False)
    is_cold = lines.item_id.isin(items.item_id[drawn])
    before, rows = lines.event_ts < "2011-11-01", lines.drop(columns="title")
    files = parts_of(folder / "cold", rows[before & ~is_cold], rows[~before & is_cold])
    texts = folder / "cold.items.parquet"
    items.to_parquet(texts)
    by_chance = 20 / len(items)
    options = ["--format", "parquet", "--items", str(texts), "--method", "content,default"]
    for row in _evaluate(*files, *options):
        name = f"cold items, {row['method']}"
        yield Result(
            f"{name}, recall", row["recall"], "", 5, "drawn at random", by_chance, of_ratio=True
        )
        yield Result(f"{name}, share of them listed", row["cold_coverage"], "", 0.6)


def _dislikes(folder: Path) -> Iterator[Result]:
    """Ratings of 1 and 2 as dislikes; lists should find the films that were rated 4 or 5."""
    rows = ratings(folder)
    if rows is None:
        return
    rows, kept = at_random(rows)
    is_liked = rows.rating >= 4
    said = taken(rows).assign(event_type=np.where(rows.rating <= 2, "dislike", "purchase"))
    options = ["--format", "parquet", "--k", "10", "--seen", "exclude"]
    unsaid = taken(rows)
    ignored = parts_of(folder / "ml_100k_no_dislikes", unsaid[kept], unsaid[~kept & is_liked])
    heeded = parts_of(folder / "ml_100k_dislikes", said[kept], said[~kept & is_liked])
    (without,), (found,) = (_evaluate(*files, *options) for files in (ignored, heeded))
    for metric in ("recall", "ndcg"):
        name = f"liked films, dislikes heeded, {metric}"
        yield Result(name, found[metric], "", None, "dislikes as likes", without[metric])


def _evaluate(train: Path, test: Path, *options: str) -> list[dict[str, Any]]:
    """The rows that `reclake evaluate` writes."""
    command = [sys.executable, "-m", "jobs.cli", "evaluate", *options]
    command += ["--train", str(train), "--test", str(test), "--json", "-"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    results: list[dict[str, Any]] = json.loads(ended.stdout)["results"]
    return results
