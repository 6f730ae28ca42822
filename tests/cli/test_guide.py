"""The analyst guide's commands print what the page shows; its snippets hold."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Reclake
from tests.cli.guide import PAGE, commands, renewed


def test_what_the_guide_shows_is_what_its_commands_print(reclake: Reclake) -> None:
    ran = []

    def run(arguments: list[str]) -> str:
        ended = reclake(*arguments)
        assert ended.code == 0, f"{arguments}: {ended.err}"
        ran.append(arguments)
        return ended.err + ended.out

    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page, run) == page, "stale: run `python -m tests.cli.guide`"
    assert len(ran) > 10


def test_snippets_for_other_tools_hold(
    small_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".reclake").mkdir()
    (tmp_path / ".reclake" / "lake").symlink_to(small_lake)
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"^```pycon\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        test = doctest.DocTestParser().get_doctest(snippet, {}, PAGE.name, str(PAGE), 0)
        results = doctest.DocTestRunner().run(test, clear_globs=False)
        assert (results.failed, results.attempted > 1) == (0, True)


def test_a_command_ends_where_its_quotes_close() -> None:
    block = '$ reclake sql "\n  SELECT 1"\none\n---\n$ reclake status\n'
    assert commands(block) == ['$ reclake sql "\n  SELECT 1"', "$ reclake status"]
