"""The attribute library shapes what the item prompt may answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.llm.attributes import load_library
from jobs.llm.errors import InvalidAnswer, PromptError
from jobs.llm.prompt import load_prompt, prompt_of
from jobs.llm.settings import BulkSettings
from jobs.settings import Settings

ANSWER = {
    "clean_title": "ground coffee",
    "standard_name": "coffee",
    "summary": "Ground coffee in a bag.",
    "keywords": ["coffee", "ground coffee"],
    "reason": "Coffee for the morning.",
}


def answer(**changed: object) -> str:
    return json.dumps(ANSWER | {"attributes": {}} | changed)


def test_an_attribute_has_a_value_of_the_library_or_none() -> None:
    prompt = load_prompt("item", 2)
    assert prompt.parse(answer())["attributes"] == {}
    known = {"type": "coffee", "package": "bag"}
    assert prompt.parse(answer(attributes=known))["attributes"] == known
    for wrong in ({"package": "sock"}, {"type": "COFFEE"}, {"roast": "dark"}, {"package": None}):
        with pytest.raises(InvalidAnswer, match="attributes"):
            prompt.parse(answer(attributes=wrong))


def test_seasons_holidays_and_audience_may_be_left_out_but_not_invented() -> None:
    prompt = load_prompt("item", 2)
    said = {"seasons": ["fall"], "holidays": ["halloween"], "audience": "children"}
    assert prompt.parse(answer(**said)) == ANSWER | {"attributes": {}} | said
    for wrong in ({"seasons": ["monsoon"]}, {"holidays": ["my birthday"]}, {"audience": "ann"}):
        with pytest.raises(InvalidAnswer):
            prompt.parse(answer(**wrong))


def test_a_library_of_one_s_own_is_asked_and_makes_another_version(tmp_path: Path) -> None:
    library = tmp_path / "own.yaml"
    library.write_text("roast: {values: [light, dark]}\nstorage: {values: [frozen]}\n")
    chosen = Settings(llm_attributes=library, llm=BulkSettings(prompts={"item": 2}))
    own = prompt_of("item", chosen)
    assert "Attributes are roast (light or dark), storage (frozen)." in own.system
    assert own.answer_schema["properties"]["attributes"] == {
        "type": "object",
        "additionalProperties": False,
        "properties": {"roast": {"enum": ["light", "dark"]}, "storage": {"enum": ["frozen"]}},
    }
    # The examples say no more than the library allows: of french fries that they are frozen.
    said = [example.answer["attributes"] for example in own.examples]
    assert said == [{"storage": "frozen"}, {}, {}, {}, {}, {}]
    assert own.prompt_version != load_prompt("item", 2).prompt_version


def test_a_prompt_that_does_not_name_the_library_is_not_changed_by_it(tmp_path: Path) -> None:
    library = tmp_path / "own.yaml"
    library.write_text("roast: {values: [light, dark]}\n")
    assert load_prompt("item", 1, attributes=library) == load_prompt("item", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("roast: {}", r"own\.yaml: key roast: .*either values or a pattern"),
        ("roast: {values: [a], pattern: a}", "either values or a pattern"),
        ("roast: {pattern: '('}", "pattern"),
        ("roast: {colour: red}", r"key roast\.colour"),
        ("roast: [", "cannot be read as YAML"),
        ("- roast", r"own\.yaml"),
    ],
)
def test_a_wrong_library_is_refused_by_file_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(PromptError, match=message):
        load_library(path)
