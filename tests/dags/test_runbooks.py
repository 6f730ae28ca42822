"""Runbooks are read at night: their commands exist, and each one that an error names is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from deltalake import DeltaTable
from typer.main import get_command

from jobs.cli.app import app
from jobs.lake.contract import Contracts
from jobs.lake.schema import arrow_schema
from jobs.lake.sql import LakeSql
from jobs.settings import get_settings

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
PAGES = [*RUNBOOKS, ROOT / "dags" / "README.md"]
D = "2017-12-30"


def commands(page: Path, program: str) -> list[list[str]]:
    """The arguments of each call of `program` in the shell blocks and the inline code of a page."""
    text = page.read_text().replace("\\\n", " ")
    shell = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(
        r"`([^`\n]+(?:\n[^`\n]+)?)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    )
    calls = []
    for code in [*shell, *inline]:
        quoted = r"""(?:[^'"\n]|'[^']*'|"(?:\\.|[^"\\])*")*"""
        for call in re.findall(rf"^{program} {quoted}", code, re.MULTILINE):
            calls.append(shlex.split(call.replace("$D", D))[1:])
    return calls


RECLAKE = [(page, call) for page in PAGES for call in commands(page, "reclake")]
AIRFLOW = [(page, call) for page in PAGES for call in commands(page, "airflow")]


def named(cases: list[tuple[Path, list[str]]]) -> list[str]:
    return [f"{page.stem}-{number}-{call[0]}" for number, (page, call) in enumerate(cases)]


@pytest.fixture(scope="module")
def empty_lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lake with every table of the contracts, and no row."""
    lake = tmp_path_factory.mktemp("lake")
    for contract in Contracts(get_settings().contracts):
        path = lake.joinpath(*contract.table.split("."))
        DeltaTable.create(str(path), arrow_schema(contract), partition_by=list(contract.partition))
    return str(lake)


def test_there_are_commands_to_check() -> None:
    assert len(RECLAKE) > 10
    assert len(AIRFLOW) >= 4


@pytest.mark.parametrize(("page", "call"), RECLAKE, ids=named(RECLAKE))
def test_a_reclake_command_has_these_options(page: Path, call: list[str]) -> None:
    command = get_command(app)
    context = command.make_context("reclake", list(call), resilient_parsing=False)
    _, found, rest = command.resolve_command(context, call)
    found.make_context(call[0], rest)


QUERIES = [(page, call) for page, call in RECLAKE if call[0] == "sql"]


@pytest.mark.parametrize(("page", "call"), QUERIES, ids=named(QUERIES))
def test_a_query_names_tables_and_columns_that_exist(
    page: Path, call: list[str], empty_lake: str
) -> None:
    contracts = get_settings().contracts
    LakeSql(empty_lake, contracts).query(call[1], {"ds": D}, limit=10)


@pytest.mark.parametrize(("page", "call"), AIRFLOW, ids=named(AIRFLOW))
def test_an_airflow_command_has_these_options(page: Path, call: list[str]) -> None:
    from airflow.cli.cli_parser import get_parser

    get_parser().parse_args(call)


def test_every_runbook_that_code_or_a_page_names_exists() -> None:
    sources = [*ROOT.glob("jobs/**/*.py"), *ROOT.glob("dags/*.py"), *PAGES]
    names = {
        name
        for source in sources
        for name in re.findall(r"docs/runbooks/([\w-]+\.md)", source.read_text())
    }
    assert "contract-failed.md" in names
    assert names - {page.name for page in RUNBOOKS} == set()


def test_the_index_lists_every_runbook() -> None:
    index = (ROOT / "docs" / "runbooks" / "README.md").read_text()
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", index))
    assert listed == {page.name for page in RUNBOOKS} - {"README.md"}
