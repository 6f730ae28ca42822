"""What past runs say about a table, on a few records."""

from __future__ import annotations

from datetime import date

from jobs.lake.oplog import PUBLISHED, UNCHANGED, PastRuns, RunRecord

LISTS, OTHER = "gold.lists", "gold.other"


def day(number: int) -> date:
    return date(2026, 1, number)


def published(
    table: str, number: int, rows: int | None = 1, *, slice: str = "", params: str = "{}"
) -> RunRecord:
    ds = day(number)
    return RunRecord("run", table, slice, ds, ds, PUBLISHED, rows_out=rows, params=params)


def unchanged(table: str, number: int) -> RunRecord:
    return RunRecord("run", table, "", day(number), day(number), UNCHANGED, rows_out=0)


ACCEPTED = '{"accept_worse": true}'


def test_trailing_days_are_the_published_ones_of_the_table() -> None:
    past = PastRuns(
        [
            *(published(LISTS, number) for number in (6, 1, 2, 4)),
            published(OTHER, 3),
            unchanged(LISTS, 5),
        ]
    )
    assert past.trailing_days(LISTS, day(6), 4) == [day(2), day(4)]
    assert past.trailing_days("gold.none", day(6), 4) == []


def test_days_before_the_newest_accepted_one_do_not_trail() -> None:
    past = PastRuns(
        [
            published(LISTS, 1),
            published(LISTS, 2, params=ACCEPTED),
            published(LISTS, 3),
            published(LISTS, 4, params=ACCEPTED),
            published(LISTS, 5),
        ]
    )
    assert past.trailing_days(LISTS, day(6), 5) == [day(4), day(5)]
    assert past.trailing_days(LISTS, day(4), 5) == [day(2), day(3)]


def test_one_accepted_day_is_enough() -> None:
    past = PastRuns([published(LISTS, 1), published(LISTS, 2, params=ACCEPTED)])
    assert past.trailing_days(LISTS, day(3), 5) == [day(2)]


def test_rows_are_counted_by_slice_newest_day_first() -> None:
    past = PastRuns(
        [
            published(LISTS, 1, 10, slice="a"),
            published(LISTS, 3, 30, slice="a"),
            published(LISTS, 2, 20, slice="a"),
            published(LISTS, 2, 7, slice="b"),
            published(LISTS, 4, 40, slice="a"),
        ]
    )
    assert past.row_counts(LISTS, "a", day(4)) == (30, 20, 10)


def test_a_day_that_changed_nothing_ended_well_but_is_no_watermark() -> None:
    past = PastRuns([published(LISTS, 1), unchanged(LISTS, 2), published(OTHER, 3)])
    assert past.days(LISTS) == {day(1), day(2)}
    assert past.watermark(LISTS) == day(1)
    assert past.watermark("gold.none") is None


def test_the_run_before_a_day_is_the_newest_published_one_of_its_slice() -> None:
    past = PastRuns(
        [
            published(LISTS, 1, 10, slice="a"),
            published(LISTS, 3, 30, slice="a"),
            published(LISTS, 4, 40, slice="b"),
            published(OTHER, 4, 50, slice="a"),
            unchanged(LISTS, 4),
            published(LISTS, 5, 60, slice="a"),
        ]
    )
    before = past.published_before(LISTS, "a", day(5))
    assert before is not None
    assert (before.ds, before.rows_out) == (day(3), 30)
    assert past.published_before(LISTS, "a", day(1)) is None
    assert past.published_before("gold.none", "", day(5)) is None
