"""`reclake tables`: what there is, and how fresh it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.terminal.options import Json
from jobs.cli.terminal.output import print_json, print_table, say

if TYPE_CHECKING:
    from jobs.lake.contract import Contract, Contracts
    from jobs.lake.sql import LakeSql

WELL_ENDED = "status IN ('published', 'unchanged')"


@dataclass(frozen=True)
class TableState:
    """One table of the lake.

    rows: in all days; null when the table is not in the lake yet. newest: the newest day of a
    daily table; for any other table, the newest day whose run ended well. freshness: fresh, late
    (further behind the newest run than the contract allows), not built, absent (not created) or no
    promise.
    """

    table: str
    layout: str
    grain: str
    owner: str
    schedule: str
    rows: int | None
    newest: date | None
    freshness_days: int | None
    freshness: str


def add_to(app: typer.Typer) -> None:
    app.command("tables")(tables)


def tables(
    zone: Annotated[
        str, typer.Argument(metavar="ZONE", help="bronze, silver, gold or ops. Default: all.")
    ] = "",
    as_json: Json = False,
) -> None:
    """List the tables: owner, rows, newest day, freshness.

    Counts the rows of all days. A table is late when its newest day is more than its contract's
    freshness_days behind the newest run.

    \b
    Examples:
      reclake tables
      reclake tables gold --json
    """
    from jobs.cli.terminal.session import reader, settings
    from jobs.lake.contract import ZONES, Contracts

    if zone and zone not in ZONES:
        raise typer.BadParameter(f"expected one of {', '.join(ZONES)}, found {zone!r}")
    contracts = Contracts(settings().contracts)
    states = [
        s for s in table_states(reader(), contracts) if s.table.startswith(f"{zone}.") or not zone
    ]
    if as_json:
        print_json([asdict(state) for state in states])
        return
    print_table(
        ("table", "rows", "newest", "freshness", "owner", "one row is"),
        (
            (s.table, s.rows, s.newest, s.freshness, s.owner, s.grain.removeprefix("one row per "))
            for s in states
        ),
    )
    if late := [s for s in states if s.freshness == "late"]:
        say()
        say(f"Late: {', '.join(s.table for s in late)}. See `reclake status`.")


def table_states(lake: LakeSql, contracts: Contracts) -> list[TableState]:
    """The state of every table that has a contract, in the order of their names."""
    ended: dict[str, date] = {}
    if lake.exists("ops.runs"):
        runs = lake.query(f'SELECT "table", max(ds) FROM ops.runs WHERE {WELL_ENDED} GROUP BY ALL')
        ended = dict(runs.rows)
    return [_state(lake, contract, ended) for contract in contracts]


def _state(lake: LakeSql, contract: Contract, ended: dict[str, date]) -> TableState:
    rows = newest = None
    if lake.exists(contract.table):
        rows = lake.count(contract.table)
        daily = contract.partition[:1] == ("ds",)
        newest = lake.newest_ds(contract.table) if daily else ended.get(contract.table)
    return TableState(
        table=contract.table,
        layout=contract.layout.value,
        grain=contract.grain,
        owner=contract.owner,
        schedule=contract.schedule,
        rows=rows,
        newest=newest,
        freshness_days=contract.freshness_days,
        freshness=_freshness(
            rows, newest, contract.freshness_days, max(ended.values(), default=None)
        ),
    )


def _freshness(
    rows: int | None, newest: date | None, allowed: int | None, newest_run: date | None
) -> str:
    if rows is None:
        return "absent"
    if allowed is None:
        return "no promise"
    if newest is None or newest_run is None:
        return "not built"
    return "fresh" if (newest_run - newest).days <= allowed else "late"
