"""A first look at somebody's own files: what is in them, lists made of them, how good these are.

The files are read by proposed mappings, as drops are. The daily run's own functions make the lists,
with its settings, in a Spark of this process alone. Nothing is published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.evaluation.data import INTERACTIONS, BadData, is_timed, last_day
from jobs.evaluation.evaluate import Data, Result, evaluation, settings_for
from jobs.evaluation.methods import CATALOGUE, I2I, USER_LISTS, Bench, prepare
from jobs.evaluation.split import cut
from jobs.evaluation.vocabulary import Seen, Split
from jobs.lake.intake.landing import is_sold
from jobs.lake.intake.mapping import Entity, Source
from jobs.lake.intake.parse import parse
from jobs.lake.intake.raw_rows import Columns, read_files
from jobs.recall.facts import Facts
from jobs.settings import Settings
from jobs.silver.interactions import judge_events, weight
from jobs.silver.items import is_day_of_sale

# The day of the drop is not known, and no time of a file is after it.
_FOLDER = "ds=9999-12-31"
_SEED = 7
_JUDGED_USERS = 2000
MEASURED = ("default", "popular")


@dataclass(frozen=True)
class FileRead:
    """One file as its mapping reads it. dropped: reasons against rows, with their numbers."""

    file: Path
    entity: Entity
    rows: int
    used: int
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class FirstLook:
    """What there is to show. Lists are records of the daily run's tables, with titles.

    said: what else is to be said of some facts. results: metrics of lists that were made without
    the newest fifth of the data; why_unjudged says why there are none.
    """

    files: Sequence[FileRead]
    facts: Facts
    said: Mapping[str, str]
    neighbors: Sequence[Mapping[str, Any]]
    users: Sequence[Mapping[str, Any]]
    histories: Mapping[str, Sequence[str]]
    results: Sequence[Result] = ()
    why_unjudged: str = ""
    split: str = ""


def look(
    spark: SparkSession,
    sources: Sequence[tuple[Source, Path]],
    settings: Settings,
    k: int,
    folder: Path,
    started: Callable[[str], None],
) -> FirstLook:
    """Read the files, make lists of ten items and five users, and judge lists of an earlier time.

    sources: mappings and the file that each reads, one of events among them. k: how many first
    places of a list count. folder: empty, for intermediate files. started: called with what begins.
    Raises BadData where no event can be used.
    """
    started("reading the files")
    events = next((source, path) for source, path in sources if source.entity is Entity.events)
    taken, of_events = read_events(spark, *events, folder)
    reads = [of_events]
    if not taken.num_rows:
        reason = next(iter(of_events.dropped), "it has no rows")
        raise BadData(
            f"{events[1]}: none of {of_events.rows:,} rows can be used; the first reason: {reason}"
        )
    catalogue = None
    for source, path in sources:
        if source.entity is Entity.items:
            catalogue, of_items = read_catalogue(spark, source, path, last_day(taken))
            reads.append(of_items)
    users, lists = _examples(taken), folder / "lists"
    lists.mkdir()
    train = prepare(
        spark, taken, None, pa.array(users), last_day(taken), settings, lists, catalogue=catalogue
    )
    bench = Bench(train, lists, started)
    facts, said = bench.facts()
    results, split, why = _judged(spark, taken, catalogue, settings, k, folder / "judged", started)
    titles = _titles(train.tables["silver.items"])
    return FirstLook(
        files=reads,
        facts=facts,
        said=said,
        neighbors=_neighbors(bench.rows(I2I), taken, titles, k),
        users=_recalled(bench.rows(USER_LISTS), users, titles, k),
        histories={user: _newest(taken, user, titles) for user in users},
        results=results,
        why_unjudged=why,
        split=split,
    )


def read_events(
    spark: SparkSession, source: Source, path: Path, folder: Path
) -> tuple[pa.Table, FileRead]:
    """The interactions of a file, in the columns of INTERACTIONS, judged as the daily run does."""
    parsed = _parsed(spark, source, path)
    parsed.write.parquet(str(folder / "parsed"))
    rows = spark.read.parquet(str(folder / "parsed"))
    usable = rows.where("problems IS NULL")
    received = usable.withColumnsRenamed({"file": "source_file", "row": "source_row"}).withColumn(
        "ingest_ds", F.to_date("event_ts")
    )
    nothing = received.select("*", F.to_date("event_ts").alias("event_date")).limit(0)
    judge_events(received, nothing).withColumn("weight", weight()).write.parquet(
        str(folder / "judged_events")
    )
    judged = spark.read.parquet(str(folder / "judged_events"))
    used = judged.where((F.col("event_type") != "other") & F.col("reason").isNull())
    taken = used.select(*INTERACTIONS.names).toArrow().cast(INTERACTIONS)
    dropped = _counted(rows) | _counted_as(judged, F.col("reason"))
    others = judged.where(F.col("event_type") == "other").count()
    if others:
        dropped["an event of no use (other)"] = others
    return taken, FileRead(path, Entity.events, rows.count(), taken.num_rows, dropped)


def read_catalogue(
    spark: SparkSession, source: Source, path: Path, ds: date
) -> tuple[pa.Table, FileRead]:
    """The last record of each item of a file, in the columns of CATALOGUE, as it is on a day."""
    rows = _parsed(spark, source, path)
    newest = rows.where("problems IS NULL").withColumn(
        "is_sellable", is_sold() & is_day_of_sale(ds)
    )
    columns = ("title", "category", "is_sellable")
    of_items = newest.groupBy("item_id").agg(
        *(F.max_by(name, "row").alias(name) for name in columns)
    )
    found = of_items.withColumn("valid_from", F.lit(None).cast("date"))
    catalogue = found.select(*CATALOGUE.names).toArrow().cast(CATALOGUE)
    return catalogue, FileRead(path, Entity.items, rows.count(), catalogue.num_rows, _counted(rows))


def _parsed(spark: SparkSession, source: Source, path: Path) -> DataFrame:
    """The rows of a file, typed, with their problems. Raises BadData for a file that is broken."""
    columns = Columns.of(source)
    name = f"{source.entity}/{_FOLDER}/{path.name}"
    files = spark.createDataFrame([(name, str(path.absolute()))], "file string, path string")
    rows = parse(files.mapInArrow(partial(read_files, columns=columns), columns.ddl), source)
    broken = rows.where("file_problem IS NOT NULL").select("file_problem").head()
    if broken is not None:
        raise BadData(f"{path}: {broken[0]}. Nothing was made of it.")
    return rows


def _counted(rows: DataFrame) -> dict[str, int]:
    """The first problem of each row that has any, and how many rows have it; most first."""
    first = F.col("problems")[0]
    # Values differ from row to row: what stands in quotes is left out.
    reason = F.regexp_replace(first["reason"], r"'[^']*' ", "")
    said = F.concat_ws(" ", first["column"], reason)
    return _counted_as(rows.where("problems IS NOT NULL"), said)


def _counted_as(rows: DataFrame, reason: Any) -> dict[str, int]:
    found = (
        rows.select(reason.alias("reason"))
        .where("reason IS NOT NULL")
        .groupBy("reason")
        .count()
        .orderBy(F.desc("count"), "reason")
    )
    return {row.reason: row["count"] for row in found.collect()}


def _judged(
    spark: SparkSession,
    taken: pa.Table,
    catalogue: pa.Table | None,
    settings: Settings,
    k: int,
    folder: Path,
    started: Callable[[str], None],
) -> tuple[list[Result], str, str]:
    """Metrics of the published lists and of popular items, made without the newest fifth; how it
    was held out; and why there are none."""
    split = Split.time if is_timed(taken) else Split.random
    try:
        kept, later = cut(taken, split, _SEED, _JUDGED_USERS)
        data = Data(kept, later).wanting(())
        data.overlap()
    except BadData as error:
        return [], split.value, str(error)
    data, repeats = data.seen_as(Seen.auto)
    folder.mkdir()
    chosen = settings_for(settings, k, settings.recall.i2i.neighbors, repeats)
    judge = evaluation(spark, data, k, chosen, folder, started, catalogue)
    return [judge(method, chosen.recall) for method in MEASURED], split.value, ""


def _examples(taken: pa.Table, count: int = 5) -> list[str]:
    """Users to show: those who were there last, of those with five items or more if there are
    any; ties by id."""
    of_users = taken.group_by("user_id").aggregate(
        [("item_id", "count_distinct"), ("event_ts", "max")]
    )
    known = of_users.filter(pc.greater_equal(of_users["item_id_count_distinct"], 5))
    chosen = known if known.num_rows else of_users
    ordered = chosen.sort_by([("event_ts_max", "descending"), ("user_id", "ascending")])
    found: list[str] = ordered["user_id"].slice(0, count).to_pylist()
    return found


def _titles(items: DataFrame) -> dict[str, str]:
    rows = items.where("title IS NOT NULL").select("item_id", "title").collect()
    return {row.item_id: row.title for row in rows}


def _neighbors(
    rows: DataFrame, taken: pa.Table, titles: Mapping[str, str], k: int, count: int = 10
) -> list[dict[str, Any]]:
    """The first places of the lists of the most taken items, most taken first."""
    uses = taken.group_by("item_id").aggregate([("user_id", "count_distinct")])
    ordered = uses.sort_by([("user_id_count_distinct", "descending"), ("item_id", "ascending")])
    best: list[str] = ordered["item_id"].slice(0, 5 * count).to_pylist()
    found = rows.where(F.col("item_id").isin(*best) & (F.col("rank") <= k)).collect()
    listed = [item for item in best if any(row.item_id == item for row in found)][:count]
    return [
        {
            "item_id": row.item_id,
            "item": titles.get(row.item_id),
            "rank": row.rank,
            "neighbor_item_id": row.neighbor_item_id,
            "neighbor": titles.get(row.neighbor_item_id),
            "score": row.score,
            "reason": row.reason,
        }
        for row in sorted(found, key=lambda row: (best.index(row.item_id), row.rank))
        if row.item_id in listed
    ]


def _recalled(
    rows: DataFrame, users: Sequence[str], titles: Mapping[str, str], k: int
) -> list[dict[str, Any]]:
    found = rows.where(F.col("rank") <= k).collect()
    return [
        {
            "user_id": row.user_id,
            "rank": row.rank,
            "item_id": row.item_id,
            "item": titles.get(row.item_id),
            "score": row.score,
            "channel": row.channel,
            "reason": row.reason,
        }
        for row in sorted(found, key=lambda row: (users.index(row.user_id), row.rank))
    ]


def _newest(taken: pa.Table, user: str, titles: Mapping[str, str], count: int = 5) -> list[str]:
    """What a user took last, newest first."""
    own = taken.filter(pc.equal(taken["user_id"], user))
    rows = own.sort_by([("event_ts", "descending"), ("item_id", "ascending")])
    ids = list(dict.fromkeys(rows["item_id"].to_pylist()))[:count]
    return [titles.get(item) or item for item in ids]
