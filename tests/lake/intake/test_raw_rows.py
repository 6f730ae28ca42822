"""Reading drop files as text: every way in which a file or a row can be broken."""

from __future__ import annotations

import csv as csv_module
import gzip
import hashlib
import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.lake.intake.raw_rows import Columns, read_file, readable

AB = Columns(("a", "b"), ("a", "b"))


def rows(path: Path, columns: Columns = AB) -> list[dict[str, object]]:
    return [row for batch in read_file("events/x", str(path), columns) for row in batch.to_pylist()]


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def values(found: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(row["c0"], row["c1"]) for row in found]


def file_problem(path: Path, columns: Columns = AB) -> str:
    problems = [row["file_problem"] for row in rows(path, columns) if row["file_problem"]]
    assert len(problems) == 1
    return str(problems[0])


def test_csv_rows_carry_the_line_they_start_on(tmp_path: Path) -> None:
    # Line 1 is the header, line 3 is blank, the record of line 4 ends on line 5.
    path = put(tmp_path, "x.csv", b'b,a,extra\n1,2,x\n\n"3\n4",5,y\r\n')
    found = rows(path)
    assert values(found) == [("2", "1"), ("5", "3\n4")]
    assert [row["row"] for row in found] == [2, 4]


def test_a_long_file_comes_in_a_few_parts(tmp_path: Path) -> None:
    lines = "".join(f"{number},x\n" for number in range(20_000))
    path = put(tmp_path, "x.csv", b"a,b\n" + lines.encode())
    parts = list(read_file("events/x", str(path), AB))
    found = [row["c0"] for part in parts for row in part.to_pylist()]
    assert found == [str(number) for number in range(20_000)]
    assert 1 < len(parts) < 10


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    assert values(rows(put(tmp_path, "x.csv", b"\xef\xbb\xbfa,b\n1,2\n"))) == [("1", "2")]
    assert values(rows(put(tmp_path, "x.jsonl", b'\xef\xbb\xbf{"a":1,"b":2}\n'))) == [("1", "2")]


def test_a_delimiter_can_be_chosen(tmp_path: Path) -> None:
    columns = Columns(("a", "b"), ("a", "b"), ";")
    assert values(rows(put(tmp_path, "x.csv", b"a;b\n1,5;2\n"), columns)) == [("1,5", "2")]


def test_lines_above_the_header_are_no_rows_and_count_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('a report, of "today\n\na,b\n1,2\n1\n', encoding="utf-8")
    found = rows(path, replace(AB, skip_lines=2))
    assert values(found) == [("1", "2"), (None, None)]
    assert [row["row"] for row in found] == [4, 5]


def test_a_ragged_csv_row_is_one_bad_row_with_its_line(tmp_path: Path) -> None:
    found = rows(put(tmp_path, "x.csv", b"a,b\n1\n2,3\n4,5,6\n"))
    assert [(row["row"], row["problem"], row["line_hash"]) for row in found] == [
        (2, "has 1 cells where the header has 2", hashlib.sha256(b"1").hexdigest()),
        (3, None, None),
        (4, "has 3 cells where the header has 2", hashlib.sha256(b"4,5,6").hexdigest()),
    ]


def test_text_after_a_closing_quote_is_one_bad_row(tmp_path: Path) -> None:
    found = rows(put(tmp_path, "x.csv", b'a,b\n"1"x,2\n3,4\n'))
    assert [bool(row["problem"]) for row in found] == [True, False]
    assert values(found)[1] == ("3", "4")


def test_a_quote_that_never_ends_makes_the_file_unusable(tmp_path: Path) -> None:
    path = put(tmp_path, "x.csv", b'a,b\n1,2\n"3,4\n5,6\n7,8')
    assert "ends inside a row, at line 3" in file_problem(path)


def test_lines_swallowed_by_a_quote_are_all_counted(tmp_path: Path) -> None:
    # The quote that opens on line 2 closes on line 4: three lines became one ragged record.
    found = rows(put(tmp_path, "x.csv", b'a,b\n"1,2\n3,4\n5",6,7\n8,9\n'))
    assert [(row["row"], row["rows"]) for row in found] == [(2, 3), (5, 1)]


def test_a_csv_cut_off_in_mid_row_is_unusable_as_a_whole(tmp_path: Path) -> None:
    path = put(tmp_path, "x.csv", b"a,b\n1,2\n3")
    assert file_problem(path) == (
        "ends inside a row, at line 3: has 1 cells where the header has 2"
    )


def test_a_last_csv_line_without_an_end_is_fine(tmp_path: Path) -> None:
    assert values(rows(put(tmp_path, "x.csv", b"a,b\n1,2"))) == [("1", "2")]


@pytest.mark.parametrize(
    ("name", "content"), [("x.csv", b""), ("x.csv", b"a,b\n"), ("x.jsonl", b""), ("x.jsonl", b"\n")]
)
def test_an_empty_text_file_has_no_rows_and_no_problem(
    tmp_path: Path, name: str, content: bytes
) -> None:
    assert rows(put(tmp_path, name, content)) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.csv", b"a,c,d\n1,2,3\n"), ("x.jsonl", b'{"a":1,"c":2,"d":3}\n')],
)
def test_a_missing_column_names_it_and_those_that_are_there(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = put(tmp_path, name, content)
    assert file_problem(path) == "column b is missing; columns found: a, c, d"


def test_a_missing_parquet_column_names_it_too(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1], "c": [2]}), path)
    assert file_problem(path) == "column b is missing; columns found: a, c"


def test_a_column_that_is_not_required_may_be_missing(tmp_path: Path) -> None:
    columns = Columns(("a", "b"), ("a",))
    assert values(rows(put(tmp_path, "x.csv", b"a\n1\n"), columns)) == [("1", None)]
    assert values(rows(put(tmp_path, "x.jsonl", b'{"a":1}\n'), columns)) == [("1", None)]
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    assert values(rows(tmp_path / "x.parquet", columns)) == [("1", None)]


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    assert file_problem(put(tmp_path, "x.csv", b"a,b,a\n1,2,3\n")) == (
        "column a is there more than once"
    )


def test_bytes_that_are_not_utf8_cost_only_their_row(tmp_path: Path) -> None:
    found = rows(put(tmp_path, "x.csv", "a,b\ncafé,1\n".encode("latin-1") + b"tea,2\n"))
    assert [(row["problem_column"], row["problem"], row["c0"]) for row in found] == [
        ("a", "is not UTF-8", "caf\\xe9"),
        (None, None, "tea"),
    ]
    found = rows(put(tmp_path, "x.jsonl", b'{"a":"caf\xe9","b":1}\n{"a":"tea","b":2}\n'))
    assert [row["problem"] for row in found] == ["is not UTF-8", None]


def test_half_a_surrogate_pair_in_json_is_not_text(tmp_path: Path) -> None:
    found = rows(put(tmp_path, "x.jsonl", b'{"a":"\\ud83d","b":1}\n'))
    assert found[0]["problem"] == "is not UTF-8"


def test_a_utf16_file_is_named_as_such(tmp_path: Path) -> None:
    path = put(tmp_path, "x.csv", "a,b\n1,2\n".encode("utf-16"))
    assert file_problem(path) == "is UTF-16, expected UTF-8"


def test_undecodable_bytes_of_a_column_we_do_not_read_do_no_harm(tmp_path: Path) -> None:
    found = rows(put(tmp_path, "x.csv", b"a,b,note\n1,2,caf\xe9\n"))
    assert values(found) == [("1", "2")]
    assert found[0]["problem"] is None


def test_json_lines_that_are_no_objects_are_bad_rows(tmp_path: Path) -> None:
    content = b'{"a":1,"b":2}\n{"a":1,\n[1]\n{"a":NaN,"b":1}\n{"a":[1],"b":1}\n'
    found = rows(put(tmp_path, "x.jsonl", content))
    assert [row["row"] for row in found] == [1, 2, 3, 4, 5]
    assert found[0]["problem"] is None
    assert str(found[1]["problem"]).startswith("is not JSON")
    assert found[2]["problem"] == "is not a JSON object"
    assert found[3]["problem"] == "is not JSON: NaN is not JSON"
    assert (found[4]["problem_column"], found[4]["problem"]) == ("a", "holds more than one value")


def test_json_numbers_keep_their_digits(tmp_path: Path) -> None:
    path = put(tmp_path, "x.jsonl", b'{"a":12345678901234567890,"b":0.10}\n{"a":true,"b":null}\n')
    assert values(rows(path)) == [("12345678901234567890", "0.10"), ("true", None)]


def test_jsonl_cut_off_in_mid_object_is_unusable_as_a_whole(tmp_path: Path) -> None:
    path = put(tmp_path, "x.jsonl", b'{"a":1,"b":2}\n{"a":1,"b"')
    assert file_problem(path).startswith("ends inside a row, at line 2: is not JSON")


def test_parquet_values_become_text_of_one_form(tmp_path: Path) -> None:
    new_year = datetime(2017, 1, 1, 5, 0, tzinfo=UTC)
    table = pa.table(
        {
            "a": pa.array([new_year, None], pa.timestamp("ns", "America/New_York")),
            "b": pa.array([datetime(2017, 1, 1), None], pa.timestamp("ns")),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    assert values(rows(tmp_path / "x.parquet")) == [
        ("2017-01-01 05:00:00.000000Z", "2017-01-01 00:00:00.000000"),
        (None, None),
    ]


def test_parquet_ids_kept_as_floats_have_no_fraction(tmp_path: Path) -> None:
    # What pandas makes of an integer column with a gap.
    pq.write_table(pa.table({"a": [1095275.0, None], "b": [True, False]}), tmp_path / "x.parquet")
    assert values(rows(tmp_path / "x.parquet")) == [("1095275", "true"), (None, "false")]


def test_parquet_rows_are_numbered_across_row_groups(tmp_path: Path) -> None:
    table = pa.table({"a": list(range(5)), "b": list(range(5))})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    assert [row["row"] for row in rows(tmp_path / "x.parquet")] == [1, 2, 3, 4, 5]


def test_parquet_text_that_is_not_utf8_costs_only_its_row(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([b"tea", b"caf\xe9"], pa.binary()), "b": ["1", "2"]})
    pq.write_table(table, tmp_path / "x.parquet")
    found = rows(tmp_path / "x.parquet")
    assert [(row["c0"], row["problem"]) for row in found] == [
        ("tea", None),
        ("caf\\xe9", "is not UTF-8"),
    ]


def test_a_nested_parquet_column_is_refused_with_its_type(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [[1]], "b": [1]}), tmp_path / "x.parquet")
    assert file_problem(tmp_path / "x.parquet").startswith("column a is list<")


@pytest.mark.parametrize("keep", [0, 3, 100, -8])
def test_a_truncated_parquet_file_is_unusable(tmp_path: Path, keep: int) -> None:
    whole = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(1000)), "b": list(range(1000))}), whole)
    assert file_problem(put(tmp_path, "x.parquet", whole.getvalue()[:keep]))


def test_parquet_with_broken_pages_is_unusable_though_its_footer_reads(tmp_path: Path) -> None:
    whole = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(1000)), "b": list(range(1000))}), whole)
    content = bytearray(whole.getvalue())
    content[4:200] = b"\x00" * 196
    path = put(tmp_path, "x.parquet", bytes(content))
    assert pq.read_schema(path).names == ["a", "b"]
    assert file_problem(path)


def test_a_file_that_is_not_there_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    assert file_problem(tmp_path / "gone.csv")


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(table=st.lists(st.tuples(*[st.text('ab",\\\n', max_size=6)] * 2), min_size=1, max_size=8))
def test_whatever_is_escaped_as_spark_does_is_read_back(
    tmp_path: Path, table: list[tuple[str, str]]
) -> None:
    """A backslash is written twice before a quote and at the end, where a quote follows."""

    def cell(text: str) -> str:
        escaped = re.sub(r'(\\*)"', lambda found: found[1] * 2 + '\\"', text)
        at_end = re.search(r"\\*\Z", escaped)
        assert at_end is not None
        return f'"{escaped}{at_end.group()}"'

    lines = ["a,b", *(f"{cell(a)},{cell(b)}" for a, b in table)]
    path = put(tmp_path, "x.csv", ("\n".join(lines) + "\n").encode())
    assert values(rows(path, Columns(("a", "b"), ("a", "b"), escape="backslash"))) == table


HEAD = b"item_id,title,category,price,status\n"
ITEMS = Columns(("item_id", "title"), ("item_id", "title"))


def test_a_quote_behind_a_backslash_never_swallows_a_line(tmp_path: Path) -> None:
    """The quote of the first row would close in the second, and the whole would have five cells."""
    lines = b'C1,"Screen 27\\"",Screens,10,active\nC2,5",Pipes,10,active\nC3,Mouse,Mice,5,active\n'
    path = put(tmp_path, "x.csv", HEAD + lines)
    found = rows(path, ITEMS)
    assert [(row["row"], row["rows"], row["c0"]) for row in found] == [(2, 2, None), (4, 1, "C3")]
    assert "`escape: backslash` or `none`" in str(found[0]["problem"])
    read = rows(path, replace(ITEMS, escape="backslash"))
    assert values(read) == [("C1", 'Screen 27"'), ("C2", '5"'), ("C3", "Mouse")]


def test_what_spark_writes_says_which_key_reads_it(tmp_path: Path) -> None:
    lines = (
        b'B1,Cable,Cables,1,active\nB2,"Screen 27\\"",Screens,10,active\nB3,Mouse,Mice,5,active\n'
    )
    path = put(tmp_path, "x.csv", HEAD + lines)
    found = rows(path, ITEMS)
    assert [row["rows"] for row in found] == [1, 2]
    assert "`escape: backslash` or `none`" in str(found[1]["problem"])
    read = rows(path, replace(ITEMS, escape="backslash"))
    assert values(read) == [("B1", "Cable"), ("B2", 'Screen 27"'), ("B3", "Mouse")]


def test_a_missing_quote_never_swallows_a_line(tmp_path: Path) -> None:
    lines = b'C1,"Screen 27,Screens,10,active\nC2,Pipe 5",Pipes,10,active\nC3,Mouse,Mice,5,active\n'
    path = put(tmp_path, "x.csv", HEAD + lines)
    found = rows(path, replace(ITEMS, names=("item_id", "title"), required=()))
    # Read as it stands, the first two lines have too few cells; both are counted.
    assert [(row["row"], row["rows"]) for row in found] == [(2, 2), (4, 1)]
    path = put(tmp_path, "y.csv", b'item_id,title,status\nC1,"Pipe,x\nC2,Tube",y\n')
    (swallowed,) = rows(path, ITEMS)
    assert (swallowed["rows"], swallowed["c0"]) == (2, None)
    assert "spans 2 lines that each look like a row" in str(swallowed["problem"])
    as_it_stands = rows(path, replace(ITEMS, escape="none"))
    assert values(as_it_stands) == [("C1", "Pipe,x\nC2,Tube")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.tsv", b"a\tb\n1\t2\n"),
        ("x.csv.gz", gzip.compress(b"a,b\n1,2\n")),
        ("x.TSV.gz", gzip.compress(b"a\tb\n1\t2\n")),
        ("x.jsonl.gz", gzip.compress(b'{"a": 1, "b": 2}\n')),
        ("x.json", b'{"a": 1, "b": 2}\n'),
        ("x.json", b'\xef\xbb\xbf [\n{"a": 1, "b": 2}]\n'),
        ("x.json.gz", gzip.compress(b'[{"a": 1, "b": 2}]')),
    ],
)
def test_text_may_be_tabbed_packed_or_an_array(tmp_path: Path, name: str, content: bytes) -> None:
    assert values(rows(put(tmp_path, name, content))) == [("1", "2")]


def test_elements_of_a_json_array_are_numbered(tmp_path: Path) -> None:
    found = rows(put(tmp_path, "x.json", b'[{"a": 1, "b": 2}, 7, {"a": [1], "b": 2}]'))
    assert [(row["row"], row["problem"]) for row in found] == [
        (1, None),
        (2, "is not a JSON object"),
        (3, "holds more than one value"),
    ]
    assert file_problem(put(tmp_path, "x.json", b'[{"a": 1}]')).startswith("column b is missing")
    assert file_problem(put(tmp_path, "x.json", b'[{"a": 1, ')).startswith("is not a JSON array")


def test_a_packed_file_that_is_cut_off_is_unusable(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    assert file_problem(put(tmp_path, "x.csv.gz", whole[:-20]))
    assert file_problem(put(tmp_path, "y.csv.gz", b"a,b\n1,2\n"))


def test_a_key_within_an_object_has_a_path(tmp_path: Path) -> None:
    """A key that has the whole path as its name counts first, as in a replayed row."""
    columns = Columns(("item.sku", "user"), ("item.sku", "user"))
    lines = '{"user": 1, "item": {"sku": "A", "n": 2}}\n{"user": 2, "item": null}\n'
    lines += '{"user": 3, "item.sku": "B"}\n'
    found = rows(put(tmp_path, "x.jsonl", lines.encode()), columns)
    assert values(found) == [("A", "1"), (None, "2"), ("B", "3")]
    lacking = put(tmp_path, "y.jsonl", b'{"user": 1, "item": {"n": 2}}\n')
    assert file_problem(lacking, columns) == (
        "column item.sku is missing; columns found: item, user"
    )


IDS = Columns(("a", "b"), ("a", "b"), ids=frozenset("a"))


def test_ids_have_one_spelling_in_text_files(tmp_path: Path) -> None:
    sent = [
        "AB-1",
        "AB-1\u00a0",
        "\u200bAB-1",
        "AB-1\t",
        "ab-1",
        "CAFE\u0301",
        "CAF\u00c9",
        "12345.0",
    ]
    text = "".join(f'"{id}",x\n' for id in sent)
    found = rows(put(tmp_path, "x.csv", f"a,b\n{text}".encode()), IDS)
    spelled = ["AB-1"] * 4 + ["ab-1", "CAF\u00c9", "CAF\u00c9", "12345"]
    assert [row["c0"] for row in found] == spelled
    changed = [a != b for a, b in zip(sent, spelled, strict=True)]
    assert [row["respelled"] for row in found] == changed
    # Only ids: a title keeps what was sent.
    kept = rows(put(tmp_path, "y.csv", b"a,b\nx,12345.0\n"), IDS)
    assert values(kept) == [("x", "12345.0")]


def test_json_ids_that_are_numbers_are_whole(tmp_path: Path) -> None:
    lines = ['{"a": 12345.0, "b": 1.50}', '{"a": 12345, "b": 1}', '{"a": "12345", "b": 1}']
    lines += ['{"a": 1.7e16, "b": 1}', '{"a": 1.5, "b": 1}', '{"a": 1.2e3, "b": 1}']
    found = rows(put(tmp_path, "x.jsonl", "\n".join(lines).encode()), IDS)
    assert [row["c0"] for row in found if row["problem"] is None] == ["12345"] * 3 + ["1200"]
    assert found[0]["c1"] == "1.50"
    assert [(row["row"], row["problem_column"], row["problem"]) for row in found[3:5]] == [
        (4, "a", "is a number above 2^53, of which digits are lost; send ids as text"),
        (5, "a", "is a number with a fraction, so it is no id"),
    ]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (
            pa.array([123456789012.0, None, float("nan"), 2.0**53]),
            ["123456789012", None, None, "9007199254740992"],
        ),
        (pa.array([7.0, 16777216.0], pa.float32()), ["7", "16777216"]),
        (pa.array([Decimal("12.00"), Decimal("7.00")], pa.decimal128(10, 2)), ["12", "7"]),
        (
            pa.array([b"\x00" * 15 + b"\x01"], pa.binary(16)),
            ["00000000-0000-0000-0000-000000000001"],
        ),
        (pa.array([b"ABCDEFGHIJKLMNOP"], pa.binary(16)), ["ABCDEFGHIJKLMNOP"]),
        (pa.array([b"AB-1"], pa.large_binary()), ["AB-1"]),
        (pa.array(["AB-1 "]).dictionary_encode(), ["AB-1"]),
        (
            pa.ExtensionArray.from_storage(
                pa.uuid(), pa.array([b"\x21\x63" + b"\x8b" * 14], pa.binary(16))
            ),
            ["21638b8b-8b8b-8b8b-8b8b-8b8b8b8b8b8b"],
        ),
    ],
)
def test_parquet_ids_of_any_type_are_read_as_they_are_usually_written(
    tmp_path: Path, ids: pa.Array, expected: list[str | None]
) -> None:
    pq.write_table(pa.table({"a": ids, "b": ["x"] * len(ids)}), tmp_path / "x.parquet")
    found = rows(tmp_path / "x.parquet", IDS)
    assert [row["c0"] for row in found] == expected
    assert {row["problem"] for row in found} == {None}


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        (pa.array([1.5]), "is a number with a fraction, so it is no id"),
        (
            pa.array([2.0**53 + 2]),
            "is a number above 2^53, of which digits are lost; send ids as text",
        ),
        (
            pa.array([2.0**24 + 2], pa.float32()),
            "is a number above 2^24, of which digits are lost; send ids as text",
        ),
        (
            pa.array([Decimal("1.50")], pa.decimal128(10, 2)),
            "is a number with a fraction, so it is no id",
        ),
    ],
)
def test_a_parquet_number_that_is_no_id_costs_its_row(
    tmp_path: Path, ids: pa.Array, why: str
) -> None:
    pq.write_table(pa.table({"a": ids, "b": ["x"]}), tmp_path / "x.parquet")
    (found,) = rows(tmp_path / "x.parquet", IDS)
    assert (found["problem_column"], found["problem"]) == ("a", why)


def test_values_of_attributes_that_look_personal_are_marked(tmp_path: Path) -> None:
    columns = replace(AB, attributes=frozenset("b"))
    found = rows(
        put(tmp_path, "x.csv", b"a,b\nann@example.org,gold\n1,+33 1 23 45 67 89\n"), columns
    )
    assert [row["personal"] for row in found] == [[], ["b"]]
    assert rows(tmp_path / "x.csv")[0]["personal"] is None


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(table=st.lists(st.tuples(cells, cells), max_size=20))
def test_whatever_python_writes_as_csv_is_read_back(
    tmp_path: Path, table: list[tuple[str, str]]
) -> None:
    text = io.StringIO(newline="")
    writer = csv_module.writer(text, quoting=csv_module.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "b"), *table])
    path = put(tmp_path, "x.csv", text.getvalue().encode())
    assert values(rows(path, Columns(("a", "b"), ("a", "b"), escape="none"))) == table


@given(content=st.binary(max_size=60))
def test_readable_text_can_always_be_stored(content: bytes) -> None:
    assert readable(content.decode("utf-8", "surrogateescape")).encode("utf-8") is not None
