"""Settings that cannot work are refused before anything is read."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from jobs.recall.fusion.settings import I2ISettings, UserRecallSettings
from jobs.recall.sources import METHOD_NAMES
from jobs.settings import RecallSettings


def test_the_defaults_are_valid() -> None:
    recall = RecallSettings()
    assert sum(recall.i2i.weights.values()) == pytest.approx(1)
    assert sum(recall.user.weights.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"content": 1, "swimming": 0.5}, "unknown swimming; known: cooccurrence, "),
        ({"content": 1.5, "slim": 0.5}, "expected 0 to 1"),
        ({}, "nothing could be ranked"),
        (dict.fromkeys(METHOD_NAMES, 0.0), "nothing could be ranked"),
    ],
)
def test_weights_name_methods_and_leave_something_to_rank_by(
    weights: dict[str, float], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        I2ISettings(weights=weights)


def test_what_has_no_weight_is_not_built_but_for_the_fallback() -> None:
    assert I2ISettings(weights={"slim": 1.0}).built == ("slim",)
    assert I2ISettings(weights={"slim": 1.0}).weights == dict.fromkeys(METHOD_NAMES, 0.0) | {
        "slim": 1.0
    }
    assert UserRecallSettings(weights={"vector": 0.5, "i2i": 0.0}).built == ("vector", "popular")


@pytest.mark.parametrize(
    ("quotas", "message"),
    [
        ({"swing": 1}, "unknown swing"),
        ({"i2i": -1}, "below 0"),
        ({"popular": 5}, "cannot have a limit"),
    ],
)
def test_quotas_name_channels_and_never_hold_back_the_fallback(
    quotas: dict[str, int], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        UserRecallSettings(quotas=quotas)


def test_a_popular_list_that_cannot_fill_a_users_list_is_refused() -> None:
    with pytest.raises(ValidationError, match="cannot fill lists of 50"):
        RecallSettings.model_validate({"popular": {"items": 40}})


def test_a_pace_of_late_has_to_forget_sooner_than_the_usual_one() -> None:
    with pytest.raises(ValidationError, match=r"28\.0 is not below long_half_life_days: 28\.0"):
        RecallSettings.model_validate({"trending": {"short_half_life_days": 28}})


def test_the_parts_of_a_selection_have_known_names() -> None:
    with pytest.raises(ValidationError, match="unknown colour; known: text, popularity, brand"):
        RecallSettings.model_validate({"product_names": {"weights": {"colour": 1}}})


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="half_life"):
        RecallSettings.model_validate({"cooccurrence": {"half_life": 3}})
