"""`reclake run`: one table, as Airflow would build it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, timedelta
from typing import Annotated

import typer

from jobs.cli.options import DryRun, FromDs, KnownOn, RunDs, ToDs
from jobs.cli.output import print_json, say

ITEM_BUDGET, USER_BUDGET = 40, 20


def add_to(app: typer.Typer) -> None:
    app.command("run")(run)


def run(
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
            help="One method or channel of a table that is built in slices. Default: all of them.",
        ),
    ] = "",
    known_on: KnownOn = None,
    item_budget: Annotated[
        int,
        typer.Option(
            "--item-budget",
            metavar="CONTENTS",
            min=0,
            help="Most distinct item contents a day that the LLM may describe.",
        ),
    ] = ITEM_BUDGET,
    user_budget: Annotated[
        int,
        typer.Option(
            "--user-budget",
            metavar="PROFILES",
            min=0,
            help="Most user profiles a day that the LLM may describe.",
        ),
    ] = USER_BUDGET,
    token_budget: Annotated[
        int | None,
        typer.Option(
            "--token-budget",
            metavar="TOKENS",
            min=0,
            help="Most tokens, sent and received, to pay the LLM for, by all --shards together. "
            "Default: no limit.",
        ),
    ] = None,
    minutes_budget: Annotated[
        float | None,
        typer.Option(
            "--minutes-budget",
            metavar="MINUTES",
            min=0,
            help="Minutes in which LLM calls may be started. Default: no limit.",
        ),
    ] = None,
    only_unanswered: Annotated[
        bool,
        typer.Option(
            "--only-unanswered",
            help="Let --item-budget and --user-budget count only what was never answered; of items "
            "the newest then take turns with the most urgent.",
        ),
    ] = False,
    shards: Annotated[
        int,
        typer.Option(
            "--shards",
            metavar="N",
            min=1,
            max=64,
            help="Shares of a step's LLM calls, of which --shard names the one to pay for.",
        ),
    ] = 1,
    shard: Annotated[
        int | None,
        typer.Option(
            "--shard",
            metavar="NUMBER",
            min=0,
            help="Which share of --shards to pay for here, 0 first. Default: all of them.",
        ),
    ] = None,
    companion_budget: Annotated[
        int,
        typer.Option(
            "--companion-budget",
            metavar="CONTENTS",
            min=0,
            help="Most rare item contents a day of which the LLM may say what goes with them.",
        ),
    ] = 0,
    reason_budget: Annotated[
        int,
        typer.Option(
            "--reason-budget",
            metavar="PAIRS",
            min=0,
            help="Most pairs a day, of most used items and their neighbors, of which the LLM may "
            "write the reason.",
        ),
    ] = 0,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--methods", metavar="METHOD", help="I2I method to use; repeat for more. Default: all."
        ),
    ] = None,
    channels: Annotated[
        list[str] | None,
        typer.Option(
            "--channels",
            metavar="CHANNEL",
            help="Recall channel to use; repeat for more. Default: all.",
        ),
    ] = None,
    dry_run: DryRun = False,
    accept_worse: Annotated[
        bool,
        typer.Option(
            "--accept-worse",
            help="Publish lists although they are clearly worse than those of the trailing week.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a run.")] = False,
) -> None:
    """Build and publish a day of one table, as Airflow would.

    The same work as the Airflow task of that table, run here. Building a day again gives the same
    rows; a day that fails a check is not published. What the table reads must have been built for
    that day before. Needs Spark, and an LLM or Milvus where the table uses them.

    \b
    Examples:
      reclake run gold.i2i_daily --ds 2017-12-30
      reclake run silver.i2i_candidates --slice content --ds 2017-12-30
      reclake run gold.user_recall_daily --from-ds 2017-12-28 --to-ds 2017-12-30
      reclake run silver.item_enrichments --ds 2017-12-30 --item-budget 100 --dry-run
    """
    days = chosen_days(ds, from_ds, to_ds)
    if shard is not None and shard >= shards:
        raise typer.BadParameter(f"--shard {shard} is not one of the {shards} of --shards, 0 first")

    from pydantic import ValidationError

    from jobs.cli.session import runtime
    from jobs.lake.step import find_step, steps
    from jobs.settings import RunParams

    try:
        params = RunParams(
            item_budget=item_budget,
            user_budget=user_budget,
            companion_budget=companion_budget,
            reason_budget=reason_budget,
            token_budget=token_budget,
            minutes_budget=minutes_budget,
            only_unanswered=only_unanswered,
            shards=shards,
            methods=tuple(methods or ()),
            channels=tuple(channels or ()),
            known_on=known_on,
            dry_run=dry_run,
            accept_worse=accept_worse,
        )
    except ValidationError as error:
        problems = (f"--{item['loc'][0]}: {item['msg']}" for item in error.errors())
        raise typer.BadParameter("; ".join(problems)) from error
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
