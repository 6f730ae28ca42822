"""`reclake try` on files as shops have them: a till, a click log, a film service, an ERP export."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.cli.first_look import _mappings
from jobs.evaluation.data import BadData
from jobs.evaluation.first_look import FirstLook, look
from jobs.lake.errors import MappingError
from jobs.settings import Settings

Look = Callable[..., FirstLook]


@pytest.fixture
def first_look(spark: SparkSession, tmp_path: Path) -> Look:
    def of(*files: Path) -> FirstLook:
        sources, _ = _mappings(files, tmp_path / "sources")
        folder = tmp_path / "work"
        folder.mkdir()
        return look(spark, sources, Settings(home=tmp_path), 5, folder, lambda what: None)

    return of


def baskets(users: int = 16, days: int = 60, seed: int = 1) -> list[tuple[str, str, datetime]]:
    """Who takes what when: users take three items a visit, of two halves of a shop; even users
    those of one half, odd users those of the other."""
    draw = random.Random(seed)
    found = []
    for user in range(users):
        half = [f"{'ab'[user % 2]}{number}" for number in range(8)]
        for day in sorted(draw.sample(range(days), 6)):
            at = datetime(2026, 1, 1, draw.randrange(8, 20), tzinfo=UTC) + timedelta(days=day)
            found += [(f"u{user}", item, at) for item in draw.sample(half, 3)]
    return found


def is_of_one_half(found: FirstLook) -> bool:
    """Whether every list that behavior made holds items of the half of its item alone."""
    together = [row for row in found.neighbors if "together" in row["reason"]]
    return bool(together) and all(
        row["item_id"][0] == row["neighbor_item_id"][0] for row in together
    )


def test_a_grocers_till(first_look: Look, tmp_path: Path) -> None:
    """Semicolons, decimal commas, returns as negative pieces, receipts, a catalogue by groups."""
    lines = ["KundenNr;Artikelnummer;Bestelldatum;Menge;Total;ReceiptNo"]
    for number, (user, item, at) in enumerate(baskets()):
        price = f"{number % 9 + 1},{number % 90 + 10}"
        receipt = f"{user}-{at:%j%H}"
        lines.append(f"{user};{item};{at:%d.%m.%Y %H:%M};1;{price};{receipt}")
    user, item, at = baskets()[0]
    lines.append(f"{user};{item};{at + timedelta(days=90):%d.%m.%Y %H:%M};-1;-1,10;back")
    till = tmp_path / "till.csv"
    till.write_text("\n".join(lines) + "\n", encoding="utf-8")
    goods = tmp_path / "goods.csv"
    rows = [f"{half}{n};Goods {half}{n};group {half}" for half in "ab" for n in range(8)]
    goods.write_text("Artikelnummer;Bezeichnung;Warengruppe\n" + "\n".join(rows) + "\n", "utf-8")

    found = first_look(till, goods)

    events, items = found.files
    assert (events.rows, events.used, dict(events.dropped)) == (289, 289, {})
    assert (items.rows, items.used) == (16, 16)
    assert (found.facts.users, found.facts.items) == (16, 16)
    assert found.facts.visit_items == pytest.approx(3, abs=0.02)
    assert found.facts.repeat_share > 0.3
    assert found.facts.events == 287  # a return takes one of 288 back
    assert is_of_one_half(found)
    assert found.neighbors[0]["item"].startswith("Goods ")
    assert len({row["item_id"] for row in found.neighbors}) == 10
    assert [len([r for r in found.users if r["user_id"] == u]) for u in found.histories] == [5] * 5
    default, popular = found.results
    assert default.metrics.recall > popular.metrics.recall
    assert (found.split, found.why_unjudged) == ("time", "")


def test_a_web_shops_click_log(first_look: Look, tmp_path: Path) -> None:
    """JSON lines with objects in them, types of events, a bot, and no catalogue at all."""
    lines: list[dict[str, Any]] = [
        {"visitor": {"id": user}, "item": {"sku": item}, "ts": at.isoformat(), "event": event}
        for user, item, at in baskets()
        for event in ("view", "addtocart")
    ]
    at = datetime(2026, 2, 1, tzinfo=UTC)
    lines += [
        {
            "visitor": {"id": "bot"},
            "item": {"sku": f"{'ab'[n % 2]}{n % 8}"},
            "ts": (at + timedelta(seconds=n)).isoformat(),
            "event": "view",
        }
        for n in range(5000)
    ]
    lines.append({"visitor": {"id": None}, "item": {"sku": "a1"}, "ts": at.isoformat()})
    log = tmp_path / "clicks.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    found = first_look(log)

    (events,) = found.files
    assert (events.rows, events.used) == (5577, 5576)
    assert sum(events.dropped.values()) == 1
    assert (found.facts.busy_users, found.facts.users) == (1, 17)
    assert found.facts.busy_share == pytest.approx(5000 / 5576)
    assert found.facts.catalogue_items == 16
    # the bot took all alike, and is one user of many
    together = [row for row in found.neighbors if row["rank"] <= 2]
    assert all(row["item_id"][0] == row["neighbor_item_id"][0] for row in together)
    assert len(found.histories) == 5


def test_a_film_service(first_look: Look, tmp_path: Path) -> None:
    """Tabs, seconds since 1970, each film once, titles in a file of their own."""
    seen: set[tuple[str, str]] = set()
    lines = ["user_id\tfilm_id\trating\ttimestamp"]
    for user, item, at in baskets(users=24):
        if (user, item) not in seen:
            seen.add((user, item))
            lines.append(f"{user}\t{item}\t4.0\t{int(at.timestamp())}")
    ratings = tmp_path / "ratings.tsv"
    ratings.write_text("\n".join(lines) + "\n", "utf-8")
    films = tmp_path / "films.csv"
    rows = [f'{half}{n},"Film {half}{n}, the",Drama|War' for half in "ab" for n in range(8)]
    films.write_text("film_id,film_name,genres\n" + "\n".join(rows) + "\n", "utf-8")

    found = first_look(ratings, films)

    assert (found.facts.repeat_share, found.facts.return_days) == (0, 0)
    assert is_of_one_half(found)
    taken = {user: {i for u, i in seen if u == user} for user in found.histories}
    # nobody sees a film twice, so no list holds one that its user has seen
    assert not [row for row in found.users if row["item_id"] in taken[row["user_id"]]]
    assert {row["item"] for row in found.users} <= {
        f"Film {h}{n}, the" for h in "ab" for n in range(8)
    }


def test_a_dirty_erp_export(first_look: Look, tmp_path: Path) -> None:
    """Lines above the header, NULL customers, stray spaces, ids as floats, unparsable rows."""
    lines = [
        "Sales by customer;;;",
        "made by ERP on 01.04.2026;;;",
        "Customer Number;StockCode;InvoiceDate;Qty",
    ]
    for number, (user, item, at) in enumerate(baskets()):
        customer = f" {user[1:]}.0" if number % 2 else user[1:]
        lines.append(f"{customer};{item} ;{at:%d.%m.%Y};1,0")
    lines += ["NULL;a1;01.02.2026;1,0", "3;a1;soon;1,0", "3;a1", "3;a2;02.02.2026;many"]
    export = tmp_path / "export.csv"
    export.write_text("\n".join(lines) + "\n", "utf-8")

    found = first_look(export)

    (events,) = found.files
    assert (events.rows, events.used + sum(events.dropped.values())) == (292, 292)
    assert events.dropped["Customer Number has no value"] == 1
    assert found.facts.users == 16
    assert is_of_one_half(found)


def test_one_user_and_one_item_get_what_there_is(first_look: Look, tmp_path: Path) -> None:
    log = tmp_path / "x.csv"
    log.write_text("user_id,item_id,ts\nu,i,2026-01-02T10:00Z\n", "utf-8")
    found = first_look(log)
    assert (found.facts.users, found.facts.items) == (1, 1)
    assert found.results == []
    assert "nothing is left to learn from" in found.why_unjudged
    # popular items fill every list, and the one item is the one that the user has
    assert [row["item_id"] for row in found.users] == ["i"]
    assert found.neighbors == []


def test_files_without_a_usable_event_say_why(first_look: Look, tmp_path: Path) -> None:
    log = tmp_path / "x.csv"
    log.write_text("user_id,item_id,ts,quantity\nu,i,2026-01-02T10:00Z,1\n", "utf-8")
    first_look(log)  # writes the mapping
    (tmp_path / "work").rename(tmp_path / "done")
    log.write_text("user_id,item_id,ts,quantity\nu,i,2026-01-02T10:00Z,x\n", "utf-8")
    with pytest.raises(
        BadData, match="none of 1 rows can be used; the first reason: quantity is not"
    ):
        first_look(log)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"a.csv": "sku,name\na,tea\n"}, "none holds events"),
        ({"a.csv": "colour\nred\n"}, "can't tell whether it holds events"),
    ],
)
def test_files_that_cannot_be_told_are_named(
    tmp_path: Path, texts: dict[str, str], says: str
) -> None:
    for name, text in texts.items():
        (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(MappingError, match=says):
        _mappings([tmp_path / name for name in texts], tmp_path / "sources")


def test_a_mapping_that_is_there_is_taken_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "x.csv"
    log.write_text("user_id,item_id,ts\nu,i,2026-01-02\n", "utf-8")
    _, assumed = _mappings([log], tmp_path / "sources")
    assert any("time zone" in question for question in assumed)
    kept = tmp_path / "sources" / "try_events.yaml"
    kept.write_text(kept.read_text("utf-8").replace("time_zone: UTC", "time_zone: Europe/Paris"))
    ((source, path),), again = _mappings([log], tmp_path / "sources")
    assert (source.columns["event_ts"].time_zone, path, again) == ("Europe/Paris", log, [])
