"""The commands that need Spark, one after the other on one lake, as a newcomer uses them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from jobs.lake.contract import Contracts
from jobs.lake.settings import ROOT
from tests.cli.conftest import Reclake


def test_from_sample_files_to_rows_and_a_replay(
    reclake: Reclake,
    empty_lake: Path,
    spark_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_lake = tmp_path / "reclake" / "lake"
    shutil.copytree(empty_lake, own_lake)
    monkeypatch.setenv("RECLAKE_SPARK_URL", spark_url)
    monkeypatch.setenv("RECLAKE_LANDING", str(tmp_path / "shop" / "landing"))
    monkeypatch.setenv("RECLAKE_SOURCES", str(tmp_path / "shop" / "sources"))
    monkeypatch.setenv("RECLAKE_MAX_BAD_SHARE", "0.6")

    def answer(*words: str) -> Any:
        ended = reclake(*words, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    shutil.rmtree(own_lake / "gold" / "popular_items_daily")
    contracts = [contract.table for contract in Contracts(ROOT / "expectations")]
    assert answer("init")["tables"] == contracts
    assert answer("sql", "SELECT * FROM gold.popular_items_daily") == []

    products = tmp_path / "products.csv"
    products.write_text("sku,name,price\nmilk,MILK 2%,2.79\ntea,GREEN TEA,cheap\n")
    answer("init-source", "my_shop", str(products))
    drop = tmp_path / "shop" / "landing" / "items" / "ds=2017-12-29"
    drop.mkdir(parents=True)
    shutil.copy(products, drop)

    dry = answer("run", "bronze.items", "--ds", "2017-12-29", "--dry-run")
    assert (dry["status"], dry["rows_out"]) == ("dry_run", 1)
    assert answer("sql", "SELECT * FROM bronze.items") == []

    run = answer("run", "bronze.items", "--ds", "2017-12-29")
    assert (run["status"], run["rows_in"], run["rows_out"], run["rows_quarantined"]) == (
        "published",
        2,
        1,
        1,
    )
    again = reclake("run", "bronze.items", "--ds", "2017-12-29")
    assert again.out.startswith("bronze.items ds=2017-12-29: unchanged")
    assert answer("sql", "SELECT item_id, price FROM bronze.items") == [
        {"item_id": "milk", "price": 2.79}
    ]

    early = reclake("run", "silver.items", "--ds", "2017-12-30")
    assert early.code == 1
    assert "Run `reclake run bronze.items --ds 2017-12-30` first." in early.err

    words = ("replay", "bronze.items", "--ds", "2017-12-29", "--into", "2017-12-30")
    replayed = answer(*words)
    assert replayed["rows"] == 1
    (file,) = replayed["files"]
    assert "cheap" in (tmp_path / "shop" / "landing" / file).read_text()
    assert "Next: reclake run bronze.items --ds 2017-12-30" in reclake(*words).out

    unknown = reclake("run", "gold.i2i", "--ds", "2017-12-30")
    assert (unknown.code, "see `reclake tables`" in unknown.err) == (1, True)
