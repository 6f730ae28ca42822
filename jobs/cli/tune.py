"""`reclake tune`: the settings of recall that serve some data best, chosen within train."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.evaluate import FORMAT, ITEMS, NEIGHBORS, SEEN, TRAIN
from jobs.cli.terminal.output import as_json, note, print_table
from jobs.evaluation.vocabulary import Format, Metric, Seen, Split


def add_to(app: typer.Typer) -> None:
    app.command("tune")(tune)


def tune(
    train: Annotated[Path, TRAIN],
    format: Annotated[Format, FORMAT],
    json: Annotated[
        Path,
        typer.Option(
            "--json", metavar="FILE", dir_okay=False, help="Where the settings go, and each trial."
        ),
    ],
    items: Annotated[Path | None, ITEMS] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="Length of a list.")] = 20,
    metric: Annotated[
        Metric, typer.Option("--metric", help="What has to become larger.")
    ] = Metric.ndcg,
    split: Annotated[
        Split,
        typer.Option(
            "--split",
            help="What is held out of train to choose on: last (of each user the newest fifth), "
            "one (of each user the newest time), "
            "time (the newest fifth of all), random (a fifth of each user). auto: last, or random "
            "where there are no times.",
        ),
    ] = Split.auto,
    seen: Annotated[Seen, SEEN] = Seen.auto,
    neighbors: Annotated[int, NEIGHBORS] = 200,
    users: Annotated[
        int, typer.Option("--users", min=1, help="Most users to choose on, drawn by the seed.")
    ] = 5000,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0, help="No trial begins after so many minutes.")
    ] = 30,
    seed: Annotated[int, typer.Option("--seed", help="Of all that is drawn.")] = 7,
) -> None:
    """Choose the settings of recall on a part of train that is held out.

    One setting after the other takes the best of a few values, from those of this environment
    on (RECLAKE_RECALL__*). What comes out is written as JSON: `reclake evaluate --settings FILE`
    takes it, and its `recall` is the value of RECLAKE_RECALL for the daily run.

    \b
    Examples:
      reclake tune --train train.txt.gz --format lightgcn --json tuned.json
      reclake tune --train a.parquet --format parquet --seen exclude --json tuned.json
    """
    from jobs.cli.terminal.session import settings as current
    from jobs.evaluation.data import read_interactions, read_items
    from jobs.evaluation.evaluate import Data, evaluation, settings_for
    from jobs.evaluation.split import cut
    from jobs.evaluation.tune import Trial, Tuner, chosen_fields
    from jobs.spark import local

    rows = read_interactions(train, format)
    kept, validation = cut(rows, split, seed, users)
    data = Data(kept, validation, read_items(items) if items else None)
    data, repeats = data.seen_as(seen)
    known = data.known | ({"repeats"} if repeats else set())
    trials: list[Trial] = []

    def tried(trial: Trial) -> None:
        trials.append(trial)
        mark = "+" if trial.kept else " "
        note(f"  {mark} {trial.score:.4f}  {trial.choice}: {as_json(trial.value, one_line=True)}")

    settings = settings_for(current(), k, neighbors, repeats)
    with tempfile.TemporaryDirectory(prefix="reclake-tune-") as folder:
        judge = evaluation(
            local(Path(folder)), data, k, settings, Path(folder), started=lambda step: None
        )
        tuner = Tuner(
            lambda method, recall: judge(method, recall).metrics,
            metric.value,
            known,
            minutes,
            tried,
        )
        tuned = tuner.tune(settings.recall)
        before, after = (judge("default", recall) for recall in (settings.recall, tuned))
    chosen = chosen_fields(tuned)
    report = {
        "data": {"train": str(train), "items": str(items) if items else None},
        "split": split.value,
        "seed": seed,
        "users": users,
        "k": k,
        "metric": metric.value,
        "seen": str(Seen.allow if repeats else Seen.exclude),
        "validation": {"before": before.row(), "after": after.row()},
        "recall": chosen,
        "trials": [
            {"choice": t.choice, "value": t.value, "score": t.score, "kept": t.kept} for t in trials
        ],
    }
    json.write_text(as_json(report) + "\n")
    shown = ("recall", "ndcg", "hit_rate", "mrr")
    print_table(
        ("settings", *shown),
        [
            [name, *(result.row()[column] for column in shown)]
            for name, result in (("before", before), ("after", after))
        ],
    )
    note(f"RECLAKE_RECALL='{as_json(chosen, one_line=True)}'")
