"""Proposed mappings: what is guessed, what is asked, and that they can be loaded."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.lake.errors import MappingError
from jobs.lake.intake.init_source import CHANGE_ME, Proposal, init_source
from jobs.lake.intake.mapping import Entity, Source, load_source


def propose(tmp_path: Path, **files: str) -> dict[str, tuple[Proposal, Source]]:
    """Proposals for text files given as `orders_csv="…"`, by entity."""
    samples = []
    for name, text in files.items():
        path = tmp_path / name.replace("_", ".")
        path.write_text(text, encoding="utf-8")
        samples.append(path)
    proposals = init_source("shop", samples, tmp_path / "sources")
    return {p.entity.value: (p, load_source(p.path)) for p in proposals}


def test_columns_are_known_by_their_usual_names(tmp_path: Path) -> None:
    text = "CustomerID,StockCode,InvoiceDate,Quantity,UnitPrice,InvoiceNo\n1,a,2026-01-02,2,3.5,7\n"
    _, source = propose(tmp_path, x_csv=text)["events"]
    assert {name: column.from_ for name, column in source.columns.items()} == {
        "user_id": "CustomerID",
        "item_id": "StockCode",
        "event_ts": "InvoiceDate",
        "event_type": None,
        "quantity": "Quantity",
        "amount": "UnitPrice",
        "session_id": "InvoiceNo",
    }
    assert source.columns["event_type"].constant == "purchase"


@pytest.mark.parametrize(
    ("times", "form"),
    [
        (["2026-01-02T10:00:00Z"], None),
        (["1767341100", "1767341200"], "epoch_seconds"),
        (["1767341100250"], "epoch_millis"),
        (["1767341100250000"], "epoch_micros"),
        (["1767341100250000000"], "epoch_nanos"),
        (["202601150912", "202601150913"], "yyyyMMddHHmm"),
        (["20260115091259"], "yyyyMMddHHmmss"),
        (["20260115"], None),
        (["20260115T1000Z"], None),
        (["2019-10-01 00:00:00 UTC"], None),
        (["2/1/2026 9:05", "13/1/2026 9:05"], "d/M/yyyy H:mm"),
        (["2/1/2026 9:05:00", "2/13/2026 9:05:00"], "M/d/yyyy H:mm:ss"),
        (["13.1.2026"], "d.M.yyyy"),
    ],
)
def test_the_format_of_times_is_told_from_the_values(
    tmp_path: Path, times: list[str], form: str | None
) -> None:
    lines = "".join(f"u,i,{time}\n" for time in times)
    _, source = propose(tmp_path, x_csv="user_id,item_id,ts\n" + lines)["events"]
    assert source.columns["event_ts"].format == form


@pytest.mark.parametrize(
    ("times", "asked"),
    [
        (["2026-01-02T10:00Z", "20260102T100000+0100", "2026-01-02 10:00:00 UTC"], False),
        (["2026-01-02T10:00Z", "2026-01-02T10:00"], True),
        (["2026-01-02"], True),
    ],
)
def test_the_zone_is_asked_for_where_a_time_has_none(
    tmp_path: Path, times: list[str], asked: bool
) -> None:
    lines = "".join(f"u,i,{time}\n" for time in times)
    proposal, _ = propose(tmp_path, x_csv="user_id,item_id,ts\n" + lines)["events"]
    assert any("time zone" in question for question in proposal.questions) is asked
    assert not any("ISO" in question for question in proposal.questions)


def test_times_in_another_unit_than_most_are_asked_about(tmp_path: Path) -> None:
    times = ["1768467600000"] * 3 + ["1768467600"]
    lines = "".join(f"u,i,{time}\n" for time in times)
    proposal, source = propose(tmp_path, x_csv="user_id,item_id,ts\n" + lines)["events"]
    assert source.columns["event_ts"].format == ("epoch_seconds", "epoch_millis")
    (asked,) = [question for question in proposal.questions if "several ways" in question]
    assert asked == (
        "the times of ts are written in several ways: epoch_seconds, epoch_millis. Are they?"
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("CustomerKey,ProductKey,OrderDate,OrderQuantity", {"quantity": "OrderQuantity"}),
        ("customer_id,article_id,t_dat,order_id", {"session_id": "order_id"}),
        ("Member_number,film_id,Date,rating", {}),
        ("user_id,product_id,event_time,user_session", {"session_id": "user_session"}),
        ("userId,movieId,timestamp,rating", {}),
        ("customer_id,product_id,bought_at,qty", {"quantity": "qty"}),
        ("user_id,venue_id,checkin_time,city", {}),
    ],
)
def test_names_of_many_public_data_sets_are_known(
    tmp_path: Path, header: str, expected: dict[str, str]
) -> None:
    user, item, time, _ = header.split(",")
    _, source = propose(tmp_path, x_csv=f"{header}\nu,i,2026-01-02,1\n")["events"]
    found = {n: c.from_ for n, c in source.columns.items() if c.from_}
    assert found == {"user_id": user, "item_id": item, "event_ts": time, **expected}


def test_words_for_nothing_are_proposed_as_nulls(tmp_path: Path) -> None:
    text = "user,item,ts,qty\nNULL,i,2026-01-02,1\nu,i,2026-01-03,nan\n"
    proposal, source = propose(tmp_path, x_csv=text)["events"]
    assert source.nulls == ("NULL", "nan")
    assert any('no value: "NULL", "nan"?' in question for question in proposal.questions)
    _, items = propose(tmp_path, i_csv="sku,title,brand\nNA,None,NULL\n")["items"]
    assert items.nulls == ("NA", "NULL")


def test_a_backslash_before_a_quote_is_proposed_as_an_escape(tmp_path: Path) -> None:
    text = 'sku,title,status\nB1,"Screen 27\\"",active\nB2,Mouse,active\n'
    proposal, source = propose(tmp_path, i_csv=text)["items"]
    assert source.escape == "backslash"
    assert any("escape it? assumed so" in question for question in proposal.questions)


@pytest.mark.parametrize(
    ("prices", "decimal", "thousands", "asked"),
    [
        (["24.90", "5"], ".", None, False),
        (["24,90", "5"], ",", None, False),
        (["24,90", "1.299"], ",", ".", False),
        (["1.299,00"], ",", ".", False),
        (["1,299.00"], ".", ",", False),
        (["1'299.00"], ".", "'", False),
        (["1 299,00"], ",", " ", False),
        (["1.299", "89"], ".", None, True),
        (["1,299", "89"], ".", ",", True),
    ],
)
def test_the_marks_in_numbers_are_told_from_all_of_them_or_asked_about(
    tmp_path: Path, prices: list[str], decimal: str, thousands: str | None, asked: bool
) -> None:
    lines = "".join(f'B{n};Tea;"{price}"\n' for n, price in enumerate(prices))
    proposal, source = propose(tmp_path, i_csv="sku;title;price\n" + lines)["items"]
    assert (source.decimal, source.thousands) == (decimal, thousands)
    assert any("decimal mark or thousands" in q for q in proposal.questions) is asked


def test_a_date_that_can_be_read_two_ways_is_asked_about(tmp_path: Path) -> None:
    proposal, source = propose(tmp_path, x_csv="user,item,date\nu,i,2/1/2026\n")["events"]
    assert source.columns["event_ts"].format == "M/d/yyyy"
    assert any("month or the day" in question for question in proposal.questions)


def test_the_words_of_events_become_ours_and_unknown_ones_are_asked_about(tmp_path: Path) -> None:
    lines = "".join(f"u,i,2026-01-02,{word}\n" for word in ("Order", "pageview", "heartbeat"))
    proposal, source = propose(tmp_path, x_csv="user,item,ts,event\n" + lines)["events"]
    assert source.columns["event_type"].values == {
        "Order": "purchase",
        "pageview": "view",
        "heartbeat": "other",
    }
    assert any("heartbeat" in question for question in proposal.questions)


def test_items_and_users_are_told_apart(tmp_path: Path) -> None:
    found = propose(
        tmp_path,
        items_jsonl='{"asin": "B1", "title": "Tea", "in_stock": "yes"}\n',
        users_csv="member_id,tier,first_name,phone\n1,gold,Ann,555\n",
    )
    _, items = found["items"]
    assert items.columns["is_sellable"].from_ == "in_stock"
    _, users = found["users"]
    assert users.source_columns == ["member_id", "tier"]
    assert users.attributes["first_name"].personal == "drop"


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["true", "FALSE", "yes", "no", "y", "N", "t", "f", "1", "0"], None),
        (["yes", "gone"], {"yes": "true", "gone": "false"}),
    ],
    ids=["every word for true and false", "one that is none"],
)
def test_words_for_true_and_false_need_no_explanation(
    tmp_path: Path, words: list[str], values: dict[str, str] | None
) -> None:
    lines = "".join(f"B{n},Tea,{word}\n" for n, word in enumerate(words))
    proposal, source = propose(tmp_path, items_csv="asin,title,in_stock\n" + lines)["items"]
    assert source.columns["is_sellable"].values == values
    asked = any("mean that an item can be sold" in question for question in proposal.questions)
    assert asked is (values is not None)


def test_a_parquet_sample_will_do(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"household_id": [1], "age": ["25-34"]}), path)
    (proposal,) = init_source("shop", [path], tmp_path / "sources")
    assert proposal.entity is Entity.users
    assert load_source(proposal.path).source_columns == ["household_id", "age"]


def test_packed_tabbed_and_nested_samples_will_do(tmp_path: Path) -> None:
    events = tmp_path / "x.csv.gz"
    events.write_bytes(gzip.compress(b"user;item;ts\nu;i;2026-01-02\n"))
    items = tmp_path / "items.json"
    items.write_text('[{"item": {"sku": "B1", "title": "Tea"}, "status": "active"}]')
    users = tmp_path / "users.tsv"
    users.write_text("member_id\ttier\n1\tgold\n")
    proposals = init_source("shop", [events, items, users], tmp_path / "sources")
    sources = {p.entity.value: load_source(p.path) for p in proposals}
    assert sources["events"].delimiter == ";"
    assert sources["items"].columns["item_id"].from_ == "item.sku"
    assert sources["users"].source_columns == ["member_id", "tier"]


def test_names_that_yaml_would_misread_are_quoted(tmp_path: Path) -> None:
    text = "user,item,ts,on,no\nu,i,2026-01-02,x,y\n"
    _, source = propose(tmp_path, x_csv=text)["events"]
    assert source.entity is Entity.events
    _, users = propose(tmp_path, u_csv="user,on,12 months\nu,x,y\n")["users"]
    assert users.source_columns == ["user", "on", "12 months"]


def test_a_file_that_cannot_be_told_is_refused_with_its_columns(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"can't tell whether .* its columns alpha, beta"):
        propose(tmp_path, x_csv="alpha,beta\n1,2\n")
    assert not (tmp_path / "sources").exists()


def test_a_mapping_that_is_there_is_left_alone(tmp_path: Path) -> None:
    propose(tmp_path, u_csv="user,tier\nu,gold\n")
    before = (tmp_path / "sources" / "shop_users.yaml").read_text()
    with pytest.raises(MappingError, match="is there already"):
        propose(tmp_path, u_csv="user,level\nu,gold\n")
    assert (tmp_path / "sources" / "shop_users.yaml").read_text() == before


def test_two_samples_of_one_entity_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="looks like users, as does"):
        propose(tmp_path, a_csv="user,tier\nu,x\n", b_csv="user,tier\nu,x\n")


@pytest.mark.parametrize("content", [b"PAR1", b""])
def test_an_unreadable_sample_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    with pytest.raises(MappingError, match=r"x\.parquet: cannot be read"):
        init_source("shop", [path], tmp_path / "sources")


def test_nothing_is_proposed_that_was_not_in_the_sample(tmp_path: Path) -> None:
    proposal, _ = propose(tmp_path, x_csv="user,item,ts\nu,i,2026-01-02\n")["events"]
    assert CHANGE_ME not in proposal.path.read_text()


def test_columns_that_are_not_read_are_named_and_those_of_users_are_attributes(
    tmp_path: Path,
) -> None:
    found = propose(
        tmp_path,
        x_csv="user,item,ts,referrer,colour\nu,i,2026-01-02,mail,red\n",
        u_csv="user,city\nu,Berlin\n",
    )
    assert found["events"][0].path.read_text().endswith("\n# Not read: referrer, colour\n")
    assert "Not read" not in found["users"][0].path.read_text()


def test_lines_above_the_header_are_skipped(tmp_path: Path) -> None:
    text = (
        "Sales of the main shop\n"
        "made on 2026-01-03, by the till\n"
        "\n"
        "user_id;item_id;ts;quantity\n"
        'u1;"a;b";2026-01-02T10:00Z;1,5\n'
        "u2;c;2026-01-02T11:00Z;2,5\n"
    )
    _, source = propose(tmp_path, x_csv=text)["events"]
    assert (source.skip_lines, source.delimiter) == (3, ";")
    assert source.source_columns == ["user_id", "item_id", "ts", "quantity"]


@pytest.mark.parametrize("row", ["1,2,3,", "1,2", '1,2,"x, y, z"'])
def test_a_header_that_rows_do_not_match_is_still_the_first_line(tmp_path: Path, row: str) -> None:
    _, source = propose(tmp_path, x_csv=f"sku,name,price\n{row}\n{row}\n")["items"]
    assert source.skip_lines == 0
    assert source.columns["item_id"].from_ == "sku"


def test_several_formats_are_listed_where_each_time_has_one(tmp_path: Path) -> None:
    lines = "".join(f"u,i,{time}\n" for time in ("2026-01-02", "13.1.2026", "1767341100250"))
    proposal, source = propose(tmp_path, x_csv="user_id,item_id,ts\n" + lines)["events"]
    assert source.columns["event_ts"].format == ("iso", "epoch_millis", "d.M.yyyy")
    assert not any("unusable" in question for question in proposal.questions)


def test_a_time_in_no_format_is_asked_for(tmp_path: Path) -> None:
    lines = "".join(f"u,i,{time}\n" for time in ("2026-01-02", "13.1.2026", "Jan 2"))
    proposal, source = propose(tmp_path, x_csv="user_id,item_id,ts\n" + lines)["events"]
    assert source.columns["event_ts"].format is None
    assert any("such as '13.1.2026'" in question for question in proposal.questions)


def test_personal_columns_of_events_are_listed(tmp_path: Path) -> None:
    text = "user_id,item_id,ts,email,telefon,colour\nu,i,2026-01-02,a@b.org,1,red\n"
    proposal, source = propose(tmp_path, x_csv=text)["events"]
    assert source.personal == ("email", "telefon")
    assert "# Not read: colour" in proposal.path.read_text(encoding="utf-8")


def test_stock_and_days_of_sale_are_known(tmp_path: Path) -> None:
    text = "sku,name,StockQuantity,SellStartDate,SellEndDate\na,tea,4,2026-01-02,31.12.2026\n"
    _, source = propose(tmp_path, x_csv=text)["items"]
    assert source.columns["stock"].from_ == "StockQuantity"
    assert source.columns["sale_from"].format is None
    assert source.columns["sale_until"].format == "d.M.yyyy"
