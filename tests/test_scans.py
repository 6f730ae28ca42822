"""How often each table function reads the log: a frame that is used twice is computed twice.

The numbers are those of the plans before they run, with all that is computed once (`Scratch`). A
number that rises makes every day dearer: compute the frame once, or raise the number here.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from datetime import date

import pytest
from pyspark.sql import DataFrame

from jobs.lake import Lake, Read
from jobs.lake.scratch import Computed, Scratch
from jobs.lake.step import Outcome, Search, Step, steps

DAY = date(2017, 12, 28)
LOG = "silver.interactions"
# Columns that only the log has together.
_OF_LOG = re.compile(r"Relation .*\bquantity#\d+.*\bsession_id#")

# Those that read it once are not listed. Most of the second scans are of a few days alone: what a
# user has seen lately.
MORE_THAN_ONCE = {
    "gold.data_report_daily": 2,
    "gold.recall_metrics_daily": 0,
    "gold.user_recall_daily": 0,
    "silver.interactions": 2,
    "silver.user_candidates.i2i": 2,
    "silver.user_candidates.new": 2,
    "silver.user_candidates.newcomer": 4,
    "silver.user_candidates.popular": 2,
    "silver.user_candidates.product_names": 2,
    "silver.user_candidates.repurchase": 2,
    "silver.user_candidates.seasonal": 2,
    "silver.user_candidates.trending": 2,
}


def readers_of_log() -> list[Step]:
    """The table steps that read the log and nothing outside the lake."""
    return [
        step
        for step in steps().values()
        if step.kind == "table"
        and any(isinstance(read, Read) and read.table == LOG for read in step.reads.values())
        and not any(isinstance(read, Search) for read in step.reads.values())
    ]


def scans(frame: DataFrame) -> int:
    """How often the optimized plan of a frame reads the log."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        frame.explain(extended=True)
    optimized = said.getvalue().split("== Optimized Logical Plan ==")[1]
    optimized = optimized.split("== Physical Plan ==")[0]
    return sum(bool(_OF_LOG.search(line)) for line in optimized.splitlines())


@pytest.fixture
def counted(make_lake: Callable[..., Lake], monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Counts the scans of one step on an empty lake."""
    lake = make_lake()

    def count(step: Step) -> int:
        found: list[int] = []
        computed = Scratch.computed

        def watched(scratch: Scratch, frame: DataFrame) -> Computed:
            found.append(scans(frame))
            return computed(scratch, frame)

        with monkeypatch.context() as patched, lake._scratch("scans") as scratch:
            patched.setattr(Scratch, "computed", watched)
            run = lake.by_hand(DAY, scratch)
            inputs = {
                name: lake.reader.seen(read, run)
                for name, read in step.reads.items()
                if isinstance(read, Read)
            }
            made = step.function(run, **inputs)
            found.append(scans(made.rows if isinstance(made, Outcome) else made))
        return sum(found)

    return count


def test_each_table_function_reads_the_log_as_often_as_written_here(
    counted: Callable[..., int],
) -> None:
    found = {step.task_id: counted(step) for step in readers_of_log()}
    assert {name: scans for name, scans in found.items() if scans != 1} == MORE_THAN_ONCE
