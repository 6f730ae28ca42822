"""`reclake sql`: questions to the lake without Spark."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from jobs.cli.terminal.options import SqlDs
from jobs.cli.terminal.output import note, print_csv, print_json, print_table

DEFAULT_LIMIT = 1000


class Format(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"


def add_to(app: typer.Typer) -> None:
    app.command("sql")(sql)


def sql(
    query: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT, in DuckDB's SQL.")],
    ds: SqlDs = None,
    format: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.table,
    limit: Annotated[
        int, typer.Option("--limit", metavar="ROWS", min=1, help="The most rows to print.")
    ] = DEFAULT_LIMIT,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Query the lake with SQL, without Spark or any server.

    Tables are zone.table, as in `reclake tables`. For each gold.NAME_daily there is a view
    gold.NAME_latest of its newest day. A `$ds` in the query stands for --ds. The query can read
    only the lake, and writes nothing.

    \b
    Examples:
      reclake sql "SELECT * FROM gold.user_recall_latest ORDER BY user_id, rank" --limit 20
      reclake sql "SELECT count(*) FROM gold.i2i_daily WHERE ds = \\$ds" --ds 2017-12-30
    """
    from jobs.cli.terminal.session import reader

    lake = reader(ds)
    answer = lake.query(query, {"ds": ds}, limit=limit)
    for view, table in lake.views.items():
        if ds is None and view in query.lower():
            note(f"{view} is ds={lake.newest_ds(table)}, the newest published day.")
    if as_json or format is Format.json:
        print_json(answer.records())
    elif format is Format.csv:
        print_csv(answer.columns, answer.rows)
    else:
        print_table(answer.columns, answer.rows)
    if answer.truncated:
        note(f"Only the first {limit:,} rows are shown; ask for more with --limit.")
