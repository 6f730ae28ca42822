"""Fixtures of the command line's tests: one small lake, and `reclake` as a function."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.cli.app import main
from jobs.settings import get_settings
from tests.cli.small_lake import write_small_lake


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Reclake = Callable[..., Ended]


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake of `tests.cli.small_lake`, not to be written to."""
    lake = tmp_path_factory.mktemp("small") / "lake"
    write_small_lake(lake)
    return lake


@pytest.fixture
def own_lake(small_lake: Path, tmp_path: Path) -> Path:
    """A copy of the small lake that the test may change."""
    return Path(shutil.copytree(small_lake, tmp_path / "reclake" / "lake"))


@pytest.fixture
def reclake(
    small_lake: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Reclake]:
    """Runs one command line on the small lake, or on this test's own if there is one."""
    own = tmp_path / "reclake" / "lake"
    monkeypatch.setenv("RECLAKE_HOME", str(own.parent))
    monkeypatch.setenv("RECLAKE_LAKE", str(small_lake))
    monkeypatch.setenv("RECLAKE_SPARK_URL", "sc://127.0.0.1:1")
    for name in ("RECLAKE_LLM_URL", "RECLAKE_MILVUS_URI", "AIRFLOW__API__BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    get_settings.cache_clear()

    def run(*arguments: str) -> Ended:
        if own.exists():
            monkeypatch.setenv("RECLAKE_LAKE", str(own))
        code = main(list(arguments))
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    yield run
    get_settings.cache_clear()
