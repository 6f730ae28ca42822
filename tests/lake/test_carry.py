"""Days that are made from the same as the day before: carried over, and never wrongly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake import EffectResult, Lake, Outcome, Read, Run, Sink, View, effect, table
from jobs.lake.carry import CARRIED_FROM, code_digest
from jobs.lake.errors import NoTable
from jobs.lake.file_bounds import Bounds
from jobs.lake.oplog import PUBLISHED, RunRecord
from jobs.lake.settings import ROOT, Sections
from jobs.lake.step import Search, temporary_steps
from jobs.settings import RunParams
from tests.lake import toy

D1, D2, D3, D4 = (date(2026, 1, day) for day in (1, 2, 3, 4))
VISITS = toy.HEAD | {
    "table": "silver.toy_visits",
    "layout": "events",
    "partition": [],
    "key": ["item_id", "event_date"],
    "columns": [
        toy.column("item_id", "string"),
        toy.column("event_date", "date"),
        toy.column("ingest_ds", "date"),
    ],
    "checks": [],
}


@pytest.fixture
def toy_lake(make_lake: Callable[..., Lake], tmp_path: Path) -> Iterator[Lake]:
    folder = tmp_path / "expectations"
    shutil.copytree(ROOT / "expectations" / "ops", folder / "ops")
    contracts = {**toy.CONTRACTS, **toy.SHELF, "silver.toy_visits": VISITS}
    toy.write_contracts(folder, contracts)
    lake = make_lake(contracts=folder)
    for name in contracts:
        lake.tables.create(lake.contracts[name])
    with temporary_steps():
        toy.register()
        yield lake


def without_spark(lake: Lake) -> Lake:
    """The same lake in a process that must not open a session."""

    def no_session() -> SparkSession:
        raise AssertionError("a Spark session was opened")

    return Lake(no_session, lake.settings)


def receive(lake: Lake, day: date, prices: dict[str, float | None]) -> None:
    toy.receive(lake, day, prices)
    lake.run("silver.toy", ds=day)


def prices(lake: Lake, ds: date) -> list[tuple[str, float]]:
    rows = lake.tables.read("gold.toy_daily").where(F.col("ds") == F.lit(ds))
    return sorted((row["item_id"], row["price"]) for row in rows.collect())


def carried(record: RunRecord) -> str | None:
    """The day whose rows a run got, or None if it computed its own."""
    assert record.status == PUBLISHED
    found: str | None = json.loads(record.counts).get(CARRIED_FROM)
    return found


def test_a_quiet_day_has_the_rows_and_audits_of_the_day_before_without_spark(
    toy_lake: Lake,
) -> None:
    receive(toy_lake, D1, {"a": 1.0, "b": 2.0})
    toy_lake.run("gold.toy_daily", ds=D1)
    toy.record_published(toy_lake, "bronze.toy", D2, 0)

    quiet = without_spark(toy_lake)
    before = quiet.tables.version("silver.toy")
    silver = quiet.run("silver.toy", ds=D2)
    gold = quiet.run("gold.toy_daily", ds=D2, run_id="quiet")

    assert (silver.status, silver.rows_in, silver.rows_out) == (PUBLISHED, 0, 0)
    assert quiet.tables.version("silver.toy") == before
    assert (carried(gold), gold.rows_out) == (str(D1), 2)
    assert prices(toy_lake, D2) == prices(toy_lake, D1) == [("a", 1.0), ("b", 2.0)]
    audits = toy_lake.tables.rows(
        "ops.audits", ["check", "ds", "success"], [("run_id", "=", "quiet")]
    )
    assert set(audits["ds"].to_pylist()) == {D2}
    assert set(audits["success"].to_pylist()) == {True}
    assert "expect_column_values_to_be_between" in audits["check"].to_pylist()


def test_a_row_of_many_quiet_days_says_on_which_day_it_was_computed(toy_lake: Lake) -> None:
    receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("gold.toy_daily", ds=D1)
    for day in (D2, D3):
        receive(toy_lake, day, {})
        assert carried(toy_lake.run("gold.toy_daily", ds=day)) == str(D1)


def test_a_day_that_changes_something_is_computed(toy_lake: Lake) -> None:
    receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("gold.toy_daily", ds=D1)
    receive(toy_lake, D2, {"a": 3.0})
    assert carried(toy_lake.run("gold.toy_daily", ds=D2)) is None
    assert prices(toy_lake, D2) == [("a", 3.0)]


def test_a_backfill_of_days_that_were_taken_in_before_sees_each_days_changes(
    toy_lake: Lake,
) -> None:
    receive(toy_lake, D1, {"a": 1.0})
    receive(toy_lake, D2, {"a": 3.0})
    receive(toy_lake, D3, {})
    found = [carried(toy_lake.run("gold.toy_daily", ds=day)) for day in (D1, D2, D3)]
    assert found == [None, None, str(D2)]
    assert [prices(toy_lake, day) for day in (D1, D2, D3)] == [
        [("a", 1.0)],
        [("a", 3.0)],
        [("a", 3.0)],
    ]


def test_days_that_one_run_took_in_together_are_told_apart(toy_lake: Lake) -> None:
    toy.receive(toy_lake, D1, {"a": 1.0})
    toy.receive(toy_lake, D2, {"b": 2.0})
    toy_lake.run("silver.toy", ds=D2)
    for day in (D1, D2):
        assert carried(toy_lake.run("gold.toy_daily", ds=day)) is None
    assert prices(toy_lake, D1) == [("a", 1.0)]
    assert prices(toy_lake, D2) == [("a", 1.0), ("b", 2.0)]


@pytest.mark.parametrize("params", [{"recompute": True}, {"known_on": D2}], ids=str)
def test_a_person_can_ask_for_the_day_to_be_computed(toy_lake: Lake, params: dict) -> None:
    receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("gold.toy_daily", ds=D1)
    receive(toy_lake, D2, {})
    assert carried(toy_lake.run("gold.toy_daily", ds=D2, params=RunParams(**params))) is None
    assert prices(toy_lake, D2) == [("a", 1.0)]


def test_a_day_is_computed_when_the_files_of_the_day_before_are_gone(toy_lake: Lake) -> None:
    receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("gold.toy_daily", ds=D1)
    receive(toy_lake, D2, {})
    shutil.rmtree(Path(toy_lake.tables.path("gold.toy_daily"), f"ds={D1}"))
    assert carried(toy_lake.run("gold.toy_daily", ds=D2)) is None
    assert prices_of_files(toy_lake, D2) == [("a", 1.0)]


def prices_of_files(lake: Lake, ds: date) -> list[tuple[str, float]]:
    """As `prices`, where other days of the table cannot be read."""
    rows = lake.tables.rows("gold.toy_daily", ["item_id", "price"], [("ds", "=", ds)])
    return [(row["item_id"], row["price"]) for row in rows.to_pylist()]


def test_what_a_function_asks_of_its_run_decides(toy_lake: Lake) -> None:
    asked: Callable[[Run], object] = lambda run: None  # noqa: E731

    @table("gold.toy_daily", reads={"items": Read("silver.toy")})
    def toy_daily(run: Run, items: DataFrame) -> DataFrame:
        asked(run)
        return items.select("item_id", "price")

    def second_day(of_first: RunParams, of_second: RunParams) -> str | None:
        toy_lake.run(
            "gold.toy_daily", ds=D1, params=of_first.model_copy(update={"recompute": True})
        )
        return carried(toy_lake.run("gold.toy_daily", ds=D2, params=of_second))

    receive(toy_lake, D1, {"a": 1.0})
    receive(toy_lake, D2, {})
    ten, twenty = RunParams(item_budget=10), RunParams(item_budget=20)
    assert second_day(ten, twenty) == str(D1)  # a param that it does not ask for

    asked = lambda run: run.params.item_budget  # noqa: E731
    assert second_day(ten, twenty) is None
    assert second_day(ten, ten) == str(D1)

    for fact in ("ds", "known_on", "watermark", "run_id"):
        asked = lambda run, fact=fact: getattr(run, fact)  # noqa: E731
        assert second_day(ten, ten) is None, fact


def seen_through(view: View) -> None:
    """Register the toy's catalogue again, with a view."""

    @table(
        "silver.toy",
        reads={"received": Read("bronze.toy", pending=True)},
        views={"": view, "dear": View(lambda rows, *_: rows.where("price > 1"))},
    )
    def toy(run: Run, received: DataFrame) -> DataFrame:
        return received.select(
            "item_id", F.col("ingest_ds").alias("valid_from"), "price", "row_hash"
        )


def test_a_table_is_seen_through_its_view(toy_lake: Lake) -> None:
    def doubled(rows: DataFrame, ds: date, settings: Sections, bounds: Bounds) -> DataFrame:
        assert bounds("price") == (1.0, 2.0)
        days = F.lit(settings.bundles.window_days)
        return rows.withColumn("price", F.col("price") * 2 + days + F.lit(ds.day))

    seen_through(View(doubled, settings=("bundles",)))
    receive(toy_lake, D1, {"a": 1.0, "b": 2.0})
    toy_lake.run("gold.toy_daily", ds=D1)
    assert prices(toy_lake, D1) == [("a", 93.0), ("b", 95.0)]
    assert {row.price for row in toy_lake.read_as_of("silver.toy", D1).collect()} == {93.0, 95.0}
    named = toy_lake.reader.seen(Read("silver.toy", view="dear"), toy_lake.by_hand(D1))
    assert [row.item_id for row in named.collect()] == ["b"]
    with pytest.raises(NoTable, match=r"no view 'near'; it has: , dear"):
        toy_lake.reader.seen(Read("silver.toy", view="near"), toy_lake.by_hand(D1))


def test_a_view_by_the_day_is_looked_through_each_day(toy_lake: Lake) -> None:
    by_day = False
    seen_through(View(lambda rows, *_: rows, by_day=lambda bounds: by_day))
    receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("gold.toy_daily", ds=D1)
    receive(toy_lake, D2, {})
    assert carried(toy_lake.run("gold.toy_daily", ds=D2)) == str(D1)
    by_day = True
    for day in (D3, D4):
        receive(toy_lake, day, {})
        assert carried(toy_lake.run("gold.toy_daily", ds=day)) is None


def test_other_settings_of_a_view_make_a_day_be_computed(toy_lake: Lake) -> None:
    seen_through(View(lambda rows, *_: rows, settings=("bundles",)))
    receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("gold.toy_daily", ds=D1)
    receive(toy_lake, D2, {})
    recall = toy_lake.settings.recall.with_changes({"bundles": {"rules": 7}})
    changed = toy_lake.settings.model_copy(update={"recall": recall})
    assert carried(Lake(toy_lake.spark, changed).run("gold.toy_daily", ds=D2)) is None
    assert carried(toy_lake.run("gold.toy_daily", ds=D2)) == str(D1)


def test_other_settings_of_its_sections_make_a_day_be_computed(toy_lake: Lake) -> None:
    @table("gold.toy_daily", reads={"items": Read("silver.toy")}, settings=("bundles",))
    def toy_daily(run: Run, items: DataFrame) -> DataFrame:
        return items.select("item_id", "price")

    def with_changes(**changes: dict[str, object]) -> Lake:
        recall = toy_lake.settings.recall.with_changes(changes)
        return Lake(toy_lake.spark, toy_lake.settings.model_copy(update={"recall": recall}))

    receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("gold.toy_daily", ds=D1)
    receive(toy_lake, D2, {})
    assert carried(with_changes(swing={"neighbors": 7}).run("gold.toy_daily", ds=D2)) == str(D1)
    assert carried(with_changes(bundles={"min_baskets": 9}).run("gold.toy_daily", ds=D2)) is None


def test_a_day_with_quarantined_rows_is_computed_again(toy_lake: Lake) -> None:
    @table("gold.toy_daily", reads={"items": Read("silver.toy")})
    def toy_daily(run: Run, items: DataFrame) -> Outcome:
        rejected = items.where("price > 5").selectExpr(
            "'f' AS source_file",
            "item_id AS row_id",
            "'price' AS column",
            "'dear' AS reason",
            "'{}' AS payload",
        )
        return Outcome(items.where("price <= 5").select("item_id", "price"), quarantined=rejected)

    receive(toy_lake, D1, {"a": 1.0, "b": 9.0})
    toy_lake.run("gold.toy_daily", ds=D1)
    receive(toy_lake, D2, {})
    again = toy_lake.run("gold.toy_daily", ds=D2)
    assert (carried(again), again.rows_quarantined) == (None, 1)


# --- what a table of events shows ---


def visit(lake: Lake, ingest_ds: date, *visits: tuple[str, date]) -> None:
    rows = [(item, day, ingest_ds) for item, day in visits]
    frame = lake.spark.createDataFrame(rows, schema=lake.tables.schema("silver.toy_visits"))
    lake.tables.append("silver.toy_visits", frame)
    toy.record_published(lake, "silver.toy_visits", ingest_ds, len(rows))


def register_visits(windows: dict[date, date]) -> None:
    """A table of the items of the last event day; `windows` gets the last event day of each ds."""

    @table("gold.toy_daily", reads={"visits": Read("silver.toy_visits")})
    def toy_daily(run: Run, visits: DataFrame) -> DataFrame:
        windows[len(windows)] = run.last_event_day  # type: ignore[index]
        newest = visits.where(F.col("event_date") == F.lit(run.last_event_day))
        return newest.select("item_id", F.lit(1.0).alias("price"))


def test_windows_of_a_day_without_events_end_where_those_of_the_day_before_do(
    toy_lake: Lake,
) -> None:
    windows: dict[date, date] = {}
    register_visits(windows)
    visit(toy_lake, D1, ("a", D1))
    visit(toy_lake, D2)
    visit(toy_lake, D3, ("b", D3))
    found = [carried(toy_lake.run("gold.toy_daily", ds=day)) for day in (D1, D2, D3)]
    assert list(windows.values()) == [D1, D3]
    assert found == [None, str(D1), None]
    assert [prices(toy_lake, day) for day in (D1, D2, D3)] == [
        [("a", 1.0)],
        [("a", 1.0)],
        [("b", 1.0)],
    ]


def test_an_event_that_came_before_its_day_is_seen_on_its_day(toy_lake: Lake) -> None:
    register_visits({})
    visit(toy_lake, D1, ("a", D1), ("b", D2))
    visit(toy_lake, D2)
    found = [carried(toy_lake.run("gold.toy_daily", ds=day)) for day in (D1, D2)]
    assert found == [None, None]
    assert prices(toy_lake, D1) == [("a", 1.0)]
    assert prices(toy_lake, D2) == [("b", 1.0)]


def test_a_late_event_of_an_old_day_makes_a_day_be_computed(toy_lake: Lake) -> None:
    register_visits({})
    visit(toy_lake, D2, ("a", D2))
    visit(toy_lake, D3, ("c", D2), ("d", D1))
    found = [carried(toy_lake.run("gold.toy_daily", ds=day)) for day in (D2, D3)]
    assert found == [None, None]
    assert prices(toy_lake, D3) == [("a", 1.0), ("c", 1.0)]


def test_the_last_event_day_of_a_lake_without_events_is_the_day_itself(toy_lake: Lake) -> None:
    windows: dict[date, date] = {}
    register_visits(windows)
    for day in (D1, D2):
        visit(toy_lake, day)
        assert carried(toy_lake.run("gold.toy_daily", ds=day)) is None
    assert list(windows.values()) == [D1, D2]


# --- caches and effects ---


def test_a_cache_that_had_nothing_to_add_is_not_asked_again(toy_lake: Lake) -> None:
    asked: list[date] = []

    @table(
        "silver.toy_shelf", reads={"items": Read("silver.toy"), "kept": Read("silver.toy_shelf")}
    )
    def shelf(run: Run, items: DataFrame, kept: DataFrame) -> DataFrame:
        asked.append(run.ds)
        return items.select("item_id").join(kept, "item_id", "left_anti")

    receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("silver.toy_shelf", ds=D1)
    for day in (D2, D3, D4):
        receive(toy_lake, day, {"b": 2.0} if day == D4 else {})
        toy_lake.run("silver.toy_shelf", ds=day)
    # D1 added a row, so D2 looks whether any is missing; D3 reads what D2 read
    assert asked == [D1, D2, D4]


def test_an_effect_is_repeated_until_it_is_settled(toy_lake: Lake) -> None:
    ran: list[date] = []

    @effect("toy.bell", reads={"items": Read("silver.toy")})
    def bell(run: Run, sink: Sink, items: DataFrame) -> EffectResult:
        ran.append(run.ds)
        return EffectResult(3, 3, settled=run.ds >= D2)

    receive(toy_lake, D1, {"a": 1.0})
    for day in (D1, D2, D3):
        receive(toy_lake, day, {}) if day > D1 else None
        record = toy_lake.run("toy.bell", ds=day)
    assert ran == [D1, D2]
    assert (carried(record), record.rows_in, record.rows_out) == (str(D2), 0, 0)


@pytest.mark.parametrize("can_carry", [True, False])
def test_what_an_effect_leaves_for_its_day_is_carried_too(toy_lake: Lake, can_carry: bool) -> None:
    shelves: dict[date, str] = {}

    def carry(settings: object, earlier: date, ds: date) -> bool:
        if can_carry:
            shelves[ds] = shelves[earlier]
        return can_carry

    @effect(
        "toy.shelves",
        reads={"items": Read("silver.toy")},
        opens=lambda settings, ds: shelves[ds],
        carry=carry,
    )
    def stock(run: Run, sink: Sink, items: DataFrame) -> EffectResult:
        shelves[run.ds] = f"shelf of {run.ds}"
        return EffectResult(1, 1, settled=True)

    @table("gold.toy_daily", reads={"shelf": Search("toy.shelves"), "items": Read("silver.toy")})
    def toy_daily(run: Run, shelf: str, items: DataFrame) -> DataFrame:
        return items.select("item_id", "price")

    receive(toy_lake, D1, {"a": 1.0})
    receive(toy_lake, D2, {})
    for day in (D1, D2):
        stocked = toy_lake.run("toy.shelves", ds=day)
        read = toy_lake.run("gold.toy_daily", ds=day)
    assert shelves[D2] == f"shelf of {D1 if can_carry else D2}"
    assert (carried(stocked), stocked.rows_out) == (str(D1) if can_carry else None, 1)
    # the shelf was made from the same, whoever stocked it
    assert carried(read) == str(D1)


def test_another_code_has_another_digest(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        folder = tmp_path / text
        (folder / "gold").mkdir(parents=True)
        (folder / "gold" / "lists.py").write_text(text)
        return code_digest(folder)

    assert digest("TOP = 10") != digest("TOP = 11")
    assert code_digest() == code_digest()
