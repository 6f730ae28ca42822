"""What `reclake tune` wrote for the benchmarks still means the same settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.evaluation.tune import tuned
from jobs.settings import Settings
from tests.benchmarks.accuracy import TUNED


@pytest.mark.parametrize("path", sorted(TUNED.glob("*.json")), ids=lambda path: path.stem)
def test_every_chosen_value_and_every_trial_is_a_setting(path: Path) -> None:
    written = json.loads(path.read_text())
    recall = tuned(Settings(), path).recall.model_dump()
    for section, fields in written["recall"].items():
        for name, value in fields.items():
            chosen = recall[section][name]
            if name == "weights":  # those that came since have none
                chosen = {source: weight for source, weight in chosen.items() if source in value}
            assert chosen == value, (section, name)
    for trial in written["trials"]:
        Settings().recall.with_changes(trial["value"])
