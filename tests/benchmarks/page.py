"""The benchmark page of the docs, from what `make bench` wrote last.

python -m tests.benchmarks.page
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

from jobs.settings import get_settings
from tests.benchmarks.__main__ import NAMES
from tests.benchmarks.provenance import ROOT, sentence

_COLUMNS = ("", "value", "peer", "peer's value", "ratio", "target", "", "runs of each")
_HEAD = """# Benchmarks

`make bench` measures, writes `.reclake/bench/*.jsonl` and prints the same tables. This page is made
from its runs by `python -m tests.benchmarks.page`, which leaves the section of a benchmark that was
not run as it is. A peer was measured in the same run, unless it is marked *published*. Machines
differ and are noisy: compare ratios, not times. A missed target is marked **missed**.
"""
PAGE = ROOT / "docs" / "benchmarks.md"


def page(folder: Path, before: str) -> str:
    """Markdown, one table a benchmark. folder: where `make bench` wrote. before: the page so far,
    whose sections stay where a benchmark was not run."""
    kept = {part.partition("\n")[0]: f"## {part}" for part in before.split("\n## ")[1:]}
    parts = [_HEAD]
    for name in NAMES:
        written = folder / f"{name}.jsonl"
        lines = written.read_text("utf-8").splitlines() if written.exists() else []
        if lines:  # none of a run that ended before its first figure
            about = inspect.getdoc(importlib.import_module(f"tests.benchmarks.{name}")) or ""
            rows = [json.loads(line) for line in lines]
            # Rows that an older version wrote say nothing of how they were made.
            made = f"{sentence(rows[0])}\n\n" if "commit" in rows[0] else ""
            parts.append(f"## {name}\n{about}\n\n`make bench ONLY={name}`\n\n{made}{table(rows)}")
        elif name in kept:
            parts.append(f"{kept[name].rstrip()}\n")
    return "\n".join(parts)


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of rows as `tests.benchmarks.result.Result.row` makes them."""
    lines = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS))]
    for row in rows:
        verdict = {True: "met", False: "**missed**", None: ""}[row["ok"]]
        figures = (_figure(row[key]) for key in ("peer_value", "ratio", "target"))
        peer_value, ratio, target = figures
        value = f"{_figure(row['value'])} {row['unit']}".strip()
        cells = [row["name"], value, row["peer"] or "", peer_value, ratio, target, verdict]
        lines.append(_line([*cells, str(row.get("repetitions", ""))]))
    return "\n".join(lines) + "\n"


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(get_settings().home / "bench", PAGE.read_text("utf-8")), "utf-8")
