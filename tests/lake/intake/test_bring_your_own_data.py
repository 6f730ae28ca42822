"""docs/bring-your-own-data.md, run as it stands: its files, its mapping, its result."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from jobs.lake import Lake
from jobs.lake.intake.init_source import init_source
from jobs.lake.oplog import PUBLISHED
from jobs.lake.settings import ROOT

PAGE = (ROOT / "docs" / "bring-your-own-data.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL))
SAMPLES = ("orders.csv", "products.jsonl", "customers.csv")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The shop after steps 1 to 3: its mappings, and its files in the landing."""
    for name in SAMPLES:
        (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    home = tmp_path / "little_shop"
    init_source("little_shop", [tmp_path / name for name in SAMPLES], home / "sources")
    mapping = "little_shop_events.yaml"
    (home / "sources" / mapping).write_text(FILES[mapping], encoding="utf-8")
    drops = re.findall(r"^little_shop/(landing/\S+/(\S+))$", PAGE, re.MULTILINE)
    assert {name for _, name in drops} == set(SAMPLES)
    for place, name in drops:
        (home / place).parent.mkdir(parents=True)
        (home / place).write_text(FILES[name], encoding="utf-8")
    return home


def test_the_page_gives_what_it_shows(home: Path, make_lake: Callable[..., Lake]) -> None:
    lake = make_lake(home=home, sources=home / "sources")
    runs = re.findall(r"^reclake run (\S+) --ds (\S+)$", PAGE, re.MULTILINE)
    assert len(runs) == 6
    for table, ds in runs:
        assert lake.run(table, ds=date.fromisoformat(ds)).status == PUBLISHED
    found = lake.spark.sql(
        "SELECT user_id, item_id, CAST(event_ts AS string) AS event_ts, event_type, quantity, "
        "round(weight, 2) AS weight FROM {interactions} ORDER BY event_ts, item_id",
        interactions=lake.tables.read("silver.interactions"),
    )
    shown = [" | ".join(map(str, row)) for row in found.collect()]
    assert shown == re.findall(r"^\| (c-\d+ \|.+) \|$", PAGE, re.MULTILINE)
    items = lake.tables.read("silver.items").orderBy("item_id").collect()
    assert [(row["title"], row["category"], row["is_sellable"]) for row in items] == [
        ("Rain coat", "Coats", False),
        ("Linen shirt", "Shirts", True),
        ("Wool socks", "Socks", True),
    ]
    users = lake.tables.read("silver.users").orderBy("user_id").collect()
    assert [row["attributes"] for row in users] == [
        {"age_group": "25-34", "newsletter": "yes"},
        {"age_group": "35-44", "newsletter": "no"},
    ]
