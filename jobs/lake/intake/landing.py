"""The landing: which drop files are due, what is wrong with them, and their rows.

    landing/<entity>/ds=YYYY-MM-DD/*.{parquet,csv,jsonl}

A drop of day D holds what its source knew at the end of D. Files whose names begin with `_` or `.`
are work in progress and are left alone. A file is taken in once, by its path. A changed file is an
error; a correction comes as a new file. Each file is read once, into the run's scratch folder, so
that counting, quarantine and publishing see the same rows even if the file changes meanwhile.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial, reduce
from itertools import pairwise
from typing import Any

from pyarrow import fs
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.errors import BadDrop, MappingError, Terminal
from jobs.lake.hashing import hash_columns, map_text
from jobs.lake.intake.mapping import TARGETS, Entity, Source, claim, load_sources
from jobs.lake.intake.parse import parse
from jobs.lake.intake.raw_rows import FORMATS, Columns, format_of, read_files
from jobs.lake.settings import LakeSettings
from jobs.lake.step import Run
from jobs.lake.storage import locate, sha256

TAKEN_IN = "taken_in"
DUPLICATE = "duplicate"
EMPTY = "empty"

RUNBOOK = "docs/runbooks/bad-drop.md"
_MOST_TASKS = 32
_MOST_SHOWN = 5
_FOLDER = re.compile(r"ds=(\d{4}-\d{2}-\d{2})")
# Columns beside our own in the rows of a run, until the rows are split into good and bad.
_STAGED = (
    "file string",
    "row bigint",
    "rows bigint",
    "file_problem string",
    "drop_ds date",
    "problems array<struct<column: string, reason: string>>",
    "payload string",
    "respelled boolean",
    "complete_source string",
    "ingest_ds date",
    "row_hash string",
)
_REJECTED = (
    "source_file string, row_id string, column string, reason string, payload string, rows bigint"
)


@dataclass(frozen=True)
class LandingFile:
    """One file of a drop, as in `ops.landing_files` without run_id and recorded_at.

    file: path below the landing, `events/ds=2017-12-28/part.parquet`. rows: all of its rows,
    rejected ones included. status: taken_in, duplicate or empty.
    """

    entity: str
    source: str
    file: str
    drop_ds: date
    ingest_ds: date
    sha256: str
    bytes: int
    rows: int = 0
    status: str = TAKEN_IN


@dataclass(frozen=True)
class DropsTaken:
    """What one run takes in from the landing.

    rows: our columns of the entity, ingest_ds, source_file, source_row, row_hash.
    rejected: source_file, row_id, column, reason, payload, rows (more than 1 for a whole file).
    files: every file that the run looked into. respelled: rows with an id that was sent in another
    spelling than `jobs.lake.intake.ids` gives it.
    """

    rows: DataFrame
    rejected: DataFrame
    files: tuple[LandingFile, ...]
    respelled: int = 0

    @property
    def rows_in(self) -> int:
        """All rows of the files: those of `rows` and those that `rejected` stands for."""
        return sum(file.rows for file in self.files)

    @property
    def counts(self) -> dict[str, int]:
        """For the run's record."""
        return {"ids_respelled": self.respelled} if self.respelled else {}

    def log(self, run_id: str) -> tuple[str, list[dict[str, Any]]]:
        """The rows for `ops.landing_files`."""
        return "ops.landing_files", [{**asdict(file), "run_id": run_id} for file in self.files]


def any_due(settings: LakeSettings, entity: str, run: Run, known: Sequence[dict[str, Any]]) -> bool:
    """Whether any file of one entity is due. It looks no further than the first one that is.

    known: rows of `ops.landing_files` of published runs. Raises BadDrop for a file that is due and
    of no use, for a file that was changed after it was taken in, and for a folder without a date.
    Raises MappingError when a mapping is wrong.
    """
    sources = load_sources(settings.sources, entity)
    return any(_due_files(settings.landing, _Where(entity, run), sources, known))


def take_in(
    spark: SparkSession,
    settings: LakeSettings,
    entity: str,
    run: Run,
    known: Sequence[dict[str, Any]],
) -> DropsTaken:
    """The rows of all files of one entity that are due and that no run has taken in yet.

    known: rows of `ops.landing_files` of published runs. A file of a day after the watermark gets
    its drop's day as `ingest_ds`; a late file gets the run's day. Files of days after the run's day
    are left for their own day.
    Raises BadDrop, with the files and what to do, when a file can't be read, was changed after it
    was taken in, or has no mapping; when a folder has no date; or when a drop has more bad rows
    than `settings.max_bad_share` allows. Raises MappingError when a mapping is wrong.
    """
    _require_utc(spark)
    at = _Where(entity, run)
    sources = load_sources(settings.sources, entity)
    due = list(_due_files(settings.landing, at, sources, known))
    due = _mark_duplicates(due, known) if entity == Entity.events else due
    reading = [file for file in due if file.status == TAKEN_IN]
    if reading:
        frames = [
            _read(spark, settings.landing, source, files, run)
            for source, files in _by_source(reading, sources)
        ]
        staged = run.scratch.once(reduce(DataFrame.unionByName, frames))
    else:
        staged = _nothing(spark, Entity(entity))
    due, respelled = _counted(due, known, staged, at, settings.max_bad_share)
    _require_complete(due, known, sources, at)
    rejected = _rejected(staged).unionByName(_duplicates(spark, due))
    return DropsTaken(_usable(staged, Entity(entity)), rejected, tuple(due), respelled)


@dataclass(frozen=True)
class _Where:
    """Makes errors that name the table, the day and what to do."""

    entity: str
    run: Run

    def bad(self, found: str, do: str) -> BadDrop:
        return BadDrop(
            f"bronze.{self.entity} ds={self.run.ds}: {found}. Nothing was published; readers still "
            f"see the day before. {do}, then `reclake run bronze.{self.entity} --ds "
            f"{self.run.ds}`. See {RUNBOOK}."
        )


def _require_utc(spark: SparkSession) -> None:
    zone = spark.conf.get("spark.sql.session.timeZone")
    if zone not in ("UTC", "Etc/UTC", "GMT", "Z"):
        raise Terminal(
            f"spark.sql.session.timeZone is {zone!r}, expected 'UTC': days would begin at another "
            "hour. Nothing was read. Start the Spark Connect server with that setting."
        )


def _due_files(
    landing: str, at: _Where, sources: Sequence[Source], known: Iterable[dict[str, Any]]
) -> Iterator[LandingFile]:
    """New files of days up to the run's, by day and then by name."""
    sizes = {row["file"]: row["bytes"] for row in known}
    for file, drop_ds, size in sorted(_listed(landing, at), key=lambda found: found[1::-1]):
        if file in sizes and sizes[file] != size:
            raise at.bad(
                f"{file} has {size:,} bytes, but had {sizes[file]:,} when it was taken in",
                "Put the old file back and deliver the correction as a new file",
            )
        if file in sizes or drop_ds > at.run.ds:
            continue
        name = file.rpartition("/")[2]
        if not format_of(name):
            raise at.bad(
                f"{file} is of an unknown format; expected .{', .'.join(FORMATS)}",
                "Convert it, or let its name begin with _ to leave it out",
            )
        try:
            source = claim(name, sources)
        except MappingError as error:
            raise at.bad(f"{file}: {error}", "Change `files` in the mappings") from error
        late = at.run.watermark is not None and drop_ds <= at.run.watermark
        yield LandingFile(
            entity=at.entity,
            source=source.source,
            file=file,
            drop_ds=drop_ds,
            ingest_ds=at.run.ds if late else drop_ds,
            sha256=sha256(f"{landing}/{file}"),
            bytes=size,
        )


def _listed(landing: str, at: _Where) -> Iterable[tuple[str, date, int]]:
    """Every file of the entity: its path below the landing, its day, its size in bytes."""
    system, root = locate(landing)
    base = f"{root.rstrip('/')}/{at.entity}"
    selector = fs.FileSelector(base, allow_not_found=True, recursive=True)
    for info in system.get_file_info(selector):
        folder, *inner = info.path[len(base) + 1 :].split("/")
        if any(name.startswith(("_", ".")) for name in (folder, *inner)):
            continue
        drop_ds = _day_of(folder)
        if drop_ds is None:
            raise at.bad(
                f"{at.entity}/{folder} is not a drop; expected a folder {at.entity}/ds=YYYY-MM-DD",
                "Rename it",
            )
        if len(inner) > 1 or (inner and info.type == fs.FileType.Directory):
            raise at.bad(
                f"{at.entity}/{folder}/{inner[0]} is a folder; a drop holds files only",
                "Move its files up",
            )
        if inner:
            yield f"{at.entity}/{folder}/{inner[0]}", drop_ds, info.size


def _day_of(folder: str) -> date | None:
    match = _FOLDER.fullmatch(folder)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def _mark_duplicates(
    due: Iterable[LandingFile], known: Iterable[dict[str, Any]]
) -> list[LandingFile]:
    """Files with the bytes of a file that came before are duplicates of it.

    Only for events: an unchanged catalogue is sent again, and silver folds its rows.
    """
    seen = {row["sha256"] for row in known if row["status"] == TAKEN_IN}
    marked = []
    for file in due:
        marked.append(replace(file, status=DUPLICATE) if file.sha256 in seen else file)
        seen.add(file.sha256)
    return marked


def _by_source(
    files: Sequence[LandingFile], sources: Sequence[Source]
) -> Iterable[tuple[Source, list[LandingFile]]]:
    for source in sources:
        if own := [file for file in files if file.source == source.source]:
            yield source, own


def _read(
    spark: SparkSession, landing: str, source: Source, files: Sequence[LandingFile], run: Run
) -> DataFrame:
    """The parsed rows of one source's files, spread over the executors by file."""
    columns = Columns.of(source)
    paths = [(file.file, f"{landing.rstrip('/')}/{file.file}") for file in files]
    entries = spark.createDataFrame(paths, "file string, path string")
    # Neighboring days go to one task, so that a file of the bronze table holds few days.
    spread = entries.repartitionByRange(min(len(files), _MOST_TASKS), "file")
    raw = spread.mapInArrow(partial(read_files, columns=columns), columns.ddl)
    parsed = parse(raw, source)
    complete = F.lit(source.source if source.complete else None).cast("string")
    parsed = parsed.withColumn("complete_source", complete)
    return _with_ingest_ds(parsed, run).withColumn("row_hash", row_hash(source.entity))


def _with_ingest_ds(parsed: DataFrame, run: Run) -> DataFrame:
    ingest_ds: Column = F.col("drop_ds")
    if run.watermark is not None:
        on_time = F.col("drop_ds") > F.lit(run.watermark)
        ingest_ds = F.when(on_time, F.col("drop_ds")).otherwise(F.lit(run.ds))
    return parsed.withColumn("ingest_ds", ingest_ds)


SALE_DAYS = ("sale_from", "sale_until")
_HASHED_ITEM = tuple(
    target.name for target in TARGETS[Entity.items] if target.name not in ("stock", *SALE_DAYS)
)


def row_hash(entity: Entity) -> Column:
    """SHA-256 of the columns that a source sends.

    Of the stock it tells no more than whether there is any, which is part of `is_sellable`. The
    days of sale are part of it where the source sends them.
    """
    if entity is Entity.items:
        always = [is_sold() if name == "is_sellable" else F.col(name) for name in _HASHED_ITEM]
        days = [F.col(name) for name in SALE_DAYS]
        return F.when(F.coalesce(*days).isNull(), hash_columns(*always)).otherwise(
            hash_columns(*always, *days)
        )
    columns = [F.col(target.name) for target in TARGETS[entity]]
    if entity is Entity.users:
        columns.append(map_text(F.col("attributes")))
    return hash_columns(*columns)


def is_sold() -> Column:
    """Whether a record of an item says that it is sellable, and not that none is left."""
    return F.col("is_sellable") & (F.col("stock").isNull() | (F.col("stock") > 0))


def _nothing(spark: SparkSession, entity: Entity) -> DataFrame:
    """A frame like `_read`'s without rows."""
    ours = [f"{target.name} {target.type}" for target in TARGETS[entity]]
    if entity is Entity.users:
        ours.append("attributes map<string,string>")
    return spark.createDataFrame([], ", ".join([*_STAGED, *ours]))


def _counted(
    due: Sequence[LandingFile],
    known: Iterable[dict[str, Any]],
    staged: DataFrame,
    at: _Where,
    max_bad_share: float,
) -> tuple[list[LandingFile], int]:
    """The files with their rows and final status, and the rows whose ids were respelled. Raises
    BadDrop on unreadable files and drops."""
    bad = F.when(F.col("problems").isNotNull(), F.col("rows")).otherwise(0)
    found = staged.groupBy("file").agg(
        F.sum("rows").alias("rows"),
        F.sum(bad).alias("bad"),
        F.max("file_problem").alias("problem"),
        F.count_if("respelled").alias("respelled"),
    )
    counts = {row["file"]: row for row in found.collect()}
    if problems := sorted((f, row["problem"]) for f, row in counts.items() if row["problem"]):
        shown = "; ".join(f"{file}: {problem}" for file, problem in problems[:_MOST_SHOWN])
        more = f"; and {len(problems) - _MOST_SHOWN} more" if len(problems) > _MOST_SHOWN else ""
        raise at.bad(
            f"{len(problems)} of {len(due)} new files can't be read: {shown}{more}",
            "Replace the file or move it away",
        )
    _require_few_bad(due, counts, staged, at, max_bad_share)
    rows = {row["sha256"]: row["rows"] for row in known}
    final = []
    for file in due:
        if file.status == TAKEN_IN:
            rows[file.sha256] = counts[file.file]["rows"] if file.file in counts else 0
        count = rows[file.sha256]
        final.append(replace(file, rows=count, status=file.status if count else EMPTY))
    return final, sum(row["respelled"] for row in counts.values())


def _require_few_bad(
    due: Sequence[LandingFile],
    counts: dict[str, Any],
    staged: DataFrame,
    at: _Where,
    max_bad_share: float,
) -> None:
    rows: dict[date, int] = defaultdict(int)
    bad: dict[date, int] = defaultdict(int)
    for file in due:
        if file.file in counts:
            rows[file.drop_ds] += counts[file.file]["rows"]
            bad[file.drop_ds] += counts[file.file]["bad"]
    for day in sorted(rows):
        if bad[day] <= max_bad_share * rows[day]:
            continue
        of_day = staged.where((F.col("problems").isNotNull()) & (F.col("drop_ds") == F.lit(day)))
        first = _rejected(of_day.orderBy("file", "row").limit(_MOST_SHOWN)).collect()
        shown = "; ".join(f"{row['source_file']}:{row['row_id']} {row['reason']}" for row in first)
        raise at.bad(
            f"{bad[day]:,} of {rows[day]:,} rows of {at.entity}/ds={day} can't be used, more than "
            f"max_bad_share {max_bad_share:.0%} allows; the first are {shown}",
            "Mend the drop or its mapping, or set RECLAKE_MAX_BAD_SHARE",
        )


def _require_complete(
    due: Sequence[LandingFile],
    known: Iterable[dict[str, Any]],
    sources: Sequence[Source],
    at: _Where,
) -> None:
    """Raises BadDrop where a drop that is declared complete has far fewer rows than the one before:
    what it lacks would no longer be sold."""
    for source in (source for source in sources if source.complete):
        rows: dict[date, int] = defaultdict(int)
        for file in (*known, *map(asdict, due)):
            if file["source"] == source.source:
                rows[file["drop_ds"]] += file["rows"]
        new = {file.drop_ds for file in due if file.source == source.source}
        for before, day in pairwise(sorted(rows)):
            if day in new and rows[day] < (1 - source.may_shrink_by) * rows[before]:
                raise at.bad(
                    f"{at.entity}/ds={day} of source {source.source} is declared complete and has "
                    f"{rows[day]:,} rows, where ds={before} had {rows[before]:,}; "
                    f"may_shrink_by {source.may_shrink_by:.0%} allows fewer by that share",
                    "Deliver what is missing, or raise `may_shrink_by` in the mapping for this day",
                )


def _usable(staged: DataFrame, entity: Entity) -> DataFrame:
    names = [target.name for target in TARGETS[entity]]
    if entity is Entity.users:
        names.append("attributes")
    if entity is Entity.items:
        names.append("complete_source")
    return staged.where(F.col("problems").isNull()).select(
        *names,
        "ingest_ds",
        F.col("file").alias("source_file"),
        F.col("row").alias("source_row"),
        "row_hash",
    )


def _rejected(staged: DataFrame) -> DataFrame:
    sentences = F.transform(
        "problems", lambda problem: F.concat_ws(" ", problem["column"], problem["reason"])
    )
    return staged.where(F.col("problems").isNotNull()).select(
        F.col("file").alias("source_file"),
        F.col("row").cast("string").alias("row_id"),
        F.col("problems")[0]["column"].alias("column"),
        F.array_join(sentences, "; ").alias("reason"),
        "payload",
        "rows",
    )


def _duplicates(spark: SparkSession, files: Iterable[LandingFile]) -> DataFrame:
    reason = "the whole file repeats a drop that was taken in already"
    rows = [(f.file, "", None, reason, None, f.rows) for f in files if f.status == DUPLICATE]
    return spark.createDataFrame(rows, _REJECTED)
