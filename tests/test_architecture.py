"""The house: floors from the ground up, and a picture of them that is not stale."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture import FLOORS, PAGE, ROOT, WINGS, drawn, edges_below, imports_of


@pytest.mark.parametrize(("package", "floors"), [("jobs", FLOORS), ("jobs.recall", WINGS)])
def test_no_floor_imports_its_own_or_a_higher_one(
    package: str, floors: tuple[tuple[str, ...], ...]
) -> None:
    level = {name: number for number, floor in enumerate(floors) for name in floor}
    upward = {
        f"{lower} imports {higher}": files
        for (lower, higher), files in edges_below(package, level).items()
        if level[lower] <= level[higher]
    }
    assert upward == {}, "an arrow runs upward; move what is shared to a lower floor"


@pytest.mark.parametrize(("package", "floors"), [("jobs", FLOORS), ("jobs.recall", WINGS)])
def test_every_part_has_a_floor(package: str, floors: tuple[tuple[str, ...], ...]) -> None:
    folder = ROOT / package.replace(".", "/")
    parts = {path.stem for path in folder.iterdir() if not path.name.startswith("_")}
    assert parts == {name for floor in floors for name in floor}


def test_no_two_folders_import_each_other() -> None:
    pairs: set[tuple[Path, Path]] = set()
    for path in (ROOT / "jobs").rglob("*.py"):
        for module in imports_of(path):
            target = ROOT / module.replace(".", "/")
            folder = target.parent if target.with_suffix(".py").exists() else target
            if folder.is_dir() and folder != path.parent:
                pairs.add((path.parent, folder))
    mutual = {
        f"{a.relative_to(ROOT)} and {b.relative_to(ROOT)}"
        for a, b in pairs
        if (b, a) in pairs and a < b
    }
    assert mutual == set()


def test_the_pictures_of_the_page_are_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == drawn(page), "run `python -m tests.architecture` and look at the change"
