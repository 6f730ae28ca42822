"""`reclake sql`: formats, limits, and the day it says it shows."""

from __future__ import annotations

import csv
import io
import json

from tests.cli.conftest import Reclake

NEIGHBORS = (
    "SELECT item_id, neighbor_item_id, round(score, 3) AS score, method_scores "
    "FROM gold.i2i_latest WHERE item_id = 'milk' ORDER BY rank"
)


def test_a_table_for_people(reclake: Reclake) -> None:
    ended = reclake("sql", NEIGHBORS)
    assert ended.code == 0
    assert [" ".join(line.split()) for line in ended.out.splitlines()[2:]] == [
        "milk bread 1.1450 content 0.8, cooccurrence 1.2, slim 1.5",
        "milk butter 0.1100 content 1.1",
    ]


def test_json_for_programs_keeps_types(reclake: Reclake) -> None:
    for words in (("--json",), ("--format", "json")):
        rows = json.loads(reclake("sql", NEIGHBORS, *words).out)
        assert rows[0] == {
            "item_id": "milk",
            "neighbor_item_id": "bread",
            "score": 1.145,
            "method_scores": {"content": 0.8, "cooccurrence": 1.2, "slim": 1.5},
        }


def test_csv_for_spreadsheets(reclake: Reclake) -> None:
    ended = reclake("sql", NEIGHBORS, "--format", "csv")
    header, first, second = csv.reader(io.StringIO(ended.out))
    assert header == ["item_id", "neighbor_item_id", "score", "method_scores"]
    assert first == [
        "milk",
        "bread",
        "1.145",
        '{"content": 0.8, "cooccurrence": 1.2, "slim": 1.5}',
    ]
    assert second[:3] == ["milk", "butter", "0.11"]


def test_which_day_is_the_newest_is_said_beside_the_answer(reclake: Reclake) -> None:
    ended = reclake("sql", NEIGHBORS, "--json")
    assert ended.err == "gold.i2i_latest is ds=2017-12-30, the newest published day.\n"
    named = reclake("sql", "SELECT DISTINCT ds FROM gold.i2i_latest", "--ds", "2017-12-29")
    assert (named.out.splitlines()[-1], named.err) == ("2017-12-29", "")


def test_a_day_can_be_a_value(reclake: Reclake) -> None:
    query = "SELECT count(*) AS users FROM silver.user_profiles WHERE ds = $ds"
    assert json.loads(reclake("sql", query, "--ds", "2017-12-29", "--json").out) == [{"users": 2}]
    missing = reclake("sql", query)
    assert (missing.code, missing.err) == (1, "reclake: $ds has no value; name a day with --ds\n")


def test_a_cut_answer_says_so_beside_it(reclake: Reclake) -> None:
    ended = reclake("sql", "SELECT item_id FROM silver.items", "--limit", "2", "--json")
    assert len(json.loads(ended.out)) == 2
    assert ended.err == "Only the first 2 rows are shown; ask for more with --limit.\n"


def test_no_rows_are_an_empty_answer_and_no_error(reclake: Reclake) -> None:
    query = "SELECT item_id FROM silver.items WHERE false"
    assert json.loads(reclake("sql", query, "--json").out) == []
    assert reclake("sql", query, "--format", "csv").out == "item_id\n"
    assert reclake("sql", query).code == 0


def test_a_misspelt_table_ends_with_the_nearest_name(reclake: Reclake) -> None:
    ended = reclake("sql", "SELECT * FROM gold.i2i_dayly")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("reclake: gold.i2i_dayly: no such table; did you mean gold.i2i_da")
