"""How commands print: tables and sentences for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import typer

_PIPE_WIDTH = 200


def plain(value: Any) -> Any:
    """`value` in JSON's types: days as ISO text, NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def as_json(value: Any, *, one_line: bool = False) -> str:
    """JSON, of any value that `plain` knows."""
    indent = None if one_line else 2
    return json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def print_json(value: Any, *, one_line: bool = False) -> None:
    """JSON to standard output."""
    say(as_json(value, one_line=one_line))


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """CSV with a header to standard output; maps and lists as JSON in their cell."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if value is None else _csv_cell(value) for value in row])


def _csv_cell(value: Any) -> Any:
    made_plain = plain(value)
    if isinstance(made_plain, (dict, list)):
        return json.dumps(made_plain, ensure_ascii=False)
    return made_plain


def text(value: Any) -> str:
    """`value` as a person reads it: on one line, without control characters.

    >>> text({"slim": 0.5, "content": 1.0}), text(["a", "b"]), text(1204), text(None)
    ('content 1, slim 0.5', 'a, b', '1,204', '')
    """
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text(value[key])}" for key in sorted(value))
    if isinstance(value, (list, tuple)):
        return ", ".join(text(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    shown = str(value).replace("\n", " ").replace("\t", " ")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)


def counted(number: int, thing: str) -> str:
    """A number and its noun.

    >>> counted(1, "user"), counted(1204, "user")
    ('1 user', '1,204 users')
    """
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def shown(rows: Sequence[Any], limit: int) -> str:
    """How many of the rows are printed.

    >>> shown([1, 2, 3], 2), shown([1, 2], 2)
    ('2 of 3', '2')
    """
    return f"{len(rows)}" if len(rows) <= limit else f"{limit} of {len(rows)}"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], indent: int = 0) -> None:
    """A table to standard output, numbers to the right; wrapped only on a terminal."""
    from rich import box
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    body = list(rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    drawn = []
    for position, column in enumerate(columns):
        cells, are_numbers = _cells([row[position] for row in body])
        justify: Literal["left", "right"] = "right" if are_numbers else "left"
        table.add_column(Text(column), justify=justify, overflow="fold")
        drawn.append(cells)
    for row_of_cells in zip(*drawn, strict=True):
        table.add_row(*map(Text, row_of_cells))
    on_terminal = sys.stdout.isatty()
    console = Console(width=None if on_terminal else _PIPE_WIDTH, highlight=False)
    with console.capture() as capture:
        console.print(Padding(table, (0, 0, 0, indent), expand=False))
    say("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _cells(values: Sequence[Any]) -> tuple[list[str], bool]:
    """A column's texts, and whether it holds numbers, which then all have the same decimals."""
    known = [value for value in values if value is not None]
    are_numbers = bool(known) and all(type(value) in (int, float) for value in known)
    if are_numbers and any(not float(value).is_integer() for value in known):
        return ["" if value is None else f"{value:,.4f}" for value in values], True
    return [text(value) for value in values], are_numbers


def print_records(
    records: Sequence[Mapping[str, Any]], columns: Sequence[str], indent: int = 0
) -> None:
    """Chosen columns of records as a table."""
    print_table(columns, ([record.get(column) for column in columns] for record in records), indent)


def say(line: str = "") -> None:
    """One line for a person, to standard output."""
    typer.echo(line)


def note(line: str) -> None:
    """One remark about the answer, to standard error."""
    typer.echo(line, err=True)
