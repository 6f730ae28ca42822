"""Pictures of `recall_daily` in the Airflow UI of a finished demo: `make screenshots`.

    uv run --no-sync --with playwright python -m infra.demo.screenshots

Drives the Chromium that the machine has (Debian: `apt-get install chromium`); playwright is not a
dependency of the project. `--url`, `--user` and `--password` name another Airflow.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.stack import Login
from infra.stack.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

DAG_ID = "recall_daily"
SIZE = {"width": 1400, "height": 900}
MOST_BYTES = 300_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS = 60_000
FOLDER = ROOT / "docs" / "images"


class NoPicture(Exception):
    """A picture could not be taken, or is not fit to be committed."""


def take(login: Login, folder: Path) -> list[Path]:
    """Write `airflow-grid.png` and `airflow-graph.png` of the newest run; raises NoPicture."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_browser(),
            args=["--no-sandbox"],  # root, as in a container, has no sandbox
        )
        try:
            page = browser.new_page(viewport=SIZE, timezone_id="UTC", locale="en-GB")
            page.set_default_timeout(WAIT_MS)
            _log_in(page, login)
            run_id = _newest_run(page, login)
            return [
                _shoot_grid(page, login, folder / "airflow-grid.png"),
                _shoot_graph(page, login, run_id, folder / "airflow-graph.png"),
            ]
        finally:
            browser.close()


def _browser() -> str:
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise NoPicture(f"no browser found; tried {', '.join(BROWSERS)}. Install Debian's `chromium`.")


def _log_in(page: Page, login: Login) -> None:
    page.goto(login.url)
    page.fill("input[name=username]", login.user)
    page.fill("input[name=password]", login.password)
    page.keyboard.press("Enter")
    page.get_by_test_id("nav-dags-link").wait_for()


def _newest_run(page: Page, login: Login) -> str:
    """The id of the run with the newest logical date, asked with the browser's own login."""
    answer = page.request.get(
        f"{login.url}/api/v2/dags/{DAG_ID}/dagRuns",
        params={"order_by": "-logical_date", "limit": 1, "state": "success"},
    )
    runs: list[dict[str, Any]] = answer.json().get("dag_runs", [])
    if not runs:
        raise NoPicture(f"{login.url} has no successful run of {DAG_ID}; let `make demo` end first")
    return str(runs[0]["dag_run_id"])


def _shoot_grid(page: Page, login: Login, file: Path) -> Path:
    """The grid of all runs, beside the runs' durations."""
    _prefer(page, "default_dag_view", "grid")
    page.goto(f"{login.url}/dags/{DAG_ID}")
    page.locator('[data-testid^="grid-"][data-testid$="gold.user_recall_daily"]').last.wait_for()
    page.get_by_text("Dag Runs").first.wait_for()
    return _shoot(page, file)


def _shoot_graph(page: Page, login: Login, run_id: str, file: Path) -> Path:
    """The graph of one run, top to bottom, colored by how each task ended."""
    _prefer(page, "default_dag_view", "graph")
    _prefer(page, f"direction-{DAG_ID}", "DOWN")
    page.goto(f"{login.url}/dags/{DAG_ID}/runs/{run_id}")
    page.get_by_label("Collapse Details Panel").click()
    page.locator(".react-flow__node", has_text="gold.user_recall_daily").wait_for()
    page.get_by_label("fit view", exact=False).first.click()
    return _shoot(page, file)


def _prefer(page: Page, key: str, value: str) -> None:
    """A choice that the UI keeps in the browser."""
    page.evaluate("([key, value]) => localStorage.setItem(key, value)", [key, json.dumps(value)])


def _shoot(page: Page, file: Path) -> Path:
    page.mouse.move(SIZE["width"] - 1, SIZE["height"] - 1)  # away from anything with a tooltip
    page.wait_for_load_state("networkidle")
    before = b""
    while (picture := page.screenshot()) != before:  # until nothing moves any more
        before = picture
        page.wait_for_timeout(500)
    if len(picture) > MOST_BYTES:
        raise NoPicture(
            f"{file.name} has {len(picture):,} bytes; at most {MOST_BYTES:,} may be committed"
        )
    file.write_bytes(picture)
    return file


def _login_of_demo() -> Login:
    from infra.stack.settings import StackSettings
    from infra.stack.stack import Stack
    from jobs.settings import get_settings

    endpoints = Stack(get_settings(), StackSettings()).endpoints()
    if endpoints is None:
        raise NoPicture("no demo is running; start it with `make demo`")
    return endpoints.airflow


def main() -> None:
    parser = argparse.ArgumentParser(description="Photograph recall_daily in the Airflow UI.")
    parser.add_argument("--url", help="an Airflow; the demo's when not given")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default="")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: %(default)s")
    chosen = parser.parse_args()
    try:
        login = Login(chosen.url, chosen.user, chosen.password) if chosen.url else _login_of_demo()
        for file in take(login, chosen.folder):
            sys.stdout.write(f"{file} ({file.stat().st_size:,} bytes)\n")
    except NoPicture as problem:
        sys.exit(f"screenshots: {problem}")


if __name__ == "__main__":
    main()
