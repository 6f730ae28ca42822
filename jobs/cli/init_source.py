"""`reclake init-source`: first mappings for your own files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.terminal.options import Json
from jobs.cli.terminal.output import note, print_json, print_table, say

if TYPE_CHECKING:
    from jobs.lake.intake.init_source import Proposal
    from jobs.lake.intake.trial import Trial


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
            help="Samples with the columns of your drops: .parquet, .csv, .tsv, .jsonl or .json; "
            "texts may be packed (.gz).",
        ),
    ],
    is_tried: Annotated[
        bool,
        typer.Option(
            "--try/--no-try",
            help="Whether to read the samples by the proposals, in a Spark of this command's own.",
        ),
    ] = True,
    as_json: Json = False,
) -> None:
    """Propose the mappings of your own data from sample files.

    Give one file of events (who took what, when), one of items and, if there is one, one of users.
    Writes a YAML for each to the folder of mappings (RECLAKE_SOURCES), reads the samples by them,
    and shows for each column what it was taken for, the share of its values that could be read, and
    examples. Then it lists open questions. Leaves a mapping that exists as it is.

    \b
    Example:
      reclake init-source my_shop orders.csv products.csv customers.csv
    """
    from jobs.cli.terminal.session import settings
    from jobs.lake.intake.init_source import init_source as propose

    proposals = propose(name, files, settings().sources)
    trials = _trials(proposals) if is_tried else [None] * len(proposals)
    if as_json:
        tried = [asdict(trial) if trial else None for trial in trials]
        found = zip(map(asdict, proposals), tried, strict=True)
        print_json([proposal | {"trial": trial} for proposal, trial in found])
        return
    for proposal, trial in zip(proposals, trials, strict=True):
        say(f"{proposal.path} ({proposal.entity.value})")
        if trial is not None:
            _print(trial)
        for question in proposal.questions:
            say(f"  - {question}")
    say("\nCheck these files. Then put drops below the landing folder, as in")
    say(f"  {settings().landing}/{proposals[0].entity.value}/ds=YYYY-MM-DD/{files[0].name}")
    say("and follow docs/bring-your-own-data.md.")


def _trials(proposals: Sequence[Proposal]) -> list[Trial | None]:
    """Each proposal on its sample; None for one that a person has to complete first."""
    from jobs.lake.errors import MappingError
    from jobs.lake.intake.mapping import load_source
    from jobs.lake.intake.trial import try_mapping
    from jobs.spark import local

    note("Reading the samples by the proposals; Spark takes some seconds to start.")
    trials: list[Trial | None] = []
    with tempfile.TemporaryDirectory(prefix="reclake-init-source-") as folder:
        spark = local(Path(folder))
        for proposal in proposals:
            try:
                source = load_source(proposal.path)
            except MappingError:
                trials.append(None)
            else:
                trials.append(try_mapping(spark, source, proposal.sample))
        spark.stop()
    return trials


def _print(trial: Trial) -> None:
    rows = [
        (
            c.column,
            c.comes_from,
            f"{c.read:.0%}" if c.sent else "",
            ", ".join(c.examples),
            c.refused,
        )
        for c in trial.columns
    ]
    print_table(("column", "taken from", "read", "such as", "first refused"), rows, indent=2)
    say(f"  {trial.usable:,} of {trial.rows:,} rows of the sample can be used")
    if trial.refused:
        say(f"  {trial.refused}")
