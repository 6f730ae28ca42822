"""`reclake evaluate`: the daily run's methods against what users did next."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.output import as_json, note, print_json, print_table
from jobs.evaluation.format import Format, Seen

_ACCURACY = ("recall", "ndcg", "hit_rate", "mrr")
_LISTS = ("coverage", "novelty", "diversity", "popularity_bias")


def add_to(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)


def _file(flag: str, help: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        flag, metavar="FILE", exists=True, dir_okay=False, help=help
    )
    return option


def evaluate(
    train: Annotated[Path, _file("--train", "What users took before.")],
    test: Annotated[Path, _file("--test", "What they took next.")],
    format: Annotated[
        Format,
        typer.Option(
            "--format",
            help="lightgcn: `user item item …` a line, also gzipped. parquet: user_id, item_id "
            "and, if known, event_ts and weight.",
        ),
    ],
    items: Annotated[
        Path | None, _file("--items", "Texts of items, Parquet: item_id, text.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="Length of a list.")] = 20,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="METHOD,…",
            help="default (what the daily run publishes), i2i, cooccurrence, slim, content, "
            "similar_users, popular; or all.",
        ),
    ] = "default",
    seen: Annotated[
        Seen,
        typer.Option(
            "--seen",
            help="Items of train in lists and in test: exclude or allow them. auto allows them if "
            "test has any.",
        ),
    ] = Seen.auto,
    neighbors: Annotated[
        int,
        typer.Option("--neighbors", min=1, max=1000, help="Neighbors kept of an item."),
    ] = 200,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write JSON too; - prints it.")
    ] = None,
) -> None:
    """Hold the daily run's methods against a test set, on Spark.

    The same functions that the daily run calls make the lists, with the settings of this
    environment (RECLAKE_RECALL__*). Needs no running server; a local Spark is started.

    \b
    Examples:
      reclake evaluate --train train.txt.gz --test test.txt.gz --format lightgcn
      reclake evaluate --train a.parquet --test b.parquet --format parquet --items items.parquet
      reclake evaluate --train a.parquet --test b.parquet --format parquet --method all
    """
    from jobs.cli.session import settings as current
    from jobs.evaluation.data import read_interactions, read_items
    from jobs.evaluation.evaluate import Data, evaluate_methods, settings_for
    from jobs.evaluation.methods import METHODS, check_methods
    from jobs.spark import local

    methods = [name.strip() for name in method.split(",") if name.strip()]
    if methods == ["all"]:
        methods = [name for name in METHODS if items or name != "content"]
    check_methods(methods, with_texts=items is not None)
    data = Data(
        read_interactions(train, format),
        read_interactions(test, format),
        read_items(items) if items else None,
    )
    repeats = seen is Seen.allow or (seen is Seen.auto and data.has_repeats())
    if not repeats:
        data = data.without_repeats()
    with tempfile.TemporaryDirectory(prefix="reclake-evaluate-") as folder:
        results = evaluate_methods(
            local(Path(folder)),
            data,
            methods,
            k,
            settings_for(current(), k, neighbors, repeats),
            Path(folder),
            started=lambda step: note(f"  {step}"),
        )
    rows = [result.row() for result in results]
    report = {
        "data": {
            "train": str(train),
            "test": str(test),
            "items": str(items) if items else None,
            "interactions": data.train.num_rows,
            "test_interactions": data.test.num_rows,
            "seen": str(Seen.allow if repeats else Seen.exclude),
        },
        "k": k,
        "results": rows,
    }
    if json is not None and str(json) == "-":
        print_json(report)
        return
    if json is not None:
        json.write_text(as_json(report) + "\n")
    for columns in (_ACCURACY, (*_LISTS, "seconds", "peak_gb")):
        print_table(("method", *columns), [[row[c] for c in ("method", *columns)] for row in rows])
