"""The ablation: three kinds of text, the same shop, worked by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from jobs.evaluation.ablation import (
    ENRICHED,
    NO_TEXT,
    TEMPLATE,
    Remembering,
    Row,
    _sliced,
    ablate,
    shop_of,
    verdict,
)
from jobs.evaluation.evaluate import settings_for
from jobs.judging.metrics import Pairs
from jobs.lake import Lake
from jobs.lake.errors import UpstreamMissing
from tests.cli.small_lake import write_table

DAY = date(2017, 12, 28)
# Two people of each kind take both items of their kind; the day after, those of a take c, which is
# new and whose own words say nothing.
TAKEN = [(f"{kind}-{n}", f"{kind}{item}", DAY) for kind in "ab" for n in (1, 2) for item in (1, 2)]
NEXT = [(f"a-{n}", "c", DAY + timedelta(days=1)) for n in (1, 2)]
TITLES = {"a1": "apple", "a2": "apple", "b1": "bread", "b2": "bread", "c": "xq"}
WORDS = ("apple", "bread", "xq")


def by_words(texts: Sequence[str]) -> NDArray[np.float32]:
    """One dimension for each of WORDS."""
    counts = np.array([[word in text for word in WORDS] for text in texts], np.float32)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def interaction(user: str, item: str, day: date) -> dict[str, Any]:
    stamp = datetime.combine(day, time(12), UTC)
    return {
        "user_id": user,
        "item_id": item,
        "event_ts": stamp,
        "event_type": "purchase",
        "event_date": day,
        "weight": 1.0,
        "quantity": 1.0,
        "ingest_ds": day,
    }


@pytest.fixture
def shop(lake: Lake) -> Lake:
    """A lake in which the LLM said of c that it is an apple."""
    folder = Path(lake.settings.lake)
    rows = {
        "silver.interactions": [interaction(*row) for row in (*TAKEN, *NEXT)],
        "silver.items": [
            {
                "item_id": item,
                "valid_from": DAY,
                "title": title,
                "is_sellable": True,
                "content_hash": item,
                "row_hash": item,
            }
            for item, title in TITLES.items()
        ],
        "silver.item_texts": [
            {
                "ds": DAY,
                "item_id": item,
                "text": f"{title}. An apple." if item == "c" else f"{title}.",
                "text_hash": item,
                "text_source": "enriched" if item == "c" else "template",
                "content_hash": item,
            }
            for item, title in TITLES.items()
        ],
    }
    for table, found in rows.items():
        write_table(folder, lake.contracts[table], found)
    return lake


@pytest.fixture
def ablated(shop: Lake, tmp_path: Path) -> Callable[[], dict[tuple[str, str, str], Row]]:
    def run() -> dict[tuple[str, str, str], Row]:
        found = shop_of(shop, DAY, 1)
        assert found.described == 1
        settings = settings_for(shop.settings, 1, 10, repeats=False)
        (tmp_path / "arms").mkdir()
        arms = tmp_path / "arms"
        rows = ablate(shop.spark, found, 1, settings, arms, by_words, started=lambda step: None)
        return {(row.method, row.slice, row.metric): row for row in rows}

    return run


def test_what_only_the_llm_knows_is_found_only_with_its_text(
    ablated: Callable[[], dict[tuple[str, str, str], Row]],
) -> None:
    rows = ablated()
    # c has no users, so it is cold, and all of the test is
    assert {key[1] for key in rows} == {"all", "cold"}
    content = rows["content", "all", "recall"]
    assert content.values == {TEMPLATE: 0.0, ENRICHED: 1.0}
    assert (content.users, content.uplift, content.low, content.high) == (2, 1.0, 1.0, 1.0)
    # without texts, what is popular fills the list: the items of b
    assert rows["default", "cold", "ndcg"].values == {NO_TEXT: 0.0, TEMPLATE: 0.0, ENRICHED: 1.0}


def test_a_day_without_texts_or_without_a_next_day_is_an_error(shop: Lake) -> None:
    with pytest.raises(UpstreamMissing, match=r"silver\.item_texts has no rows.*Run recall_daily"):
        shop_of(shop, DAY - timedelta(days=1), 2)
    text = {"ds": DAY + timedelta(days=1), "item_id": "c", "text": "xq.", "content_hash": "c"}
    row = {**text, "text_hash": "c", "text_source": "template"}
    write_table(Path(shop.settings.lake), shop.contracts["silver.item_texts"], [row])
    with pytest.raises(UpstreamMissing, match="nobody took anything"):
        shop_of(shop, DAY + timedelta(days=1), 1)


def test_slices_part_the_test_by_the_users_of_an_item() -> None:
    # item 0 has 12 users, 1 to 9 have 3, 10 has 2, 11 none: one of ten is head
    users = [12, *[3] * 9, 2, 0]
    taken = Pairs(
        np.concatenate([np.arange(n) for n in users]), np.repeat(np.arange(len(users)), users)
    )
    wanted = Pairs(np.zeros(4, np.int64), np.array([0, 5, 10, 11]))
    parts = _sliced(wanted, taken, len(users))
    assert {name: list(part.item) for name, part in parts.items()} == {
        "all": [0, 5, 10, 11],
        "head": [0],
        "long_tail": [5],
        "cold": [10, 11],
    }


def test_no_text_is_encoded_twice() -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        asked.extend(texts)
        return by_words(texts)

    encoder = Remembering(encode)
    assert encoder(["apple", "bread"]).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert encoder(["bread", "xq", "xq"]).tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert asked == ["apple", "bread", "xq"]


def test_the_verdict_says_so_also_when_it_does_not_pay() -> None:
    values = {NO_TEXT: 0.1, TEMPLATE: 0.2, ENRICHED: 0.25}
    row = Row("default", "all", "recall", 9, values, 0.05, 0.01, 0.09)
    pays = verdict([row], described=40)
    assert pays.startswith("The enrichment pays on this data: recall 0.2500 with LLM texts, 0.2000")
    assert "(+25.0%; 95% interval of the difference +0.0100 to +0.0900)" in pays
    unsure = replace(row, low=-0.01)
    assert verdict([unsure], 40).startswith("The enrichment does not pay on this data")
    worse = replace(row, low=-0.09, high=-0.01)
    assert verdict([worse], 40).startswith("The enrichment makes the lists worse")
    assert "nothing to compare" in verdict([row], described=0)
