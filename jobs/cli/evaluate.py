"""`reclake evaluate`: the daily run's methods against what users did next."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.cli.terminal.late_help import LateHelp
from jobs.cli.terminal.options import DAY, day
from jobs.cli.terminal.output import as_json, note, print_json, print_table
from jobs.evaluation.vocabulary import Format, Seen

_ACCURACY = ("recall", "ndcg", "hit_rate", "mrr")
_LISTS = ("coverage", "cold_coverage", "novelty", "diversity", "popularity_bias")


def add_to(app: typer.Typer) -> None:
    app.command("evaluate", cls=LateHelp)(evaluate)


def _file(flag: str, help: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        flag, metavar="FILE", exists=True, dir_okay=False, help=help
    )
    return option


def _evaluate_lake(as_of: date, horizon: int, json: Path | None) -> None:
    """Build the metrics of the horizon's last day, and show them."""
    from jobs.cli.terminal.session import reader, runtime
    from jobs.cli.terminal.session import settings as current

    ds, in_use = as_of + timedelta(days=horizon), current()
    horizons = tuple(sorted({*in_use.recall.metrics.horizon_days, horizon}))
    metrics = in_use.recall.metrics.model_copy(update={"horizon_days": horizons})
    recall = in_use.recall.model_copy(update={"metrics": metrics})
    lake = runtime(in_use.model_copy(update={"recall": recall}))
    note(lake.run("gold.recall_metrics_daily", ds=ds).summary())
    query = (
        "SELECT * EXCLUDE ds FROM gold.recall_metrics_daily WHERE ds = $ds AND horizon_days = "
        f"{horizon} ORDER BY ALL"
    )
    rows = reader().query(query, {"ds": ds}).records()
    report = {"as_of": as_of, "horizon_days": horizon, "k": metrics.k, "results": rows}
    if _wrote_to_stdout(report, json):
        return
    if not rows:
        note(f"No lists are published for {as_of}, or no user with one took anything up to {ds}.")
    found = {(r["table"], r["channel"], r["slice"], r["metric"]): r for r in rows}
    lines = []
    for table, channel, part in dict.fromkeys(key[:3] for key in found):
        recall_row, ndcg = (found[table, channel, part, m] for m in ("recall", "ndcg"))
        values = [recall_row[name] for name in ("value", "low", "high")]
        lines.append([table, channel, part, recall_row["users"], *values, ndcg["value"]])
    columns = ("table", "channel", "slice", "users", "recall", "low", "high", "ndcg")
    print_table(columns, lines)


def _ablate_lake(as_of: date, horizon: int, k: int, json: Path | None) -> None:
    """Make the day's lists again without texts, with template texts and with LLM texts."""
    from jobs.cli.terminal.session import runtime
    from jobs.evaluation.ablation import ARMS, ablate, shop_of, verdict
    from jobs.evaluation.evaluate import settings_for
    from jobs.evaluation.thresholds import sentence as thresholds_sentence
    from jobs.evaluation.thresholds import sweep_lake
    from jobs.vectors.encoder import Encoder

    lake = runtime()
    shop = shop_of(lake, as_of, horizon)
    settings = settings_for(lake.settings, k, lake.settings.recall.i2i.neighbors, repeats=True)
    shared = lake.settings.home / "scratch"
    shared.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ablation-", dir=shared) as folder:
        encode = Encoder.of(settings).encode
        started = lambda step: note(f"  {step}")  # noqa: E731
        rows = ablate(lake.spark, shop, k, settings, Path(folder), encode, started)
    with tempfile.TemporaryDirectory(prefix="thresholds-", dir=shared) as folder:
        thresholds = sweep_lake(lake, as_of, horizon, k, Path(folder), started)
    sentence = verdict(rows, shop.described)
    of_thresholds = thresholds_sentence(thresholds)
    report = {
        "as_of": as_of,
        "horizon_days": horizon,
        "k": k,
        "described": shop.described,
        "verdict": sentence,
        "results": [asdict(row) for row in rows],
        "thresholds": {"sentence": of_thresholds, **asdict(thresholds)},
    }
    if _wrote_to_stdout(report, json):
        return
    print_table(
        ("method", "slice", "metric", "users", *ARMS, "uplift", "low", "high"),
        [
            [row.method, row.slice, row.metric, row.users]
            + [row.values.get(arm) for arm in ARMS]
            + [row.uplift, row.low, row.high]
            for row in rows
        ],
    )
    note(sentence)
    if thresholds.kept:
        columns = ("theta", "epsilon", "names", "users", "items", "recall")
        print_table(columns, [[getattr(row, name) for name in columns] for row in thresholds.kept])
    note(of_thresholds)


def _wrote_to_stdout(report: dict[str, Any], json: Path | None) -> bool:
    """Write the report as JSON to the file, if any; whether it went to standard output."""
    if json is None:
        return False
    if str(json) == "-":
        print_json(report)
        return True
    json.write_text(as_json(report) + "\n")
    return False


TRAIN = _file("--train", "Interactions to make the lists from.")
FORMAT: typer.models.OptionInfo = typer.Option(
    "--format",
    help="lightgcn: a line `user item item …` for each user, also gzipped. parquet: user_id, "
    "item_id and, if known, event_ts, event_type, quantity, weight and session_id.",
)
ITEMS = _file(
    "--items",
    "Texts of items, Parquet: item_id, text and, if an LLM described them, tags (a list).",
)
SEEN: typer.models.OptionInfo = typer.Option(
    "--seen",
    help="Whether lists and test may hold items that the user took in train. auto: allow if test "
    "has any.",
)
WANTED: typer.models.OptionInfo = typer.Option(
    "--wanted",
    metavar="TYPE",
    help="Type of event that lists should find in the held-out part, such as purchase; give it "
    "again for more types. By default all that take an item.",
)
NEIGHBORS: typer.models.OptionInfo = typer.Option(
    "--neighbors", min=1, max=1000, help="Neighbors to keep of each item."
)


def evaluate(
    train: Annotated[Path | None, TRAIN] = None,
    test: Annotated[Path | None, _file("--test", "Later interactions to find.")] = None,
    format: Annotated[Format | None, FORMAT] = None,
    items: Annotated[Path | None, ITEMS] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="Length of a list.")] = 20,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="METHOD,…",
            help="default (the lists that the daily run publishes), all, or some of "
            "{methods_known}. Some need item texts (--items). Those that need texts or attributes "
            "of users cannot be evaluated on files.",
        ),
    ] = "default",
    seen: Annotated[Seen, SEEN] = Seen.auto,
    wanted: Annotated[list[str] | None, WANTED] = None,
    neighbors: Annotated[int, NEIGHBORS] = 200,
    settings: Annotated[
        Path | None,
        _file("--settings", "A file of `reclake tune`; its settings replace the environment's."),
    ] = None,
    lake: Annotated[
        bool, typer.Option("--lake", help="Evaluate the published tables instead of files.")
    ] = False,
    as_of: Annotated[
        date | None,
        typer.Option("--as-of", metavar=DAY, parser=day, help="With --lake: the day of the lists."),
    ] = None,
    horizon: Annotated[
        int,
        typer.Option(
            "--horizon",
            min=1,
            max=28,
            help="With --lake: days after --as-of whose interactions the lists should find.",
        ),
    ] = 7,
    ablation: Annotated[
        bool,
        typer.Option(
            "--ablation",
            help="With --lake: measure what texts add. Makes the day's lists without texts, with "
            "template texts and with LLM texts. Also says what theta and epsilon of the channel "
            "product_names keep and find.",
        ),
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write JSON; - prints JSON only."),
    ] = None,
) -> None:
    """Measure methods, or published lists, on what users took next.

    With files: the functions of the daily run make the lists, with this environment's settings
    (RECLAKE_RECALL__*). Needs no running server; starts a local Spark.

    With --lake: measures one day's lists, of each channel and method, for kinds of users and items,
    with 95% intervals. Builds gold.recall_metrics_daily for the last day of the horizon, and shows
    it. Needs Spark, and the tables of that last day.

    \b
    Examples:
      reclake evaluate --train train.txt.gz --test test.txt.gz --format lightgcn
      reclake evaluate --train a.parquet --test b.parquet --format parquet --items items.parquet
      reclake evaluate --train a.parquet --test b.parquet --format parquet --method all
      reclake evaluate --lake --as-of 2017-12-29 --horizon 1
      reclake evaluate --lake --as-of 2017-12-29 --horizon 1 --ablation --json ablation.json
    """
    if lake:
        if as_of is None:
            raise typer.BadParameter("--lake needs the day of the lists: --as-of DAY")
        if train or test or format or items:
            raise typer.BadParameter(
                "--lake reads no files; leave out --train, --test, --format and --items"
            )
        if ablation:
            _ablate_lake(as_of, horizon, k, json)
        else:
            _evaluate_lake(as_of, horizon, json)
        return
    if ablation:
        raise typer.BadParameter("--ablation needs the texts of a lake: --lake and --as-of")
    if train is None or test is None or format is None:
        raise typer.BadParameter("name --train, --test and --format, or --lake and --as-of")
    from jobs.cli.terminal.session import settings as current
    from jobs.evaluation.data import read_interactions, read_items
    from jobs.evaluation.evaluate import (
        AMONG_TRAIN,
        Data,
        evaluate_methods,
        overlap_told,
        settings_for,
    )
    from jobs.evaluation.methods import check_methods, methods_for
    from jobs.evaluation.tune import tuned
    from jobs.spark import local

    methods = [name.strip() for name in method.split(",") if name.strip()]
    data = Data(
        read_interactions(train, format),
        read_interactions(test, format),
        read_items(items) if items else None,
    ).wanting(wanted or ())
    if not data.is_later():
        note(AMONG_TRAIN)
        data = data.undated()
    if methods == ["all"]:
        methods = methods_for(data.known)
    check_methods(methods, data.known)
    overlap = data.overlap()
    note(overlap_told(overlap))
    data, repeats = data.seen_as(seen)
    chosen = current() if settings is None else tuned(current(), settings)
    with tempfile.TemporaryDirectory(prefix="reclake-evaluate-") as folder:
        results = evaluate_methods(
            local(Path(folder)),
            data,
            methods,
            k,
            settings_for(chosen, k, neighbors, repeats),
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
            **overlap,
            "seen": str(Seen.allow if repeats else Seen.exclude),
            "wanted": wanted,
            "settings": str(settings) if settings else None,
        },
        "k": k,
        "results": rows,
    }
    if _wrote_to_stdout(report, json):
        return
    for columns in (_ACCURACY, (*_LISTS, "seconds", "peak_gb")):
        print_table(("method", *columns), [[row[c] for c in ("method", *columns)] for row in rows])
