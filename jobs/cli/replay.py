"""`reclake replay`: rejected rows, tried again."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated

import typer

from jobs.cli.terminal.options import DAY, Json, day
from jobs.cli.terminal.output import counted, print_json, print_table, say


def add_to(app: typer.Typer) -> None:
    app.command("replay")(replay)


def replay(
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="Table that rejected the rows: bronze.events.")
    ],
    ds: Annotated[
        date,
        typer.Option("--ds", metavar=DAY, parser=day, help="Data day that rejected the rows."),
    ],
    into: Annotated[
        date,
        typer.Option(
            "--into", metavar=DAY, parser=day, help="Data day that is to take the rows in."
        ),
    ],
    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            metavar="TEXT",
            help="Only rows whose reason contains this text. Default: all.",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Take quarantined rows in again, as a drop of their own.

    First mend the mapping or the check that rejected the rows. Writes them to the landing folder of
    --into; the run of that day takes them in, or the next new day if --into was taken in before.
    The same replay twice writes nothing new. `reclake status` lists the reasons. Needs Spark.

    \b
    Example:
      reclake replay bronze.events --ds 2017-12-29 --into 2017-12-30 --reason quantity
    """
    from jobs.cli.terminal.session import runtime
    from jobs.lake.intake.requeue import requeue

    lake = runtime()
    quarantine = lake.log.of_published("ops.quarantine", [("table", "=", table), ("ds", "=", ds)])
    done = requeue(lake.settings, quarantine, table, ds, into, reason)
    if as_json:
        print_json(asdict(done))
        return
    say(f"{counted(done.rows, 'row')} in {counted(len(done.files), 'file')} of the landing folder.")
    for file in done.files:
        say(f"  {file}")
    if done.skipped:
        say(f"\nNot replayed ({len(done.skipped)})")
        print_table(("row", "why"), done.skipped, indent=2)
    if done.files:
        entity = done.files[0].split("/")[0]
        say(f"\nNext: reclake run bronze.{entity} --ds {into}")
