"""What a step reads: a log as its published day read it, and a search that an effect serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import EffectResult, Lake, Read, Run, Search, Sink, effect, table
from jobs.lake.errors import NoTable, UpstreamMissing, VersionGone
from jobs.lake.oplog import DRY_RUN
from jobs.lake.settings import ROOT, Sections
from jobs.lake.step import find_step, temporary_steps
from jobs.settings import RunParams
from tests.lake import toy

D1, D2 = date(2026, 1, 1), date(2026, 1, 2)
LOG, DAILY = "ops.toy_notes", "gold.toy_notes_daily"
PINNED = Read(LOG, pinned=True)


@pytest.fixture
def lake(make_lake: Callable[..., Lake], tmp_path: Path) -> Iterator[Lake]:
    """A log of notes, and a daily table that has all of them."""
    folder = tmp_path / "expectations"
    shutil.copytree(ROOT / "expectations" / "ops", folder / "ops")
    toy.write_contracts(folder, toy.NOTES)
    lake = make_lake(contracts=folder)
    for name in toy.NOTES:
        lake.tables.create(lake.contracts[name])
    with temporary_steps():
        register(PINNED)
        yield lake


def register(read: Read) -> None:
    table(DAILY, reads={"notes": read})(lambda run, notes: notes.select("note"))


def note(lake: Lake, *said: str) -> None:
    for one in said:
        Sink(lake.tables).append(LOG, pa.table({"note": [one]}), one)


def published(lake: Lake, ds: date = D1) -> list[str]:
    rows = lake.tables.read(DAILY).where(F.col("ds") == F.lit(ds)).collect()
    return sorted(row.note for row in rows)


def test_a_row_that_comes_after_a_day_was_published_does_not_change_its_rerun(lake: Lake) -> None:
    note(lake, "in time")
    lake.run(DAILY, ds=D1)
    note(lake, "too late")
    lake.run(DAILY, ds=D1)
    assert published(lake) == ["in time"]


def test_another_day_sees_all_that_is_there(lake: Lake) -> None:
    note(lake, "in time")
    lake.run(DAILY, ds=D1)
    note(lake, "too late")
    lake.run(DAILY, ds=D2)
    assert published(lake, D2) == ["in time", "too late"]


def test_a_read_that_is_not_pinned_sees_a_later_row(lake: Lake) -> None:
    """Without the guard: the same day has other rows."""
    register(Read(LOG))
    note(lake, "in time")
    lake.run(DAILY, ds=D1)
    note(lake, "too late")
    lake.run(DAILY, ds=D1)
    assert published(lake) == ["in time", "too late"]


def test_a_run_with_known_on_sees_later_rows_and_a_later_rerun_sees_what_it_saw(
    lake: Lake,
) -> None:
    note(lake, "in time")
    lake.run(DAILY, ds=D1)
    note(lake, "seen by known_on")
    lake.run(DAILY, ds=D1, params=RunParams(known_on=D2))
    assert published(lake) == ["in time", "seen by known_on"]
    note(lake, "after both")
    lake.run(DAILY, ds=D1)
    assert published(lake) == ["in time", "seen by known_on"]


def test_what_a_dry_run_saw_binds_no_later_run(lake: Lake) -> None:
    note(lake, "in time")
    assert lake.run(DAILY, ds=D1, params=RunParams(dry_run=True)).status == DRY_RUN
    note(lake, "before the first publish")
    lake.run(DAILY, ds=D1)
    assert published(lake) == ["before the first publish", "in time"]


def test_a_version_that_is_gone_stops_the_rerun_and_readers_keep_the_day(lake: Lake) -> None:
    note(lake, "in time")
    record = lake.run(DAILY, ds=D1)
    note(lake, "too late")
    log = DeltaTable(lake.tables.path(LOG))
    log.create_checkpoint()
    for version in range(log.version()):
        Path(lake.tables.path(LOG), "_delta_log", f"{version:020}.json").unlink()
    with pytest.raises(VersionGone) as error:
        lake.run(DAILY, ds=D1)
    message = str(error.value)
    assert f"{DAILY} ds=2026-01-01: expected version {record.reads[LOG]} of {LOG}" in message
    assert "Nothing was published" in message
    assert published(lake) == ["in time"]
    lake.run(DAILY, ds=D1, params=RunParams(known_on=D1))
    assert published(lake) == ["in time", "too late"]


def reads_a_search(run: Run, notes: DataFrame, search: Callable[[str], str]) -> DataFrame:
    return notes.select(F.concat("note", F.lit(search(" is near "))).alias("note"))


def test_a_search_is_the_one_of_the_effect_for_the_day(lake: Lake) -> None:
    def opens(settings: Sections, ds: date) -> Callable[[str], str]:
        return lambda asked: f"{asked}{ds} by {settings.encoder.encoder}"

    @effect("milvus.toy", reads={}, settings=("encoder",), opens=opens)
    def toy_index(run: Run, sink: Sink) -> EffectResult:
        raise AssertionError("a reader does not run the effect")

    table(DAILY, reads={"notes": PINNED, "search": Search("milvus.toy")})(reads_a_search)
    note(lake, "tea")
    record = lake.run(DAILY, ds=D1)
    lake.run(DAILY, ds=D2)
    assert published(lake, D1) == ["tea is near 2026-01-01 by minilm-l6"]
    assert published(lake, D2) == ["tea is near 2026-01-02 by minilm-l6"]
    assert set(record.reads) == {LOG}


def test_a_search_sees_the_settings_that_its_effect_declares_and_no_others(lake: Lake) -> None:
    def opens(settings: Sections, ds: date) -> Callable[[str], str]:
        return lambda asked: settings.milvus.milvus_uri

    @effect("milvus.toy", reads={}, settings=("encoder",), opens=opens)
    def toy_index(run: Run, sink: Sink) -> EffectResult:
        return EffectResult(0, 0)

    reads = {"notes": PINNED, "search": Search("milvus.toy")}
    table(DAILY, reads=reads, settings=("milvus",))(reads_a_search)
    note(lake, "tea")
    with pytest.raises(AttributeError, match="declares these sections: encoder"):
        lake.run(DAILY, ds=D1)


def test_a_search_of_an_effect_that_opens_none_is_an_error(lake: Lake) -> None:
    @effect("milvus.toy", reads={})
    def toy_index(run: Run, sink: Sink) -> EffectResult:
        return EffectResult(0, 0)

    table(DAILY, reads={"notes": PINNED, "search": Search("milvus.toy")})(reads_a_search)
    with pytest.raises(TypeError, match=r"milvus\.toy serves no search"):
        lake.run(DAILY, ds=D1)
    assert published(lake) == []


def test_a_search_of_an_effect_that_nobody_registered_is_an_error(lake: Lake) -> None:
    table(DAILY, reads={"notes": PINNED, "search": Search("milvus.nobody")})(reads_a_search)
    with pytest.raises(NoTable, match=r"milvus\.nobody"):
        lake.run(DAILY, ds=D1)


def test_what_no_source_delivers_is_not_waited_for(
    make_lake: Callable[..., Lake], tmp_path: Path
) -> None:
    """Users are optional: their tables stay empty, and nobody has to run them."""
    profiles = find_step("silver.user_profiles")
    tables = ["silver.user_profiles", "silver.interactions", "silver.items", "silver.users"]
    sources = tmp_path / "sources"
    sources.mkdir()

    def wait(lake: Lake, step: str = "silver.user_profiles") -> None:
        past = lake.log.past([*tables, "bronze.users"])
        lake.reader.require_upstream(find_step(step), lake.by_hand(D1), past)

    lake = make_lake(sources=sources)
    for name in tables[1:3]:
        toy.record_published(lake, name, D1, 1)
    assert "users" in profiles.reads
    with pytest.raises(UpstreamMissing, match=r"it reads silver\.users, which has no published"):
        wait(lake)  # without any mapping nobody can tell
    for mapping in ("complete_journey_events", "complete_journey_items"):
        shutil.copy(ROOT / "sources" / f"{mapping}.yaml", sources)
    wait(lake)
    wait(lake, "silver.users")
    shutil.copy(ROOT / "sources" / "complete_journey_users.yaml", sources)
    with pytest.raises(UpstreamMissing, match=r"reclake run silver\.users --ds 2026-01-01"):
        wait(lake)
    # once they were delivered, they are waited for
    toy.record_published(lake, "silver.users", D1, 1)
    (sources / "complete_journey_users.yaml").unlink()
    wait(lake)
    with pytest.raises(UpstreamMissing, match=r"silver\.interactions"):
        lake.reader.require_upstream(
            profiles, lake.by_hand(D2), lake.log.past([*tables, "bronze.users"])
        )
