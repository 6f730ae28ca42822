"""Settings chosen on a validation part: one after the other takes the best of its values.

First the weights of event types, by the lists of one method, where the data has several types.
Then the weights of channels and the settings of fused lists, which are cheap to try, since the
channels' lists are made once. Then each method and channel that has a weight, by its own lists, and
the weights of methods; each of these trials makes new lists. Then the first group once more, now
with the channels that had no weight, whose lists have to be built for it.

A value has to be better than the best so far by more than TIE, so that noise changes nothing. A
step runs again only if a setting that it reads has changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.evaluation.data import BadData
from jobs.judging.metrics import Metrics
from jobs.recall.sources import CHANNEL_NAMES, METHOD_NAMES
from jobs.recall.sources.channels import CHANNELS
from jobs.recall.sources.methods import METHODS
from jobs.recall.sources.source import Family, Source
from jobs.settings import RecallSettings, Settings

# A smaller gain is noise: the standard error of a mean over 5,000 users is about twice this.
TIE = 0.001

Changes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Choice:
    """One choice among values. method: whose lists judge the values. needs: what the data must
    have."""

    method: str
    name: str
    values: tuple[Changes, ...]
    needs: frozenset[str] = frozenset()


def _of_source(source: Source) -> Iterator[Choice]:
    """The choices of one entry, judged by its own lists."""
    for choice in source.grid:
        section = choice.section or source.section
        values = tuple({section: dict(zip(choice.fields, row, strict=True))} for row in choice.grid)
        yield Choice(source.name, choice.name, values, source.needs | choice.needs)


CHOICES = tuple(choice for source in (*METHODS, *CHANNELS) for choice in _of_source(source))
WEIGHTED = ("i2i", "user")
OF_FUSED_LISTS = (
    Choice(
        "default",
        "sharpening",
        tuple({"user": {"sharpening": value}} for value in (0.0, 0.1, 0.2, 0.3)),
    ),
)
# What the data needs before a source has anything to say.
SOURCE_NEEDS = {source.name: source.needs for source in (*METHODS, *CHANNELS)}
# A weight is tried at these multiples; a weight of 0 at these shares of the sum.
FACTORS = (0.0, 0.3, 3.0)
EVENT_WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0)
# The methods whose lists tell one weight of an event from another.
BY_INTERACTIONS = tuple(s.name for s in METHODS if s.family in (Family.behavior, Family.order))
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

    metric: a field of Metrics. known: the needs (`jobs.recall.sources.Need`) that the data meets.
    minutes: after these no new trial begins. tried: called with each trial as it ends. event_types:
    those that the data has, the last of which keeps its weight.
    """

    judge: Callable[[str, RecallSettings], Metrics]
    metric: str
    known: frozenset[str]
    minutes: float
    tried: Callable[[Trial], None]
    event_types: tuple[str, ...] = ()

    def tune(self, recall: RecallSettings) -> RecallSettings:
        """The best settings found, beginning with `recall`."""
        self._ends = time.monotonic() + 60 * self.minutes
        built, all_sources = (
            {*recall.i2i.built, *recall.user.built},
            {*METHOD_NAMES, *CHANNEL_NAMES},
        )
        recall = self._best_event_weights(recall)
        recall = self._best_fusion(recall, built)
        recall = self._best_of_all(recall, [c for c in CHOICES if c.method in built])
        recall = self._best_weights("i2i", "i2i", recall, all_sources)
        return self._best_fusion(recall, all_sources)

    def _best_event_weights(self, recall: RecallSettings) -> RecallSettings:
        """The best weight of each type of event beside that of the last, which stays."""
        built = (name for name in recall.i2i.built if name in BY_INTERACTIONS)
        method = next(built, "default")
        for name in self.event_types[:-1]:
            weights = recall.events.weights
            values = [{"events": {"weights": {**weights, name: w}}} for w in EVENT_WEIGHTS]
            recall = self._best(method, f"weight of {name}", recall, values)
        return recall

    def _best_fusion(self, recall: RecallSettings, sources: Collection[str]) -> RecallSettings:
        """The best weights of channels, and the best settings of the fused lists."""
        recall = self._best_weights("default", "user", recall, sources)
        return self._best_of_all(recall, OF_FUSED_LISTS)

    def _best_weights(
        self, method: str, section: str, recall: RecallSettings, sources: Collection[str]
    ) -> RecallSettings:
        for source in getattr(recall, section).weights:
            if source not in sources or not SOURCE_NEEDS[source] <= self.known:
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
    """All settings that tuning can choose, by section and field, as RECLAKE_RECALL takes them.

    Unchanged ones are included, so that the result means the same when defaults change.
    """
    values = recall.model_dump()
    weighted = (*WEIGHTED, "events")
    found: Changes = {section: {"weights": values[section]["weights"]} for section in weighted}
    for choice in (*CHOICES, *OF_FUSED_LISTS):
        for section, fields in choice.values[0].items():
            chosen = {name: values[section][name] for name in fields}
            found[section] = found.get(section, {}) | chosen
    return found


def _other_weights(weights: dict[str, float], source: str) -> list[dict[str, float]]:
    """The weights with other values for one source, scaled to a sum of 1; none where all are 0."""
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
