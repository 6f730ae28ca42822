"""bronze.items: catalogue records as sent, repeated deliveries included."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from jobs.lake import Lake

D1, D2 = date(2026, 1, 1), date(2026, 1, 2)
MAPPING = """
source: shop
entity: items
columns:
  item_id: {from: sku}
  title: {from: name}
  price: {from: price}
  is_sellable: {from: state, values: {'on': 'true', 'off': 'false'}}
"""


def test_each_delivery_of_the_catalogue_is_kept(
    make_lake: Callable[..., Lake], tmp_path: Path
) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "shop.yaml").write_text(MAPPING, encoding="utf-8")
    lake = make_lake(sources=sources)
    for day in (D1, D2):
        path = Path(lake.settings.landing, "items", f"ds={day}", "all.jsonl")
        path.parent.mkdir(parents=True)
        path.write_text(
            '{"sku": 1, "name": "Tea", "price": 2.5, "state": "on"}\n'
            '{"sku": 2, "name": null, "price": null, "state": "off"}\n',
            encoding="utf-8",
        )
    record = lake.run("bronze.items", ds=D2)
    assert (record.rows_in, record.rows_out) == (4, 4)
    columns = ("item_id", "title", "price", "is_sellable", "ingest_ds", "source_row")
    rows = lake.tables.read("bronze.items").select(*columns).orderBy("ingest_ds", "item_id")
    assert [tuple(row) for row in rows.collect()] == [
        ("1", "Tea", 2.5, True, D1, 1),
        ("2", None, None, False, D1, 2),
        ("1", "Tea", 2.5, True, D2, 1),
        ("2", None, None, False, D2, 2),
    ]
