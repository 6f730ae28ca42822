"""`reclake report`: how good the published lists turned out, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.terminal.options import Json, ReadDs
from jobs.cli.terminal.output import print_json, say


def add_to(app: typer.Typer) -> None:
    app.command("report")(report)


def report(
    ds: ReadDs = None,
    horizon: Annotated[
        int | None,
        typer.Option(
            "--horizon",
            min=1,
            help="Days after a list that count as what users did next. Default: the longest there "
            "is.",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", dir_okay=False, help="Where the page goes."),
    ] = Path("recall.html"),
    ablation: Annotated[
        Path | None,
        typer.Option(
            "--ablation",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="What `reclake evaluate --lake --ablation --json FILE` wrote.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a page on how good the published lists turned out.

    One HTML file that works offline: metrics over days, what each channel and method finds alone,
    for whom and for which items, coverage and accuracy, the texts, and the worst misses to read.
    Reads the lake alone. --ds is the day up to which users were watched, not the day of the lists.

    \b
    Examples:
      reclake report
      reclake report --ds 2017-12-30 --horizon 1 --out recall.html
      reclake report --ablation ablation.json
    """
    from jobs.cli.terminal.session import reader
    from jobs.evaluation.report import gather, html

    found = gather(reader(), ds, horizon, ablation)
    if as_json:
        print_json(found.as_dict())
        return
    out.write_text(html(found), encoding="utf-8")
    say(f"{out}: lists of {found.as_of} against what users took up to {found.ds}")
