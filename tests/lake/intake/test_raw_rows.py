"""Reading drop files as text: every way in which a file or a row can be broken."""

from __future__ import annotations

import csv as csv_module
import io
from datetime import UTC, datetime
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


def test_a_ragged_csv_row_is_one_bad_row_with_its_line(tmp_path: Path) -> None:
    found = rows(put(tmp_path, "x.csv", b"a,b\n1\n2,3\n4,5,6\n"))
    assert [(row["row"], row["problem"], row["line"]) for row in found] == [
        (2, "has 1 cells where the header has 2", "1"),
        (3, None, None),
        (4, "has 3 cells where the header has 2", "4,5,6"),
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


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.lists(st.tuples(cells, cells), max_size=20))
def test_whatever_python_writes_as_csv_is_read_back(
    tmp_path: Path, table: list[tuple[str, str]]
) -> None:
    text = io.StringIO(newline="")
    writer = csv_module.writer(text, quoting=csv_module.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "b"), *table])
    path = put(tmp_path, "x.csv", text.getvalue().encode())
    assert values(rows(path)) == table


@given(content=st.binary(max_size=60))
def test_readable_text_can_always_be_stored(content: bytes) -> None:
    assert readable(content.decode("utf-8", "surrogateescape")).encode("utf-8") is not None
