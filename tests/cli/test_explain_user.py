"""`reclake explain user`, on the small lake of `tests.cli.small_lake`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.cli.explain.user import ACTIVE_DAYS
from jobs.silver import user_profiles
from tests.cli.conftest import Reclake
from tests.cli.small_lake import D30, rewrite


@pytest.fixture
def explain(reclake: Reclake) -> Any:
    """The facts of one user, as JSON."""

    def facts(*words: str) -> Any:
        ended = reclake("explain", "user", *words, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    return facts


def test_each_recommendation_names_its_channels_and_the_purchase_behind_it(explain: Any) -> None:
    facts = explain("ann")
    assert (facts["ds"], facts["ds_is_default"]) == ("2017-12-30", True)
    assert facts["why_no_list"] is None
    assert facts["recommendations"] == [
        {
            "rank": 1,
            "item_id": "butter",
            "score": 0.6,
            "channel": "i2i",
            "channel_scores": {"i2i": 1.0},
            "because_item_id": "milk",
            "reason": "goes with your MILK 2% GALLON",
            "title": "BUTTER STICKS",
            "because_title": "MILK 2% GALLON",
        },
        {
            "rank": 2,
            "item_id": "milk",
            "score": pytest.approx(0.17),
            "channel": "similar_users",
            "channel_scores": {"popular": 1.0, "similar_users": 1.0},
            "because_item_id": None,
            "reason": "users with a taste like yours took it; popular with 3 users lately",
            "title": "MILK 2% GALLON",
            "because_title": None,
        },
    ]


def test_history_is_newest_first_and_ends_with_the_day(explain: Any) -> None:
    assert [row["item_id"] for row in explain("ann")["history"]] == ["jam", "bread", "milk"]
    earlier = explain("ann", "--ds", "2017-12-29")
    assert [row["item_id"] for row in earlier["history"]] == ["bread", "milk"]
    assert earlier["ds_is_default"] is False


def test_what_arrived_later_is_not_part_of_an_earlier_day(explain: Any) -> None:
    # bob's bread of the 28th arrived on the 30th
    seen = explain("bob", "--ds", "2017-12-29", "--item", "bread")
    assert [row["item_id"] for row in seen["history"]] == ["milk"]
    assert seen["item"]["interactions"] == 0
    later = explain("bob", "--item", "bread")
    assert [row["item_id"] for row in later["history"]] == ["bread", "milk"]
    assert (later["item"]["interactions"], later["item"]["last_interaction_date"]) == (
        1,
        "2017-12-28",
    )


def test_the_part_of_the_llm_is_told(explain: Any) -> None:
    ann = explain("ann")
    assert ann["text"]["text_source"] == "enriched"
    assert ann["llm"]["why"] == (
        "Its answer is part of the text (v1-0a1b2c3d, smollm2-135m-instruct)."
    )
    assert ann["llm"]["answers"][0]["interests"] == ["breakfast"]
    bob = explain("bob")
    assert bob["text"]["text_source"] == "template"
    assert bob["llm"] == {
        "why": "Not asked: the day's budget of 1 went to others that come first.",
        "answers": [],
    }


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("cid",), "Inactive since 2017-09-01, 120 days before this day"),
        (("dee",), "In silver.users, but without any interaction."),
        (("zed",), "Unknown id: neither silver.users nor silver.interactions has it."),
        (("eve", "--ds", "2017-12-29"), "Not known yet: the first interaction is of 2017-12-30"),
    ],
)
def test_a_user_without_a_list_is_told_why(explain: Any, words: tuple[str, ...], why: str) -> None:
    facts = explain(*words)
    assert facts["recommendations"] == []
    assert facts["why_no_list"].startswith(why)


def test_an_unknown_user_is_shown_one_who_has_a_list(explain: Any) -> None:
    assert explain("zed")["why_no_list"].endswith("A user who has a list: ann.")


def test_an_active_user_without_a_list_is_called_a_fault(explain: Any, own_lake: Path) -> None:
    rewrite(
        own_lake,
        "gold.user_recall_daily",
        lambda row: None if row["user_id"] == "eve" else row,
    )
    why = explain("eve")["why_no_list"]
    assert "should not happen" in why
    assert "reclake run gold.user_recall_daily --ds 2017-12-30" in why


@pytest.mark.parametrize(
    ("user", "item", "rank", "why"),
    [
        ("ann", "butter", 1, "In the list at rank 1: goes with your MILK 2% GALLON"),
        (
            "ann",
            "tea",
            None,
            "Not in the list: brought by i2i (rank 2), but after fusion 2 others came before it; "
            "the last of them has score 0.1700.",
        ),
        (
            "ann",
            "candle",
            None,
            "Not in the list: not sellable; its record of 2017-12-29 says so.",
        ),
        ("ann", "soap", None, "Not in the list: no such item as of this day."),
        (
            # bread was bought 2 days before: within the windows of 7 and 90 days
            "ann",
            "bread",
            None,
            "Not in the list: no channel brought it. The user last took it on 2017-12-28; left "
            "out after a purchase: repurchase 7 days, i2i 7 days, similar_users 7 days, vector 90 "
            "days.",
        ),
        ("bob", "jam", None, "Not in the list: no channel brought it."),
    ],
)
def test_one_item_is_accounted_for(
    explain: Any, user: str, item: str, rank: int | None, why: str
) -> None:
    asked = explain(user, "--item", item)["item"]
    assert (asked["rank"], asked["why"]) == (rank, why)


def test_late_arrivals_show_only_on_a_day_that_was_told_to_see_them(
    explain: Any, own_lake: Path
) -> None:
    rewrite(own_lake, "ops.runs", lambda row: row | {"known_on": D30})
    facts = explain("ann", "--ds", "2017-12-29", "--item", "tea")
    assert facts["known_on"] == "2017-12-30"
    assert facts["item"]["title"] == "GREEN TEA", "it came into the catalogue on 2017-12-30"
    # what was received on the 30th is known, what happened on the 30th is not part of the 29th
    assert [row["item_id"] for row in facts["history"]] == ["bread", "milk"]


def test_a_day_that_was_not_published_names_those_that_were(reclake: Reclake) -> None:
    ended = reclake("explain", "user", "ann", "--ds", "2017-12-31")
    assert ended.code == 1
    assert "gold.user_recall_daily ds=2017-12-31: not published" in ended.err
    assert "2 days from 2017-12-29 to 2017-12-30" in ended.err


def test_the_page_for_a_person_has_the_day_the_list_and_the_reasons(reclake: Reclake) -> None:
    page = reclake("explain", "user", "ann", "--limit", "1").out
    assert page.startswith("user ann, ds=2017-12-30, the newest published day\n")
    assert "History, newest first (1 of 3)" in page
    assert "Recommendations (1 of 2)" in page
    assert "milk MILK 2% GALLON   goes with your MILK 2% GALLON" in page


def test_an_id_is_data_and_not_sql(explain: Any) -> None:
    assert explain("x' OR '1'='1")["why_no_list"].startswith("Unknown id")


def test_active_means_the_same_as_in_the_profiles() -> None:
    assert ACTIVE_DAYS == user_profiles.ACTIVE_DAYS


@pytest.mark.parametrize(
    ("event_type", "says"),
    [
        (
            "dislike",
            "Not in the list: the user disliked it on 2017-12-30, which counts for 365 days.",
        ),
        ("hide", "Not in the list: the user hid it on 2017-12-30, which counts for 90 days."),
        ("return", "Not in the list: "),
    ],
)
def test_an_item_that_the_user_refused_is_out_for_that_reason(
    explain: Any, own_lake: Path, event_type: str, says: str
) -> None:
    """ann's jam of the 30th becomes a word against it, or a return."""

    def refused(row: dict[str, Any]) -> dict[str, Any]:
        is_jam = (row["user_id"], row["item_id"]) == ("ann", "jam")
        return row | {"event_type": event_type, "weight": 0.0} if is_jam else row

    rewrite(own_lake, "silver.interactions", refused)
    told = explain("ann", "--item", "jam")["item"]
    assert told["why"].startswith(says)
    assert ("counts for" in told["why"]) == (event_type != "return")
    assert told["interactions"] == 0
