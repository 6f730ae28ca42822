"""What the runtime promises for any table; the tables are a toy's (tests/lake/toy.py)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Judgement, Lake, Outcome, PublishGate, Read, Run, table
from jobs.lake.contract import Contracts
from jobs.lake.errors import AuditFailed, NoTable, RowsVanished, SchemaMismatch, UpstreamMissing
from jobs.lake.expectations import NO_WORSE
from jobs.lake.oplog import DRY_RUN, PUBLISHED, SKIPPED, UNCHANGED
from jobs.lake.settings import ROOT
from jobs.lake.step import steps, temporary_steps
from jobs.settings import RecallSettings, RunParams
from tests.lake import toy

D1, D2, D3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)


@pytest.fixture
def toy_lake(make_lake, tmp_path: Path) -> Iterator[Lake]:
    folder = tmp_path / "expectations"
    shutil.copytree(ROOT / "expectations" / "ops", folder / "ops")
    toy.write_contracts(folder, toy.CONTRACTS)
    lake = make_lake(contracts=folder)
    for name in toy.CONTRACTS:
        lake.tables.create(lake.contracts[name])
    with temporary_steps():
        toy.register()
        yield lake


def rows(lake: Lake, name: str, *columns: str) -> list[tuple]:
    return sorted(tuple(row) for row in lake.tables.read(name).select(*columns).collect())


def test_a_day_is_published_and_recorded(toy_lake: Lake) -> None:
    toy.receive(toy_lake, D1, {"a": 1.0, "b": 2.0})
    silver = toy_lake.run("silver.toy", ds=D1)
    gold = toy_lake.run("gold.toy_daily", ds=D1)
    assert (silver.status, silver.rows_in, silver.rows_out) == (PUBLISHED, 2, 2)
    assert (gold.status, gold.rows_out) == (PUBLISHED, 2)
    assert rows(toy_lake, "gold.toy_daily", "ds", "item_id", "price") == [
        (D1, "a", 1.0),
        (D1, "b", 2.0),
    ]
    recorded = toy_lake.tables.read("ops.runs").where(F.col("table") == "gold.toy_daily").collect()
    assert [(r.status, r.rows_out, set(r.reads)) for r in recorded] == [
        (PUBLISHED, 2, {"silver.toy"})
    ]
    checks = {r.check for r in toy_lake.tables.read("ops.audits").collect()}
    assert "expect_column_values_to_be_between" in checks
    assert "expect_compound_columns_to_be_unique" in checks
    for name in ("silver.toy", "gold.toy_daily"):
        folder = Path(toy_lake.tables.path(name))
        kept = {Path(uri) for uri in DeltaTable(folder).file_uris()}
        assert set(folder.rglob("*.parquet")) == kept, name


def test_invariant_1_a_day_sees_only_what_was_known_on_it(toy_lake: Lake) -> None:
    toy.receive(toy_lake, D1, {"a": 1.0})
    toy.receive(toy_lake, D2, {"a": 9.0, "b": 2.0})
    toy_lake.run("silver.toy", ds=D2)
    toy_lake.run("gold.toy_daily", ds=D1)
    assert rows(toy_lake, "gold.toy_daily", "item_id", "price") == [("a", 1.0)]


def test_invariant_1_known_on_lets_a_backfill_see_late_arrivals(toy_lake: Lake) -> None:
    toy.receive(toy_lake, D1, {"a": 1.0})
    toy.receive(toy_lake, D2, {"a": 9.0})
    toy_lake.run("silver.toy", ds=D2)
    toy_lake.run("gold.toy_daily", ds=D1, params=RunParams(known_on=D2))
    assert rows(toy_lake, "gold.toy_daily", "ds", "item_id", "price") == [(D1, "a", 9.0)]


@pytest.mark.parametrize("order", [(D1, D2, D3), (D3, D2, D1), (D2, D1, D2, D3, D1)])
def test_invariant_2_days_give_the_same_rows_in_any_order(
    toy_lake: Lake, order: tuple[date, ...]
) -> None:
    toy.receive(toy_lake, D1, {"a": 1.0, "b": 2.0})
    toy.receive(toy_lake, D2, {"a": 3.0})
    toy.receive(toy_lake, D3, {"b": 2.0, "c": 4.0})
    for day in order:
        toy_lake.run("silver.toy", ds=day)
        toy_lake.run("gold.toy_daily", ds=day)
    # a: 1 then 3; b stays 2 (the third day only repeats it); c begins on the third day
    assert rows(toy_lake, "gold.toy_daily", "ds", "item_id", "price") == [
        (D1, "a", 1.0),
        (D1, "b", 2.0),
        (D2, "a", 3.0),
        (D2, "b", 2.0),
        (D3, "a", 3.0),
        (D3, "b", 2.0),
        (D3, "c", 4.0),
    ]


def test_a_taken_in_day_is_frozen(toy_lake: Lake) -> None:
    toy.receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("silver.toy", ds=D1)
    again = toy_lake.run("silver.toy", ds=D1)
    assert again.status == UNCHANGED
    assert rows(toy_lake, "silver.toy", "item_id", "valid_from", "price") == [("a", D1, 1.0)]


def test_invariant_3_a_failed_check_leaves_yesterday_in_place(toy_lake: Lake) -> None:
    toy.receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("silver.toy", ds=D1)
    toy_lake.run("gold.toy_daily", ds=D1)
    toy.receive(toy_lake, D2, {"a": 101.0})
    toy_lake.run("silver.toy", ds=D2)
    with pytest.raises(AuditFailed) as error:
        toy_lake.run("gold.toy_daily", ds=D2)
    message = str(error.value)
    assert "gold.toy_daily ds=2026-01-02" in message
    assert "expect_column_values_to_be_between" in message
    assert "101" in message
    assert "Nothing was published" in message
    assert rows(toy_lake, "gold.toy_daily", "ds", "price") == [(D1, 1.0)]
    failed = toy_lake.tables.read("ops.runs").where("status = 'failed'").collect()
    assert [(r.table, r.ds) for r in failed] == [("gold.toy_daily", D2)]
    unmet = toy_lake.tables.read("ops.audits").where("NOT success").collect()
    assert [(r.check, r.severity) for r in unmet] == [
        ("expect_column_values_to_be_between", "error")
    ]


BROKEN_DAYS: dict[str, tuple[str, Callable[[DataFrame], DataFrame]]] = {
    "a repeated key": (
        "expect_compound_columns_to_be_unique",
        lambda items: items.union(items),
    ),
    "a null in a required column": (
        "expect_column_values_to_not_be_null",
        lambda items: items.withColumn("price", F.lit(None).cast("double")),
    ),
}


@pytest.mark.parametrize(("check", "broken"), BROKEN_DAYS.values(), ids=BROKEN_DAYS)
def test_invariant_3_what_a_contract_implies_stops_a_day_as_what_it_states(
    toy_lake: Lake, check: str, broken: Callable[[DataFrame], DataFrame]
) -> None:
    for day, price in ((D1, 1.0), (D2, 2.0)):
        toy.receive(toy_lake, day, {"a": price})
        toy_lake.run("silver.toy", ds=day)
    toy_lake.run("gold.toy_daily", ds=D1)
    table("gold.toy_daily", reads={"items": Read("silver.toy")})(
        lambda run, items: broken(items.select("item_id", "price"))
    )
    with pytest.raises(AuditFailed, match=check):
        toy_lake.run("gold.toy_daily", ds=D2)
    assert rows(toy_lake, "gold.toy_daily", "ds", "item_id", "price") == [(D1, "a", 1.0)]
    unmet = toy_lake.tables.read("ops.audits").where("NOT success").collect()
    assert [(r.ds, r.check, r.severity) for r in unmet] == [(D2, check, "error")]


def test_invariant_5_dropped_rows_are_quarantined_or_folded(toy_lake: Lake) -> None:
    toy.receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("silver.toy", ds=D1)
    toy.receive(toy_lake, D2, {"a": 1.0, "b": None, "c": 3.0})
    record = toy_lake.run("silver.toy", ds=D2)
    counted = (record.rows_in, record.rows_out, record.rows_quarantined, record.rows_folded)
    assert counted == (3, 1, 1, 1)
    (rejected,) = toy_lake.tables.read("ops.quarantine").collect()
    assert (rejected.table, rejected.ds, rejected.source_file) == (
        "silver.toy",
        D2,
        "toy-2026-01-02.csv",
    )
    assert (rejected.row_id, rejected.column, rejected.reason) == ("1", "price", "price is missing")
    assert json.loads(rejected.payload) == {"item_id": "b"}


def test_invariant_5_a_row_that_vanishes_stops_the_day(toy_lake: Lake) -> None:
    toy.receive(toy_lake, D1, {"a": 1.0, "b": 2.0})

    def forgetful(run, received, held):
        kept = received.where("item_id <> 'b'")
        return Outcome(
            kept.select("item_id", F.col("ingest_ds").alias("valid_from"), "price", "row_hash")
        )

    reads = {"received": Read("bronze.toy", pending=True), "held": Read("silver.toy")}
    table("silver.toy", reads=reads, accounts_for="received")(forgetful)
    with pytest.raises(RowsVanished, match=r"2 rows in, but 1 out \+ 0 quarantined \+ 0 folded"):
        toy_lake.run("silver.toy", ds=D1)
    assert rows(toy_lake, "silver.toy", "item_id") == []


def test_invariant_10_a_table_without_a_contract_cannot_be_written(toy_lake: Lake) -> None:
    name = "gold.nobody_daily"
    table(name, reads={"items": Read("silver.toy")})(lambda run, items: items)
    tables = toy_lake.tables
    frame = tables.read("silver.toy")
    for write in (
        lambda: tables.append(name, frame),
        lambda: tables.append_arrow(name, frame.toArrow(), "chunk-1"),
        lambda: tables.stage(name, frame, {"ds": str(D1)}),
        lambda: tables.replace(name, frame, "item_id = 'a'"),
        lambda: tables.insert_new(name, frame),
        lambda: toy_lake.run(name, ds=D1),
    ):
        with pytest.raises(NoTable, match=r"gold\.nobody_daily: no contract"):
            write()
    assert not Path(tables.lake, "gold", "nobody_daily").exists()


def test_a_wrong_type_names_the_column(toy_lake: Lake) -> None:
    toy.receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("silver.toy", ds=D1)

    @table("gold.toy_daily", reads={"items": Read("silver.toy")})
    def toy_daily(run, items):
        return items.select(F.lit(1).alias("item_id"), F.lit("x").alias("extra"))

    with pytest.raises(SchemaMismatch) as error:
        toy_lake.run("gold.toy_daily", ds=D1)
    message = str(error.value)
    assert "missing price" in message
    assert "unknown extra" in message
    assert "item_id: expected string, found int" in message


def test_a_missing_upstream_day_names_the_next_command(toy_lake: Lake) -> None:
    with pytest.raises(UpstreamMissing, match=r"reclake run silver\.toy --ds 2026-01-01"):
        toy_lake.run("gold.toy_daily", ds=D1)


SLICED = {
    "silver.toy_candidates": toy.HEAD
    | {
        "table": "silver.toy_candidates",
        "layout": "daily",
        "partition": ["ds", "method"],
        "slice": "method",
        "key": ["ds", "method", "item_id"],
        "columns": [
            toy.column("ds", "date"),
            toy.column("method", "string"),
            toy.column("item_id", "string"),
        ],
        "checks": [],
    },
    "gold.toy_lists_daily": toy.HEAD
    | {
        "table": "gold.toy_lists_daily",
        "layout": "daily",
        "partition": ["ds"],
        "key": ["ds", "item_id", "method"],
        "columns": [
            toy.column("ds", "date"),
            toy.column("item_id", "string"),
            toy.column("method", "string"),
        ],
        "checks": [],
    },
}


def register_slices() -> None:
    items = {"items": Read("silver.toy")}
    for method in ("content", "slim"):
        table("silver.toy_candidates", reads=items, slice={"method": method})(
            lambda run, items: items.select("item_id")
        )
    table("gold.toy_lists_daily", reads={"candidates": Read("silver.toy_candidates")})(
        lambda run, candidates: candidates.select("item_id", "method")
    )


def test_every_slice_that_a_run_selects_has_to_be_there(toy_lake: Lake) -> None:
    toy.write_contracts(toy_lake.settings.contracts, SLICED)
    lake = Lake(toy_lake.spark, toy_lake.settings)
    lake.create_all()
    register_slices()
    toy.receive(lake, D1, {"a": 1.0})
    lake.run("silver.toy", ds=D1)
    only_content = RunParams(methods=("content",))
    for method in ("content", "slim"):
        lake.run("silver.toy_candidates", slice=method, ds=D1, params=only_content)
    with pytest.raises(
        UpstreamMissing,
        match=r"silver\.toy_candidates\.slim, .* "
        r"`reclake run silver\.toy_candidates --slice slim --ds 2026-01-01`",
    ):
        lake.run("gold.toy_lists_daily", ds=D1)
    assert rows(lake, "gold.toy_lists_daily", "item_id", "method") == []
    lake.run("gold.toy_lists_daily", ds=D1, params=only_content)
    assert rows(lake, "gold.toy_lists_daily", "item_id", "method") == [("a", "content")]


def test_a_slice_without_a_weight_is_built_only_when_asked_for(toy_lake: Lake) -> None:
    toy.write_contracts(toy_lake.settings.contracts, SLICED)
    recall = RecallSettings.model_validate({"i2i": {"weights": {"content": 1.0}}})
    lake = Lake(toy_lake.spark, toy_lake.settings.model_copy(update={"recall": recall}))
    lake.create_all()
    register_slices()
    toy.receive(lake, D1, {"a": 1.0})
    lake.run("silver.toy", ds=D1)
    lake.run("silver.toy_candidates", slice="content", ds=D1)
    assert lake.run("silver.toy_candidates", slice="slim", ds=D1).status == SKIPPED
    lake.run("gold.toy_lists_daily", ds=D1)
    assert rows(lake, "gold.toy_lists_daily", "item_id", "method") == [("a", "content")]
    both = RunParams(methods=("content", "slim"))
    assert lake.run("silver.toy_candidates", slice="slim", ds=D1, params=both).status == PUBLISHED
    lake.run("gold.toy_lists_daily", ds=D1)
    assert rows(lake, "gold.toy_lists_daily", "item_id", "method") == [("a", "content")]
    lake.run("gold.toy_lists_daily", ds=D1, params=both)
    assert rows(lake, "gold.toy_lists_daily", "method") == [("content",), ("slim",)]


def test_a_dry_run_publishes_nothing(toy_lake: Lake) -> None:
    toy.receive(toy_lake, D1, {"a": 1.0})
    toy_lake.run("silver.toy", ds=D1)
    record = toy_lake.run("gold.toy_daily", ds=D1, params=RunParams(dry_run=True))
    assert (record.status, record.rows_out) == (DRY_RUN, 1)
    assert rows(toy_lake, "gold.toy_daily", "item_id") == []
    later = toy_lake.run("gold.toy_daily", ds=D2, params=RunParams(dry_run=True))
    assert later.status == DRY_RUN
    assert "reclake run silver.toy --ds 2026-01-02" in later.error


def test_a_dry_run_writes_its_record_and_its_checks_alone(toy_lake: Lake) -> None:
    def versions() -> dict[str, int]:
        return {c.table: toy_lake.tables.version(c.table) for c in toy_lake.contracts}

    toy.receive(toy_lake, D1, {"a": 1.0, "b": None})
    before = versions()
    record = toy_lake.run("silver.toy", ds=D1, params=RunParams(dry_run=True))
    assert (record.status, record.rows_out, record.rows_quarantined) == (DRY_RUN, 1, 1)
    written = {name for name, version in versions().items() if version != before[name]}
    assert written == {"ops.runs", "ops.audits"}


GATE = {"expect": NO_WORSE, "days": 2, "severity": "error"}
GATED = {"gold.toy_daily": toy.CONTRACTS["gold.toy_daily"] | {"checks": [GATE]}}
SEEN_ON_D3 = {
    "the oldest trailing day, made again": (True, (D1, 1.0, 1.0, 3.0)),
    "today beside the newest": (False, (D2, 3.0, 2.0, 3.0)),
}


@pytest.mark.parametrize(("rebuilds", "on_d3"), SEEN_ON_D3.values(), ids=SEEN_ON_D3)
def test_a_gate_sees_earlier_rows_and_what_is_known_now(
    toy_lake: Lake, rebuilds: bool, on_d3: tuple[date, float, float, float]
) -> None:
    toy.write_contracts(toy_lake.settings.contracts, GATED)
    lake = Lake(toy_lake.spark, toy_lake.settings)
    seen = []

    def judge(run: Run, made_on: date, rows: DataFrame, published: DataFrame, items: DataFrame):
        prices = [frame.select("price").collect()[0][0] for frame in (rows, published, items)]
        seen.append((made_on, *prices))
        return Judgement(run.ds < D3, "seen")

    reads = {"items": Read("silver.toy")}
    table(
        "gold.toy_daily",
        reads=reads,
        gate=PublishGate(judge, reads, rebuilds, "docs/runbooks/toy.md"),
    )(lambda run, items: items.select("item_id", "price"))
    for day, price in ((D1, 1.0), (D2, 2.0), (D3, 3.0)):
        toy.receive(lake, day, {"a": price})
        lake.run("silver.toy", ds=day)
        if day < D3:
            lake.run("gold.toy_daily", ds=day)
    with pytest.raises(AuditFailed, match=r"seen\. Nothing .* docs/runbooks/toy"):
        lake.run("gold.toy_daily", ds=D3)
    assert [made_on for made_on, *_ in seen] == [D1, on_d3[0]]
    assert seen[-1] == on_d3
    assert rows(lake, "gold.toy_daily", "ds") == [(D1,), (D2,)]
    audits = lake.tables.read("ops.audits").where(F.col("check") == NO_WORSE)
    assert [r.observed for r in audits.orderBy("recorded_at").collect()] == [
        "nothing to compare with in the 2 days before",
        "seen",
        "seen",
    ]


def test_contracts_ask_the_gates_that_there_are() -> None:
    asked = {
        contract.table
        for contract in Contracts(ROOT / "expectations")
        if any(check.expect == NO_WORSE for check in contract.checks)
    }
    assert asked == {step.name for step in steps().values() if step.gate}
    assert asked == {"gold.i2i_daily", "gold.user_recall_daily", "gold.llm_quality_daily"}


def test_an_error_of_one_run_leaves_no_staged_rows(toy_lake: Lake) -> None:
    toy.receive(toy_lake, D1, {"a": -1.0})
    toy_lake.run("silver.toy", ds=D1)
    with pytest.raises(AuditFailed):
        toy_lake.run("gold.toy_daily", ds=D1)
    assert not list(Path(toy_lake.tables.path("gold.toy_daily")).rglob("staged-*"))
    assert not list(Path(toy_lake.settings.home, "scratch").glob("*"))


def test_the_newest_day_of_a_step_is_the_last_that_all_its_inputs_have(toy_lake: Lake) -> None:
    assert toy_lake.newest_day("gold.toy_daily") is None
    for day in (D1, D2):
        toy.receive(toy_lake, day, {"a": 1.0})
    toy_lake.run("silver.toy", ds=D1)
    assert toy_lake.newest_day("gold.toy_daily") == D1
    toy_lake.run("silver.toy", ds=D2)
    assert toy_lake.newest_day("gold.toy_daily") == D2
