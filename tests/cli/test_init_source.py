"""`reclake init-source`: sample files in, mappings out, and every doubt said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.lake.intake.mapping import Entity, load_source
from tests.cli.conftest import Reclake


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An order file and a product file of a shop, and an empty folder of mappings."""
    monkeypatch.setenv("RECLAKE_SOURCES", str(tmp_path / "sources"))
    orders = tmp_path / "orders.csv"
    orders.write_text(
        "customer_id,sku,ordered_at,qty\n7,milk,2017-12-30T10:00:00,2\n8,tea,2017-12-30T11:00:00,1\n"
    )
    products = tmp_path / "products.csv"
    products.write_text("sku,name,brand\nmilk,MILK 2%,Private\ntea,GREEN TEA,Leaf\n")
    return [str(orders), str(products)]


def test_each_sample_becomes_a_mapping_that_loads(
    reclake: Reclake, samples: list[str], tmp_path: Path
) -> None:
    ended = reclake("init-source", "my_shop", *samples, "--no-try", "--json")
    assert ended.code == 0, ended.err
    written = [Path(proposal["path"]) for proposal in json.loads(ended.out)]
    assert written == [
        tmp_path / "sources" / "my_shop_events.yaml",
        tmp_path / "sources" / "my_shop_items.yaml",
    ]
    assert load_source(written[1]).entity is Entity.items


def test_what_could_not_be_told_is_asked(reclake: Reclake, samples: list[str]) -> None:
    page = reclake("init-source", "my_shop", *samples, "--no-try").out
    assert "no column says event_type; assumed purchase" in page
    assert "time zone are the times of ordered_at? assumed UTC" in page
    assert "docs/bring-your-own-data.md" in page


@pytest.mark.server
def test_each_proposal_is_tried_on_its_sample(samples: list[str], tmp_path: Path) -> None:
    # a process of its own: a local Spark and a Connect client do not share one
    command = [sys.executable, "-m", "jobs.cli", "init-source", "my_shop", *samples]
    home = {"RECLAKE_HOME": str(tmp_path / "home")}
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | home)
    assert ended.returncode == 0, ended.stderr
    lines = [" ".join(line.split()) for line in ended.stdout.splitlines()]
    assert "user_id customer_id 100% 7, 8" in lines
    times = "2017-12-30 10:00:00+00:00, 2017-12-30 11:00:00+00:00"
    assert f"event_ts ordered_at 100% {times}" in lines
    assert "event_type always purchase 100%" in lines
    assert "title name 100% MILK 2%, GREEN TEA" in lines
    assert lines.count("2 of 2 rows of the sample can be used") == 2


def test_a_mapping_that_is_there_is_left_alone(reclake: Reclake, samples: list[str]) -> None:
    assert reclake("init-source", "my_shop", *samples, "--no-try").code == 0
    again = reclake("init-source", "my_shop", *samples, "--no-try")
    assert again.code == 1
    assert "is there already" in again.err


def test_a_file_that_is_not_there_is_a_usage_error(reclake: Reclake) -> None:
    ended = reclake("init-source", "my_shop", "nowhere.csv")
    assert ended.code == 2
    assert "does not exist" in ended.err
