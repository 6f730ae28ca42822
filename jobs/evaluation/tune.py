"""Settings chosen on a validation part: one after the other takes the best of its values.

First what is cheap to try, the weights of channels and what is done to the fused lists, since their
lists are made once; then each method and channel that has a weight alone, and the weights of
methods, each of which makes new lists; then the first once more. The second time those without a
weight are tried too, which have to be built for it.
A value has to be better than the one before it by more than TIE, so that noise changes nothing, and
what a step does not read is not made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from jobs.evaluation.data import BadData
from jobs.judging.metrics import Metrics
from jobs.recall.settings import I2I_METHODS, USER_CHANNELS, RecallSettings
from jobs.settings import Settings

# A gain of less is noise: the standard error of a mean over 5,000 users is about twice this.
TIE = 0.001

Changes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Choice:
    """One choice among values. method: by whose lists it is judged. needs: what the data must have,
    of times, texts, tags and repeats."""

    method: str
    name: str
    values: tuple[Changes, ...]
    needs: frozenset[str] = frozenset()


def _values(section: str, *fields: str, grid: Sequence[Any]) -> tuple[Changes, ...]:
    """One change for each entry of the grid, a value or a tuple of values for the fields."""
    rows = [entry if isinstance(entry, tuple) else (entry,) for entry in grid]
    return tuple({section: dict(zip(fields, row, strict=True))} for row in rows)


_DEGREES = ("item_exponent", "neighbor_exponent")


def _support(section: str) -> tuple[Changes, ...]:
    grid = ((1, 0.0), (2, 0.0), (2, 2.0), (3, 2.0))
    return _values(section, "min_support", "shrinkage", grid=grid)


def _degrees(section: str) -> tuple[Changes, ...]:
    grid = ((0.5, 0.5), (0.6, 0.4), (0.75, 0.25), (0.9, 0.1))
    return _values(section, *_DEGREES, grid=grid)


def _half_life(section: str) -> tuple[Changes, ...]:
    return _values(section, "half_life_days", grid=(15.0, 30.0, 90.0, 365.0, 3650.0))


_TIMED = frozenset({"times"})
_HISTORY = (
    ("position decay", "position_decay", (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)),
    ("history half-life", "half_life_days", (30.0, 90.0, 365.0, 3650.0)),
    ("history length", "history_length", (20, 50, 200)),
)
_REPEATED = frozenset({"times", "repeats"})
_EXPONENTS = (0.25, 0.5, 0.75, 1.0)
_PENALTIES = tuple(product((15.0, 30.0, 60.0, 120.0), (1, 2)))
CHOICES: tuple[Choice, ...] = (
    *(
        Choice("cooccurrence", name, _values("item_history", field, grid=grid), _TIMED)
        for name, field, grid in _HISTORY
    ),
    Choice("cooccurrence", "support", _support("cooccurrence")),
    Choice("cooccurrence", "item exponents", _degrees("cooccurrence")),
    Choice(
        "cooccurrence", "user exponent", _values("cooccurrence", "user_exponent", grid=_EXPONENTS)
    ),
    Choice("cooccurrence", "half-life", _half_life("cooccurrence"), _TIMED),
    Choice("session", "support", _support("session"), _TIMED),
    Choice("session", "item exponents", _degrees("session"), _TIMED),
    Choice(
        "session", "session exponent", _values("session", "user_exponent", grid=_EXPONENTS), _TIMED
    ),
    Choice("session", "half-life", _half_life("session"), _TIMED),
    Choice(
        "slim",
        "penalty and support",
        _values("slim", "penalty", "min_support", grid=_PENALTIES),
    ),
    Choice("slim", "user exponent", _values("slim", "user_exponent", grid=(0.0, 0.25, 0.5))),
    Choice("slim", "candidates", _values("slim", "candidates", grid=(100, 200))),
    Choice("slim", "half-life", _half_life("slim"), _TIMED),
    Choice("swing", "alpha", _values("swing", "alpha", grid=(0.1, 1.0, 10.0))),
    Choice(
        "swing",
        "item exponents",
        _values("swing", *_DEGREES, grid=((1.0, 0.25), (1.5, 0.4), (2.0, 0.5))),
    ),
    Choice("swing", "user exponent", _values("swing", "user_exponent", grid=_EXPONENTS[:3])),
    Choice("swing", "half-life", _half_life("swing"), _TIMED),
    Choice(
        "transition",
        "window and decay",
        _values("transition", "window", "position_decay", grid=((1, 1.0), (3, 0.7), (10, 0.7))),
        _TIMED,
    ),
    Choice("transition", "support", _support("transition"), _TIMED),
    Choice("transition", "item exponents", _degrees("transition"), _TIMED),
    Choice(
        "augmented",
        "most users",
        _values("augmented", "max_users", grid=(5, 20, 100)),
        frozenset({"tags"}),
    ),
    Choice(
        "similar_users",
        "user exponent",
        _values("similar_users", "user_exponent", grid=(0.3, 0.5, 0.7)),
    ),
    Choice("similar_users", "users", _values("similar_users", "users", grid=(150, 500, 1000))),
    Choice("similar_users", "half-life", _half_life("similar_users"), _TIMED),
    Choice(
        "repurchase",
        "due exponent",
        _values("repurchase", "due_exponent", grid=(0.0, 0.5, 1.0)),
        _REPEATED,
    ),
    Choice(
        "repurchase",
        "half-life",
        _values("repurchase", "half_life_days", grid=(30.0, 90.0, 180.0, 365.0)),
        _REPEATED,
    ),
    Choice(
        "trending",
        "short half-life",
        _values("trending", "short_half_life_days", grid=(1.0, 3.0, 7.0)),
        _TIMED,
    ),
    Choice("new", "window", _values("new", "window_days", grid=(14, 28, 56)), _TIMED),
    Choice("seasonal", "window", _values("seasonal", "window_days", grid=(7, 14, 28)), _TIMED),
)
WEIGHTED = ("i2i", "user")
OF_FUSED_LISTS = (
    Choice("default", "sharpening", _values("user", "sharpening", grid=(0.0, 0.1, 0.2, 0.3))),
)
# What the data needs before a source has anything to say; texts and attributes of users are in no
# data.
SOURCE_NEEDS: dict[str, frozenset[str]] = {
    "session": _TIMED,
    "transition": _TIMED,
    "content": frozenset({"texts"}),
    "augmented": frozenset({"tags"}),
    "repurchase": _REPEATED,
    "vector": frozenset({"texts of users"}),
    "trending": _TIMED,
    "new": _TIMED,
    "seasonal": _TIMED,
    "newcomer": frozenset({"attributes of users"}),
    "q2i": frozenset({"texts of users"}),
    "product_names": frozenset({"texts of users"}),
}
# A weight becomes so many times what it is beside the others; one of 0 becomes so large a share.
FACTORS = (0.0, 0.3, 3.0)
SHARES = (0.1, 0.3)


@dataclass(frozen=True)
class Trial:
    """One look at the validation part."""

    choice: str
    value: Changes
    score: float
    kept: bool


@dataclass
class Tuner:
    """Looks for the best settings. judge: the metrics of a method's lists under settings.

    metric: a field of Metrics. known: what the data has, of times, texts, tags and repeats.
    minutes: after which no new trial begins. tried: called with each trial as it ends.
    """

    judge: Callable[[str, RecallSettings], Metrics]
    metric: str
    known: frozenset[str]
    minutes: float
    tried: Callable[[Trial], None]

    def tune(self, recall: RecallSettings) -> RecallSettings:
        """The best settings found, beginning with `recall`."""
        self._ends = time.monotonic() + 60 * self.minutes
        built, all_sources = {*recall.i2i.built, *recall.user.built}, {*I2I_METHODS, *USER_CHANNELS}
        recall = self._best_fusion(recall, built)
        recall = self._best_of_all(recall, [c for c in CHOICES if c.method in built])
        recall = self._best_weights("i2i", "i2i", recall, all_sources)
        return self._best_fusion(recall, all_sources)

    def _best_fusion(self, recall: RecallSettings, sources: Collection[str]) -> RecallSettings:
        """The best weights of channels beside each other, and what is done to the fused lists."""
        recall = self._best_weights("default", "user", recall, sources)
        return self._best_of_all(recall, OF_FUSED_LISTS)

    def _best_weights(
        self, method: str, section: str, recall: RecallSettings, sources: Collection[str]
    ) -> RecallSettings:
        for source in getattr(recall, section).weights:
            needs = SOURCE_NEEDS.get(source, frozenset())
            if source not in sources or not needs <= self.known:
                continue
            weights = getattr(recall, section).weights
            values = tuple(
                {section: {"weights": changed}} for changed in _other_weights(weights, source)
            )
            recall = self._best(method, f"weight of {source}", recall, values)
        return recall

    def _best_of_all(self, recall: RecallSettings, choices: Iterable[Choice]) -> RecallSettings:
        for choice in choices:
            if choice.needs <= self.known:
                recall = self._best(choice.method, choice.name, recall, choice.values)
        return recall

    def _best(
        self, method: str, name: str, recall: RecallSettings, values: Sequence[Changes]
    ) -> RecallSettings:
        best, best_score = recall, None
        for value in values:
            if time.monotonic() >= self._ends:
                break
            changed = recall.with_changes(value)
            if changed == recall:
                continue
            if best_score is None:
                best_score = self._score(method, recall)
            score = self._score(method, changed)
            kept = score > best_score + TIE
            if kept:
                best, best_score = changed, score
            self.tried(Trial(f"{method}: {name}", value, score, kept))
        return best

    def _score(self, method: str, recall: RecallSettings) -> float:
        return float(getattr(self.judge(method, recall), self.metric))


def tuned(settings: Settings, path: Path) -> Settings:
    """The settings with what `reclake tune` wrote. Raises BadData."""
    try:
        changes = json.loads(path.read_text(encoding="utf-8"))["recall"]
        recall = settings.recall.with_changes(changes)
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(f"{path}: expected what `reclake tune` writes: {error}") from error
    return settings.model_copy(update={"recall": recall})


def chosen_fields(recall: RecallSettings) -> Changes:
    """All that can be chosen, by section and field: what RECLAKE_RECALL takes.

    Complete, so that it means the same when defaults change.
    """
    values = recall.model_dump()
    found: Changes = {section: {"weights": values[section]["weights"]} for section in WEIGHTED}
    for choice in (*CHOICES, *OF_FUSED_LISTS):
        for section, fields in choice.values[0].items():
            chosen = {name: values[section][name] for name in fields}
            found[section] = found.get(section, {}) | chosen
    return found


def _other_weights(weights: dict[str, float], source: str) -> list[dict[str, float]]:
    """The weights with other values of one of them, all to a sum of 1; none that leaves nothing."""
    others = sum(weight for name, weight in weights.items() if name != source)
    if weights[source]:
        tried = [weights[source] * factor for factor in FACTORS]
    else:
        tried = [others * share / (1 - share) for share in SHARES]
    return [
        {
            name: round((value if name == source else weight) / (others + value), 4)
            for name, weight in weights.items()
        }
        for value in tried
        if others + value > 0
    ]
