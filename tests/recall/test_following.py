"""Settings that follow the data, and those that were set."""

from __future__ import annotations

import pytest

from jobs.recall.facts import Facts
from jobs.recall.following import (
    DENSE,
    FEW_OF_ITEM,
    FEW_USERS,
    HABITS,
    HABITUAL,
    MANY_OF_ITEM,
    NEVER,
    RETURNS,
    followed,
    taken_advice,
)
from jobs.recall.sources.channels import CHANNELS
from jobs.settings import RecallSettings, Settings

DEFAULT = RecallSettings()
# Complete Journey, 500 households; MovieLens 100K; Gowalla, which has no times.
GROCERY = Facts(days=357, repeat_share=0.42, density=0.0097, users=500, items=35_692, pairs=173_196)
FILMS = Facts(days=215, repeat_share=0.0, density=0.048, users=943, items=1_653, pairs=74_992)
PLACES = Facts(days=1, density=0.00066, users=29_858, items=40_981, pairs=810_128)


def test_nothing_is_known_of_an_empty_log() -> None:
    assert list(taken_advice(DEFAULT, Facts())) == []
    assert followed(DEFAULT, Facts()) == DEFAULT


def test_a_log_between_all_steps_keeps_the_defaults() -> None:
    assert followed(DEFAULT, PLACES) == DEFAULT


def test_a_grocery_lives_from_habits() -> None:
    found = followed(DEFAULT, GROCERY)
    assert found.user.weights["repurchase"] == 0.5
    of_pairs = found.cooccurrence
    assert (of_pairs.user_exponent, of_pairs.item_exponent, of_pairs.neighbor_exponent) == (
        1.0,
        0.9,
        0.1,
    )
    assert found.item_history.exclude_seen_days == 7


def test_habitual_weights_are_shares_and_build_what_the_defaults_build() -> None:
    assert sum(HABITUAL.values()) == pytest.approx(1)
    assert followed(DEFAULT, GROCERY).user.built == DEFAULT.user.built


def test_no_list_shows_what_nobody_comes_back_for() -> None:
    found = followed(DEFAULT, FILMS)
    days = {
        source.name: getattr(found, source.section).exclude_seen_days
        for source in CHANNELS
        if "exclude_seen_days" in source.model.model_fields
    }
    assert set(days.values()) == {NEVER}
    assert len(days) == len(CHANNELS) - 1
    assert found.popular.seen_last_days == NEVER


@pytest.mark.parametrize(
    ("facts", "seen"),
    [
        (Facts(days=2, repeat_share=RETURNS / 2), NEVER),
        (Facts(days=2, repeat_share=RETURNS), 7),
        # of one day nobody can come back, which tells nothing
        (Facts(days=1, repeat_share=0.0), 7),
        (Facts(), 7),
    ],
)
def test_returns_are_told_from_two_days_on(facts: Facts, seen: int) -> None:
    assert followed(DEFAULT, facts).item_history.exclude_seen_days == seen


@pytest.mark.parametrize(("share", "exponent"), [(RETURNS, 1.0), (RETURNS / 2, 0.5)])
def test_long_histories_say_less_where_users_come_back(share: float, exponent: float) -> None:
    found = followed(DEFAULT, Facts(days=2, repeat_share=share))
    assert found.cooccurrence.user_exponent == exponent


@pytest.mark.parametrize(("share", "weight"), [(HABITS, 0.5), (0.99 * HABITS, 0.15)])
def test_habits_give_repurchase_its_weight(share: float, weight: float) -> None:
    found = followed(DEFAULT, Facts(days=2, repeat_share=share))
    assert found.user.weights["repurchase"] == weight


@pytest.mark.parametrize(("density", "penalty"), [(DENSE, 120), (0.0099, 60)])
def test_dense_data_hold_weights_shorter(density: float, penalty: float) -> None:
    assert followed(DEFAULT, Facts(density=density)).slim.penalty == penalty


@pytest.mark.parametrize(
    ("pairs", "exponents"),
    [
        (10 * FEW_OF_ITEM - 1, (0.9, 0.1)),
        (10 * FEW_OF_ITEM, (0.75, 0.25)),
        (10 * MANY_OF_ITEM - 1, (0.75, 0.25)),
        (10 * MANY_OF_ITEM, (0.5, 0.5)),
    ],
)
def test_exponents_go_by_the_users_of_an_item(pairs: int, exponents: tuple[float, float]) -> None:
    found = followed(DEFAULT, Facts(items=10, pairs=pairs)).cooccurrence
    assert (found.item_exponent, found.neighbor_exponent) == exponents


@pytest.mark.parametrize(("users", "similar"), [(FEW_USERS - 1, 150), (FEW_USERS, 500)])
def test_few_users_have_fewer_alike(users: int, similar: int) -> None:
    assert followed(DEFAULT, Facts(users=users)).similar_users.users == similar


def test_what_was_set_stays_also_where_it_is_the_default() -> None:
    given = {"slim": {"penalty": 60.0}, "item_history": {"exclude_seen_days": 3}}
    found = followed(RecallSettings.model_validate(given), FILMS)
    assert (found.slim.penalty, found.slim.min_support) == (60.0, 1)
    assert found.item_history.exclude_seen_days == 3
    assert found.repurchase.exclude_seen_days == NEVER


def test_what_follows_today_may_follow_otherwise_tomorrow() -> None:
    """A followed value does not count as set."""
    today = followed(DEFAULT, FILMS)
    assert "penalty" not in today.slim.model_fields_set
    assert today.with_changes({"swing": {"neighbors": 7}}).slim.penalty == 60.0


def test_a_change_of_one_field_leaves_the_others_unset() -> None:
    changed = DEFAULT.with_changes({"slim": {"candidates": 50}})
    assert changed.slim.model_fields_set == {"candidates"}
    assert followed(changed, FILMS).slim.penalty == 120.0


def test_following_can_be_turned_off() -> None:
    facts = {"days": 215.0, "repeat_share": 0.0, "density": 0.048}
    assert Settings().following(facts).recall.slim.penalty == 120.0
    still = Settings(recall=RecallSettings(follow_data=False))
    assert still.following(facts).recall == still.recall


def test_each_advice_says_why() -> None:
    told = [given.told() for given in taken_advice(DEFAULT, FILMS)]
    assert "slim.penalty 120, slim.min_support 1: users took 4.8% of all items" in told
    assert "popular.seen_last_days 36500: 0.0% of the days with an item are returns to it" in told
    assert (
        "cooccurrence.item_exponent 0.5, cooccurrence.neighbor_exponent 0.5: "
        "an item has 45.4 users on average" in told
    )
    assert "similar_users.users 150: there are 943 users" in told


def test_weights_are_told_without_those_of_0() -> None:
    (given,) = (a for a in taken_advice(DEFAULT, GROCERY) if a.section == "user")
    weights = "repurchase 0.5 i2i 0.35 similar_users 0.09 vector 0.05 popular 0.01"
    assert given.told() == (
        f"user.weights {weights}: 42.0% of the days with an item are returns to it"
    )
