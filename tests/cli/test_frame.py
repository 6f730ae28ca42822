"""What holds for every command: light to import, help with an example, exit codes, errors."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import typer

from jobs.cli import app as frame
from jobs.cli.docs import commands, help_text, reference
from jobs.cli.run import chosen_days
from jobs.cli.terminal.late_help import given
from jobs.lake.errors import AuditFailed, PublishConflict
from jobs.lake.settings import ROOT
from jobs.settings import RunParams
from tests.cli.conftest import Reclake

COMMANDS = dict(commands(typer.main.get_command(frame.app)))
LEAVES = {path: command for path, command in COMMANDS.items() if not hasattr(command, "commands")}
READERS = [
    ("status",),
    ("tables",),
    ("sql", "SELECT 1 AS one"),
    ("explain", "user", "ann"),
    ("explain", "item", "milk"),
]


def test_the_command_line_loads_no_engine() -> None:
    heavy = (
        "pyspark pandas pyarrow duckdb deltalake torch great_expectations pymilvus pydantic rich"
    )
    code = (
        f"import sys, jobs.cli\nprint(*[name for name in {heavy.split()!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_a_command_has_help_an_example_and_json(path: tuple[str, ...]) -> None:
    command = LEAVES[path]
    text = help_text(path, command)
    summary = (command.help or "").split("\n\n")[0].strip()
    assert summary.endswith(".")
    assert "\n" not in summary
    assert f"  {' '.join(path)}" in text.split("Example")[1], "no example to paste"
    assert "--json" in text
    for option in command.params:
        assert getattr(option, "help", None), f"{option.name} is not explained"


@pytest.mark.parametrize("path", sorted(COMMANDS.keys() - LEAVES.keys()), ids=" ".join)
def test_a_list_of_commands_shows_each_summary_whole(path: tuple[str, ...]) -> None:
    assert "..." not in help_text(path, COMMANDS[path]).split("Commands:")[-1]


def test_the_page_of_commands_is_up_to_date() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == reference(), "stale: run `python -m jobs.cli.docs > docs/cli.md`"


def test_run_offers_every_run_parameter_and_leaves_the_default_to_it() -> None:
    offered = {option.name: option.default for option in COMMANDS["reclake", "run"].params}
    shown = " ".join(help_text(("reclake", "run"), COMMANDS["reclake", "run"]).split())
    for name, field in RunParams.model_fields.items():
        assert not offered[name], f"{name}: the default stands in RunParams"
        if isinstance(field.default, int) and field.default > 1:
            assert f"Default: {field.default}." in shown, name


def test_run_passes_on_what_the_line_gives_and_nothing_else() -> None:
    command = COMMANDS["reclake", "run"]
    line = ["gold.i2i_daily", "--ds", "2017-12-30", "--token-budget", "0", "--methods", "slim"]
    names = tuple(RunParams.model_fields)
    found = given(command.make_context("run", line), names)
    # a budget of 0 is a choice, and sends nothing
    assert found == {"token_budget": 0, "methods": ["slim"]}


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_json_is_one_document(reclake: Reclake, words: tuple[str, ...]) -> None:
    ended = reclake(*words, "--json")
    assert ended.code == 0
    assert json.loads(ended.out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("explode",), "No such command 'explode'"),
        (("tables", "golden"), "expected one of bronze, silver, gold, ops, found 'golden'"),
        (("sql",), "Missing argument"),
        (("sql", "SELECT 1", "--limit", "0"), "--limit"),
        (("explain", "user", "ann", "--ds", "yesterday"), "expected a day like 2017-12-30"),
        (
            ("run", "silver.items", "--ds", "2017-12-30", "--shard", "1"),
            "--shard 1: expected 0 to 0, for --shards 1",
        ),
        (("run", "gold.i2i_daily"), "name a day with --ds, or a range"),
        (
            ("run", "gold.i2i_daily", "--ds", "2017-12-30", "--to-ds", "2017-12-31"),
            "leave out --from-ds and --to-ds",
        ),
        (
            ("run", "gold.i2i_daily", "--from-ds", "2017-12-30", "--to-ds", "2017-12-29"),
            "--from-ds 2017-12-30 is after --to-ds 2017-12-29",
        ),
        (("run", "gold.i2i_daily", "--ds", "2017-12-30", "--item-budget", "-1"), "--item-budget"),
        (
            ("run", "gold.i2i_daily", "--ds", "2017-12-30", "--methods", "swimming"),
            "--methods: Value error, unknown: swimming; known: cooccurrence, session, slim, "
            "swing, transition, content, augmented",
        ),
        (
            ("run", "gold.user_recall_daily", "--ds", "2017-12-30", "--channels", "i2i"),
            "--channels: Value error, popular is missing",
        ),
    ],
)
def test_a_wrong_command_line_ends_with_2(
    reclake: Reclake, words: tuple[str, ...], said: str
) -> None:
    ended = reclake(*words)
    assert ended.code == 2
    assert said in " ".join(ended.err.split())
    assert ended.out == ""


def test_a_range_of_days_is_whole_and_in_order() -> None:
    first, last = date(2017, 12, 30), date(2018, 1, 1)
    assert chosen_days(None, first, last) == [first, date(2017, 12, 31), last]
    assert chosen_days(None, first, first) == chosen_days(first, None, None) == [first]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AuditFailed("gold.i2i_daily ds=2017-12-30: 1 check failed"), 1),
        (PublishConflict("gold.i2i_daily: try again"), 75),
    ],
)
def test_a_lake_error_is_one_clean_message(
    monkeypatch: pytest.MonkeyPatch, reclake: Reclake, error: Exception, code: int
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("jobs.cli.terminal.session.settings", fail)
    ended = reclake("tables")
    assert (ended.code, ended.out, ended.err) == (code, "", f"reclake: {error}\n")


def test_debug_shows_where_an_error_came_from(reclake: Reclake) -> None:
    words = ("sql", "SELECT * FROM gold.nothing")
    assert reclake(*words).code == 1
    with pytest.raises(Exception, match=r"gold\.nothing: no such table"):
        reclake(*words, "--debug")


def test_an_unexpected_error_says_how_to_see_more(
    monkeypatch: pytest.MonkeyPatch, reclake: Reclake
) -> None:
    def fail() -> None:
        raise KeyError("surprise\nsecond line")

    monkeypatch.setattr("jobs.cli.terminal.session.settings", fail)
    ended = reclake("tables")
    assert ended.code == 1
    assert ended.err.startswith("reclake: unexpected KeyError: ")
    assert "--debug" in ended.err


def test_a_bad_setting_is_named_as_its_variable(
    monkeypatch: pytest.MonkeyPatch, reclake: Reclake
) -> None:
    monkeypatch.setenv("RECLAKE_LLM__CONCURRENCY", "many")
    ended = reclake("tables")
    assert ended.code == 1
    assert ended.err.startswith("reclake: RECLAKE_LLM__CONCURRENCY: Input should be a valid int")


def test_addresses_of_a_running_demo_are_found_and_a_variable_wins(
    monkeypatch: pytest.MonkeyPatch, reclake: Reclake, tmp_path: Path
) -> None:
    folder = tmp_path / "reclake" / "stack"
    folder.mkdir(parents=True)
    (folder / "reclake.env").write_text(
        "RECLAKE_LLM_URL=http://127.0.0.1:1/v1\nRECLAKE_SPARK_URL=sc://127.0.0.1:2\n"
    )
    services = {s["name"]: s for s in json.loads(reclake("status", "--json").out)["services"]}
    assert services["llm"]["address"] == "http://127.0.0.1:1/v1"
    assert services["spark"]["address"] == "sc://127.0.0.1:1", "the variable of the fixture"
