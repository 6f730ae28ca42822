"""What a table function is shown of the environment, and where the lake's paths lie."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from jobs.lake.settings import LakeParams, LakeSettings, Sections


class Shop:
    """An environment of two sections."""

    of_lake = LakeSettings()
    params = LakeParams()

    def section(self, name: str) -> SimpleNamespace:
        known = {"till": SimpleNamespace(coins=3), "vault": SimpleNamespace(secret="gold")}
        return known[name]

    def slices(self, column: str) -> tuple[str, ...]:
        return ()


def test_a_declared_section_is_an_attribute() -> None:
    assert Sections(Shop(), ("till",)).till.coins == 3


def test_a_section_that_is_not_declared_is_refused_and_those_declared_are_named() -> None:
    with pytest.raises(AttributeError) as error:
        _ = Sections(Shop(), ("till", "shelf")).vault
    message = str(error.value)
    assert "settings.vault: the step declares these sections: till, shelf" in message
    assert "Add 'vault' to its `settings`" in message
    assert "gold" not in message


def test_a_step_that_declares_nothing_sees_nothing() -> None:
    with pytest.raises(AttributeError, match="declares these sections: none"):
        _ = Sections(Shop(), ()).till


def test_without_a_declaration_all_sections_are_seen() -> None:
    assert Sections(Shop()).vault.secret == "gold"
    with pytest.raises(KeyError, match="cellar"):
        _ = Sections(Shop()).cellar


def test_a_copy_shows_the_same_sections() -> None:
    """A copy begins without any attribute, and looks for those that copying itself needs."""
    again = copy.copy(Sections(Shop(), ("till",)))
    assert again.till.coins == 3
    with pytest.raises(AttributeError, match="declares these sections: till"):
        _ = again.vault


def test_paths_that_are_not_given_lie_under_home(tmp_path: Path) -> None:
    settings = LakeSettings(home=tmp_path)
    assert settings.lake == f"{tmp_path}/lake"
    assert settings.landing == f"{tmp_path}/landing"


def test_a_path_that_is_given_stays_as_it_is(tmp_path: Path) -> None:
    settings = LakeSettings(home=tmp_path, lake="s3a://shop/lake", landing="/drops")
    assert (settings.lake, settings.landing) == ("s3a://shop/lake", "/drops")


def test_home_is_absolute_wherever_a_process_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    assert LakeSettings(home=Path("state")).lake == f"{tmp_path}/state/lake"
    assert LakeSettings(home=Path("~/state")).lake == "/home/ann/state/lake"


def test_a_setting_that_the_lake_does_not_know_is_refused() -> None:
    with pytest.raises(ValidationError, match="llm_url"):
        LakeSettings.model_validate({"llm_url": "http://127.0.0.1/v1"})


def test_params_without_a_choice_name_no_slice() -> None:
    assert LakeParams().slices("method") == ()
