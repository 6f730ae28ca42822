"""The limit on calls under way, against simulated servers whose best level is known."""

from __future__ import annotations

import heapq
import random

import pytest

from jobs.llm.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def drive(
    level: int,
    calls: int,
    first: int,
    most: int,
    seed: int = 1,
    timeout_seconds: float = float("inf"),
    jump: tuple[int, float] = (10**9, 1.0),
) -> tuple[list[int], float]:
    """Make so many calls at the pace's limit of a server that shares its power among all calls.

    A call alone takes 0.7 to 1.3 seconds; more than `level` at once are slowed down alike. jump:
    from so many at once on, the server has so many times the power.
    Returns the limit after each answer, and calls a second. Fails when an answer takes too long.
    """
    clock, draws = Clock(), random.Random(seed)
    pace = Pace(first, most, timeout_seconds, clock)
    # work done at its end, for each call, which is seconds while the server is free; when it began
    ends: list[tuple[float, float]] = []
    limits: list[int] = []
    done, sent = 0.0, 0
    while len(limits) < calls:
        while sent < calls and len(ends) < pace.limit:
            sent += 1
            heapq.heappush(ends, (done + 0.7 + 0.6 * draws.random(), clock.now))
        power = level * (jump[1] if len(ends) >= jump[0] else 1.0)
        clock.now += (ends[0][0] - done) * max(1.0, len(ends) / power)
        seconds = clock.now - ends[0][1]
        assert seconds <= timeout_seconds
        pace.answered(len(ends), seconds)
        done, _ = heapq.heappop(ends)
        limits.append(pace.limit)
    return limits, calls / clock.now


@pytest.mark.parametrize("level", [8, 32, 64])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_finds_about_the_level_at_which_the_server_is_full(level: int, seed: int) -> None:
    limits, _ = drive(level, 3000, 8, 512, seed)
    usual = sorted(limits[500:])[len(limits[500:]) // 2]
    assert level <= usual <= 4 * level
    assert min(limits[500:]) >= level
    # a leap to the highest level lasts for as many answers as that has calls
    assert sum(limit > 8 * level for limit in limits) <= 512 + 8 * level


def test_a_leap_finds_the_level_behind_a_plateau() -> None:
    limits, found = drive(16, 12000, 8, 256, jump=(256, 2.6))
    _, known = drive(16, 12000, 256, 256, jump=(256, 2.6))
    assert max(limits[: 2 * 256]) <= 128, "a short list is not spent on a leap"
    assert min(limits[-3000:]) >= 256
    assert found / known >= 0.85


def test_it_is_at_the_plateau_within_the_first_tens_of_calls() -> None:
    limits, _ = drive(64, 500, 8, 512)
    # Of the levels 8 and 32 as many answers count; fewer than 8 were sent before the second.
    assert 40 <= limits.index(128) + 1 < 48


def test_500_calls_take_hardly_longer_than_at_the_best_level_from_the_start() -> None:
    _, found = drive(32, 500, 16, 128)
    _, known = drive(32, 500, 32, 32)
    assert found / known >= 0.95


def test_the_limit_never_passes_what_the_settings_allow() -> None:
    limits, _ = drive(1000, 2000, 8, 50)
    assert max(limits) == 50
    assert limits[-1] == 50


def test_a_level_at_which_answers_would_come_too_late_is_never_tried() -> None:
    """One call at a time is all that the server does: 16 take 16 to 21 s, 32 twice as long."""
    limits, _ = drive(1, 1000, 16, 128, timeout_seconds=40.0)
    assert set(limits) == {16}
    limits, _ = drive(1, 1000, 16, 128, timeout_seconds=60.0)
    assert 32 <= max(limits) <= 0.8 * 60


def test_a_short_timeout_keeps_no_good_level_away() -> None:
    limits, _ = drive(32, 500, 8, 512, timeout_seconds=4.0)
    assert 32 <= limits[-1] <= 64


def test_it_starts_no_higher_than_the_settings_allow() -> None:
    assert Pace(8, 3).limit == 3


def answer(pace: Pace, clock: Clock, count: int, each_seconds: float, under_way: int) -> None:
    """One answer after the other, of a server that has had so many under way for long.

    So of the first after a climb, all but one of as many as are under way were sent before it.
    """
    for _ in range(count):
        clock.now += each_seconds
        pace.answered(under_way, under_way * each_seconds - 1e-6)


def climbed_to_16(most: int) -> tuple[Pace, Clock]:
    """A pace whose first level, 4, was answered at one a second."""
    clock = Clock()
    pace = Pace(4, most, clock=clock)
    clock.now = 100.0
    answer(pace, clock, 4, 1.0, under_way=4)
    return pace, clock


def cut_to_16(most: int) -> tuple[Pace, Clock]:
    """A pace whose first 16 of 32 calls, all sent at 0, met 503s."""
    clock = Clock()
    pace = Pace(32, most, clock=clock)
    for _ in range(16):
        pace.overloaded(sent_at=0.0)
    return pace, clock


def test_a_list_too_short_to_fill_the_limit_says_nothing_about_it() -> None:
    clock = Clock()
    pace = Pace(8, 64, clock=clock)
    answer(pace, clock, 80, 0.1, under_way=3)
    assert pace.limit == 8


def test_answers_that_all_come_at_once_are_not_taken_for_too_little_to_do() -> None:
    clock = Clock()
    pace = Pace(8, 1024, clock=clock)
    limits = []
    for _ in range(4):
        clock.now += 1.0
        for left in range(pace.limit, 0, -1):
            pace.answered(left, 1.0)
        limits.append(pace.limit)
    assert limits == [32, 128, 256, 512]


def test_what_was_under_way_after_a_pause_does_not_count_for_the_pause() -> None:
    clock = Clock()
    pace = Pace(8, 64, clock=clock)
    clock.now = 1000.0
    pace.answered(8, 1.0)
    answer(pace, clock, 7, 1 / 3, under_way=3)
    assert pace.limit == 8, "in the mean (8 + 7) / (1 + 7 / 3) = 4.5, less than three quarters"


def test_a_level_in_doubt_stays_the_first_time_and_later_the_lowest_as_good_does() -> None:
    pace, clock = climbed_to_16(most=1024)
    answer(pace, clock, 31, 1 / 2, under_way=16)
    answer(pace, clock, 63 + 4 * 64, 1 / 2.05, under_way=64)
    assert pace.limit == 64, "2.5% more says nothing in one window, two, or four"
    answer(pace, clock, 63 + 4 * 64 - 1, 1 / 2.05, under_way=64)
    assert pace.limit == 64
    answer(pace, clock, 1, 1 / 2.05, under_way=64)
    assert pace.limit == 128, "after its rest the next one is tried"
    answer(pace, clock, 127 + 4 * 128, 1 / 2.05, under_way=128)
    assert pace.limit == 16


def test_a_level_that_is_clearly_worse_is_left_after_one_window() -> None:
    pace, clock = climbed_to_16(most=64)
    answer(pace, clock, 31, 1 / 2, under_way=16)
    answer(pace, clock, 63 + 64 - 1, 1 / 1.7, under_way=64)
    assert pace.limit == 64
    answer(pace, clock, 1, 1 / 1.7, under_way=64)
    assert pace.limit == 16


def test_after_two_fourfold_climbs_it_doubles() -> None:
    pace, clock = climbed_to_16(most=256)
    answer(pace, clock, 31, 1 / 4, under_way=16)
    assert pace.limit == 64
    answer(pace, clock, 63 + 64, 1 / 16, under_way=64)
    assert pace.limit == 128


def test_after_a_cut_it_climbs_in_doublings_alone() -> None:
    pace, clock = cut_to_16(most=256)
    answer(pace, clock, 15 + 4 * 16, 1.0, under_way=16)
    assert pace.limit == 32
    answer(pace, clock, 31 + 32, 1 / 2, under_way=32)
    assert pace.limit == 64


def test_a_level_is_not_judged_by_what_was_sent_at_another() -> None:
    """16 or 64 at once bring 2 a second, in the order sent: 16 that were under way take 8.25 s."""
    pace, clock = climbed_to_16(most=256)
    answer(pace, clock, 31, 1 / 2, under_way=16)
    for number in range(1, 65):
        clock.now += 0.5
        pace.answered(64, 8.25 if number <= 16 else number / 2)
    assert pace.limit == 64
    answer(pace, clock, 3 * 64, 1 / 2, under_way=64)
    assert pace.limit == 64


def test_503s_halve_the_limit_once_for_all_that_were_under_way() -> None:
    clock = Clock()
    pace = Pace(32, 64, clock=clock)
    for _ in range(32):  # all sent at 0
        clock.now += 0.01
        pace.overloaded(sent_at=0.0)
    assert pace.limit == 16
    for _ in range(16):  # sent after the cut: the load of now
        pace.overloaded(sent_at=clock.now)
    assert pace.limit == 8


def test_after_a_cut_it_rests_before_it_climbs_again() -> None:
    pace, clock = cut_to_16(most=64)
    assert pace.limit == 16
    answer(pace, clock, 15 + 4 * 16 - 1, 0.1, under_way=16)
    assert pace.limit == 16
    answer(pace, clock, 1, 0.1, under_way=16)
    assert pace.limit == 32


def test_one_503_in_twenty_is_chance_and_changes_nothing() -> None:
    clock = Clock()
    pace = Pace(32, 32, clock=clock)
    for number in range(400):
        clock.now += 0.1
        if number % 20 == 0:
            pace.overloaded(sent_at=clock.now)
        else:
            pace.answered(32, 3.2)
    assert pace.limit == 32


def test_it_never_falls_below_one_call() -> None:
    clock = Clock()
    pace = Pace(4, 64, clock=clock)
    for _ in range(200):
        clock.now += 1
        pace.overloaded(sent_at=clock.now)
    assert pace.limit == 1


def test_an_outage_is_not_taken_for_a_slow_level() -> None:
    pace, clock = climbed_to_16(most=16)
    assert pace.limit == 16
    answer(pace, clock, 15 + 8, 0.5, under_way=16)
    clock.now += 1000
    pace.interrupted()
    clock.now += 1
    answer(pace, clock, 15 + 16, 0.5, under_way=16)
    assert pace.limit == 16


def test_answers_that_a_higher_level_left_do_not_count_for_a_lower_one() -> None:
    """Of 32 calls under way at a cut to 16, the last is answered after 32 s."""
    pace, clock = cut_to_16(most=64)
    for number in range(32):
        clock.now += 1.0
        pace.answered(max(16, 32 - number), clock.now + 1.0)
    answer(pace, clock, 4 * 16 - 1, 1.0, under_way=16)
    assert pace.limit == 16, "what was sent before the cut was taken for a window at rest"
    answer(pace, clock, 1, 1.0, under_way=16)
    assert pace.limit == 32
