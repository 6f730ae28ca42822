"""How many calls to keep under way at once, learned from how long they take.

The limit climbs, twice fourfold and then in doublings, while each level brings clearly more answers
a second. By Little's law, a level's rate is its calls under way divided by the time of one call
sent at that level. (Counting answers understates a level that has just begun by up to a third: its
calls start together, and some are half done where the count ends.) A level is judged over as many
answers as it has calls, which takes about the time of one call; if that is not clear, over twice
and then four times as many.

The limit then settles at the lowest level with the best rate; the first time, at the highest such
level. A level too low costs a tenth of the answers, a level too high next to none, and the first
climb knows only a few seconds of a cold server. A server that is overloaded (429, 503) or times
out halves the limit, if it does so too often to be chance. A level is not tried if its answers
would come too late in case it brought no more a second: calls then take longer in proportion to
their number.

A settled level is left now and then, for the next one and for the highest in turn, since rates in
between may be flat: on an H200, vLLM answers 16 and 128 calls at once about alike (36 and 39 calls
a second of the demo's model) and 256 at once 104 a second, because above 128 it fills the masks of
a schema's grammar with several threads. A leap to the highest has to bring clearly more at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

# Fewer answers than the first say nothing about a rate, fewer requests nothing about a share.
FEWEST_ANSWERS = 4
FEWEST_REQUESTS = 16
WORTH_A_DOUBLING = 1.05
# Of the best rate below: too little to look on, and enough to climb on, by the step that led to the
# level and the windows looked at. In the first window short answers come first, and the more so the
# higher the step.
BOUNDS = {
    2: {1: (0.9, 1.25), 2: (0.9, 1.12), 4: (WORTH_A_DOUBLING, WORTH_A_DOUBLING)},
    4: {1: (0.9, 1.56), 2: (0.9, 1.25), 4: (1.1, 1.1)},
}
# The first climbs are fourfold, unless it settles sooner: a level on the way costs the time of two
# of its calls.
FOURFOLD_CLIMBS = 2
OVERLOADED_SHARE = 0.2
# A window in which there was less to do than the limit allows says nothing about the limit.
BUSY_SHARE = 0.75
# Of the timeout, what the slowest answers of a level may take before it is tried.
SHARE_OF_TIMEOUT = 0.8
# Windows at a settled level before the next one is tried again.
FIRST_REST = 4
LONGEST_REST = 32
# Answers before the first leap, and between one that brought nothing and the next, in windows of
# the highest level: a short list is not to be spent on finding out.
FIRST_LEAP = 2
LEAP_REST = 8


class Pace:
    """The limit on calls under way, between 1 and `most`; starts at `first`.

    timeout_seconds: an answer that takes longer is lost. clock: seconds, only ever forward.
    """

    _looks: int
    _last: float
    _busy: float
    _elapsed: float
    _taken: float
    _slowest: float

    def __init__(
        self,
        first: int,
        most: int,
        timeout_seconds: float = float("inf"),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.limit = min(first, most)
        self._most = most
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._rates: dict[int, float] = {}
        self._ceiling = most
        self._rest = FIRST_REST
        self._resting = 0
        self._has_settled = False
        self._step = 4
        self._knows_next = False
        self._leaping = False
        self._counted = 0
        self._next_leap = FIRST_LEAP * most
        self._cut_at = float("-inf")
        self._recent: deque[bool] = deque()
        self._begin()

    def answered(self, under_way: int, seconds: float) -> None:
        """A request was answered after so many seconds, one of `under_way` at that moment."""
        self._note(overloaded=False)
        self._counted += 1
        now = self._clock()
        # for how long so many were; before this one was sent there may have been nothing to do
        elapsed, self._last = min(now - self._last, seconds), now
        if now - seconds < self._since:  # part of it at another level, as slow as that
            return
        self._answers += 1
        self._elapsed += elapsed
        self._busy += under_way * elapsed
        self._taken += seconds
        self._slowest = max(self._slowest, seconds)
        if self._answers < self._looks * max(self.limit, FEWEST_ANSWERS) or not self._elapsed:
            return
        busy = self._busy / self._elapsed
        if busy < BUSY_SHARE * self.limit:
            self._begin()
            return
        self._judge(busy * self._answers / self._taken)

    def overloaded(self, sent_at: float) -> None:
        """A request sent at `sent_at` (the clock's) met 429, 503 or a timeout.

        Requests sent before the last cut of the limit met the load before it, and count no more.
        """
        if sent_at < self._cut_at:
            return
        self._note(overloaded=True)
        share = sum(self._recent) / len(self._recent)
        if len(self._recent) < FEWEST_REQUESTS or share <= OVERLOADED_SHARE:
            return
        self._ceiling = max(1, self.limit // 2)
        self._rates = {level: rate for level, rate in self._rates.items() if level < self.limit}
        self._cut_at = self._clock()
        self._recent.clear()
        self._put_off_leaps()
        self._settle_at(self._ceiling)

    def interrupted(self) -> None:
        """The servers changed or were away: forget what was counted at this level."""
        self._begin()

    def _note(self, *, overloaded: bool) -> None:
        self._recent.append(overloaded)
        while len(self._recent) > max(FEWEST_REQUESTS, self.limit):
            self._recent.popleft()

    def _begin(self) -> None:
        """Count what is sent from now on."""
        self._since = self._last = self._clock()
        self._count_anew()

    def _count_anew(self) -> None:
        self._answers = 0
        self._busy = self._elapsed = self._taken = self._slowest = 0.0
        self._looks = 1

    def _judge(self, rate: float) -> None:
        below = max((r for level, r in self._rates.items() if level < self.limit), default=0.0)
        if self._resting:
            rate = (rate + self._rates.get(self.limit, rate)) / 2
        self._rates[self.limit] = rate
        if self._resting:
            self._resting -= 1
            if self._resting:
                self._count_anew()
            else:
                self._ceiling = self._most
                self._leaping = self._knows_next and self._counted >= self._next_leap
                self._climb(to=self._most if self._leaping else 2 * self.limit)
            return
        too_little, enough = BOUNDS[self._step][self._looks]
        if rate >= enough * below:
            self._rest = FIRST_REST
            self._leaping = False
            if len(self._rates) > FOURFOLD_CLIMBS:
                self._step = 2
            self._climb(to=self._step * self.limit)
        elif rate >= too_little * below and not self._leaping:
            self._looks *= 2
        else:
            best = max(self._rates.values())
            as_good = [n for n, r in self._rates.items() if r * WORTH_A_DOUBLING >= best]
            self._settle_at(min(as_good) if self._has_settled else max(as_good))
            self._rest = min(2 * self._rest, LONGEST_REST)
            if self._leaping:
                self._put_off_leaps()
            self._knows_next, self._leaping = not self._leaping, False

    def _put_off_leaps(self) -> None:
        self._next_leap = self._counted + LEAP_REST * self._most

    def _climb(self, to: int) -> None:
        in_time = SHARE_OF_TIMEOUT * self._timeout_seconds / max(self._slowest, 1e-9)
        if in_time < 2:
            self._settle_at(self.limit)
            return
        self.limit = int(min(to, in_time * self.limit, self._ceiling))
        self._begin()

    def _settle_at(self, level: int) -> None:
        self.limit = level
        self._has_settled = True
        self._step = 2
        self._resting = self._rest
        self._begin()
