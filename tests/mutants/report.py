"""What became of the mutants: a table by package, and the survivors with their diffs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

TIMED_OUT = "timeout"  # what cosmic-ray writes down in the place of the tests' output
# A line of docs/mutants.md: "- `module`: `before` becomes `after`: why"
_LISTED = re.compile(r"^- `(?P<module>[^`]+)`: `(?P<before>.+?)` becomes `(?P<after>.*?)`: \S")


@dataclass(frozen=True)
class Tried:
    """One mutant that met the tests.

    diff: empty where it died. changes_nothing: whether docs/mutants.md lists it and says why.
    """

    package: str
    place: str
    died: bool
    timed_out: bool
    changes_nothing: bool
    diff: str


def listed(page: str) -> set[tuple[str, str, str]]:
    """The mutants that docs/mutants.md says change nothing: (module, line before, line after)."""
    found = (_LISTED.match(line) for line in page.splitlines())
    return {(m["module"], m["before"], m["after"]) for m in found if m}


def table(tried: Sequence[Tried], counts: Mapping[str, int]) -> Table:
    """One row a package. counts: the changes of each that a sample is drawn from.

    A few of these are no mutants, since they change nothing that runs.
    """
    shown = Table(title="Mutants")
    shown.add_column("package")
    for column in ("changes", "tried", "killed", "by time", "survived", "listed", "share killed"):
        shown.add_column(column, justify="right")
    for package, count in counts.items():
        shown.add_row(package, *_cells([one for one in tried if one.package == package], count))
    shown.add_section()
    shown.add_row("all", *_cells(tried, sum(counts.values())))
    return shown


def _cells(tried: Sequence[Tried], count: int) -> tuple[str, ...]:
    killed = sum(one.died for one in tried)
    by_time = sum(one.timed_out for one in tried)
    alike = sum(one.changes_nothing for one in tried if not one.died)
    share = f"{killed / len(tried):.1%}" if tried else ""
    survived = len(tried) - killed
    return (*map(str, (count, len(tried), killed, by_time, survived, alike)), share)


def write_survivors(path: Path, tried: Iterable[Tried]) -> int:
    """The survivors that are not listed, each as a diff below its place; how many there are."""
    left = [one for one in tried if not one.died and not one.changes_nothing]
    path.write_text("\n".join(f"# {one.place}\n{one.diff}\n" for one in left), encoding="utf-8")
    return len(left)
