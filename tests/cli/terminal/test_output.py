"""How values are printed."""

from __future__ import annotations

import doctest
import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from jobs.cli import docs
from jobs.cli.terminal import output


@pytest.mark.parametrize("module", [output, docs])
def test_examples_in_docstrings_hold(module: object) -> None:
    failures, tried = doctest.testmod(module)  # type: ignore[arg-type]
    assert (failures, tried > 0) == (0, True)


def test_json_has_days_as_text_and_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json(
        {
            "ds": date(2017, 12, 30),
            "at": datetime(2017, 12, 30, 4, tzinfo=UTC),
            "nan": math.nan,
            "inf": [math.inf],
            "decimal": Decimal("1.5"),
            "name": "crème",
        }
    )
    printed = capsys.readouterr().out
    assert json.loads(printed) == {
        "ds": "2017-12-30",
        "at": "2017-12-30T04:00:00+00:00",
        "nan": None,
        "inf": [None],
        "decimal": 1.5,
        "name": "crème",
    }
    assert "crème" in printed


def test_csv_quotes_and_keeps_maps_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_csv(["a", "b"], [('say "hi", twice', {"x": 0.5}), (None, [1, 2])])
    assert capsys.readouterr().out == 'a,b\n"say ""hi"", twice","{""x"": 0.5}"\n,"[1, 2]"\n'


def test_a_column_of_numbers_has_one_number_of_decimals(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_table(["rows", "score"], [(1204, 0.5), (3, 1.0), (None, None)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["rows", "score"], ["─" * 14], ["1,204", "0.5000"], ["3", "1.0000"], []]


def test_data_cannot_move_the_cursor_or_set_colours(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["title"], [("\x1b[2JMILK\x07 [bold]",), ("two\nlines",)])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "MILK� [bold]" in printed
    assert "two lines" in printed


def test_a_pipe_gets_a_row_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["reason"], [("x" * 180,)])
    assert "x" * 180 in capsys.readouterr().out
