"""`reclake explain`: why a recommendation is there, or why it is not.

The answer is read from the tables that the day published; nothing is computed again.
"""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.cli.terminal.options import Json, ReadDs

app = typer.Typer(
    help="Say why a recommendation is there, or is not.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Limit = Annotated[
    int,
    typer.Option(
        "--limit", metavar="ROWS", min=1, help="The most rows of each list to print as text."
    ),
]


@app.command("user")
def user(
    user_id: Annotated[str, typer.Argument(metavar="USER", help="A user_id.")],
    ds: ReadDs = None,
    item: Annotated[
        str | None,
        typer.Option("--item", metavar="ITEM", help="Say why this item is in the list, or is not."),
    ] = None,
    limit: Limit = 10,
    as_json: Json = False,
) -> None:
    """Say why a user's list is what it is.

    Prints each item's channels with their scores and the purchase behind the item, the user's
    newest purchases, profile and text, and whether the LLM had a part in the text. For a user
    without a list, says why there is none. Needs no Spark.

    \b
    Examples:
      reclake explain user 1002
      reclake explain user 1002 --ds 2017-12-30 --item 1029743
    """
    from jobs.cli.explain.day import open_day
    from jobs.cli.explain.user import print_user, user_facts
    from jobs.cli.terminal.output import print_json

    day = open_day("gold.user_recall_daily", ds)
    facts = user_facts(day, user_id, item)
    if as_json:
        print_json(facts)
    else:
        print_user(facts, limit)


@app.command("item")
def item(
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="An item_id.")],
    ds: ReadDs = None,
    neighbor: Annotated[
        str | None,
        typer.Option(
            "--neighbor", metavar="ITEM", help="Say why this item is a neighbor, or is not."
        ),
    ] = None,
    limit: Limit = 10,
    as_json: Json = False,
) -> None:
    """Say why an item's neighbors are what they are.

    Prints the methods that found each neighbor with their scores, and the support: the number of
    users behind the pair. Then the bundles that name the item, the item's text, and what the LLM
    said about the item or why it said nothing. Needs no Spark.

    \b
    Examples:
      reclake explain item 1029743
      reclake explain item 1029743 --ds 2017-12-30 --neighbor 995242
    """
    from jobs.cli.explain.day import open_day
    from jobs.cli.explain.item import item_facts, print_item
    from jobs.cli.terminal.output import print_json

    day = open_day("gold.i2i_daily", ds)
    facts = item_facts(day, item_id, neighbor)
    if as_json:
        print_json(facts)
    else:
        print_item(facts, limit)
