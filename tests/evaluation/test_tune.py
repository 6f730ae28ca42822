"""Choosing settings: one after the other, only for a gain, and never on what the data lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.evaluation.data import BadData
from jobs.evaluation.tune import (
    CHOICES,
    OF_FUSED_LISTS,
    TIE,
    WEIGHTED,
    Trial,
    Tuner,
    chosen_fields,
    tuned,
)
from jobs.judging.metrics import Metrics
from jobs.settings import RecallSettings, Settings

NOTHING = Metrics(0, 0, 0, 0, 0, 0, 0, 0)
DEFAULT = RecallSettings()


def run(
    score: Callable[[str, RecallSettings], float],
    *known: str,
    minutes: float = 60,
    event_types: tuple[str, ...] = (),
) -> tuple[RecallSettings, list[Trial]]:
    """Tunes by a made-up score of a method under settings."""
    trials: list[Trial] = []
    tuner = Tuner(
        lambda method, recall: replace(NOTHING, ndcg=score(method, recall)),
        "ndcg",
        frozenset(known),
        minutes,
        trials.append,
        event_types,
    )
    return tuner.tune(DEFAULT), trials


def test_each_setting_takes_the_value_that_scores_best() -> None:
    def score(method: str, recall: RecallSettings) -> float:
        if method == "slim":
            return -abs(recall.slim.penalty - 120) / 100 - abs(recall.slim.min_support - 1) / 10
        if method == "i2i":
            return recall.i2i.weights["slim"]
        return 0.0

    found, trials = run(score)
    assert (found.slim.penalty, found.slim.min_support) == (120, 1)
    assert found.i2i.weights["slim"] > DEFAULT.i2i.weights["slim"]
    assert sum(found.i2i.weights.values()) == pytest.approx(1, abs=1e-3)
    assert found == DEFAULT.model_copy(update={"slim": found.slim, "i2i": found.i2i})
    assert [trial.choice for trial in trials if trial.kept and "slim: " in trial.choice]


def test_a_method_without_a_weight_gets_one_where_that_helps() -> None:
    def score(method: str, recall: RecallSettings) -> float:
        return recall.i2i.weights["swing"] if method == "i2i" else 0.0

    found, _ = run(score)
    assert DEFAULT.i2i.weights["swing"] == 0
    assert found.i2i.weights["swing"] == 0.3
    assert sum(found.i2i.weights.values()) == pytest.approx(1, abs=1e-3)


def test_events_get_weights_where_the_data_has_several_types() -> None:
    def score(method: str, recall: RecallSettings) -> float:
        weights = recall.events.weights
        return -abs(weights["view"] - 0.3) - weights["cart"] if method == "cooccurrence" else 0.0

    found, trials = run(score, event_types=("view", "cart", "purchase"))
    assert found.events.weights == DEFAULT.events.weights | {"view": 0.3, "cart": 0.0}
    choices = {trial.choice for trial in trials}
    assert {"cooccurrence: weight of view", "cooccurrence: weight of cart"} <= choices
    assert "cooccurrence: weight of purchase" not in choices
    assert chosen_fields(found)["events"]["weights"] == found.events.weights
    _, of_one_type = run(score, event_types=("purchase",))
    assert not any("cooccurrence: weight of" in trial.choice for trial in of_one_type)


def test_only_what_has_a_weight_is_looked_at_on_its_own() -> None:
    _, trials = run(lambda method, recall: 0.0)
    choices = [trial.choice for trial in trials]
    assert not any("swing: " in choice for choice in choices)
    # a weight for what has none is tried when all that has one was looked at
    assert choices.index("i2i: weight of swing") > choices.index("similar_users: users")
    assert choices.index("default: weight of i2i") < choices.index("slim: candidates")


def test_the_fused_lists_are_sharpened_once_more_at_the_end() -> None:
    found, trials = run(lambda method, recall: recall.user.sharpening)
    assert found.user.sharpening == 0.3
    choices = [trial.choice for trial in trials]
    assert choices.count("default: sharpening") == 6
    assert choices[-3:] == ["default: sharpening"] * 3


def test_a_gain_within_the_noise_changes_nothing() -> None:
    def score(method: str, recall: RecallSettings) -> float:
        return 0.0 if recall == DEFAULT else TIE * 0.9

    found, trials = run(score, "times", "texts", "tags", "repeats")
    assert found == DEFAULT
    assert len(trials) > 50
    assert not any(trial.kept for trial in trials)


def test_what_the_data_lacks_is_not_tried() -> None:
    _, plain = run(lambda method, recall: 0.0)
    tried = {trial.choice for trial in plain}
    assert "cooccurrence: support" in tried
    for absent in (
        "session: support",
        "cooccurrence: position decay",
        "transition: support",
        "augmented: most users",
        "repurchase: due exponent",
    ):
        assert absent not in tried
    for absent in ("vector", "repurchase", "session", "transition", "augmented"):
        absent = f"weight of {absent}"
        assert not any(absent in choice for choice in tried)
    _, timed = run(lambda method, recall: 0.0, "times", "repeats")
    assert {"session: support", "repurchase: due exponent"} <= {trial.choice for trial in timed}


def test_no_trial_begins_after_the_time_is_over() -> None:
    found, trials = run(lambda method, recall: 0.0, minutes=0)
    assert (found, trials) == (DEFAULT, [])


def test_every_value_of_every_choice_is_a_valid_setting() -> None:
    for choice in (*CHOICES, *OF_FUSED_LISTS):
        assert len({json.dumps(value) for value in choice.values}) == len(choice.values)
        for value in choice.values:
            DEFAULT.with_changes(value)
    assert set(WEIGHTED) == {"i2i", "user"}


def test_what_is_written_says_all_that_can_be_chosen() -> None:
    fields = chosen_fields(DEFAULT)
    for choice in (*CHOICES, *OF_FUSED_LISTS):
        for value in choice.values:
            for section, names in value.items():
                assert names.keys() <= fields[section].keys()
    assert fields["i2i"]["weights"] == DEFAULT.i2i.weights
    other = DEFAULT.with_changes({"slim": {"penalty": 7.0}, "content": {"min_score": 0.9}})
    assert other.with_changes(fields).slim == DEFAULT.slim
    assert other.with_changes(fields).content.min_score == 0.9


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "tuned.json"
    path.write_text(json.dumps({"recall": {"slim": {"penalty": 60}}}))
    assert tuned(Settings(), path).recall.slim.penalty == 60
    for broken in ("{", "[]", '{"recall": {"slim": {"penalty": -1}}}', '{"recall": {"swim": {}}}'):
        path.write_text(broken)
        with pytest.raises(BadData, match="expected what `reclake tune` writes"):
            tuned(Settings(), path)


@pytest.mark.server
def test_the_command_writes_what_evaluate_takes(tmp_path: Path) -> None:
    # a process of its own: a local Spark and a Connect client do not share one
    rows = [(f"u{n % 12}", f"i{(n * 7) % 10}") for n in range(80)]
    users, items = map(list, zip(*rows, strict=True))
    pq.write_table(pa.table({"user_id": users, "item_id": items}), tmp_path / "train.parquet")
    written = tmp_path / "tuned.json"
    given = ["--train", str(tmp_path / "train.parquet"), "--format", "parquet", "--k", "2"]
    given += ["--json", str(written), "--minutes", "0.1"]
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "jobs.cli",
            "tune",
            *given,
            "--json",
            str(written),
            "--minutes",
            "1",
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"RECLAKE_HOME": str(tmp_path / "home")},
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(written.read_text())
    assert (found["seed"], found["split"], found["metric"], found["seen"]) == (
        7,
        "auto",
        "ndcg",
        "exclude",
    )
    assert found["trials"]
    assert set(found["validation"]) == {"before", "after"}
    assert tuned(Settings(), written).recall == DEFAULT.with_changes(found["recall"])
    assert "RECLAKE_RECALL=" in ended.stderr
