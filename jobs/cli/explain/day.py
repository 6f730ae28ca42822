"""One published day, as the run that built it saw the lake."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from jobs.lake.errors import UpstreamMissing
from jobs.lake.sql import LakeSql
from jobs.settings import Settings

Row = dict[str, Any]


@dataclass(frozen=True)
class Day:
    """A published day.

    known_on: the last day of arrivals that its run could see. is_default: nobody named the day.
    """

    lake: LakeSql
    settings: Settings
    ds: date
    known_on: date
    is_default: bool

    def rows(self, sql: str, **values: object) -> list[Row]:
        """Rows of a query that may use `$ds`, `$known_on` and the given values."""
        return self.lake.query(sql, {"ds": self.ds, "known_on": self.known_on, **values}).records()

    def row(self, sql: str, **values: object) -> Row | None:
        """The first row, or None."""
        return next(iter(self.rows(sql, **values)), None)

    def titles(self, item_ids: Iterable[str | None]) -> dict[str, str]:
        """The titles of items, as of the day."""
        wanted = sorted({item_id for item_id in item_ids if item_id})
        rows = self.rows(
            "SELECT item_id, arg_max(title, valid_from) AS title FROM silver.items "
            "WHERE valid_from <= $known_on AND list_contains($wanted, item_id) GROUP BY item_id",
            wanted=wanted,
        )
        return {row["item_id"]: row["title"] for row in rows}

    def item(self, item_id: str) -> Row | None:
        """The newest version of an item's record, as of the day."""
        return self.row(
            "SELECT * FROM silver.items WHERE item_id = $item AND valid_from <= $known_on "
            "ORDER BY valid_from DESC LIMIT 1",
            item=item_id,
        )

    def budget(self, table: str, param: str) -> int | None:
        """A parameter of the newest run that published this day of a table, or None."""
        run = self.row(
            'SELECT params FROM ops.runs WHERE "table" = $table AND ds = $ds '
            "AND status = 'published' ORDER BY recorded_at DESC LIMIT 1",
            table=table,
        )
        value = json.loads(run["params"]).get(param) if run else None
        return int(value) if value is not None else None


def heading(facts: Mapping[str, Any]) -> str:
    """`ds=2017-12-30` of facts, and why that day."""
    chosen = ", the newest published day" if facts["ds_is_default"] else ""
    late = f", with arrivals up to {facts['known_on']}" if facts["known_on"] != facts["ds"] else ""
    return f"ds={facts['ds']}{chosen}{late}"


def open_day(table: str, ds: date | None) -> Day:
    """A published day of a gold table; the newest when none is named.

    Raises UpstreamMissing when the table lacks the day; the error names the days that it has.
    """
    from jobs.cli.terminal.session import reader, settings

    lake = reader()
    days = lake.days(table)
    if not days:
        raise UpstreamMissing(
            f"{table} has no published day yet. `make demo` publishes three; "
            "`reclake status` says what is missing in a lake of your own."
        )
    if ds is not None and ds not in days:
        raise UpstreamMissing(
            f"{table} ds={ds}: not published. Published are {len(days)} days from {days[0]} to "
            f"{days[-1]}; leave out --ds for the newest."
        )
    day = ds or days[-1]
    runs = lake.query(
        'SELECT arg_max(known_on, recorded_at) FROM ops.runs WHERE "table" = $table AND ds = $ds '
        "AND status = 'published'",
        {"table": table, "ds": day},
    )
    known_on = runs.rows[0][0] or day
    return Day(lake, settings(), day, known_on, ds is None)
