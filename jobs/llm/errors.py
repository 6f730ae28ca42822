"""What can go wrong between a work list and its answers, named for the condition."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from pydantic import ValidationError

from jobs.lake.errors import Terminal, Transient


class PromptError(Terminal):
    """A prompt file is unreadable or contradicts itself, or a subject has no text to send."""


class InvalidAnswer(ValueError):
    """The model's text isn't JSON, or breaks the prompt's schema; kept as `invalid_output`."""


class ServerRefuses(Terminal):
    """The server rejects every call (address, key or model name); asking again changes nothing."""


class TooManyErrors(Transient):
    """More calls failed than `llm.max_error_share` allows; the calls left were not made."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what reading a YAML file into a model raises into PromptError with file and key."""
    try:
        yield
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PromptError(f"{path}: cannot be read as YAML: {error}") from error
    except ValidationError as error:
        lines = (
            f"{path}: key {'.'.join(map(str, item['loc'])) or '(top)'}: {item['msg']}"
            for item in error.errors()
        )
        raise PromptError("\n".join(lines)) from error
