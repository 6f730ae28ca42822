"""The attribute library: which attributes a product may have, and their values.

A prompt refers to it where its answer schema says `attributes: {$ref: attribute-library}`, and may
list it in its system text with `{attribute_library}`. No attribute is ever required: what a text
does not say stays unknown.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from jobs.llm.errors import reading

LIBRARY = Path(__file__).with_name("attributes.yaml")
REFERENCE = {"$ref": "attribute-library"}
PLACEHOLDER = "{attribute_library}"


class Attribute(BaseModel):
    """values: those that the attribute can have; or pattern: what a value has to match."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: tuple[str, ...] = ()
    pattern: str = ""

    @model_validator(mode="after")
    def _one_of_both(self) -> Attribute:
        if bool(self.values) == bool(self.pattern):
            raise ValueError("needs either values or a pattern")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern: {error}") from error
        return self

    def allows(self, value: str) -> bool:
        return value in self.values if self.values else bool(re.search(self.pattern, value))

    @property
    def schema_of_value(self) -> dict[str, Any]:
        if self.values:
            return {"enum": list(self.values)}
        return {"type": "string", "pattern": self.pattern}


def load_library(path: Path = LIBRARY) -> dict[str, Attribute]:
    """Attribute name to rule, in the file's order. Raises PromptError with file and key."""
    with reading(path):
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        return TypeAdapter(dict[str, Attribute]).validate_python(raw)


def fill_in(raw: Any, library: dict[str, Attribute]) -> Any:
    """A prompt file's content with its references to the library replaced.

    Attributes of an example that the library does not have are left out of the example. Content
    that is no prompt comes back as it is.
    """
    try:
        properties, system, examples = (
            raw["answer_schema"]["properties"],
            raw["system"],
            raw["examples"],
        )
        referring = [name for name, rule in properties.items() if rule == REFERENCE]
        if not referring:
            return raw
        for example in examples:
            for name in referring:
                example["answer"][name] = _allowed(example["answer"].get(name, {}), library)
        schema = raw["answer_schema"] | {
            "properties": properties | dict.fromkeys(referring, _schema(library))
        }
        filled = {
            "answer_schema": schema,
            "system": system.replace(PLACEHOLDER, listing(library)),
        }
    except (TypeError, KeyError, AttributeError):
        return raw
    return raw | filled


def _schema(library: dict[str, Attribute]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: rule.schema_of_value for name, rule in library.items()},
    }


def _allowed(said: dict[str, str], library: dict[str, Attribute]) -> dict[str, str]:
    return {
        name: value
        for name, value in said.items()
        if name in library and library[name].allows(value)
    }


def listing(library: dict[str, Attribute]) -> str:
    """The library in words: `type, storage (frozen or fresh)`.

    >>> listing({"type": Attribute(pattern="x"), "size": Attribute(values=("s", "m", "l"))})
    'type, size (s, m or l)'
    """
    return ", ".join(
        f"{name} ({' or '.join(filter(None, (', '.join(rule.values[:-1]), rule.values[-1])))})"
        if rule.values
        else name
        for name, rule in library.items()
    )
