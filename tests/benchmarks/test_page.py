"""The benchmark page, from rows written by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.benchmarks.page import page, table
from tests.benchmarks.provenance import provenance
from tests.benchmarks.result import Result


def test_a_row_names_its_peer_and_says_whether_the_target_was_met() -> None:
    rows = [
        Result(
            "job", 3.0, "s", 1.2, "theirs", 2.0, at_most=True, of_ratio=True, repetitions=3
        ).row(),
        Result("rate", 20_500.4, "users/s", 20_000).row(),
        Result("answers", 200, "answers").row(),
    ]
    assert table(rows).splitlines()[2:] == [
        "| job | 3 s | theirs | 2 | 1.5 | 1.2 | **missed** | 3 |",
        "| rate | 20,500 users/s |  |  |  | 20,000 | met | 1 |",
        "| answers | 200 answers |  |  |  |  |  | 1 |",
    ]


def test_what_was_not_run_keeps_its_section(tmp_path: Path) -> None:
    line = json.dumps(Result("precision", 0.5, "share", 0.9).row() | provenance())
    (tmp_path / "gate.jsonl").write_text(line + "\n", "utf-8")
    (tmp_path / "scale.jsonl").touch()  # was started and ended before its first figure
    before = "# Benchmarks\n\n## gate\nolder\n\n## llm\nThe last words.\n\n## gone\nUnknown.\n"
    found = page(tmp_path, before)
    assert re.search(r"\nCommit `[0-9a-f]{12}\+?` on \d+ cores of .+ GiB; python 3\.", found)
    assert [row for row in found.splitlines() if row.startswith("## ")] == ["## gate", "## llm"]
    assert "| precision | 0.5 share |  |  |  | 0.9 | **missed** | 1 |" in found
    assert found.endswith("\n\n## llm\nThe last words.\n")
    assert "older" not in found
    assert page(tmp_path, found) == found
