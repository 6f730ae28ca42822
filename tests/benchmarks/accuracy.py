"""Accuracy: recall and NDCG of the published lists on public splits, beside published figures.

Data comes from the folder RECLAKE_DATA; a data set that is missing there is left out, with a
message. Each figure is what `reclake evaluate` prints, once with the defaults and once with the
settings in `tests/benchmarks/tuned/`. `reclake tune` chose these settings on train alone; each file
has its seed and its trials.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from jobs.settings import get_settings
from tests.benchmarks.result import Result

TUNED = Path(__file__).parent / "tuned"
RECBOLE = "recbole==1.2.1"


def measure() -> Iterator[Result]:
    folder = get_settings().home / "bench" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ.get("RECLAKE_DATA", "shared/data"))
    yield from _accuracy(data, folder)
    yield from _cold_items(data, folder)
    yield from _dislikes(folder)


def _accuracy(data: Path, folder: Path) -> Iterator[Result]:
    """Recall and NDCG of the published list, tuned and by default."""
    for name, prepare, targets, peers, options in (
        (
            "gowalla",
            lambda: _lightgcn(data / "gowalla"),
            (0.195, 0.162),
            ("BSPM, published", 0.1920, 0.1597),
            ["--format", "lightgcn"],
        ),
        (
            "amazon_book",
            lambda: _lightgcn(data / "amazon_book_kgat"),
            (0.175, 0.102),
            ("KGIN, published", 0.1687, 0.0915),
            ["--format", "lightgcn"],
        ),
        (
            "online_retail_new",
            lambda: _online_retail(data, folder),
            (0.090, 0.096),
            ("ItemCF, published", 0.0618, 0.0660),
            ["--format", "parquet", "--seen", "exclude"],
        ),
        (
            "online_retail_repeats",
            lambda: _online_retail(data, folder),
            (0.150, 0.210),
            ("ItemCF, published", 0.1123, 0.1640),
            ["--format", "parquet", "--seen", "allow"],
        ),
        (
            "ml_100k",
            lambda: _ml_100k(folder),
            (None, 0.475),
            ("BiVAE, published", None, 0.475),
            ["--format", "parquet", "--k", "10", "--seen", "exclude"],
        ),
        (
            "ml_100k_last",
            lambda: _ml_100k_last(folder),
            (None, None),
            ("", None, None),
            ["--format", "parquet", "--seen", "exclude"],
        ),
    ):
        files = prepare()
        if files is None:
            Console().print(f"{name}: not in RECLAKE_DATA ({data}), left out")
            continue
        train, test = files
        for settings in ("tuned", "default"):
            chosen = TUNED / f"{name}.json"
            if settings == "tuned" and not chosen.exists():
                continue
            given = ["--settings", str(chosen)] if settings == "tuned" else []
            (row,) = _evaluate(train, test, *options, *given)
            peer, *of_peer = peers
            for metric, target, peer_value in zip(
                ("recall", "ndcg"), targets, of_peer, strict=True
            ):
                yield Result(
                    f"{name} {metric}, {settings}", row[metric], "", target, peer, peer_value
                )


def _cold_items(data: Path, folder: Path) -> Iterator[Result]:
    """Items that nobody took in train, found by their text, beside 20 items drawn at random."""
    lines = _online_retail_lines(data)
    if lines is None:
        return
    titles = lines.dropna(subset="title").groupby("item_id").title.agg(lambda t: t.mode()[0])
    items = titles.rename("text").reset_index()
    drawn = np.random.default_rng(7).choice(len(items), len(items) // 5, replace=False)
    is_cold = lines.item_id.isin(items.item_id[drawn])
    before = lines.event_ts < "2011-11-01"
    parts = {"items": items, "train": lines[before & ~is_cold], "test": lines[~before & is_cold]}
    files = {name: folder / f"cold.{name}.parquet" for name in parts}
    for name, rows in parts.items():
        rows.drop(columns="title", errors="ignore").to_parquet(files[name])
    by_chance = 20 / len(items)
    options = ["--format", "parquet", "--items", str(files["items"]), "--method"]
    for row in _evaluate(files["train"], files["test"], *options, "content,default"):
        name = f"cold items, {row['method']}"
        yield Result(
            f"{name}, recall", row["recall"], "", 5, "drawn at random", by_chance, of_ratio=True
        )
        yield Result(f"{name}, share of them listed", row["cold_coverage"], "", 0.6)


def _evaluate(train: Path, test: Path, *options: str) -> list[dict[str, Any]]:
    """The rows that `reclake evaluate` writes."""
    command = [sys.executable, "-m", "jobs.cli", "evaluate", *options]
    command += ["--train", str(train), "--test", str(test), "--json", "-"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    results: list[dict[str, Any]] = json.loads(ended.stdout)["results"]
    return results


def _lightgcn(folder: Path) -> tuple[Path, Path] | None:
    train, test = folder / "train.txt.gz", folder / "test.txt.gz"
    return (train, test) if train.exists() else None


def _online_retail(data: Path, folder: Path) -> tuple[Path, Path] | None:
    """Purchases of known customers before 2011-11-01, and from then on."""
    train, test = folder / "online_retail.train.parquet", folder / "online_retail.test.parquet"
    lines = _online_retail_lines(data)
    if lines is None:
        return None
    rows = lines.drop(columns="title")
    before = rows.event_ts < "2011-11-01"
    rows[before].to_parquet(train)
    rows[~before].to_parquet(test)
    return train, test


def _online_retail_lines(data: Path) -> pd.DataFrame | None:
    """What known customers bought, one row for each item of an invoice."""
    source = data / "online_retail" / "online_retail_2010_2011.parquet"
    if not source.exists():
        return None
    lines = pd.read_parquet(source)
    lines = lines[lines.CustomerID.notna() & (lines.Quantity > 0)]
    return pd.DataFrame(
        {
            "user_id": lines.CustomerID.astype(int).astype(str),
            "item_id": lines.StockCode.astype(str),
            "event_ts": lines.InvoiceDate.dt.tz_localize("UTC"),
            "session_id": lines.InvoiceNo.astype(str),
            "title": lines.Description.str.strip(),
        }
    ).drop_duplicates(["session_id", "item_id"])


def _ratings(folder: Path) -> pd.DataFrame | None:
    """MovieLens 100K: user, item, rating 1 to 5, time in seconds."""
    source = _ml_100k_file(folder)
    if source is None:
        return None
    rows = pd.read_csv(source, sep="\t")
    rows.columns = ["user", "item", "rating", "time"]
    return rows


def _ml_100k_file(folder: Path) -> Path | None:
    """The data set as the wheel of recbole holds it."""
    uv = shutil.which("uv") or str(Path(".reclake/uv/bin/uv"))
    target = folder / "recbole"
    if not target.exists():
        install = [uv, "pip", "install", "--no-deps", "--target", str(target), RECBOLE]
        if subprocess.run(install, capture_output=True).returncode:
            return None
    return target / "recbole" / "dataset_example" / "ml-100k" / "ml-100k.inter"


def _ml_100k(folder: Path) -> tuple[Path, Path] | None:
    """MovieLens 100K, 75/25 by user as `recommenders` splits it.

    recommenders draws one number a row from NumPy's generator with seed 42 and keeps, of each
    user, the rows with the smallest three quarters of the numbers.
    """
    rows = _ratings(folder)
    if rows is None:
        return None
    rows, kept = _at_random(rows)
    taken = _taken(rows).assign(weight=rows.rating.astype(float))
    return _parts(folder / "ml_100k", taken[kept], taken[~kept])


def _ml_100k_last(folder: Path) -> tuple[Path, Path] | None:
    """MovieLens 100K; of each user the newest fifth is held out, ties by film."""
    rows = _ratings(folder)
    if rows is None:
        return None
    rows = rows.sort_values(["user", "time", "item"])
    of_user = rows.groupby("user").user
    kept = of_user.cumcount() < (0.8 * of_user.transform("count")).round()
    taken = _taken(rows).assign(weight=rows.rating.astype(float))
    return _parts(folder / "ml_100k_last", taken[kept], taken[~kept])


def _dislikes(folder: Path) -> Iterator[Result]:
    """Ratings of 1 and 2 as dislikes; lists should find the films that were rated 4 or 5."""
    rows = _ratings(folder)
    if rows is None:
        return
    rows, kept = _at_random(rows)
    is_liked = rows.rating >= 4
    said = _taken(rows).assign(event_type=np.where(rows.rating <= 2, "dislike", "purchase"))
    options = ["--format", "parquet", "--k", "10", "--seen", "exclude"]
    unsaid = _taken(rows)
    ignored = _parts(folder / "ml_100k_no_dislikes", unsaid[kept], unsaid[~kept & is_liked])
    heeded = _parts(folder / "ml_100k_dislikes", said[kept], said[~kept & is_liked])
    (without,), (found,) = (_evaluate(*files, *options) for files in (ignored, heeded))
    name = "liked films, dislikes heeded"
    for metric in ("recall", "ndcg"):
        yield Result(
            f"{name}, {metric}", found[metric], "", None, "dislikes as likes", without[metric]
        )


def _at_random(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """The ratings by user in a random order, and which of them belong to train."""
    rows = rows.assign(draw=np.random.RandomState(42).rand(len(rows)))
    rows = rows.sort_values(["user", "draw"])
    of_user = rows.groupby("user").user
    return rows, of_user.cumcount() + 1 <= (0.75 * of_user.transform("count")).round()


def _taken(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": rows.user.astype(str),
            "item_id": rows["item"].astype(str),
            "event_ts": pd.to_datetime(rows.time, unit="s", utc=True),
        }
    )


def _parts(name: Path, train: pd.DataFrame, test: pd.DataFrame) -> tuple[Path, Path]:
    """The files of both parts."""
    files = tuple(name.with_name(f"{name.name}.{part}.parquet") for part in ("train", "test"))
    train.to_parquet(files[0])
    test.to_parquet(files[1])
    return files[0], files[1]
