"""`reclake init-source`: first mappings for your own files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.terminal.options import Json
from jobs.cli.terminal.output import print_json, say


def add_to(app: typer.Typer) -> None:
    app.command("init-source")(init_source)


def init_source(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for your shop: my_shop.")],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Samples with the columns of your drops: .parquet, .csv or .jsonl.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Propose the mappings of your own data from sample files.

    Give one file of events (who took what, when), one of items and, if there is one, one of users.
    Writes a YAML for each to the folder of mappings (RECLAKE_SOURCES), and lists open questions.
    Leaves a mapping that exists as it is. Needs no Spark.

    \b
    Example:
      reclake init-source my_shop orders.csv products.csv customers.csv
    """
    from jobs.cli.terminal.session import settings
    from jobs.lake.intake.init_source import init_source as propose

    proposals = propose(name, files, settings().sources)
    if as_json:
        print_json([asdict(proposal) for proposal in proposals])
        return
    for proposal in proposals:
        say(f"{proposal.path} ({proposal.entity.value})")
        for question in proposal.questions:
            say(f"  - {question}")
    say("\nCheck these files. Then put drops below the landing folder, as in")
    say(f"  {settings().landing}/{proposals[0].entity.value}/ds=YYYY-MM-DD/{files[0].name}")
    say("and follow docs/bring-your-own-data.md.")
