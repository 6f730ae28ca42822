"""`make demo`: the stack, the drops, three days by Airflow's backfill, and a page of results.

Each step looks at what is there and does the rest, so that an interrupted demo goes on where it
stopped, and a finished one only shows its page.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psutil
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.demo import backfill, page
from infra.demo.airflow_api import AirflowApi, AirflowRefused
from infra.demo.data import OtherSample, write_drops
from infra.demo.settings import DemoSettings
from infra.stack import Login
from infra.stack.paths import PYTHON, ROOT
from infra.stack.process import seconds_of
from infra.stack.settings import StackSettings
from infra.stack.stack import Endpoints, Event, NotReady, Stack
from infra.stack.state import StackBusy
from infra.stack.waiting import ServiceFailed
from jobs.delta_jars import JarsUnresolved
from jobs.lake.errors import LakeError
from jobs.lake.sql import LakeSql
from jobs.settings import Settings

DAYS = (date(2017, 12, 28), date(2017, 12, 29), date(2017, 12, 30))

_STATE_STYLES = {"success": "green", "failed": "red", "upstream_failed": "red", "skipped": "dim"}


class DemoFailed(Exception):
    """The demo cannot go on; the message ends with what to do."""


def demo(
    settings: Settings, choices: StackSettings, chosen: DemoSettings, console: Console
) -> None:
    """Runs the demo. Raises DemoFailed."""
    progress = Progress(console)
    progress.heading("Stack")
    stack = Stack(settings, choices, progress.event)
    spent = Spent(stack)
    with failing_clearly(), stack.starting(_settings_environment()) as (endpoints, services):
        write_landing(settings, chosen, progress)
        create_tables(settings, endpoints, services, progress)
    api = AirflowApi(endpoints.airflow, backfill.DAG_ID)
    with failing_clearly():
        run_days(api, settings, progress, spent)
    show_page(settings, DAYS, console)
    show_next(settings, endpoints.airflow, DAYS[-1], console)
    console.print(f"\nDone in {spent}. `make down` ends the servers.")


def write_landing(settings: Settings, chosen: DemoSettings, progress: Progress) -> None:
    """Writes the drops that are missing."""
    if "://" in settings.landing:
        raise DemoFailed(
            f"The demo writes its drops into a folder, but RECLAKE_LANDING is {settings.landing}. "
            "Unset it, or set it to a folder."
        )
    started = time.monotonic()
    try:
        written = write_drops(Path(settings.landing), chosen.households)
    except OtherSample as error:
        raise DemoFailed(str(error)) from error
    what = f"{written} files written" if written else "all drops are there"
    of = f"{chosen.households} households (DEMO_HOUSEHOLDS), {settings.landing}"
    progress.event(Event("landing", f"{what}: {of}", time.monotonic() - started))


def create_tables(
    settings: Settings,
    endpoints: Endpoints,
    services: Mapping[str, Future[None]],
    progress: Progress,
) -> None:
    """Creates every table from its contract as soon as Spark answers, unless all are there."""
    lake = LakeSql(settings.lake, settings.contracts)
    if all(lake.exists(table) for table in lake.tables):
        return
    if "spark" in services:
        services["spark"].result()
    started = time.monotonic()
    done = subprocess.run(
        [str(PYTHON), "-m", "jobs.cli", "init"],
        check=False,
        cwd=ROOT,
        env=os.environ | endpoints.environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise DemoFailed(f"The tables could not be created:\n{said}\nThen run `make demo` again.")
    text = f"{len(lake.tables)} created from their contracts"
    progress.event(Event("tables", text, time.monotonic() - started))


def run_days(api: AirflowApi, settings: Settings, progress: Progress, spent: Spent) -> None:
    """Has Airflow run the days that are not published, and waits. Raises DemoFailed.

    The first day runs alone, so that it is there to be looked at soonest; its page is shown while
    the other days go on, two at once.
    """
    progress.heading(f"Days {DAYS[0]} to {DAYS[-1]}")
    backfill.prepare(api, ROOT / "dags" / "pools.json")
    first, others = DAYS[:1], DAYS[1:]
    made = backfill.request_days(api, first, _published(settings), progress.line)
    if made:
        _follow(api, made, settings, progress)
        if not set(others) <= _published(settings):
            show_page(settings, first, progress.console)
            show_next(settings, api.login, first[0], progress.console)
            progress.heading(
                f"{first[0]} is there to be looked at, after {spent}; the other days go on"
            )
    if days := backfill.request_days(api, others, _published(settings), progress.line):
        _follow(api, days, settings, progress)
    elif not made:
        progress.line("all published already")


def _follow(
    api: AirflowApi, days: Collection[date], settings: Settings, progress: Progress
) -> None:
    """Waits until the days' runs have ended. Raises DemoFailed unless all days are published."""
    with progress.console.status("waiting for Airflow's scheduler") as status:
        started = time.monotonic()

        def tick(text: str) -> None:
            status.update(f"{time.monotonic() - started:4.0f} s  {escape(text)}")

        failures = backfill.follow(api, days, progress.task_end, tick)
    for failure in failures:
        progress.failure(failure)
    if failures:
        raise DemoFailed(
            "A failed task published nothing; tables and days that were published stay readable. "
            "Mend the cause that the log names, then run `make demo`: only the failed tasks and "
            "the tasks behind them run again."
        )
    if unpublished := sorted(set(days) - _published(settings)):
        raise DemoFailed(
            f"Airflow's runs ended without publishing {', '.join(map(str, unpublished))}. "
            f"Look at them in {api.url}, then run `make demo` again."
        )


def show_page(settings: Settings, days: Collection[date], console: Console) -> None:
    """Prints what was published of some days."""
    for section in page.sections(LakeSql(settings.lake, settings.contracts), days):
        console.print(f"\n[bold]{escape(section.title)}[/bold]")
        console.print(_table(section.rows))


def show_next(settings: Settings, login: Login, day: date, console: Console) -> None:
    """Prints where Airflow is, and what to try next about a day."""
    lake = LakeSql(settings.lake, settings.contracts)
    console.print(f"\n[bold]Airflow[/bold]  {login.url}  user {login.user}  ", end="")
    console.print(f"password {login.password}", highlight=False)
    user = lake.query(f"SELECT min(user_id) FROM {page.GOLD[1]} WHERE ds = DATE '{day}'")
    console.print("\n[bold]Try next[/bold]")
    for command in (
        f".venv/bin/reclake explain user {user.rows[0][0]} --ds {day}",
        '.venv/bin/reclake sql "SELECT * FROM gold.i2i_latest LIMIT 5"',
        ".venv/bin/reclake status",
    ):
        console.print(f"  {command}", highlight=False, markup=False)


@contextmanager
def failing_clearly() -> Iterator[None]:
    """Turns every expected failure of the stack into DemoFailed."""
    try:
        yield
    except (
        AirflowRefused,
        JarsUnresolved,
        LakeError,
        NotReady,
        ServiceFailed,
        StackBusy,
        backfill.BackfillBusy,
        backfill.NoDag,
    ) as error:
        raise DemoFailed(str(error)) from error


class Spent:
    """What the demo took since this was made, on the clock and of the processors."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._started = time.monotonic()
        self._before = self._cpu_seconds()

    def __str__(self) -> str:
        """As `12 min 5 s and 1,234 CPU seconds of all processes`."""
        minutes, seconds = divmod(round(time.monotonic() - self._started), 60)
        cpu = self._cpu_seconds() - self._before
        return f"{minutes} min {seconds} s and {cpu:,.0f} CPU seconds of all processes"

    def _cpu_seconds(self) -> float:
        return seconds_of(psutil.Process()) + self._stack.cpu_seconds()


class Progress:
    """Lines for the person who waits: one for each thing that ended, with its seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def heading(self, text: str) -> None:
        self.console.print(f"\n[bold]{escape(text)}[/bold]")

    def line(self, text: str) -> None:
        self.console.print(f"  {text}", highlight=False)

    def event(self, event: Event) -> None:
        took = "" if event.seconds is None else f"{event.seconds:6.1f} s"
        self.line(f"{event.service:10} {took:>8}  {escape(event.text)}")

    def task_end(self, end: backfill.TaskEnd) -> None:
        took = "" if end.seconds is None else f"{end.seconds:6.1f} s"
        style = _STATE_STYLES.get(end.state, "")
        state = f"[{style}]{end.state}[/{style}]" if style else end.state
        self.line(f"{end.day} {took:>8}  {end.task_id} {state} ({end.done} of {end.total})")

    def failure(self, failure: backfill.Failure) -> None:
        self.console.print(f"\n[red]{failure.day} {escape(failure.task_id)} failed[/red]")
        for line in failure.log:
            self.console.print(f"  {line}", highlight=False, markup=False)
        self.console.print(f"  {failure.page}", highlight=False)


def _table(rows: Collection[Mapping[str, object]]) -> Table | str:
    if not rows:
        return "  (none)"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True)
    first = next(iter(rows))
    for name, value in first.items():
        table.add_column(name, justify="right" if isinstance(value, (int, float)) else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def _published(settings: Settings) -> set[date]:
    return page.published_days(LakeSql(settings.lake, settings.contracts), DAYS)


def _settings_environment() -> dict[str, str]:
    """The RECLAKE_* variables of this process, which Airflow's tasks are to have too."""
    return {name: value for name, value in os.environ.items() if name.startswith("RECLAKE_")}
