"""Several servers that answer alike: which one to ask next, and which to leave alone for a while.

A server is dropped when a connection to it can't be made, or when several requests in a row fail:
at least three, and a fifth of those that were sent together. (A busy server says 503 at once, while
an answer takes its time. If 5% of requests usually fail, the three of sixty sent together that fail
come back first, and in a row.) After a pause, the client looks again and again whether the server
lists its models: a restart takes minutes, and a look costs nothing. If an earlier look found no
list, the list is believed and brings the server back. If not, a gateway may list models by itself,
so one request tries the server: an answer brings it back, a failure doubles the pause.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FAILURES_IN_A_ROW = 3
FAILURES_A_CALL_UNDER_WAY = 0.25  # a fifth of those sent: one has failed, and four are under way


@dataclass
class Server:
    """One base URL. under_way: requests sent to it and not ended. failures: in a row.

    due: when a dropped server may be looked at again, None while it is live. tried: whether the
    request that looks is under way. was_silent: whether a look since the drop found no models.
    """

    url: str
    under_way: int = 0
    failures: int = 0
    pause: float = 0.0
    due: float | None = None
    tried: bool = False
    was_silent: bool = False


@dataclass(frozen=True)
class Turn:
    """One request to one server. trial: whether it tries a dropped one."""

    server: Server
    trial: bool = False


class Servers:
    """The servers of one client. clock: seconds, only ever forward. Pauses in seconds."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        first_pause: float,
        longest_pause: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.all = [Server(url) for url in urls]
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._clock = clock

    @property
    def under_way(self) -> int:
        return sum(server.under_way for server in self.all)

    def take(self, *, safely: bool = False) -> Turn | None:
        """The server for the next request, or None when no server is to be asked now.

        A dropped server whose pause is over comes first, since one request has to try it; else
        the live one with the fewest requests under way, ties in the order of the settings.
        safely: the request has failed before, so it tries no dropped server while one is live.
        """
        now = self._clock()
        live = [server for server in self.all if server.due is None]
        due = [s for s in self.all if s.due is not None and now >= s.due and not s.tried]
        if due and not (safely and live):
            turn = Turn(due[0], trial=True)
            turn.server.tried = True
        elif live:
            turn = Turn(min(live, key=lambda server: server.under_way))
        else:
            return None
        turn.server.under_way += 1
        return turn

    def seconds_until_due(self) -> float:
        """How long until a dropped server may be tried; the first pause while one is tried."""
        waits = [s.due - self._clock() for s in self.all if s.due is not None and not s.tried]
        return max(min(waits, default=self._first_pause), 0.0)

    def answered(self, turn: Turn) -> bool:
        """The server answered, whatever it said. Whether this brings it back."""
        server = turn.server
        back = server.due is not None
        self.left(turn)
        server.failures, server.pause, server.due, server.was_silent = 0, 0.0, None, False
        return back

    def silent(self, turn: Turn) -> None:
        """A dropped server did not list its models. The turn is over."""
        self.left(turn)
        turn.server.failures += 1
        turn.server.was_silent = True
        turn.server.due = self._clock() + self._first_pause

    def listed(self, turn: Turn) -> Turn:
        """A dropped server listed its models. The turn goes on, as a trial if the list may be a
        gateway's.

        The pause of the last drop is kept, so that a server that fails again at once rests longer.
        """
        server = turn.server
        if not server.was_silent:
            return turn
        server.failures, server.due, server.tried, server.was_silent = 0, None, False, False
        return Turn(server)

    def failed(self, turn: Turn, *, unreachable: bool = False) -> bool:
        """The server gave no answer. Whether this drops it."""
        server = turn.server
        self.left(turn)
        server.failures += 1
        was_live = server.due is None
        too_many = max(FAILURES_IN_A_ROW, FAILURES_A_CALL_UNDER_WAY * server.under_way)
        if turn.trial or (was_live and (unreachable or server.failures >= too_many)):
            server.pause = min(max(2 * server.pause, self._first_pause), self._longest_pause)
            server.due = self._clock() + server.pause
        return was_live and server.due is not None

    def left(self, turn: Turn) -> None:
        """The request was cancelled, which says nothing about the server."""
        turn.server.under_way -= 1
        turn.server.tried = turn.server.tried and not turn.trial
