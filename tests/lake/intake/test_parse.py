"""From text to typed columns: what parses, and the reason when it doesn't."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from jobs.lake.intake.mapping import EventType, Source
from jobs.lake.intake.parse import parse
from jobs.lake.intake.raw_rows import Columns, read_file

FILE = "events/ds=2026-01-02/x.jsonl"
EVENTS: dict[str, Any] = {
    "user_id": {"from": "u"},
    "item_id": {"from": "i"},
    "event_ts": {"from": "t", "time_zone": "UTC"},
    "event_type": {"constant": "purchase"},
    "quantity": {"constant": 1},
}
ISO = "is not an ISO 8601 time, such as 2026-01-15T10:00:00+01:00; say its `format`"
MARKS = "is not a number; say the marks in the source's numbers by `decimal`, `thousands`"
GOOD = {"u": "u1", "i": "i1", "t": "2026-01-02 10:00:00"}


def parsed(spark: SparkSession, source: Source, records: list[dict[str, str | None]]) -> list[Row]:
    """The parsed records, in order; each is given by the source's column names."""
    lines = "".join(json.dumps(record) + "\n" for record in records)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.jsonl")
        path.write_text(lines, encoding="utf-8")
        columns = replace(Columns.of(source), required=())
        raw = pa.Table.from_batches(read_file(FILE, str(path), columns), columns.schema)
    return parse(spark.createDataFrame(raw), source).orderBy("row").collect()


def events(keys: Mapping[str, Any] | None = None, **columns: Any) -> Source:
    """A mapping of events. keys: of the mapping itself. columns: in the place of EVENTS."""
    mapped = {"source": "shop", "entity": "events", "columns": {**EVENTS, **columns}}
    return Source.model_validate({**mapped, **(keys or {})})


def users(**attributes: Any) -> Source:
    columns = {"user_id": {"from": "u"}}
    return Source.model_validate(
        {"source": "shop", "entity": "users", "columns": columns, "attributes": attributes}
    )


def problems(row: Row) -> list[tuple[str | None, str]]:
    return [tuple(problem) for problem in row["problems"] or []]


def test_a_usable_row_has_typed_columns_and_no_problem(spark: SparkSession) -> None:
    (row,) = parsed(spark, events(), [{"u": " u1 ", "i": "7", "t": "2026-01-02T10:00:00"}])
    assert (row.user_id, row.item_id, row.event_type, row.quantity) == ("u1", "7", "purchase", 1.0)
    assert row.event_ts == datetime(2026, 1, 2, 10)
    assert (row.amount, row.session_id, row.drop_ds) == (None, None, date(2026, 1, 2))
    assert (row.problems, row.payload) == (None, None)


@pytest.mark.parametrize("nothing", [None, "", "  ", "NULL"])
def test_a_required_column_without_a_value_makes_the_row_unusable(
    spark: SparkSession, nothing: str | None
) -> None:
    source = Source.model_validate(
        {"source": "shop", "entity": "events", "columns": EVENTS, "nulls": ["NULL"]}
    )
    (row,) = parsed(spark, source, [GOOD | {"u": nothing}])
    assert problems(row) == [("u", "has no value")]
    assert json.loads(row.payload) == GOOD | {"u": nothing and nothing.strip()}


def test_every_problem_of_a_row_is_told_under_the_sources_names(spark: SparkSession) -> None:
    source = events(quantity={"from": "n"}, amount={"from": "paid"})
    (row,) = parsed(spark, source, [{"i": "7", "t": "noon", "n": "two", "paid": "1,50"}])
    assert problems(row) == [
        ("u", "has no value"),
        ("t", f"'noon' {ISO}"),
        ("n", "'two' is not a number"),
        ("paid", f"'1,50' {MARKS}"),
    ]


NUMBERS = {
    "1": 1.0,
    "-2.50": -2.5,
    "+.5": 0.5,
    "1e3": 1000.0,
    "007": 7.0,
    "nan": None,
    "Infinity": None,
    "1e999": None,
    "1d": None,
    "0x10": None,
    "1 000": None,
}


def test_numbers_are_plain_and_finite(spark: SparkSession) -> None:
    rows = parsed(spark, events(amount={"from": "a"}), [GOOD | {"a": text} for text in NUMBERS])
    assert {text: row.amount for text, row in zip(NUMBERS, rows, strict=True)} == NUMBERS
    assert [row.problems is not None for row in rows] == [v is None for v in NUMBERS.values()]


# 2026-01-01 10:00 in New York is 15:00 UTC; an offset in the text wins over the zone.
TIMES = {
    "2026-01-01": datetime(2026, 1, 1, 5),
    "2026-01-01 10:00": datetime(2026, 1, 1, 15),
    "2026-01-01T10:00:00.250": datetime(2026, 1, 1, 15, 0, 0, 250_000),
    "2026-01-01T10:00:00Z": datetime(2026, 1, 1, 10),
    "2026-01-01 10:00:00+02:00": datetime(2026, 1, 1, 8),
    "2026-01-01T10:00:00.000000Z": datetime(2026, 1, 1, 10),
    "2026-01-01T10:00Z": datetime(2026, 1, 1, 10),
    "2026-01-01T10:00+01:00": datetime(2026, 1, 1, 9),
    "2026-01-01T10:00:00+0100": datetime(2026, 1, 1, 9),
    "2026-01-01T10:00:00+01": datetime(2026, 1, 1, 9),
    "2026-01-01T10:00:00 +01:00": datetime(2026, 1, 1, 9),
    "2026-01-01T10:00:00.000-0530": datetime(2026, 1, 1, 15, 30),
    "2026-01-01T10:00:00-00:00": datetime(2026, 1, 1, 10),
    "2026-01-01T10:00:00.1234567Z": datetime(2026, 1, 1, 10, 0, 0, 123_456),
    "2026-01-01T10:00:00.123456789Z": datetime(2026, 1, 1, 10, 0, 0, 123_456),
    "2026-01-01T10:00:00,123Z": datetime(2026, 1, 1, 10, 0, 0, 123_000),
    "2026-01-01T10:00:00z": datetime(2026, 1, 1, 10),
    "2026-01-01 10:00:00 UTC": datetime(2026, 1, 1, 10),
    "2026-01-01T10:00:00 GMT": datetime(2026, 1, 1, 10),
    "2026-01-01T9:05:00": datetime(2026, 1, 1, 14, 5),
    "20260101T100000Z": datetime(2026, 1, 1, 10),
    "20260101T1000": datetime(2026, 1, 1, 15),
    "20260101": datetime(2026, 1, 1, 5),
    "2026-01-01T24:00:00Z": datetime(2026, 1, 2),
    "2026-01-01T24:00": datetime(2026, 1, 2, 5),
    "2026-01-01T23:59:60Z": datetime(2026, 1, 1, 23, 59, 59),
    "10:00": None,
    "2026": None,
    "2026-02-30": None,
    "2026-02-30T10:00:00Z": None,
    "2026-01-01 25:00": None,
    "2026-01-01T24:01:00Z": None,
    "2026-01-01T10:00:00 CET": None,
    "2026-0101T1000": None,
    "202601011000": None,
    "now": None,
    "01/02/2026": None,
}


def test_iso_times_are_read_in_the_zone_of_the_mapping(spark: SparkSession) -> None:
    source = events(event_ts={"from": "t", "time_zone": "America/New_York"})
    rows = parsed(spark, source, [GOOD | {"t": text} for text in TIMES])
    assert {text: row.event_ts for text, row in zip(TIMES, rows, strict=True)} == TIMES
    assert [row.problems is not None for row in rows] == [v is None for v in TIMES.values()]


def test_clock_changes_move_a_skipped_hour_and_take_the_first_of_a_repeated_one(
    spark: SparkSession,
) -> None:
    source = events(event_ts={"from": "t", "time_zone": "Europe/Paris"})
    skipped, repeated = parsed(
        spark, source, [GOOD | {"t": "2025-03-30 02:30:00"}, GOOD | {"t": "2025-10-26 02:30:00"}]
    )
    # 02:30 does not exist on 30 March (03:30 summer time, 01:30 UTC); on 26 October it is first
    # summer time (00:30 UTC).
    assert skipped.event_ts == datetime(2025, 3, 30, 1, 30)
    assert repeated.event_ts == datetime(2025, 10, 26, 0, 30)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("d/M/yyyy H:mm", "2/1/2026 9:05", datetime(2026, 1, 2, 8, 5)),
        ("yyyyMMdd HHmmss XXX", "20260102 090500 +01:00", datetime(2026, 1, 2, 8, 5)),
        ("epoch_seconds", "1767341100", datetime(2026, 1, 2, 8, 5)),
        ("epoch_seconds", "1767341100.5", datetime(2026, 1, 2, 8, 5, 0, 500_000)),
        ("epoch_millis", "1767341100250", datetime(2026, 1, 2, 8, 5, 0, 250_000)),
        ("epoch_micros", "1767341100250001", datetime(2026, 1, 2, 8, 5, 0, 250_001)),
        ("epoch_nanos", "1767341100250001999", datetime(2026, 1, 2, 8, 5, 0, 250_001)),
        ("d/M/yyyy H:mm", "2026-01-02 09:05", None),
        ("epoch_seconds", "yesterday", None),
        ("epoch_millis", "99999999999999999999999", None),
    ],
)
def test_times_can_have_a_format(
    spark: SparkSession, form: str, text: str, expected: datetime | None
) -> None:
    source = events(event_ts={"from": "t", "format": form, "time_zone": "Europe/Paris"})
    (row,) = parsed(spark, source, [GOOD | {"t": text}])
    assert row.event_ts == expected
    if expected is None:
        assert problems(row) == [("t", f"'{text}' is not a time in {form}")]


def test_numbers_have_the_marks_of_the_mapping(spark: SparkSession) -> None:
    """What each pair of marks makes of each text; None where it is refused."""
    texts = ("1.299", "24,90", "1.299,00", "1,299.00", "89", "-5", "1 299,5", "1'299.5", "12,345,6")
    expected: dict[tuple[str, str | None], list[float | None]] = {
        (".", None): [1.299, None, None, None, 89, -5, None, None, None],
        (",", None): [None, 24.9, None, None, 89, -5, None, None, None],
        (",", "."): [1299, 24.9, 1299, None, 89, -5, None, None, None],
        (".", ","): [1.299, None, None, 1299, 89, -5, None, None, None],
        (",", " "): [None, 24.9, None, None, 89, -5, 1299.5, None, None],
        (".", "'"): [1.299, None, None, None, 89, -5, None, 1299.5, None],
    }
    for (decimal, thousands), numbers in expected.items():
        source = events({"decimal": decimal, "thousands": thousands}, amount={"from": "a"})
        rows = parsed(spark, source, [GOOD | {"a": text} for text in texts])
        assert [row.amount for row in rows] == numbers, (decimal, thousands)
    narrow = events({"decimal": ",", "thousands": " "}, amount={"from": "a"})
    (row,) = parsed(spark, narrow, [GOOD | {"a": "1\u202f299,50"}])
    assert row.amount == 1299.5


@pytest.mark.parametrize("text", ["12.50 EUR", "€12.50", "12kg"])
def test_a_number_with_a_unit_is_refused_with_what_to_do(spark: SparkSession, text: str) -> None:
    (row,) = parsed(spark, events(amount={"from": "a"}), [GOOD | {"a": text}])
    alone = "is not a number alone; send it without its currency or unit"
    assert problems(row) == [("a", f"'{text}' {alone}")]


def test_seconds_read_as_milliseconds_are_noticed(spark: SparkSession) -> None:
    source = events(event_ts={"from": "t", "format": "epoch_millis"})
    (row,) = parsed(spark, source, [GOOD | {"t": "1767341100"}])
    assert problems(row) == [("t", "'1767341100' is a time before 1990; is the unit right?")]


def test_an_event_after_the_day_of_its_drop_is_unusable(spark: SparkSession) -> None:
    last, late = parsed(
        spark, events(), [GOOD | {"t": "2026-01-02 23:59:59"}, GOOD | {"t": "2026-01-03 00:00:00"}]
    )
    assert last.problems is None
    assert problems(late) == [
        ("t", "2026-01-03T00:00:00Z is after the drop's day, 2026-01-02 in UTC")
    ]


def test_the_day_of_a_drop_may_end_in_another_zone(spark: SparkSession) -> None:
    """22:00 and, a day later, 00:30 in Los Angeles are 06:00 and 08:30 UTC of the third."""
    zone = "America/Los_Angeles"
    times = [GOOD | {"t": "2026-01-02 22:00"}, GOOD | {"t": "2026-01-03 00:30"}]
    at = {"from": "t", "time_zone": zone}
    for row in parsed(spark, events(event_ts=at), times[:1]):
        late = "2026-01-03T06:00:00Z is after the drop's day, 2026-01-02 in UTC"
        hint = f", but not in {zone}; say `days_end_in: {zone}` if days end there"
        assert problems(row) == [("t", late + hint)]
    evening, night = parsed(spark, events({"days_end_in": zone}, event_ts=at), times)
    assert (evening.problems, evening.event_ts) == (None, datetime(2026, 1, 3, 6))
    assert problems(night) == [
        ("t", f"2026-01-03T08:30:00Z is after the drop's day, 2026-01-02 in {zone}")
    ]


def test_event_types_are_ours_or_are_translated(spark: SparkSession) -> None:
    records = [GOOD | {"k": word} for word in ("purchase", "bought")]
    plain = parsed(spark, events(event_type={"from": "k"}), records)
    assert problems(plain[1]) == [("k", f"'bought' is none of {', '.join(EventType)}")]
    mapped = parsed(
        spark, events(event_type={"from": "k", "values": {"bought": "purchase"}}), records
    )
    assert problems(mapped[0]) == [("k", "'purchase' is not in the mapping's `values`")]
    assert (mapped[1].event_type, mapped[1].problems) == ("purchase", None)


def test_a_default_stands_in_for_no_value_but_not_for_a_wrong_one(spark: SparkSession) -> None:
    source = events(quantity={"from": "n", "default": 1})
    none, wrong = parsed(spark, source, [GOOD, GOOD | {"n": "x"}])
    assert (none.quantity, none.problems) == (1.0, None)
    assert problems(wrong) == [("n", "'x' is not a number")]


def test_a_default_may_be_one_of_our_words_when_values_are_translated(spark: SparkSession) -> None:
    column = {"from": "k", "values": {"bought": "purchase"}, "default": "view"}
    none, known = parsed(spark, events(event_type=column), [GOOD, GOOD | {"k": "bought"}])
    assert (none.event_type, known.event_type) == ("view", "purchase")


def test_ids_are_short_and_without_control_characters(spark: SparkSession) -> None:
    fits, long, control = parsed(
        spark, events(), [GOOD | {"i": "x" * 128}, GOOD | {"i": "x" * 129}, GOOD | {"i": "a\nb"}]
    )
    assert fits.problems is None
    assert problems(long) == [("i", f"'{'x' * 60}…' is longer than 128 characters")]
    assert problems(control) == [("i", "has a control character")]


def test_a_word_for_nothing_is_no_id_unless_the_mapping_says_so(spark: SparkSession) -> None:
    """It would be the largest user of the lake. In a title it is text."""
    words = ["NULL", "null", r"\N", "nan", "None", "N/A", "NA", "undefined", "<NA>"]
    records = [GOOD | {"u": word} for word in words]
    why = (
        "usually stands for no value; list it in the mapping's `nulls`, or in `ids` if it is an id"
    )
    refused = parsed(spark, events(), records)
    assert [problems(row) for row in refused] == [[("u", f"'{word}' {why}")] for word in words]
    missing = parsed(spark, events({"nulls": words}), records)
    assert [problems(row) for row in missing] == [[("u", "has no value")]] * len(words)
    kept = parsed(spark, events({"ids": words}), records)
    assert [(row.user_id, row.problems) for row in kept] == [(word, None) for word in words]
    sessions = parsed(spark, events(session_id={"from": "s"}), [GOOD | {"s": w} for w in words])
    assert [column for row in sessions for column, _ in problems(row)] == ["s"] * len(words)


def test_an_id_that_a_spreadsheet_rounded_is_refused(spark: SparkSession) -> None:
    lost, product = parsed(spark, events(), [GOOD | {"i": "1.23457E+11"}, GOOD | {"i": "12E4"}])
    assert problems(lost) == [
        ("i", "'1.23457E+11' is a rounded number, of which digits are lost; send ids as text")
    ]
    assert (product.item_id, product.problems) == ("12E4", None)


def test_the_reason_against_a_user_id_does_not_repeat_it(spark: SparkSession) -> None:
    (row,) = parsed(spark, events(), [GOOD | {"u": "x" * 129}])
    assert problems(row) == [("u", "is longer than 128 characters")]


def test_a_user_id_that_is_an_email_address_is_not_even_quarantined(spark: SparkSession) -> None:
    (row,) = parsed(spark, events(), [GOOD | {"u": "ann@example.org"}])
    assert problems(row) == [("u", "looks like an e-mail address; send a pseudonym instead")]
    assert "ann" not in row.payload


def test_booleans_take_the_usual_words(spark: SparkSession) -> None:
    columns = {"item_id": {"from": "i"}, "is_sellable": {"from": "s"}}
    source = Source.model_validate({"source": "shop", "entity": "items", "columns": columns})
    words = {"true": True, "no": False, "1": True, "F": False, "maybe": None}
    rows = parsed(spark, source, [{"i": "1", "s": word} for word in words])
    assert [row.is_sellable for row in rows] == list(words.values())
    assert problems(rows[-1]) == [("s", "'maybe' is neither true nor false")]


def test_a_time_fits_exactly_one_of_several_formats(spark: SparkSession) -> None:
    formats = ["iso", "d.M.yyyy", "dd/MM/yyyy", "MM/dd/yyyy"]
    source = events(event_ts={"from": "t", "time_zone": "UTC", "format": formats})
    times = ["2026-01-02", "2.1.2026", "01/02/2026", "02/02/2026", "01/13/2025", "Jan 2"]
    rows = parsed(spark, source, [GOOD | {"t": time} for time in times])
    first, second, unclear, both, american, other = rows
    assert first.event_ts == second.event_ts == datetime(2026, 1, 2)
    says = f"is a time in none or in several of {', '.join(formats)}"
    assert problems(unclear) == [("t", f"'01/02/2026' {says}")]
    assert problems(other) == [("t", f"'Jan 2' {says}")]
    # the second of February either way, which is after the drop's day
    assert "is after the drop's day" in problems(both)[0][1]
    assert american.event_ts == datetime(2025, 1, 13)


def test_days_of_sale_are_taken_as_they_are_written(spark: SparkSession) -> None:
    columns = {
        "item_id": {"from": "i"},
        "is_sellable": {"constant": True},
        "sale_from": {"from": "f"},
        "sale_until": {"from": "u", "format": "d.M.yyyy"},
    }
    source = Source.model_validate({"source": "shop", "entity": "items", "columns": columns})
    whole, early, open_end, broken = parsed(
        spark,
        source,
        [
            {"i": "1", "f": "2026-01-02", "u": "31.1.2026"},
            {"i": "2", "f": "2026-01-02T23:30:00", "u": "1.12.9999"},
            {"i": "3", "f": None, "u": ""},
            {"i": "4", "f": "soon", "u": None},
        ],
    )
    assert (whole.sale_from, whole.sale_until) == (date(2026, 1, 2), date(2026, 1, 31))
    assert (early.sale_from, early.sale_until) == (date(2026, 1, 2), date(9999, 12, 1))
    assert (open_end.sale_from, open_end.sale_until, open_end.problems) == (None, None, None)
    assert problems(broken) == [("f", f"'soon' {ISO}")]


def test_attributes_are_a_map_of_those_with_a_value(spark: SparkSession) -> None:
    source = users(age={"from": "a"}, tier={"from": "t", "values": {"G": "gold"}})
    both, one, none = parsed(
        spark, source, [{"u": "1", "a": "25-34", "t": "G"}, {"u": "2", "t": "G"}, {"u": "3"}]
    )
    assert both.attributes == {"age": "25-34", "tier": "gold"}
    assert one.attributes == {"tier": "gold"}
    assert none.attributes == {}


@pytest.mark.parametrize(
    "value",
    [
        "ann@example.org",
        "https://example.org/ann",
        "+33 1 23 45 67 89",
        "(555) 010-9999",
        "4111-1111-1111-1111",
        "likes long walks on the beach and asks to be called after six o'clock",
    ],
)
def test_an_attribute_that_holds_something_personal_is_withheld_from_quarantine(
    spark: SparkSession, value: str
) -> None:
    (row,) = parsed(
        spark, users(age={"from": "a"}, tier={"from": "t"}), [{"u": "1", "a": value, "t": "G"}]
    )
    ((column, reason),) = problems(row)
    assert column == "a"
    assert value not in reason
    assert json.loads(row.payload) == {"u": "1", "a": None, "t": "G"}


@pytest.mark.parametrize(
    "value", ["25-34", "200-249K", "2 Adults No Kids", "65+", "2019", "1990-2000"]
)
def test_ordinary_attributes_pass(spark: SparkSession, value: str) -> None:
    (row,) = parsed(spark, users(age={"from": "a"}), [{"u": "1", "a": value}])
    assert row.problems is None


def test_a_record_that_could_not_be_split_keeps_the_hash_of_its_line(spark: SparkSession) -> None:
    """The line itself may hold anything, also what the mapping never reads."""
    source = events()
    head = (FILE, 2, 1, None, None, "has 3 cells where the header has 2", "5f2b", None, None)
    raw = spark.createDataFrame([(*head, None, None, None)], Columns.of(source).ddl)
    (found,) = parse(raw, source).collect()
    assert problems(found) == [(None, "has 3 cells where the header has 2")]
    assert json.loads(found.payload) == {"_line_sha256": "5f2b"}


def test_columns_may_have_any_name(spark: SparkSession) -> None:
    source = events(item_id={"from": "Product Code (new).v2"})
    record = {"u": "1", "Product Code (new).v2": "", "t": "2026-01-02"}
    (row,) = parsed(spark, source, [record])
    assert problems(row) == [("Product Code (new).v2", "has no value")]
    assert json.loads(row.payload) == record


def test_parsing_looks_at_nothing_but_its_columns(spark: SparkSession) -> None:
    raw = spark.createDataFrame([], Columns(("u", "i", "t"), ()).ddl)
    assert parse(raw, events()).columns == [
        *("file", "row", "rows", "file_problem", "respelled", "drop_ds"),
        *("user_id", "item_id", "event_ts", "event_type", "quantity", "amount", "session_id"),
        *("problems", "payload"),
    ]
    assert parse(raw, events()).where(F.col("problems").isNotNull()).count() == 0
