"""`reclake try`: from files to first lists, without a server."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.terminal.log_facts import print_facts
from jobs.cli.terminal.options import Json
from jobs.cli.terminal.output import counted, note, print_json, print_records, print_table, say

if TYPE_CHECKING:
    from jobs.evaluation.first_look import FirstLook
    from jobs.lake.intake.mapping import Source
    from jobs.settings import RecallSettings

_MAPPING = "try"


def add_to(app: typer.Typer) -> None:
    app.command("try")(first_look)


def first_look(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A file of events (who took what, when) and, if you have them, one of items and "
            "one of users: .parquet, .csv, .tsv, .jsonl or .json; texts may be packed (.gz).",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", file_okay=False, metavar="FOLDER", help="Where mappings are kept."),
    ] = Path("reclake-try"),
    k: Annotated[int, typer.Option("--k", min=1, max=50, help="Places of a list to judge.")] = 10,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Places of a list to show.")] = 5,
    as_json: Json = False,
) -> None:
    """Make first lists of your own files, and say how good they are.

    Shows what is in the files, ten I2I lists, five users' lists, and how good lists of an earlier
    time would have been. Needs no server, no Airflow and no mapping: it proposes mappings, keeps
    them in a folder, and says what it assumed. Mend a mapping there and run the command again; it
    takes what is there. Lists are made by the functions and settings of the daily run
    (RECLAKE_RECALL__*), without texts and without an LLM. Publishes nothing.

    \b
    Example:
      reclake try orders.csv products.csv
    """
    from jobs.cli.terminal.session import settings
    from jobs.evaluation.first_look import look
    from jobs.spark import local

    began, in_use = time.monotonic(), settings()
    sources, assumed = _mappings(files, out / "sources")
    with tempfile.TemporaryDirectory(prefix="reclake-try-") as folder:
        note("Starting a Spark of this command's own.")
        spark = local(Path(folder))
        found = look(
            spark,
            sources,
            in_use,
            k,
            Path(folder),
            started=lambda what: note(f"  {time.monotonic() - began:4.0f} s  {what}"),
        )
        spark.stop()
    if as_json:
        print_json(asdict(found) | {"assumed": assumed})
        return
    _print(found, assumed, in_use.recall, k, rows)
    _print_next(sources, out)


def _mappings(files: Sequence[Path], folder: Path) -> tuple[list[tuple[Source, Path]], list[str]]:
    """The mapping of each file, proposed unless it is there, and what the proposals assume.

    Raises MappingError where a proposal has to be completed first.
    """
    from jobs.lake.errors import MappingError
    from jobs.lake.intake.init_source import CHANGE_ME, guess_entity, init_source, read_sample
    from jobs.lake.intake.mapping import Entity, load_source

    entities = {path: guess_entity(read_sample(path)) for path in files}
    if Entity.events not in entities.values():
        raise MappingError(
            f"{', '.join(map(str, files))}: none holds events: a user, an item and a time in each "
            "row. Nothing was made."
        )
    paths = {path: folder / f"{_MAPPING}_{entity}.yaml" for path, entity in entities.items()}
    new = [path for path in files if not paths[path].exists()]
    proposals = init_source(_MAPPING, new, folder) if new else []
    assumed = [f"{p.sample.name}: {question}" for p in proposals for question in p.questions]
    sources = []
    for path in files:
        if CHANGE_ME in paths[path].read_text(encoding="utf-8"):
            raise MappingError(
                f"{paths[path]}: columns could not be told; put their names in the place of "
                f"{CHANGE_ME} and run the command again. Nothing was made."
            )
        sources.append((load_source(paths[path]), path))
    return sources, assumed


def _print(
    found: FirstLook, assumed: Sequence[str], recall: RecallSettings, k: int, rows: int
) -> None:
    say("What is in the files")
    for read in found.files:
        say(f"  {read.file.name} ({read.entity}): {read.used:,} of {read.rows:,} rows used")
        for reason, dropped in read.dropped.items():
            say(f"    {counted(dropped, 'row')} dropped: {reason}")
    print_facts(found.facts, found.said, recall)
    if assumed:
        say("\nWhat was assumed")
        for question in assumed:
            say(f"  - {question}")
    say(f"\nHow good the first {k} places of lists made earlier would have been")
    if found.why_unjudged:
        say(f"  They could not be judged: {found.why_unjudged}")
    else:
        shown = ("recall", "ndcg", "hit_rate", "coverage")
        lines = [[_LISTS[r.method], *(r.row()[name] for name in shown)] for r in found.results]
        print_table(("lists", *shown), lines, indent=2)
        say(f"  {_HELD_OUT[found.split]}")
    say(f"\nSimilar items (the first {rows})")
    if not found.neighbors:
        say("  (none: an item needs two users who took another item, too)")
    for _, of_item in groupby(found.neighbors, lambda row: row["item_id"]):
        listed = list(of_item)
        say(f"  {_named(listed[0], 'item_id', 'item')}")
        _print_list(listed[:rows], "neighbor_item_id", "neighbor")
    say(f"\nRecalled items of five users (the first {rows})")
    for user, of_user in groupby(found.users, lambda row: row["user_id"]):
        say(f"  user {user}, who took last: {'; '.join(found.histories[user])}")
        _print_list(list(of_user)[:rows], "item_id", "item")


_LISTS = {"default": "the daily run's", "popular": "what is popular"}
_HELD_OUT = {
    "time": "Made without the newest fifth of the events, and judged by what users took in it.",
    "random": "The events have one time: made without a fifth of each user's items, and judged by "
    "these.",
}


def _print_list(rows: Sequence[Mapping[str, Any]], id: str, title: str) -> None:
    named = [{**row, "what": _named(row, id, title)} for row in rows]
    print_records(named, ("rank", "what", "score", "reason"), indent=4)


def _named(row: Mapping[str, Any], id: str, title: str) -> str:
    return " ".join(part for part in (row[id], row[title]) if part)


def _print_next(sources: Sequence[tuple[Source, Path]], out: Path) -> None:
    say("\nTo go on")
    for source, _ in sources:
        say(f"  keep {out}/sources/{source.source}.yaml, mend what was assumed wrongly, try again")
    say(f"  then RECLAKE_SOURCES={out}/sources reclake init, drops by day, and the daily run:")
    say("  docs/bring-your-own-data.md, from its third section on")
