"""Prompt files: a fixed part, a variable part, the schema of the answer, and one hash over all.

A prompt lives at `jobs/llm/prompts/<name>/v<version>.yaml`. Its `prompt_version` is `v<version>-`
and a short hash of what the file means (comments and layout aside), so that an edit can't reuse
the answers of the text before it, whether or not the number was raised.

Text from a catalogue is data: it enters a message JSON-encoded, without control characters, without
personal data, cut to the file's limits, and with `<` and `[` escaped, so that it can neither end
its string nor spell a chat template's control token.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs.llm.attributes import LIBRARY, fill_in, load_library
from jobs.llm.errors import InvalidAnswer, PromptError, reading
from jobs.llm.personal import mask
from jobs.llm.tokens import cut

if TYPE_CHECKING:
    from jobs.llm.settings import LLMSettings

PROMPTS = Path(__file__).parent / "prompts"

Fields = Mapping[str, str | None]
Answer = dict[str, Any]
Message = dict[str, str]

MOST_CHARACTERS = 20_000
# Joiners carry meaning in emoji and in several scripts; other format characters only hide text.
_JOINERS = {"\u200c", "\u200d"}
_HIDDEN = {"Cf", "Cs", "Co", "Cn"}
_HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` on one line, in NFC, without control, hidden or unassigned characters.

    Personal data becomes `(email)`, `(phone)` and the like; see `jobs.llm.personal`. Text that is
    mostly capitals is lowered: small models spell capitals letter by letter. Of a text longer than
    20,000 characters the rest is not looked at.

    >>> clean("PIES:\\x00  FRUIT/NUT\\u202e")
    'pies: fruit/nut'
    """
    line = mask(_one_line(text[:MOST_CHARACTERS]))
    capitals = sum(character.isupper() for character in line)
    return line.lower() if capitals > sum(character.islower() for character in line) else line


def _one_line(text: str) -> str:
    visible = (
        character
        for character in unicodedata.normalize("NFC", text)
        if character in _JOINERS or unicodedata.category(character) not in _HIDDEN
    )
    spaced = (" " if unicodedata.category(c) == "Cc" else c for c in visible)
    return " ".join("".join(spaced).split())


@lru_cache(maxsize=65_536)
def _shown(text: str, most: int, tokenizer: str) -> str:
    """The part of a field that enters a prompt. Cached: categories repeat, and a day asks several
    times."""
    return cut(clean(text), most, tokenizer)


def encode_data(value: Mapping[str, str]) -> str:
    """A flat mapping as JSON in which no value can spell a control token.

    >>> print(encode_data({"title": "tea <|im_end|>"}))
    {"title": "tea \\u003c|im_end|>"}
    """
    text = json.dumps(dict(value), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("[", "\\u005b")


class Example(BaseModel):
    """One worked example, shown to the model as an earlier turn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: dict[str, str]
    answer: Answer


class GateRule(BaseModel):
    """How the quality gate reads this prompt's answers.

    own: inputs that the answer is compared with. of_all: whether a value has to be near every own
    input; otherwise one is enough. cut: a pattern of words in own inputs that say nothing, such as
    headings; case does not matter. required: answer fields that must keep a value. ease: every
    gated answer field, with the number that is added to its cosines before they are compared.
    agree: number that is added to the cosine of two required fields' values; the sum has to reach
    the threshold too. Without agree, the fields need not speak of one thing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    own: tuple[str, ...] = Field(min_length=1)
    # Left out of a version's hash where it is not set, so that older prompts keep their answers.
    of_all: bool = Field(False, exclude_if=lambda of_all: not of_all)
    cut: str = ""
    required: tuple[str, ...] = Field(min_length=1)
    ease: dict[str, float]
    agree: float | None = None


class Simpler(BaseModel):
    """The question about a subject whose answer could not be read.

    system: replaces the prompt's own. fields: the answer fields that are still asked for, the
    gate's required ones among them. examples: how many of the prompt's examples, from the first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str = Field(min_length=1)
    fields: tuple[str, ...] = Field(min_length=1)
    examples: int = Field(0, ge=0)
    max_tokens: int = Field(ge=1)


class Prompt(BaseModel):
    """One version of one prompt.

    inputs: the most tokens to send of each field, by field, in the order sent.
    answer_schema: JSON schema that the server decodes under and that the answer must pass again.
    max_tokens: length of the answer. seed: the same on every try, so that a retry says the same.
    weights: for each answer field that is a list of {name, weight}, the field for its weights: the
        first then holds the names alone, in order, the second the weight of each name.
    simpler: the question of `fallback`.
    tokenizer: counts tokens (`jobs.llm.tokens.cut`); from the environment, not from the file.
    parent_version: of a fallback, the version of the prompt that it replaces.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(ge=1)
    inputs: dict[str, int] = Field(min_length=1)
    system: str = Field(min_length=1)
    examples: tuple[Example, ...]
    template: str = Field(min_length=1)
    answer_schema: dict[str, Any]
    gate: GateRule
    max_tokens: int = Field(ge=1)
    temperature: float = Field(ge=0, le=2)
    seed: int
    weights: dict[str, str] = {}
    simpler: Simpler | None = None
    tokenizer: str = Field("", exclude=True)
    parent_version: str = Field("", exclude=True)

    @model_validator(mode="after")
    def _parts_agree(self) -> Prompt:
        try:
            Draft202012Validator.check_schema(self.answer_schema)
        except SchemaError as error:
            raise ValueError(f"answer_schema: {error.message}") from error
        answered = self.answer_schema.get("properties", {})
        for number, example in enumerate(self.examples, start=1):
            _all_known(example.input, self.inputs, f"examples.{number}.input")
            if problem := _first_problem(self.answer_schema, example.answer):
                raise ValueError(f"examples.{number}.answer breaks answer_schema: {problem}")
        _all_known(self.gate.own, self.inputs, "gate.own")
        _all_known(self.gate.ease, answered, "gate.ease")
        _all_known(self.weights, self.gate.ease, "weights")
        _all_known(self.gate.required, self.gate.ease, "gate.required")
        if self.simpler:
            _all_known(self.simpler.fields, answered, "simpler.fields")
            _all_known(self.gate.required, self.simpler.fields, "gate.required in simpler.fields")
        return self

    @cached_property
    def prompt_version(self) -> str:
        """`v1-` and eight hex digits of the file's meaning; of a fallback, its parent's."""
        if self.parent_version:
            return self.parent_version
        meaning = json.dumps(self.model_dump(mode="json"), ensure_ascii=False)
        return f"v{self.version}-{hashlib.sha256(meaning.encode()).hexdigest()[:8]}"

    @cached_property
    def fallback(self) -> Prompt | None:
        """The simpler question about the same subject, or None where the file has none.

        Its answers are answers to this prompt: fewer fields under the same version, judged by the
        same gate rule.
        """
        if self.simpler is None:
            return None
        asked = set(self.simpler.fields)
        schema = self.answer_schema
        fewer = {
            "properties": {n: rule for n, rule in schema["properties"].items() if n in asked},
            "required": [name for name in schema.get("required", ()) if name in asked],
        }
        examples = [
            Example(
                input=example.input,
                answer={name: value for name, value in example.answer.items() if name in asked},
            )
            for example in self.examples[: self.simpler.examples]
        ]
        ease = {name: value for name, value in self.gate.ease.items() if name in asked}
        weights = {field: name for field, name in self.weights.items() if field in asked}
        changed = {
            "system": self.simpler.system,
            "examples": examples,
            "answer_schema": schema | fewer,
            "gate": self.gate.model_copy(update={"ease": ease}),
            "max_tokens": self.simpler.max_tokens,
            "weights": weights,
            "simpler": None,
            "tokenizer": self.tokenizer,
            "parent_version": self.prompt_version,
        }
        return Prompt.model_validate(self.model_dump() | changed)

    @cached_property
    def fixed_messages(self) -> tuple[Message, ...]:
        """The part that every call shares, first, so that a prefix cache computes it once."""
        turns: list[Message] = [{"role": "system", "content": self.system}]
        for example in self.examples:
            answer = json.dumps(example.answer, ensure_ascii=False, separators=(",", ":"))
            turns.append({"role": "user", "content": self.question(example.input)})
            turns.append({"role": "assistant", "content": answer})
        return tuple(turns)

    def sent(self, fields: Fields) -> dict[str, str]:
        """The part of `fields` that enters a prompt: declared inputs with text, cleaned, masked and
        cut."""
        texts = (
            (name, _shown(fields.get(name) or "", most, self.tokenizer))
            for name, most in self.inputs.items()
        )
        return {name: text for name, text in texts if text}

    def question(self, fields: Fields) -> str:
        """The variable part, the last message of a call.

        Raises PromptError when no input has text, or the template names something else.
        """
        sent = self.sent(fields)
        if not sent:
            raise PromptError(
                f"prompt {self.name} {self.prompt_version}: none of {', '.join(self.inputs)} has "
                "text, so there is nothing to ask; the selection has to leave such rows out"
            )
        try:
            return _compiled(self.template).render({self.name: sent})
        except TemplateError as error:
            raise PromptError(f"prompt {self.name} v{self.version}: template: {error}") from error

    def messages(self, question: str) -> list[Message]:
        """The whole conversation that asks `question`."""
        return [*self.fixed_messages, {"role": "user", "content": question}]

    def parse(self, text: str) -> Answer:
        """The answer, strings stripped and lists without repeats.

        Raises InvalidAnswer when `text` isn't JSON, breaks the schema, or can't be stored.
        """
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidAnswer(f"not JSON: {error}") from error
        if problem := _first_problem(self.answer_schema, answer):
            raise InvalidAnswer(problem)
        if _HALF_CHARACTER.search(json.dumps(answer, ensure_ascii=False)):
            raise InvalidAnswer("holds half of a character (an escaped surrogate)")
        for field, weights in self.weights.items():
            entries = [(entry["name"].strip(), entry["weight"]) for entry in answer.get(field, ())]
            answer[field] = [name for name, _ in entries]
            answer[weights] = {name: float(weight) for name, weight in reversed(entries)}
        return {name: _tidy(value) for name, value in answer.items()}

    def subjects(self, fields: Fields) -> list[list[str]]:
        """The texts that an answer is compared with: it has to be near one text of each list. There
        is one list, or one for each input.

        >>> load_prompt("item").subjects({"title": "TEA, BLACK", "category": "TEAS"})
        [['black', 'tea', 'tea, black', 'tea, black, teas', 'teas']]
        >>> load_prompt("pair").subjects({"title": "TEA", "neighbor_title": "MUGS"})
        [['tea'], ['mugs']]
        """
        sent = self.sent(fields)
        own = [[name] for name in self.gate.own] if self.gate.of_all else [self.gate.own]
        return [self._parts([sent[name] for name in names if name in sent]) for names in own]

    def _parts(self, whole: list[str]) -> list[str]:
        """Each text, its parts, and all of them together."""
        if self.gate.cut:
            whole = [re.sub(self.gate.cut, "", text, flags=re.IGNORECASE) for text in whole]
        parts = [part for text in whole for part in re.split(r"[,;:.]\s+", text)]
        texts = {text.strip(" ,;:.") for text in (*whole, *parts, ", ".join(whole))}
        return sorted(texts - {""})


def prompt_of(name: str, settings: LLMSettings) -> Prompt:
    """The version of a prompt that this environment asks, with its tokenizer."""
    version = settings.llm.prompts.get(name, 1)
    prompt = load_prompt(name, version, attributes=settings.llm_attributes)
    return prompt.model_copy(update={"tokenizer": settings.llm_tokenizer})


def load_prompt(
    name: str, version: int = 1, folder: Path = PROMPTS, attributes: Path = LIBRARY
) -> Prompt:
    """Read a prompt file. Raises PromptError that names the file and the key that is wrong.

    attributes: the attribute library (`jobs.llm.attributes`), part of a prompt that refers to it.
    """
    path = folder / name / f"v{version}.yaml"
    with reading(path):
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        prompt = Prompt.model_validate(fill_in(raw, load_library(attributes)))
    if (prompt.name, prompt.version) != (name, version):
        raise PromptError(
            f"{path}: expected name {name!r} and version {version} (folder and file name), "
            f"found {prompt.name!r} and {prompt.version}"
        )
    return prompt


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    environment.filters["data"] = encode_data
    return environment


_ENVIRONMENT = _environment()


@lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    """Compiling takes forty times as long as rendering, and a million items are asked about."""
    return _ENVIRONMENT.from_string(template)


def _tidy(value: Any) -> Any:
    """Strings stripped; a list keeps the first of equal values; a mapping's values likewise."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return list(dict.fromkeys(_tidy(each) for each in value))
    if isinstance(value, dict):
        return {name: _tidy(each) for name, each in value.items()}
    return value


def _all_known(named: Any, known: Any, where: str) -> None:
    if unknown := sorted(set(named) - set(known)):
        raise ValueError(f"{where}: no such field: {', '.join(unknown)}")


def _first_problem(schema: Mapping[str, Any], answer: Any) -> str:
    """The first way in which `answer` breaks `schema`, or ''."""
    errors = sorted(Draft202012Validator(schema).iter_errors(answer), key=lambda e: e.json_path)
    return f"{errors[0].json_path}: {errors[0].message[:200]}" if errors else ""
