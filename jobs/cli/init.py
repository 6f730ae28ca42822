"""`reclake init`: the tables, before the first run."""

from __future__ import annotations

import typer

from jobs.cli.terminal.options import Json
from jobs.cli.terminal.output import print_json, say


def add_to(app: typer.Typer) -> None:
    app.command("init")(init)


def init(as_json: Json = False) -> None:
    """Create every table of the lake from its contract.

    Leaves tables that exist as they are. Do this once, before the first run, because two runs that
    create the same table at once fail. Needs no Spark.

    \b
    Example:
      reclake init
    """
    from jobs.cli.terminal.session import settings
    from jobs.lake.runtime import Lake
    from jobs.spark import connect

    current = settings()
    made = Lake(lambda: connect(current), current).create_all()
    if as_json:
        print_json({"lake": settings().lake, "tables": made})
        return
    say(f"{len(made)} tables are in {settings().lake}.")
    say("Next: put drops into the landing folder, then `reclake run bronze.events --ds D`.")
