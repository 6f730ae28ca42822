"""Run benchmarks: each prints a table and writes `.reclake/bench/<name>.jsonl`.

Exits with 0 whether or not targets are met: a benchmark reports.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from jobs.settings import get_settings
from tests.benchmarks.provenance import provenance
from tests.benchmarks.result import Result

NAMES = ("day", "first_look", "accuracy", "recall", "scale", "gate", "llm")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", choices=NAMES, help="one benchmark; all without it")
    only = parser.parse_args().only
    folder = get_settings().home / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    measured_with = provenance()
    for name in [only] if only else NAMES:
        measure: Callable[[], Iterator[Result]] = importlib.import_module(
            f"tests.benchmarks.{name}"
        ).measure
        results = []
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as lines:
            for result in measure():
                print(json.dumps(result.row() | measured_with), file=lines, flush=True)
                Console().print(f"{result.name}: {result.value:.4g} {result.unit}")
                results.append(result)
        show(name, results)


def show(name: str, results: list[Result]) -> None:
    table = Table(title=name)
    for column in ("name", "value", "unit", "peer", "peer value", "ratio", "target", "ok", "runs"):
        table.add_column(column)
    for result in results:
        table.add_row(*("" if value is None else f"{value}" for value in result.shown()))
    Console().print(table)


if __name__ == "__main__":
    main()
