"""`reclake llm`: what the language model cost, what it said, and another try for what failed."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from jobs.cli.terminal.options import DAY, DryRun, FromDs, Json, ReadDs, ToDs, day

app = typer.Typer(
    help="Show what the LLM cost and said; compare prompts, and retry answers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

KEYS = {
    "day": "ds",
    "prompt": "prompt",
    "version": "prompt_version",
    "model": "model",
    "server": "server",
    "status": "status",
}


def _keys(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := [name for name in names if name not in KEYS]:
        raise typer.BadParameter(f"{unknown[0]}: cannot group by it; use {', '.join(KEYS)}")
    return names


@app.command("cost")
def cost(
    by: Annotated[
        str,
        typer.Option("--by", metavar="PART,…", help=f"What to group by: {', '.join(KEYS)}."),
    ] = "day,prompt",
    from_ds: FromDs = None,
    to_ds: ToDs = None,
    as_json: Json = False,
) -> None:
    """Say how many requests were sent, and what they cost.

    Reads ops.llm_ledger, which holds every request, failed ones too; by default, of all days. Costs
    follow the RECLAKE_LLM__PRICES at the time of the request; without a price they are empty. Needs
    no Spark.

    \b
    Examples:
      reclake llm cost
      reclake llm cost --by day,prompt,status --from-ds 2017-12-28 --to-ds 2017-12-30
      reclake llm cost --by model
    """
    from jobs.cli.llm.ledger import cost_by, print_cost
    from jobs.cli.terminal.output import print_json
    from jobs.cli.terminal.session import reader

    keys = _keys(by)
    rows = cost_by(reader(), [KEYS[key] for key in keys], from_ds, to_ds)
    if as_json:
        print_json(rows)
    else:
        print_cost(rows)


@app.command("show")
def show(
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="An item_id.")],
    ds: ReadDs = None,
    as_json: Json = False,
) -> None:
    """Show what the LLM is asked about an item, and all it said.

    Prints the question, word for word as this environment's prompt version asks it, then every
    answer and every request. Reads the item as of --ds. Needs no Spark and sends nothing.

    \b
    Examples:
      reclake llm show 1029743
      reclake llm show 1029743 --json
    """
    from jobs.cli.llm.ledger import item_facts, print_item
    from jobs.cli.terminal.output import print_json
    from jobs.cli.terminal.session import reader, settings

    facts = item_facts(reader(ds), settings(), item_id, ds)
    if as_json:
        print_json(facts)
    else:
        print_item(facts)


@app.command("diff")
def diff(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="item, user, companion or pair.")],
    old: Annotated[int, typer.Argument(metavar="V1", help="Number of one version.", min=1)],
    new: Annotated[int, typer.Argument(metavar="V2", help="Number of the other version.", min=1)],
    ds: Annotated[
        date,
        typer.Option("--ds", metavar=DAY, parser=day, help="The data day to draw from."),
    ],
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", min=1, help="Most questions to draw.")
    ] = 20,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Ask one sample under two versions of a prompt.

    Shows the answers side by side, with their gate scores. The sample is drawn by content hash, so
    it is the same each time; for companion and pair it is what days up to --ds asked. Pays for no
    question that was answered before. Keeps new answers like those of a daily run, which uses them
    once RECLAKE_LLM__PROMPTS names their version. Needs Spark and an LLM.

    \b
    Examples:
      reclake llm diff item 1 2 --ds 2017-12-30
      reclake llm diff item 1 2 --ds 2017-12-30 --sample 100 --dry-run
    """
    from jobs.cli.llm.versions import compare, print_comparison
    from jobs.cli.terminal.output import print_json
    from jobs.cli.terminal.session import runtime

    found = compare(runtime(), prompt, (old, new), ds, sample, dry_run=dry_run)
    if as_json:
        print_json(found)
    else:
        print_comparison(found)


@app.command("replay")
def replay(
    status: Annotated[
        str,
        typer.Option(
            "--status",
            metavar="STATUS",
            help="invalid_output, refused and too_long are asked again. rejected_by_gate is only "
            "judged again, by the present gate, at no cost.",
        ),
    ],
    prompt: Annotated[
        str, typer.Option("--prompt", metavar="PROMPT", help="item, user, companion or pair.")
    ] = "item",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Retry answers that could not be used.

    First mend what was wrong: the server, the model's settings, RECLAKE_LLM__GATE_THRESHOLD.
    Retries the prompt version and model of this environment. Days that are built from now on use
    every answer that now passes, so a day that is built again may change, as after any new answer.
    Failed calls need no replay: each run asks them again. Needs Spark, and the LLM to ask again;
    --dry-run says what asking would cost.

    \b
    Examples:
      reclake llm replay --status invalid_output --dry-run
      reclake llm replay --status rejected_by_gate --prompt item --dry-run
    """
    from jobs.cli.terminal.output import print_json, say
    from jobs.cli.terminal.session import runtime
    from jobs.llm.second_try import try_again

    done = try_again(runtime(), prompt, status, dry_run=dry_run)
    if as_json:
        print_json(done.as_dict())
        return
    say(done.summary())
