"""Which server is asked next, by a clock that the test moves."""

from __future__ import annotations

from jobs.llm.servers import Servers, Turn


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def servers(count: int, clock: Clock | None = None) -> Servers:
    urls = [f"s{n}" for n in range(count)]
    return Servers(urls, first_pause=1.0, longest_pause=5.0, clock=clock or Clock())


def taken(pool: Servers) -> Turn:
    turn = pool.take()
    assert turn is not None
    return turn


def due() -> tuple[Servers, Clock]:
    """One server that was dropped and whose first pause is over."""
    clock = Clock()
    pool = servers(1, clock)
    pool.failed(taken(pool), unreachable=True)
    clock.now += 1.0
    return pool, clock


def test_the_least_busy_server_is_asked_and_ties_go_by_order() -> None:
    pool = servers(3)
    turns = [taken(pool) for _ in range(4)]
    assert [turn.server.url for turn in turns] == ["s0", "s1", "s2", "s0"]
    pool.answered(turns[2])
    assert taken(pool).server.url == "s2"
    assert pool.under_way == 4


def test_a_server_that_cannot_be_reached_is_dropped_at_once() -> None:
    pool = servers(2)
    assert pool.failed(taken(pool), unreachable=True) is True
    assert [taken(pool).server.url for _ in range(3)] == ["s1", "s1", "s1"]


def test_three_failures_in_a_row_drop_a_server_and_an_answer_between_them_does_not() -> None:
    pool = servers(1)
    dropped = [pool.failed(taken(pool)) for _ in range(2)]
    pool.answered(taken(pool))
    dropped += [pool.failed(taken(pool)) for _ in range(3)]
    assert dropped == [False, False, False, False, True]
    assert pool.take() is None


def test_of_many_requests_sent_together_a_fifth_has_to_fail() -> None:
    """60 under way: the 12th failure in a row leaves 48, of which it is a quarter."""
    pool = servers(1)
    turns = [taken(pool) for _ in range(60)]
    assert [pool.failed(turn) for turn in turns[:12]] == [False] * 11 + [True]


def test_after_its_pause_one_request_tries_a_dropped_server() -> None:
    clock = Clock()
    pool = servers(1, clock)
    pool.failed(taken(pool), unreachable=True)
    assert (pool.take(), pool.seconds_until_due()) == (None, 1.0)
    clock.now += 1.0
    turn = taken(pool)
    assert turn.trial
    assert pool.take() is None, "only one tries it"
    assert pool.answered(turn) is True
    assert not taken(pool).trial


def test_of_two_that_may_be_tried_the_first_of_the_settings_is() -> None:
    clock = Clock()
    pool = servers(2, clock)
    for turn in (taken(pool), taken(pool)):
        pool.failed(turn, unreachable=True)
    clock.now += 1.0
    assert [(turn.server.url, turn.trial) for turn in (taken(pool), taken(pool))] == [
        ("s0", True),
        ("s1", True),
    ]


def test_the_pause_doubles_with_every_failed_trial_up_to_the_longest() -> None:
    clock = Clock()
    pool = servers(1, clock)
    pool.failed(taken(pool), unreachable=True)
    pauses = []
    for _ in range(4):
        pauses.append(pool.seconds_until_due())
        clock.now += pauses[-1]
        pool.failed(taken(pool))
    assert pauses == [1.0, 2.0, 4.0, 5.0]


def test_a_server_that_is_away_is_looked_at_every_first_pause_and_back_when_it_is_there() -> None:
    clock = Clock()
    pool = servers(1, clock)
    pool.failed(taken(pool), unreachable=True)
    for _ in range(20):
        assert (pool.take(), pool.seconds_until_due()) == (None, 1.0)
        clock.now += 1.0
        pool.silent(taken(pool))
    clock.now += 1.0
    looked_at = pool.listed(taken(pool))
    assert [looked_at.trial, taken(pool).trial, taken(pool).trial] == [False, False, False]
    assert pool.failed(looked_at) is False, "one failure of three"


def test_a_list_of_models_proves_nothing_where_it_was_there_all_the_time() -> None:
    pool, _ = due()
    looked_at = pool.listed(taken(pool))
    assert looked_at.trial
    assert pool.take() is None, "only one tries it"
    pool.failed(looked_at)
    assert pool.seconds_until_due() == 2.0


def test_one_that_falls_again_without_an_answer_is_left_alone_for_longer() -> None:
    pool, clock = due()
    pool.silent(taken(pool))
    clock.now += 1.0
    pool.failed(pool.listed(taken(pool)), unreachable=True)
    assert pool.seconds_until_due() == 2.0
    clock.now += 2.0
    assert pool.listed(taken(pool)).trial, "its list was not missing since"


def test_requests_that_were_under_way_when_a_server_fell_do_not_lengthen_its_pause() -> None:
    pool = servers(1)
    turns = [taken(pool) for _ in range(10)]
    dropped = [pool.failed(turn, unreachable=True) for turn in turns]
    assert dropped == [True] + [False] * 9
    assert pool.seconds_until_due() == 1.0


def test_an_old_failure_does_not_speak_for_the_trial() -> None:
    clock = Clock()
    pool = servers(1, clock)
    old = taken(pool)
    pool.failed(taken(pool), unreachable=True)
    clock.now += 1.0
    trial = taken(pool)
    pool.failed(old)
    assert pool.take() is None, "the trial is still under way"
    assert pool.all[0].pause == 1.0
    assert pool.answered(trial) is True


def test_a_cancelled_trial_leaves_the_server_to_the_next() -> None:
    pool, _ = due()
    pool.left(taken(pool))
    assert taken(pool).trial
    assert pool.under_way == 1


def test_a_request_that_failed_before_does_not_try_a_dropped_server_while_another_lives() -> None:
    clock = Clock()
    pool = servers(2, clock)
    pool.failed(taken(pool), unreachable=True)
    clock.now += 1.0
    safe = pool.take(safely=True)
    assert safe is not None
    assert (safe.server.url, safe.trial) == ("s1", False)
    assert (taken(pool).server.url, pool.all[0].tried) == ("s0", True)
