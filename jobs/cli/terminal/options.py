"""Options that several commands share, so that a name means the same in each."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

DAY = "YYYY-MM-DD"


def day(text: str) -> date:
    """A day from its ISO form. Raises BadParameter, which ends as a usage error."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"expected a day like 2017-12-30, found {text!r}") from error


def _day_option(flag: str, help: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, metavar=DAY, parser=day, help=help)
    return option


Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

ReadDs = Annotated[
    date | None,
    _day_option("--ds", "The data day to look at. Default: the newest published day."),
]
SqlDs = Annotated[
    date | None,
    _day_option(
        "--ds",
        "The value of $ds in the query, and the newest day that a _latest table may show. "
        "Default: the newest published day.",
    ),
]
RunDs = Annotated[
    date | None,
    _day_option(
        "--ds", "The data day to build. Needed, unless --from-ds and --to-ds name a range."
    ),
]
FromDs = Annotated[
    date | None,
    _day_option("--from-ds", "First data day of a range."),
]
ToDs = Annotated[date | None, _day_option("--to-ds", "Last data day of the range, included.")]
KnownOn = Annotated[
    date | None,
    _day_option(
        "--known-on",
        "Also read rows that arrived late, up to the end of this day. Default: the data day "
        "itself.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Compute, audit and say what would be written; publish nothing, ask the LLM nothing.",
    ),
]
