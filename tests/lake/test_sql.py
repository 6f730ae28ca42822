"""SQL without Spark: on a small lake of two days that deltalake writes itself."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.lake.errors import NoTable, Terminal, UpstreamMissing
from jobs.lake.sql import BadQuery, LakeSql

FIRST, SECOND = dt.date(2017, 12, 29), dt.date(2017, 12, 30)

I2I = pa.table(
    {
        "ds": pa.array([FIRST, FIRST, SECOND], pa.date32()),
        "item_id": ["a", "b", "a"],
        "neighbor_item_id": ["b", "a", "c"],
        "score": [0.5, 0.25, 1.0],
        "method_scores": pa.array(
            [[("swing", 0.5)], [], [("content", 1.0), ("swing", 0.25)]],
            pa.map_(pa.string(), pa.float64()),
        ),
    }
)
RUNS = pa.table(
    {
        "table": ["gold.i2i_daily"],
        "recorded_at": pa.array(
            [dt.datetime(2017, 12, 30, 4, tzinfo=dt.UTC)], pa.timestamp("us", "UTC")
        ),
    }
)


@pytest.fixture
def contracts(tmp_path: Path) -> Path:
    folder = tmp_path / "expectations"
    for name in ("gold/i2i_daily", "gold/user_recall_daily", "silver/items", "ops/runs"):
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.fixture
def lake(tmp_path: Path, contracts: Path) -> LakeSql:
    folder = str(tmp_path / "lake")
    write_deltalake(f"{folder}/gold/i2i_daily", I2I, partition_by=["ds"])
    write_deltalake(f"{folder}/ops/runs", RUNS)
    return LakeSql(folder, contracts)


def test_a_query_joins_tables_of_two_zones(lake: LakeSql) -> None:
    answer = lake.query(
        "SELECT i.item_id, r.recorded_at FROM gold.i2i_daily i, ops.runs r WHERE score < 0.3"
    )
    assert answer.columns == ["item_id", "recorded_at"]
    assert [(item, at.isoformat()) for item, at in answer.rows] == [
        ("b", "2017-12-30T04:00:00+00:00")
    ]


def test_a_map_column_comes_back_as_a_dict(lake: LakeSql) -> None:
    answer = lake.query("SELECT method_scores FROM gold.i2i_daily WHERE ds = '2017-12-30'")
    assert answer.rows == [({"content": 1.0, "swing": 0.25},)]


def test_latest_shows_the_newest_day(lake: LakeSql) -> None:
    answer = lake.query("SELECT ds, item_id, neighbor_item_id FROM gold.i2i_latest")
    assert answer.records() == [{"ds": SECOND, "item_id": "a", "neighbor_item_id": "c"}]


def test_latest_goes_no_further_than_the_named_day(lake: LakeSql, contracts: Path) -> None:
    earlier = LakeSql(lake.lake, contracts, ds=FIRST)
    assert earlier.query("SELECT DISTINCT ds FROM gold.i2i_latest").rows == [(FIRST,)]
    before_all = LakeSql(lake.lake, contracts, ds=dt.date(2017, 1, 1))
    assert before_all.query("SELECT * FROM gold.i2i_latest").rows == []


def test_a_day_is_a_value_of_the_query(lake: LakeSql) -> None:
    sql = "SELECT count(*) FROM gold.i2i_daily WHERE ds = $ds"
    assert lake.query(sql, {"ds": FIRST}).rows == [(2,)]
    with pytest.raises(BadQuery, match=r"\$ds has no value; name a day with --ds"):
        lake.query(sql)


def test_a_value_that_the_query_does_not_use_is_ignored(lake: LakeSql) -> None:
    assert lake.query("SELECT 1", {"ds": FIRST}).rows == [(1,)]


def test_only_tables_that_the_query_names_are_opened(lake: LakeSql) -> None:
    lake.query("SELECT 1 FROM gold.i2i_daily")
    assert set(lake._opened) == {"gold.i2i_daily"}


def test_a_filter_on_the_day_reaches_the_scan(lake: LakeSql) -> None:
    plan = lake.query("EXPLAIN SELECT item_id FROM gold.i2i_daily WHERE ds = DATE '2017-12-30'")
    text = plan.rows[0][1]
    assert "ARROW_SCAN" in text
    assert "2017-12-30" in text.split("ARROW_SCAN")[1], "the filter is not part of the scan"
    assert "neighbor_item_id" not in text, "a column nobody asked for is read"


def test_limit_says_when_rows_were_left_out(lake: LakeSql) -> None:
    sql = "SELECT item_id FROM gold.i2i_daily ORDER BY ds, item_id"
    cut = lake.query(sql, limit=2)
    assert (cut.rows, cut.truncated) == ([("a",), ("b",)], True)
    whole = lake.query(sql, limit=3)
    assert (len(whole.rows), whole.truncated) == (3, False)


def test_quoted_and_upper_case_names_are_found(lake: LakeSql) -> None:
    assert lake.query('SELECT count(*) FROM "gold"."i2i_daily"').rows == [(3,)]
    assert lake.query("SELECT count(*) FROM GOLD.I2I_DAILY").rows == [(3,)]


def test_one_reader_sees_one_version_of_a_table(lake: LakeSql, contracts: Path) -> None:
    assert lake.query("SELECT count(*) FROM gold.i2i_daily").rows == [(3,)]
    write_deltalake(f"{lake.lake}/gold/i2i_daily", I2I, mode="append")
    assert lake.query("SELECT count(*) FROM gold.i2i_daily").rows == [(3,)]
    assert LakeSql(lake.lake, contracts).query("SELECT count(*) FROM gold.i2i_daily").rows == [(6,)]


def test_rows_that_a_day_replaced_are_gone(lake: LakeSql) -> None:
    write_deltalake(
        f"{lake.lake}/gold/i2i_daily", I2I.slice(2), mode="overwrite", predicate="ds = '2017-12-30'"
    )
    assert lake.query("SELECT count(*) FROM gold.i2i_daily").rows == [(3,)]


def test_an_unknown_table_names_the_nearest(lake: LakeSql) -> None:
    with pytest.raises(BadQuery, match=r"gold\.i2i_dayly: no such table; did you mean gold\.i2i_d"):
        lake.query("SELECT * FROM gold.i2i_dayly")


def test_a_table_without_its_zone_is_told_the_zone(lake: LakeSql) -> None:
    with pytest.raises(BadQuery, match=r"i2i_latest: no such table; did you mean gold\.i2i_latest"):
        lake.query("SELECT * FROM i2i_latest")


def test_a_table_that_is_not_in_the_lake_yet_says_what_to_run(lake: LakeSql) -> None:
    for name in ("silver.items", "gold.user_recall_latest"):
        with pytest.raises(UpstreamMissing, match=r"not in the lake .* yet.*reclake init"):
            lake.query(f"SELECT * FROM {name}")
    with pytest.raises(NoTable, match=r"gold\.i2i: no such table; did you mean gold\.i2i_daily"):
        lake.open("gold.i2i")


def test_an_unknown_column_names_the_columns(lake: LakeSql) -> None:
    with pytest.raises(BadQuery) as caught:
        lake.query("SELECT neighbour FROM gold.i2i_latest")
    assert '"neighbour" not found' in str(caught.value)
    assert "gold.i2i_daily has ds, item_id, neighbor_item_id, score, method_scores" in str(
        caught.value
    )


def test_a_syntax_error_shows_the_place(lake: LakeSql) -> None:
    with pytest.raises(BadQuery, match=r'near "gold"\n\nLINE 1: SELECT item_id FORM gold\.'):
        lake.query("SELECT item_id FORM gold.i2i_daily WHERE 1")


@pytest.mark.parametrize(
    "sql",
    [
        "DROP VIEW gold.i2i_daily",
        "CREATE TABLE t AS SELECT 1",
        "SET enable_external_access = true",
        "SELECT 1; SELECT 2",
        "ATTACH 'other.db'",
        "INSTALL httpfs",
        "PRAGMA database_list",
        "",
        "-- nothing",
    ],
)
def test_anything_but_one_select_is_refused(lake: LakeSql, sql: str) -> None:
    with pytest.raises(BadQuery, match="expected one SELECT, found"):
        lake.query(sql)


def test_nothing_outside_the_lake_can_be_read_or_written(lake: LakeSql, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("key\nhunter2\n")
    parquet = next(Path(lake.lake).glob("gold/i2i_daily/ds=*/*.parquet"))
    for sql in (
        f"SELECT * FROM read_csv('{secret}')",
        f"SELECT * FROM '{secret}'",
        f"SELECT * FROM read_text('{secret}')",
        f"SELECT * FROM glob('{tmp_path}/*')",
        f"SELECT * FROM read_parquet('{parquet}')",
        f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
    ):
        with pytest.raises(BadQuery):
            lake.query(sql)
    assert not (tmp_path / "out.csv").exists()


def test_frames_of_the_calling_process_are_not_tables(lake: LakeSql) -> None:
    passwords = pa.table({"password": ["hunter2"]})
    with pytest.raises(BadQuery, match="passwords: no such table"):
        lake.query("SELECT * FROM passwords")
    assert passwords.num_rows == 1


def test_newest_day_and_row_count_come_from_the_log(lake: LakeSql, contracts: Path) -> None:
    assert lake.newest_ds("gold.i2i_daily") == SECOND
    assert LakeSql(lake.lake, contracts, FIRST).newest_ds("gold.i2i_daily") == FIRST
    assert lake.count("gold.i2i_daily") == 3
    for file in Path(lake.lake).glob("gold/i2i_daily/ds=*/*.parquet"):
        file.unlink()
    fresh = LakeSql(lake.lake, contracts)
    assert (fresh.newest_ds("gold.i2i_daily"), fresh.count("gold.i2i_daily")) == (SECOND, 3)


def test_an_empty_table_has_columns_and_no_rows(lake: LakeSql, contracts: Path) -> None:
    empty = f"{lake.lake}/gold/user_recall_daily"
    DeltaTable.create(empty, schema=I2I.schema, partition_by=["ds"])
    assert lake.query("SELECT * FROM gold.user_recall_daily").columns == I2I.column_names
    assert lake.query("SELECT * FROM gold.user_recall_latest").rows == []
    assert lake.newest_ds("gold.user_recall_daily") is None


def write_feature(lake: LakeSql, action: dict[str, object]) -> None:
    """Commit one action to the log of gold.i2i_daily, as another writer may."""
    log = Path(lake.lake) / "gold" / "i2i_daily" / "_delta_log" / f"{1:020}.json"
    log.write_text(json.dumps(action) + "\n")


def test_deletion_vectors_are_refused_rather_than_overlooked(lake: LakeSql) -> None:
    features = ["deletionVectors"]
    protocol = {"readerFeatures": features, "writerFeatures": features}
    write_feature(lake, {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7} | protocol})
    with pytest.raises(Terminal, match=r"gold\.i2i_daily: written with .*deletionVectors"):
        lake.query("SELECT * FROM gold.i2i_daily")


def test_mapped_column_names_are_refused_rather_than_read_as_null(lake: LakeSql) -> None:
    first = Path(lake.lake) / "gold" / "i2i_daily" / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in first.read_text().splitlines()]
    metadata = next(action for action in actions if "metaData" in action)
    metadata["metaData"]["configuration"] = {"delta.columnMapping.mode": "name"}
    write_feature(lake, metadata)
    with pytest.raises(Terminal, match=r"gold\.i2i_daily: written with .*columnMapping"):
        lake.query("SELECT * FROM gold.i2i_daily")


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([FIRST, SECOND]),
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
    )
)
def test_what_is_written_is_what_a_query_returns(
    rows: list[tuple[dt.date, str, float | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("lake")
    (folder / "contracts" / "gold").mkdir(parents=True)
    (folder / "contracts" / "gold" / "i2i_daily.yaml").touch()
    days, items, scores = zip(*rows, strict=True)
    table = pa.table(
        {
            "ds": pa.array(days, pa.date32()),
            "item_id": pa.array(items, pa.string()),
            "score": pa.array(scores, pa.float64()),
        }
    )
    write_deltalake(str(folder / "gold" / "i2i_daily"), table, partition_by=["ds"])
    lake = LakeSql(str(folder), folder / "contracts")
    found = lake.query("SELECT ds, item_id, score FROM gold.i2i_daily").rows
    assert sorted(found, key=repr) == sorted(rows, key=repr)
