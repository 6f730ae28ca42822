"""`make demo` and `make down` end with a line that says what to do, not with a traceback."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.demo import __main__
from jobs.settings import get_settings

Main = Callable[[str], int]


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Main]:
    """Runs one command on a home of its own; gives its exit code."""
    monkeypatch.setenv("RECLAKE_HOME", str(tmp_path))
    get_settings.cache_clear()

    def run(command: str) -> int:
        monkeypatch.setattr("sys.argv", ["infra.demo", command])
        return __main__.main()

    yield run
    get_settings.cache_clear()


@pytest.mark.parametrize("command", ["up", "down", "clean"])
def test_a_damaged_state_is_told(
    main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    file = tmp_path / "stack" / "state.json"
    file.parent.mkdir()
    file.write_text("{")
    assert main(command) == 1
    last_line = capsys.readouterr().out.splitlines()[-1]
    assert last_line.startswith(f"{file} is damaged, so nobody knows what runs.")
    assert file.exists()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/lake/part-0.parquet"),
            "No space left on device (/lake/part-0.parquet): free some disk (RECLAKE_HOME is {}), "
            "then run `make demo` again; it goes on from here.",
        ),
        (
            OSError(errno.EDQUOT, "Error writing bytes to file"),
            "Disk quota exceeded: free some disk (RECLAKE_HOME is {}), then run `make demo` again; "
            "it goes on from here.",
        ),
    ],
)
def test_a_full_disk_is_told(
    main: Main,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: OSError,
    line: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(__main__, "demo", fail)
    assert main("up") == 1
    assert capsys.readouterr().out == f"\n{line.format(tmp_path)}\n"


def test_any_other_error_of_the_system_is_a_fault_and_shows_where(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(__main__, "demo", fail)
    with pytest.raises(FileNotFoundError):
        main("up")


def test_a_spark_without_connect_is_told_before_anything_starts(
    main: Main, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RECLAKE_SPARK_URL", "local[2]")
    get_settings.cache_clear()
    assert main("up") == 1
    assert "RECLAKE_SPARK_URL is local[2]" in capsys.readouterr().out
    assert not (tmp_path / "postgres").exists()
