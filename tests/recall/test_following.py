"""Settings that follow the data, and those that were set."""

from __future__ import annotations

import pytest

from jobs.recall.facts import Facts
from jobs.recall.following import DENSE, NEVER, RETURNS, followed, taken_advice
from jobs.recall.sources.channels import CHANNELS
from jobs.settings import RecallSettings, Settings

DEFAULT = RecallSettings()
GROCERY = Facts(events=300_000, days=357, repeat_share=0.42, density=0.0097)
FILMS = Facts(events=75_000, days=215, repeat_share=0.0, density=0.048)


def test_a_grocery_keeps_the_defaults() -> None:
    assert list(taken_advice(DEFAULT, GROCERY)) == []
    assert followed(DEFAULT, GROCERY) == DEFAULT


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


@pytest.mark.parametrize(("density", "penalty", "users"), [(DENSE, 120, 150), (0.0099, 60, 500)])
def test_dense_data_hold_weights_shorter(density: float, penalty: float, users: int) -> None:
    found = followed(DEFAULT, Facts(density=density))
    assert (found.slim.penalty, found.similar_users.users) == (penalty, users)


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
    whys = {given.section: given.why for given in taken_advice(DEFAULT, FILMS)}
    assert whys["slim"] == "users took 4.8% of all items"
    assert whys["popular"] == "0.0% of the days with an item are returns to it"
