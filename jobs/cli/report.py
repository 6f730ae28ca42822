"""`reclake report`: the quality of the published lists, as one page."""

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
            help="Days after a list whose interactions it should find. Default: the longest "
            "horizon of the day.",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", dir_okay=False, help="File for the page."),
    ] = Path("recall.html"),
    ablation: Annotated[
        Path | None,
        typer.Option(
            "--ablation",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A file of `reclake evaluate --lake --ablation --json FILE`.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a page on the quality of the published lists.

    One HTML file that works offline: metrics over days, what each channel and method finds alone,
    for which users and items, coverage and accuracy, the texts, and the worst misses. Reads only
    the lake. --ds is the last day on which users were watched, not the day of the lists.

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
