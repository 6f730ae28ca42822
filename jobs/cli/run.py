"""`reclake run`: one table, as Airflow would build it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, timedelta
from typing import Annotated

import typer

from jobs.cli.terminal.late_help import LateHelp, given
from jobs.cli.terminal.options import DryRun, FromDs, KnownOn, RunDs, ToDs
from jobs.cli.terminal.output import print_json, say

_CHOSEN = (
    "item_budget",
    "user_budget",
    "companion_budget",
    "reason_budget",
    "token_budget",
    "minutes_budget",
    "only_unanswered",
    "shards",
    "methods",
    "channels",
    "known_on",
    "dry_run",
    "accept_worse",
    "recompute",
)


def add_to(app: typer.Typer) -> None:
    app.command("run", cls=LateHelp)(run)


def _budget(flag: str, unit: str, least: int = 0) -> typer.models.OptionInfo:
    """An option for the field of RunParams with the same name; the field has text and default."""
    field = flag.removeprefix("--").replace("-", "_")
    option: typer.models.OptionInfo = typer.Option(
        flag, metavar=unit, min=least, help=f"{{{field}}}"
    )
    return option


def run(
    context: typer.Context,
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="Zone and table, such as gold.i2i_daily.")
    ],
    ds: RunDs = None,
    from_ds: FromDs = None,
    to_ds: ToDs = None,
    slice: Annotated[
        str,
        typer.Option(
            "--slice",
            metavar="VALUE",
            help="One method or channel, for a table that is built in slices. Default: all slices.",
        ),
    ] = "",
    known_on: KnownOn = None,
    item_budget: Annotated[int | None, _budget("--item-budget", "CONTENTS")] = None,
    user_budget: Annotated[int | None, _budget("--user-budget", "PROFILES")] = None,
    token_budget: Annotated[int | None, _budget("--token-budget", "TOKENS")] = None,
    minutes_budget: Annotated[float | None, _budget("--minutes-budget", "MINUTES")] = None,
    only_unanswered: Annotated[
        bool, typer.Option("--only-unanswered", help="{only_unanswered}")
    ] = False,
    shards: Annotated[int | None, _budget("--shards", "N", 1)] = None,
    shard: Annotated[
        int | None,
        typer.Option(
            "--shard",
            metavar="NUMBER",
            min=0,
            help="Pay only for this shard of --shards, counted from 0. Default: all shards.",
        ),
    ] = None,
    companion_budget: Annotated[int | None, _budget("--companion-budget", "CONTENTS")] = None,
    reason_budget: Annotated[int | None, _budget("--reason-budget", "PAIRS")] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--methods", metavar="METHOD", help="{methods} Repeat the option to name several."
        ),
    ] = None,
    channels: Annotated[
        list[str] | None,
        typer.Option(
            "--channels", metavar="CHANNEL", help="{channels} Repeat the option to name several."
        ),
    ] = None,
    dry_run: DryRun = False,
    accept_worse: Annotated[bool, typer.Option("--accept-worse", help="{accept_worse}")] = False,
    recompute: Annotated[bool, typer.Option("--recompute", help="{recompute}")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a run.")] = False,
) -> None:
    """Build and publish a day of one table, as Airflow would.

    Does the same work as the table's Airflow task. Building a day again gives the same rows; a day
    that fails a check is not published. The tables that it reads must be built for that day first.
    A range is built one day after the other. Needs Spark, and an LLM or Milvus if the table uses
    one.

    \b
    Examples:
      reclake run gold.i2i_daily --ds 2017-12-30
      reclake run silver.i2i_candidates --slice content --ds 2017-12-30
      reclake run gold.user_recall_daily --from-ds 2017-12-28 --to-ds 2017-12-30
      reclake run silver.item_enrichments --ds 2017-12-30 --item-budget 100 --dry-run
    """
    days = chosen_days(ds, from_ds, to_ds)
    from pydantic import ValidationError

    from jobs.cli.terminal.session import runtime
    from jobs.lake.step import find_step, steps
    from jobs.settings import RunParams

    try:
        params = RunParams(**given(context, _CHOSEN))
    except ValidationError as error:
        named = ((str(item["loc"][0]).replace("_", "-"), item["msg"]) for item in error.errors())
        problems = (f"--{option}: {message}" for option, message in named)
        raise typer.BadParameter("; ".join(problems)) from error
    if shard is not None and shard >= params.shards:
        raise typer.BadParameter(
            f"--shard {shard}: expected 0 to {params.shards - 1}, for --shards {params.shards}"
        )
    slices = [slice] if slice else [s.slice for s in steps().values() if s.name == table] or [""]
    for value in slices:
        find_step(table, value)
    lake = runtime()
    for day in days:
        for value in slices:
            record = lake.run(table, ds=day, params=params, slice=value, shard=shard)
            if as_json:
                print_json(asdict(record), one_line=True)
            else:
                say(record.summary())
                if record.error:
                    say(f"  {record.error}")


def chosen_days(ds: date | None, from_ds: date | None, to_ds: date | None) -> list[date]:
    """The days that the options name, in order. Raises UsageError when they contradict."""
    if ds is not None:
        if from_ds is not None or to_ds is not None:
            raise typer.BadParameter("--ds names one day; leave out --from-ds and --to-ds")
        return [ds]
    if from_ds is None or to_ds is None:
        raise typer.BadParameter("name a day with --ds, or a range with --from-ds and --to-ds")
    if from_ds > to_ds:
        raise typer.BadParameter(f"--from-ds {from_ds} is after --to-ds {to_ds}")
    return [from_ds + timedelta(days=n) for n in range((to_ds - from_ds).days + 1)]
