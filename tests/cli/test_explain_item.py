"""`reclake explain item`, on the small lake of `tests.cli.small_lake`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from jobs.cli.explain.llm import why
from jobs.llm.settings import LLMSettings
from tests.cli.conftest import Reclake
from tests.cli.small_lake import PROMPT, rewrite


@pytest.fixture
def explain(reclake: Reclake) -> Any:
    """The facts of one item, as JSON."""

    def facts(*words: str) -> Any:
        ended = reclake("explain", "item", *words, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    return facts


def test_each_neighbor_names_its_methods_and_support(explain: Any) -> None:
    neighbors = explain("milk")["neighbors"]
    # 0.2 x 1.2 + 0.55 x 1.5 + 0.1 x 0.8 = 1.145; support is of the behaviour pair, content has none
    assert [
        (n["rank"], n["neighbor_item_id"], n["title"], round(n["score"], 3), n["support"])
        for n in neighbors
    ] == [
        (1, "bread", "WHITE BREAD", 1.145, 41),
        (2, "butter", "BUTTER STICKS", 0.11, None),
    ]
    assert neighbors[0]["method_scores"] == {
        "content": 0.8,
        "cooccurrence": 1.2,
        "slim": 1.5,
    }


def test_the_record_is_as_of_the_day(explain: Any) -> None:
    candle = explain("candle")
    assert candle["record"]["is_sellable"] is False
    assert candle["record"]["valid_from"] == "2017-12-29"
    assert candle["why_no_neighbors"] == "Not sellable; its record of 2017-12-29 says so."


@pytest.mark.parametrize(
    ("words", "why_none"),
    [
        (("tea", "--ds", "2017-12-29"), "Not known yet: it came into the catalogue on 2017-12-30"),
        (("tea",), "It has no text on this day, and no method found it a neighbor."),
        (
            ("soap",),
            "Unknown id: silver.items does not have it. An item that has neighbors: bread.",
        ),
    ],
)
def test_an_item_without_neighbors_is_told_why(
    explain: Any, words: tuple[str, ...], why_none: str
) -> None:
    facts = explain(*words)
    assert facts["neighbors"] == []
    assert facts["why_no_neighbors"].startswith(why_none)


def test_an_item_with_text_and_no_neighbors_is_called_a_fault(explain: Any, own_lake: Path) -> None:
    rewrite(own_lake, "gold.i2i_daily", lambda row: None if row["item_id"] == "jam" else row)
    assert "should not happen" in explain("jam")["why_no_neighbors"]


@pytest.mark.parametrize(
    ("item", "source", "sentence"),
    [
        (
            "milk",
            "enriched",
            "Its answer is part of the text (v1-0a1b2c3d, smollm2-135m-instruct).",
        ),
        (
            "bread",
            "template",
            "The quality gate rejected its answer, paid for by the run of 2017-12-29: 0.31, "
            f"needed {LLMSettings().gate_threshold}.",
        ),
        (
            "butter",
            "template",
            "Its answer, paid for by the run of 2017-12-29, did not fit the prompt's schema.",
        ),
        (
            "jam",
            "template",
            "Not asked: the day's budget of 3 went to others that come first.",
        ),
    ],
)
def test_the_llm_text_is_explained_or_its_absence_is(
    explain: Any, item: str, source: str, sentence: str
) -> None:
    facts = explain(item)
    assert facts["text"]["text_source"] == source
    assert facts["llm"]["why"] == sentence


def test_a_rejected_answer_can_be_read(explain: Any) -> None:
    (answer,) = explain("bread")["llm"]["answers"]
    assert answer["raw_text"] == '{"summary":"A toy for children."}'
    assert (answer["prompt_version"], answer["model"]) == tuple(PROMPT.values())


def test_a_call_that_failed_is_told_from_the_ledger(explain: Any, own_lake: Path) -> None:
    failed = {"subject": "content-jam", "status": "error", "error": "timed out after 120 s"}
    rewrite(
        own_lake,
        "ops.llm_ledger",
        lambda row: row | failed if row["subject"] == "content-milk" else row,
    )
    assert explain("jam")["llm"]["why"] == "The call of 2017-12-28 failed: timed out after 120 s."


def test_an_accepted_answer_that_the_day_did_not_select() -> None:
    used = {"text_source": "template"}
    answer = {"status": "success", "selected_ds": "2017-12-30", "gate_score": 0.7}
    assert why(used, [answer], None, 3, 0.45) == (
        "It has an answer, paid for by the run of 2017-12-30, but this day did not select it: "
        "the day's budget of 3 went to others that come first."
    )


@pytest.mark.parametrize(
    ("status", "word"), [("refused", "refused"), ("too_long", "longer than the model takes")]
)
def test_an_answer_that_is_none(status: str, word: str) -> None:
    answer = {"status": status, "selected_ds": "2017-12-30", "gate_score": None}
    assert word in why({"text_source": "template"}, [answer], None, 3, 0.45)


def test_a_day_on_which_the_llm_step_did_not_run() -> None:
    assert why({"text_source": "template"}, [], None, None, 0.45) == (
        "Not asked: the step that asks did not run for this day."
    )


@pytest.mark.parametrize(
    ("item", "neighbor", "rank", "sentence"),
    [
        (
            "milk",
            "bread",
            1,
            "A neighbor at rank 1: chosen together by 41 users; similar product: WHITE BREAD",
        ),
        (
            "milk",
            "jam",
            None,
            "Not a neighbor: found by content (rank 3), but after fusion 2 others came before it; "
            "the last of them has score 0.1100.",
        ),
        ("milk", "candle", None, "Not a neighbor: not sellable; its record of 2017-12-29 says so."),
        ("milk", "soap", None, "Not a neighbor: no such item as of this day."),
        ("milk", "tea", None, "Not a neighbor: no method found the pair."),
        ("milk", "milk", None, "Not a neighbor: no item is its own neighbor."),
    ],
)
def test_a_pair_is_accounted_for(
    explain: Any, item: str, neighbor: str, rank: int | None, sentence: str
) -> None:
    pair = explain(item, "--neighbor", neighbor)["pair"]
    assert (pair["rank"], pair["why"]) == (rank, sentence)


def test_the_pair_shows_every_method_that_found_it(explain: Any) -> None:
    assert explain("milk", "--neighbor", "bread")["pair"]["candidates"] == [
        {"method": "content", "rank": 2, "score": 0.4, "support": None},
        {"method": "cooccurrence", "rank": 1, "score": 0.3, "support": 41},
        {"method": "slim", "rank": 1, "score": 0.1875, "support": 41},
    ]


def test_an_item_counts_the_lists_it_is_in(explain: Any) -> None:
    # on 2017-12-30: ann's and bob's
    assert explain("milk")["recommended_to_users_count"] == 2


def test_bundles_are_the_rules_that_name_the_item_on_either_side(explain: Any) -> None:
    def rules(item: str) -> list[tuple]:
        found = explain(item)["bundles"]
        return [(rule["rank"], rule["antecedent"], rule["consequent_item_id"]) for rule in found]

    bread_first, milk_first = (1, ["bread"], "milk"), (2, ["milk"], "bread")
    assert rules("milk") == [bread_first, milk_first, (3, ["bread", "milk"], "butter")]
    assert rules("butter") == [(3, ["bread", "milk"], "butter")]
    assert rules("jam") == []


def test_a_lake_older_than_the_bundles_is_explained_without_them(
    explain: Any, own_lake: Path
) -> None:
    shutil.rmtree(own_lake / "gold" / "item_bundles_daily")
    assert explain("milk")["bundles"] == []


def test_the_page_for_a_person_has_text_neighbors_and_reasons(reclake: Reclake) -> None:
    page = reclake("explain", "item", "milk").out
    assert page.startswith("item milk, ds=2017-12-30, the newest published day\n")
    assert "(enriched) milk 2% gallon, fluid milk." in page
    assert "standard_name: reduced fat milk" in page
    assert "chosen together by 41 users" in page
    assert "Bundles (3; rules that name the item)" in page


def test_a_sentence_of_the_llm_names_its_prompt_and_model(
    explain: Any, own_lake: Path, reclake: Reclake
) -> None:
    def written(row: dict[str, Any]) -> dict[str, Any]:
        is_first = (row["item_id"], row["rank"]) == ("milk", 1)
        by = {"reason_prompt_version": "v1-pair", "reason_model": "small"} if is_first else {}
        return row | by

    rewrite(own_lake, "gold.i2i_daily", written)
    first, second, *_ = explain("milk")["neighbors"]
    assert (first["reason_prompt_version"], first["reason_model"]) == ("v1-pair", "small")
    assert (second["reason_prompt_version"], second["reason_model"]) == (None, None)
    page = reclake("explain", "item", "milk").out
    assert page.count("begins with a sentence by") == 1
    assert "The reason at rank 1 begins with a sentence by small (v1-pair)." in page
