"""`reclake tune`: the best settings of recall for some data, chosen on a part of train."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.evaluate import FORMAT, ITEMS, NEIGHBORS, SEEN, TRAIN, WANTED
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
            "--json", metavar="FILE", dir_okay=False, help="File for the settings and all trials."
        ),
    ],
    items: Annotated[Path | None, ITEMS] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="Length of a list.")] = 20,
    metric: Annotated[
        Metric, typer.Option("--metric", help="The metric to maximize.")
    ] = Metric.ndcg,
    split: Annotated[
        Split,
        typer.Option(
            "--split",
            help="Part of train to hold out: last (each user's newest fifth), one (each user's "
            "newest time), time (the newest fifth of all), random (a fifth of each user's items). "
            "auto: last, or random if the data has no times.",
        ),
    ] = Split.auto,
    seen: Annotated[Seen, SEEN] = Seen.auto,
    wanted: Annotated[list[str] | None, WANTED] = None,
    neighbors: Annotated[int, NEIGHBORS] = 200,
    users: Annotated[
        int,
        typer.Option("--users", min=1, help="Most users in the held-out part, drawn by --seed."),
    ] = 5000,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0, help="Minutes after which no trial begins.")
    ] = 30,
    seed: Annotated[int, typer.Option("--seed", help="Seed of all random draws.")] = 7,
) -> None:
    """Choose the settings of recall on a held-out part of train.

    Starts from this environment's settings (RECLAKE_RECALL__*). Tries a few values of one setting
    after the other, and keeps the best. `reclake evaluate --settings FILE` reads the JSON that it
    writes; the daily run takes the file's `recall` as RECLAKE_RECALL.

    \b
    Examples:
      reclake tune --train train.txt.gz --format lightgcn --json tuned.json
      reclake tune --train a.parquet --format parquet --seen exclude --json tuned.json
    """
    from jobs.cli.terminal.session import settings as current
    from jobs.evaluation.data import read_interactions, read_items
    from jobs.evaluation.evaluate import AMONG_TRAIN, Data, evaluation, overlap_told, settings_for
    from jobs.evaluation.split import cut
    from jobs.evaluation.tune import Trial, Tuner, chosen_fields
    from jobs.spark import local

    rows = read_interactions(train, format)
    kept, validation = cut(rows, split, seed, users)
    data = Data(kept, validation, read_items(items) if items else None).wanting(wanted or ())
    note(overlap_told(data.overlap()))
    if not data.is_later():
        note(AMONG_TRAIN)
        data = data.undated()
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
            data.event_types,
        )
        begun = judge.followed()
        tuned = tuner.tune(begun)
        before, after = (judge("default", recall) for recall in (begun, tuned))
    chosen = chosen_fields(tuned)
    report = {
        "data": {"train": str(train), "items": str(items) if items else None},
        "split": split.value,
        "seed": seed,
        "users": users,
        "k": k,
        "metric": metric.value,
        "seen": str(Seen.allow if repeats else Seen.exclude),
        "wanted": wanted,
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
