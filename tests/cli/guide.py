"""Runs the commands of docs/analyst-guide.md and writes what they print below them.

`python -m tests.cli.guide` renews the page; `test_guide.py` fails when it is stale.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

from jobs.lake.settings import ROOT

PAGE = ROOT / "docs" / "analyst-guide.md"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    """The commands of one console block: each `$ ` line up to where its quotes close."""
    found: list[str] = []
    is_open = False
    for line in block.splitlines():
        if is_open:
            found[-1] += f"\n{line}"
        elif line.startswith("$ "):
            found.append(line)
        else:
            continue
        is_open = not _is_whole(found[-1])
    return found


def words(command: str) -> list[str]:
    """A command's words after `$ reclake`, as a POSIX shell splits them."""
    shell, program, *rest = shlex.split(command)
    if (shell, program) != ("$", "reclake"):
        raise ValueError(f"{PAGE.name}: not a reclake command: {command}")
    return rest


def _is_whole(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True


def renewed(page: str, run: Callable[[list[str]], str]) -> str:
    """The page with the output of each command as `run` gives it for the command's words."""

    def fill(block: re.Match[str]) -> str:
        parts = [f"{command}\n{run(words(command))}" for command in commands(block[1])]
        return "```console\n" + "\n".join(part.rstrip("\n") + "\n" for part in parts) + "```"

    return _BLOCK.sub(fill, page)


def _main() -> None:
    import contextlib
    import io
    import os
    import tempfile
    from pathlib import Path

    from jobs.cli.app import main
    from tests.cli.small_lake import write_small_lake

    def run(arguments: list[str]) -> str:
        both = io.StringIO()
        with contextlib.redirect_stdout(both), contextlib.redirect_stderr(both):
            main(arguments)
        return both.getvalue()

    with tempfile.TemporaryDirectory() as folder:
        os.environ["RECLAKE_HOME"] = folder
        write_small_lake(Path(folder) / "lake")
        PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), run), encoding="utf-8")


if __name__ == "__main__":
    _main()
