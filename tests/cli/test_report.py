"""`reclake report`: one page, made of the lake's rows, that needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jobs.lake.contract import Contracts
from jobs.settings import Settings
from tests.cli.conftest import Reclake
from tests.cli.small_lake import D28, D29, D30, Row, write_table

FUSED = ("gold.user_recall_daily", "fused")


def judged(ds, as_of, table: str, channel: str, slice: str, metric: str, value: float) -> Row:
    return {
        "ds": ds,
        "as_of": as_of,
        "horizon_days": (ds - as_of).days,
        "table": table,
        "channel": channel,
        "slice": slice,
        "metric": metric,
        "value": value,
        "low": value / 2,
        "high": min(1.0, value * 2),
        "users": 7,
    }


@pytest.fixture
def judged_lake(own_lake: Path) -> Path:
    """The small lake with the metrics of two days."""
    rows = [
        judged(D30, D29, *FUSED, "all", "recall", 0.25),
        judged(D30, D29, *FUSED, "all", "ndcg", 0.125),
        judged(D30, D29, *FUSED, "cold", "recall", 0.0625),
        judged(D30, D29, "silver.user_candidates", "popular", "all", "recall", 0.3),
        judged(D30, D29, "silver.i2i_candidates", "slim", "all", "recall", 0.4),
        judged(D29, D28, *FUSED, "all", "recall", 0.5),
        judged(D30, D28, *FUSED, "all", "recall", 0.75),
    ]
    write_table(own_lake, Contracts(Settings().contracts)["gold.recall_metrics_daily"], rows)
    return own_lake


def test_the_page_stands_alone_and_shows_the_newest_day(
    reclake: Reclake, judged_lake: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    ended = reclake("report", "--horizon", "1", "--out", str(page))
    assert ended.code == 0, ended.err
    assert ended.out == f"{page}: lists of 2017-12-29 against what users took up to 2017-12-30\n"
    text = page.read_text()
    assert "<title>Recall of 2017-12-29</title>" in text
    assert text.count("<svg") == 5
    assert "slim (7 users)" in text
    # nothing is loaded: no script, no style sheet, no image
    assert not re.search(r"<script|<link|<img|url\(http|@import", text)
    reclake("report", "--horizon", "1", "--out", str(tmp_path / "again.html"))
    assert (tmp_path / "again.html").read_text() == text


def test_an_ablation_is_shown_beside_them(
    reclake: Reclake, judged_lake: Path, tmp_path: Path
) -> None:
    written, page = tmp_path / "ablation.json", tmp_path / "page.html"
    row = {"method": "default", "slice": "all", "metric": "recall", "users": 9}
    values = {"no text": 0.1, "template": 0.2, "enriched": 0.25}
    results = [{**row, "values": values, "uplift": 0.05, "low": 0.01, "high": 0.09}]
    found = {"as_of": "2017-12-29", "verdict": "It <pays>.", "results": results}
    written.write_text(json.dumps(found))
    given = ["report", "--horizon", "1", "--out", str(page)]
    assert reclake(*given).code == 0
    assert "reclake evaluate --lake --as-of 2017-12-29 --horizon 1 --ablation" in page.read_text()
    assert reclake(*given, "--ablation", str(written)).code == 0
    text = page.read_text()
    assert "It &lt;pays&gt;." in text
    assert text.count("<svg") == 6
    assert "all (9 users)" in text
    # made before thresholds were part of it, or with none of the LLM's answers about users
    assert "theta" not in text
    written.write_text(json.dumps(found | {"thresholds": {"sentence": "No data.", "kept": []}}))
    reclake(*given, "--ablation", str(written))
    assert "No data." in page.read_text()
    assert "matched names" not in page.read_text()
    kept = [
        {"theta": 0.5, "epsilon": epsilon, "names": 3000, "users": 4, "items": 7} | rest
        for epsilon, rest in (
            (0.2, {"recall": 0.25, "is_set": False}),
            (0.3, {"recall": None, "is_set": True}),
        )
    ]
    thresholds = {"sentence": "It finds some.", "k": 20, "kept": kept}
    written.write_text(json.dumps(found | {"thresholds": thresholds}))
    reclake(*given, "--ablation", str(written))
    text = page.read_text()
    assert "<th>epsilon 0.2</th><th>epsilon 0.3</th>" in text
    cells = "<td>25.0%, 4 users, 7 items</td><td><b>no data, 4 users, 7 items</b></td>"
    assert f"<td>0.5</td><td>3,000</td>{cells}" in text
    written.write_text("{}")
    ended = reclake(*given, "--ablation", str(written))
    assert ended.code == 1
    assert "expected what `reclake evaluate --lake --ablation --json FILE` writes" in ended.err


def test_its_rows_are_those_of_the_lake(reclake: Reclake, judged_lake: Path) -> None:
    found = json.loads(reclake("report", "--json", "--horizon", "1").out)
    rows = found["rows"]
    assert (found["as_of"], found["ds"], found["horizon_days"]) == ("2017-12-29", "2017-12-30", 1)
    recalls = [row for row in rows["over_days"] if row["metric"] == "recall"]
    assert [(row["as_of"], row["value"]) for row in recalls] == [
        ("2017-12-28", 0.5),
        ("2017-12-29", 0.25),
    ]
    assert [(row["channel"], row["value"]) for row in rows["sources"]] == [
        ("fused", 0.25),
        ("slim", 0.4),
        ("popular", 0.3),
    ]
    assert [row["slice"] for row in rows["slices"]] == ["all", "cold"]
    # ann and bob were shown milk alone, of four items that have neighbors; ann took jam
    assert [(r["k"], r["coverage"], r["recall"]) for r in rows["coverage"]] == [(1, 1 / 4, 0)]
    assert rows["texts"] == [{"text_source": "template", "wanted": 1, "found_by_text": 0}]
    assert rows["misses"] == [
        {
            "user_id": "ann",
            "wanted": 1,
            "took": ["STRAWBERRY JAM"],
            "recalled": ["MILK 2% GALLON"],
        }
    ]


def test_the_five_users_without_a_hit_who_took_most_are_shown(
    reclake: Reclake, judged_lake: Path
) -> None:
    contracts = Contracts(Settings().contracts)
    shown = {"ds": D29, "rank": 1, "item_id": "milk"}
    write_table(
        judged_lake,
        contracts["gold.user_recall_daily"],
        [shown | {"user_id": f"u{n}"} for n in range(6)],
    )
    taken = {"event_date": D30, "ingest_ds": D30, "weight": 1.0}
    write_table(
        judged_lake,
        contracts["silver.interactions"],
        [taken | {"user_id": f"u{n}", "item_id": "tea"} for n in range(6)]
        + [taken | {"user_id": "u5", "item_id": "bread"}],
    )
    misses = json.loads(reclake("report", "--json", "--horizon", "1").out)["rows"]["misses"]
    assert [(row["user_id"], row["wanted"]) for row in misses] == [
        ("u5", 2),
        ("ann", 1),
        ("u0", 1),
        ("u1", 1),
        ("u2", 1),
    ]


def test_the_longest_horizon_is_shown_unless_one_is_named(
    reclake: Reclake, judged_lake: Path
) -> None:
    found = json.loads(reclake("report", "--json").out)
    assert (found["horizon_days"], found["as_of"]) == (2, "2017-12-28")


def test_without_metrics_it_says_what_to_run(reclake: Reclake, own_lake: Path) -> None:
    ended = reclake("report", "--ds", "2017-12-30", "--horizon", "3")
    assert ended.code != 0
    assert "has no metrics of 2017-12-30 with a horizon of 3 days" in ended.err
    assert "reclake evaluate --lake --as-of" in ended.err
