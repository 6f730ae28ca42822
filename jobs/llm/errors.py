"""What can go wrong between a work list and its answers, named for the condition."""

from __future__ import annotations

from jobs.lake.errors import Terminal, Transient


class PromptError(Terminal):
    """A prompt file is unreadable or contradicts itself, or a subject has no text to send."""


class InvalidAnswer(ValueError):
    """The model's text isn't JSON, or breaks the prompt's schema; kept as `invalid_output`."""


class ServerRefuses(Terminal):
    """The server rejects every call (address, key or model name); asking again changes nothing."""


class TooManyErrors(Transient):
    """More calls failed than `llm.max_error_share` allows; the calls left were not made."""
