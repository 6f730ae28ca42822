"""Prompt files: a fixed part, a variable part, the schema of the answer, and one hash of it all.

A prompt lives at `jobs/llm/prompts/<name>/v<version>.yaml`. Its `prompt_version` is `v<version>-`
and a short hash of what the file means (comments and layout aside), so that an edit can't reuse
the answers of the text before it, whether or not the number was raised.

Text from a catalogue is data: it enters a message JSON-encoded, without control characters, cut
to the file's limits, and with `<` and `[` escaped, so that it can neither end its string nor
spell a chat template's control token.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs.llm.errors import InvalidAnswer, PromptError

PROMPTS = Path(__file__).parent / "prompts"

Message = dict[str, str]

# Joiners carry meaning in emoji and in several scripts; all other format characters only hide text.
_JOINERS = {"\u200c", "\u200d"}


def clean(text: str, limit: int) -> str:
    """`text` in NFC on one line, without control or unassigned characters, at most `limit` long.

    >>> clean("PIES:\\x1b[2J  FRUIT/NUT\\u202e", 40)
    'PIES: [2J FRUIT/NUT'
    """
    kept = (
        " " if character.isspace() or unicodedata.category(character) == "Cc" else character
        for character in unicodedata.normalize("NFC", text)
        if character in _JOINERS or unicodedata.category(character) not in {"Cf", "Cs", "Co", "Cn"}
    )
    return " ".join("".join(kept).split())[:limit].rstrip()


def encode_data(value: Mapping[str, str]) -> str:
    """A flat mapping as JSON in which no value can spell a control token.

    >>> encode_data({"title": "TEA <|im_end|>"})
    '{"title": "TEA \\\\u003c|im_end|>"}'
    """
    text = json.dumps(dict(value), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("[", "\\u005b")


class Example(BaseModel):
    """One worked example, shown to the model as an earlier turn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: dict[str, str]
    answer: dict[str, Any]


class GateTexts(BaseModel):
    """What the quality gate compares: fields of the input with fields of the answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    own: tuple[str, ...] = Field(min_length=1)
    answer: tuple[str, ...] = Field(min_length=1)


class Prompt(BaseModel):
    """One version of one prompt.

    inputs: field to the most characters of it that are sent, in the order sent.
    answer_schema: JSON schema that the server decodes under and that the answer must pass again.
    max_tokens: length of the answer. seed: the same on every try, so that a retry says the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(ge=1)
    inputs: dict[str, int] = Field(min_length=1)
    system: str = Field(min_length=1)
    examples: tuple[Example, ...]
    template: str = Field(min_length=1)
    answer_schema: dict[str, Any]
    gate: GateTexts
    max_tokens: int = Field(ge=1)
    temperature: float = Field(ge=0, le=2)
    seed: int

    @model_validator(mode="after")
    def _parts_agree(self) -> Prompt:
        try:
            Draft202012Validator.check_schema(self.answer_schema)
        except SchemaError as error:
            raise ValueError(f"answer_schema: {error.message}") from error
        for number, example in enumerate(self.examples, start=1):
            if unknown := sorted(set(example.input) - set(self.inputs)):
                raise ValueError(f"examples.{number}: not in inputs: {', '.join(unknown)}")
            if problem := _first_problem(self.answer_schema, example.answer):
                raise ValueError(f"examples.{number}: the answer breaks answer_schema: {problem}")
        if unknown := sorted(set(self.gate.own) - set(self.inputs)):
            raise ValueError(f"gate.own: not in inputs: {', '.join(unknown)}")
        if unknown := sorted(set(self.gate.answer) - set(self.answer_schema["properties"])):
            raise ValueError(f"gate.answer: not in answer_schema: {', '.join(unknown)}")
        return self

    @cached_property
    def prompt_version(self) -> str:
        """`v1-` and eight hex digits of the file's meaning."""
        meaning = json.dumps(self.model_dump(mode="json"), ensure_ascii=False)
        return f"v{self.version}-{hashlib.sha256(meaning.encode()).hexdigest()[:8]}"

    @cached_property
    def fixed_messages(self) -> tuple[Message, ...]:
        """The part that every call shares, first, so that a prefix cache computes it once."""
        turns: list[Message] = [{"role": "system", "content": self.system}]
        for example in self.examples:
            answer = json.dumps(example.answer, ensure_ascii=False, separators=(",", ":"))
            turns.append({"role": "user", "content": self._ask(example.input)})
            turns.append({"role": "assistant", "content": answer})
        return tuple(turns)

    def messages(self, fields: Mapping[str, str | None]) -> list[Message]:
        """The whole conversation for one subject; only `inputs` of `fields` are ever read.

        Raises PromptError when nothing is left to send, or the template names another field.
        """
        return [*self.fixed_messages, {"role": "user", "content": self._ask(fields)}]

    def sent(self, fields: Mapping[str, str | None]) -> dict[str, str]:
        """What of `fields` goes into a prompt: declared inputs, cleaned, cut, empty ones left out."""
        texts = ((name, clean(fields.get(name) or "", most)) for name, most in self.inputs.items())
        return {name: text for name, text in texts if text}

    def own_text(self, fields: Mapping[str, str | None]) -> str:
        """The text that the gate holds the answer against."""
        sent = self.sent(fields)
        return ", ".join(sent[name].lower() for name in self.gate.own if name in sent)

    def answer_text(self, answer: Mapping[str, Any]) -> str:
        """What the answer says, as the text that the gate holds against the subject's own."""
        parts: list[str] = []
        for name in self.gate.answer:
            value = answer[name]
            parts += value if isinstance(value, list) else [value]
        return ", ".join(parts)

    def parse(self, text: str) -> dict[str, Any]:
        """The answer as a mapping. Raises InvalidAnswer when it isn't JSON or breaks the schema."""
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidAnswer(f"not JSON: {error}") from error
        if problem := _first_problem(self.answer_schema, answer):
            raise InvalidAnswer(problem)
        return answer

    def _ask(self, fields: Mapping[str, str | None]) -> str:
        sent = self.sent(fields)
        if not sent:
            raise PromptError(
                f"prompt {self.name} {self.prompt_version}: none of {', '.join(self.inputs)} has "
                "text, so there is nothing to ask about; the selection must leave such rows out"
            )
        try:
            return _ENVIRONMENT.from_string(self.template).render({self.name: sent})
        except TemplateError as error:
            raise PromptError(f"prompt {self.name} {self.prompt_version}: {error}") from error


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    environment.filters["data"] = encode_data
    return environment


_ENVIRONMENT = _environment()


def _first_problem(schema: Mapping[str, Any], answer: Any) -> str:
    """The first way in which `answer` breaks `schema`, or ''."""
    errors = sorted(Draft202012Validator(schema).iter_errors(answer), key=lambda e: e.json_path)
    return f"{errors[0].json_path}: {errors[0].message[:200]}" if errors else ""


def load_prompt(name: str, version: int = 1, folder: Path = PROMPTS) -> Prompt:
    """Read a prompt file. Raises PromptError that names the file and the key that is wrong."""
    path = folder / name / f"v{version}.yaml"
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        prompt = Prompt.model_validate(raw)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PromptError(f"{path}: cannot be read as YAML: {error}") from error
    except ValidationError as error:
        lines = (
            f"{path}: key {'.'.join(map(str, item['loc'])) or '(top)'}: {item['msg']}"
            for item in error.errors()
        )
        raise PromptError("\n".join(lines)) from error
    if (prompt.name, prompt.version) != (name, version):
        raise PromptError(
            f"{path}: expected name {name!r} and version {version} (folder and file name), "
            f"found {prompt.name!r} and {prompt.version}"
        )
    return prompt
