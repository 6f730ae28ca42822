"""Payment, budgets and kills, against a server whose answers and failures are scripted."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from jobs.lake.contract import Contracts
from jobs.lake.settings import ROOT
from jobs.lake.sink import Sink
from jobs.lake.tables import Tables
from jobs.llm.budget import Budget, Rate
from jobs.llm.bulk import Tally, enrich
from jobs.llm.client import Attempt, Reply
from jobs.llm.commits import LEDGER
from jobs.llm.errors import ServerRefuses, TooManyErrors
from jobs.llm.gate import AnswerGate
from jobs.llm.plan import plan, posed
from jobs.llm.prompt import Prompt
from tests.llm.conftest import (
    MODEL,
    MemorySink,
    WordEncoder,
    client_of,
    contract_schema,
    limits,
    target,
)
from tests.llm.faulty_server import FaultyServer, Response, says, serve
from tests.llm.work import TABLE, WORDS, asks, echo, pay, run, title_of


def test_every_ask_is_answered_once_and_the_ledger_says_what_it_cost(
    prompt: Prompt, sink: MemorySink
) -> None:
    with serve(echo) as server:
        tally = run(asks(20), prompt, server, sink)
    rows = sink.rows(TABLE)
    assert sorted(row["content_hash"] for row in rows) == sorted(f"c{n}" for n in range(20))
    first = next(row for row in rows if row["content_hash"] == "c0")
    assert first["status"] == "success"
    assert first["gate_score"] == pytest.approx(1.0)
    assert (first["standard_name"], first["keywords"]) == ("teaaa", ["teaaa"])
    assert (first["prompt_version"], first["model"]) == (prompt.prompt_version, MODEL)
    assert (first["summary"], first["attributes"]) == (None, None)
    assert json.loads(first["raw_text"])["standard_name"] == "teaaa"
    ledger = sink.rows(LEDGER)
    assert {row["subject"] for row in ledger} == {f"c{n}" for n in range(20)}
    assert {(row["prompt_version"], row["model"]) for row in ledger} == {
        (prompt.prompt_version, MODEL)
    }
    assert len({row["call_id"] for row in ledger}) == 20
    assert {row["status"] for row in ledger} == {"success"}
    assert sum(row["cached_tokens"] for row in ledger) == 20 * 90 == tally.cached_tokens
    assert (tally.calls, tally.prompt_tokens, tally.completion_tokens) == (20, 2000, 400)
    assert tally.rows == Counter(success=20)


def test_the_most_urgent_are_asked_first(prompt: Prompt, sink: MemorySink) -> None:
    with serve(echo) as server:
        run(asks(12), prompt, server, sink, limits(concurrency=1))
    assert [title_of(question) for question in server.questions()] == WORDS[:12]


def test_a_second_run_sends_nothing(prompt: Prompt, sink: MemorySink) -> None:
    with serve(echo) as server:
        run(asks(20), prompt, server, sink)
        again = run(asks(20), prompt, server, sink)
    assert len(server.requests) == 20
    assert (again.calls, again.rows) == (0, Counter())


def test_only_what_is_new_is_sent(prompt: Prompt, sink: MemorySink) -> None:
    with serve(echo) as server:
        run(asks(20), prompt, server, sink)
        run(asks(23), prompt, server, sink)
    # calls of one chunk are under way together, so they may arrive in any order
    assert sorted(title_of(question) for question in server.questions()[20:]) == WORDS[20:23]


def test_no_more_than_a_chunk_is_sent_and_not_committed(prompt: Prompt) -> None:
    uncommitted: list[int] = []

    class Watching(MemorySink):
        def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
            uncommitted.append(len(server.requests) - len(self.rows(TABLE)))
            super().append(table, rows, chunk_id)

    with serve(echo) as server:
        run(asks(100), prompt, server, Watching(), limits(concurrency=16, chunk_size=10))
    assert max(uncommitted) <= 10


def test_what_is_being_committed_counts_as_not_committed(prompt: Prompt) -> None:
    uncommitted: list[int] = []

    def one_by_one(question: str, number: int) -> Response:
        turn = WORDS.index(title_of(question)) % 10
        return Response(body=echo(question, number).body, wait_seconds=0.05 * turn)

    class Slow(MemorySink):
        def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
            time.sleep(0.5)  # calls go on meanwhile
            uncommitted.append(len(server.requests) - len(self.rows(TABLE)))
            super().append(table, rows, chunk_id)

    with serve(one_by_one) as server:
        run(asks(30), prompt, server, Slow(), limits(concurrency=16, chunk_size=10))
    assert max(uncommitted) <= 10


@pytest.mark.parametrize(("concurrency", "chunk_size"), [(1, 1), (3, 2), (5, 64), (64, 5)])
def test_any_concurrency_and_chunk_size_finish(
    prompt: Prompt, sink: MemorySink, concurrency: int, chunk_size: int
) -> None:
    def slowly(question: str, number: int) -> Response:
        return Response(body=echo(question, number).body, wait_seconds=0.01)

    settings = limits(concurrency=concurrency, chunk_size=chunk_size)
    with serve(slowly) as server:
        tally = run(asks(17), prompt, server, sink, settings)
    assert tally.rows == Counter(success=17)
    assert server.most_at_once <= min(concurrency, chunk_size)


class OneByOne:
    """Answers its calls one after another, and notes how many were under way at each answer."""

    name = "one by one"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.under_way: list[int] = []
        self.now = 0

    async def __aenter__(self) -> OneByOne:
        self.turn = asyncio.Lock()
        return self

    async def __aexit__(self, *raised: object) -> None:
        return None

    async def ask(self, prompt: Prompt, question: str, attempts: list[Attempt]) -> Reply:
        self.now += 1
        async with self.turn:
            await asyncio.sleep(0.002)
            self.under_way.append(self.now)
            self.now -= 1
        text = json.dumps({"standard_name": "tea", "keywords": ["tea"]})
        attempts.append(Attempt(question, 1, 2.0, 100, 20, 90))
        return Reply(text, attempts=attempts)


def test_as_many_calls_are_under_way_while_a_commit_lasts(prompt: Prompt) -> None:
    """The first commit ends only after twice as many answers as there are calls at once."""
    client = OneByOne(8)
    during_commit: list[int] = []

    class Slow(MemorySink):
        def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
            if not self.chunks:
                before = len(rows)  # the answers that had come when this commit began
                deadline = time.monotonic() + 60
                while len(client.under_way) < before + 16 and time.monotonic() < deadline:
                    time.sleep(0.001)
                during_commit.extend(client.under_way[before : before + 16])
            super().append(table, rows, chunk_id)

    planned = plan(posed(asks(100), prompt), [])
    gate = AnswerGate(WordEncoder(), 0.5)
    settings = limits(concurrency=8, chunk_size=32)
    enrich(planned, prompt, client, gate, Slow(), target(), settings)
    assert during_commit == [8] * 16


def test_the_loop_goes_on_while_the_gate_judges(prompt: Prompt, sink: MemorySink) -> None:
    client = OneByOne(4)
    loops: set[int] = set()

    class Slow(WordEncoder):
        def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
            loops.add(threading.get_ident())
            return super().encode(texts)

    planned = plan(posed(asks(20), prompt), [])
    enrich(planned, prompt, client, AnswerGate(Slow(), 0.5), sink, target(), limits())
    assert loops
    assert threading.get_ident() not in loops


def test_answers_do_not_wait_long_for_others_to_be_committed_with(prompt: Prompt) -> None:
    """With no time to wait, the first answer is committed though a chunk would hold more."""
    sizes: list[int] = []

    class Watching(MemorySink):
        def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
            sizes.append(len(rows))
            super().append(table, rows, chunk_id)

    planned = plan(posed(asks(20), prompt), [])
    settings = limits(concurrency=1, chunk_size=400, commit_seconds=0)
    enrich(
        planned, prompt, OneByOne(1), AnswerGate(WordEncoder(), 0.5), Watching(), target(), settings
    )
    assert sizes[:2] == [1, 1]
    sizes.clear()
    patient = limits(concurrency=1, chunk_size=400, commit_seconds=600)
    enrich(
        planned, prompt, OneByOne(1), AnswerGate(WordEncoder(), 0.5), Watching(), target(), patient
    )
    assert sizes == [20, 20]


def test_a_failed_call_is_in_the_ledger_alone_and_asked_again_by_the_next_run(
    prompt: Prompt, sink: MemorySink
) -> None:
    broken = True

    def behave(question: str, number: int) -> Response:
        failing = broken and title_of(question) == WORDS[2]
        return Response(503, "{}") if failing else echo(question, number)

    with serve(behave) as server:
        tally = run(asks(10), prompt, server, sink)
        assert tally.rows == Counter(success=9, error=1)
        assert (tally.errors, tally.retries) == (1, 1)
        assert "c2" not in {row["content_hash"] for row in sink.rows(TABLE)}
        failed = [row for row in sink.rows(LEDGER) if row["subject"] == "c2"]
        assert [(row["attempt"], row["status"]) for row in failed] == [(1, "retried"), (2, "error")]
        assert failed[0]["error"].startswith("HTTPStatus: 503")
        broken = False
        again = run(asks(10), prompt, server, sink)
    assert again.rows == Counter(success=1)
    assert sorted(row["content_hash"] for row in sink.rows(TABLE)) == sorted(
        f"c{n}" for n in range(10)
    )


def test_a_day_stops_when_too_many_calls_fail_and_keeps_what_was_answered(
    prompt: Prompt, sink: MemorySink
) -> None:
    healthy = set(WORDS[:30])

    def behave(question: str, number: int) -> Response:
        return echo(question, 1) if title_of(question) in healthy else Response(503, "{}")

    with (
        serve(behave) as server,
        pytest.raises(
            TooManyErrors,
            match=r"ds=2017-12-28: 8 of the last 38 calls.*0\.2.*\d+ calls were not made",
        ),
    ):
        run(asks(400), prompt, server, sink)
    assert {row["content_hash"] for row in sink.rows(TABLE)} == {f"c{n}" for n in range(30)}
    # 30 answered and 8 failed is a share above 0.2; at most 4 more were under way.
    asked = {title_of(question) for question in server.questions()}
    assert 38 <= len(asked) <= 42


def test_unreadable_answers_stop_a_day_like_errors_and_are_kept(
    prompt: Prompt, sink: MemorySink
) -> None:
    def behave(question: str, number: int) -> Response:
        odd = WORDS.index(title_of(question)) % 2
        return says("{") if odd else echo(question, 1)

    with (
        serve(behave) as server,
        pytest.raises(TooManyErrors, match=r"\d+ of the last 2\d calls.*none that can be read"),
    ):
        run(asks(400), prompt, server, sink)
    assert {row["status"] for row in sink.rows(TABLE)} == {"success", "invalid_output"}
    ended = {"success", "invalid_output"}  # others were under way when the day stopped
    answered = {row["subject"] for row in sink.rows(LEDGER) if row["status"] in ended}
    assert len(sink.rows(TABLE)) == len(answered) >= 20


def test_a_good_morning_does_not_excuse_a_bad_afternoon(prompt: Prompt, sink: MemorySink) -> None:
    """Of all calls 21 of 221 would be few; of the last hundred they are too many."""
    healthy = set(WORDS[:200])

    def behave(question: str, number: int) -> Response:
        return echo(question, 1) if title_of(question) in healthy else Response(503, "{}")

    with (
        serve(behave) as server,
        pytest.raises(TooManyErrors, match=r"21 of the last 100 calls.*179 calls were not made"),
    ):
        run(asks(400), prompt, server, sink, limits(concurrency=1))
    assert len(sink.rows(TABLE)) == 200


def test_a_short_list_that_all_fails_stops_the_day(prompt: Prompt, sink: MemorySink) -> None:
    with (
        serve(lambda question, number: Response(503, "{}")) as server,
        pytest.raises(TooManyErrors, match="3 of the last 3 calls"),
    ):
        run(asks(3), prompt, server, sink)
    assert len(sink.rows(LEDGER)) == 6
    assert sink.rows(TABLE) == []


def test_a_list_that_a_budget_cuts_short_stops_the_day_too_when_all_of_it_fails(
    prompt: Prompt, sink: MemorySink
) -> None:
    minutes = itertools.count(step=60)
    budget = Budget(minutes=3.5, clock=lambda: next(minutes))
    with (
        serve(lambda question, number: Response(503, "{}")) as server,
        pytest.raises(TooManyErrors, match=r"3 of the last 3 calls.* 0 calls were not made"),
    ):
        enrich(
            plan(posed(asks(30), prompt), []),
            prompt,
            client_of(server.url),
            AnswerGate(WordEncoder(), 0.5),
            sink,
            target(),
            limits(concurrency=1),
            budget,
        )
    assert Counter(row["status"] for row in sink.rows(LEDGER))["skipped_budget"] == 27


def test_a_short_list_of_unanswerable_questions_does_not_stop_the_day(
    prompt: Prompt, sink: MemorySink
) -> None:
    with serve(lambda question, number: Response(400, "{}")) as server:
        tally = run(asks(2), prompt, server, sink)
    assert (tally.errors, tally.declined) == (2, 2)


def test_a_refusing_server_stops_the_day_and_answers_before_it_are_kept(
    prompt: Prompt, sink: MemorySink
) -> None:
    def behave(question: str, number: int) -> Response:
        return Response(401, "{}") if title_of(question) == WORDS[9] else echo(question, number)

    with serve(behave) as server, pytest.raises(ServerRefuses):
        run(asks(50), prompt, server, sink, limits(concurrency=1, chunk_size=64))
    assert len(sink.rows(TABLE)) == 9
    (refused,) = [row for row in sink.rows(LEDGER) if row["status"] == "error"]
    assert refused["subject"] == "c9"
    assert refused["error"].startswith("HTTPStatus: 401")


def test_the_ledger_has_every_request_that_a_stopped_day_sent(
    prompt: Prompt, sink: MemorySink
) -> None:
    """Of a call whose first answer was unreadable, and of one that has no answer yet."""

    def behave(question: str, number: int) -> Response:
        if title_of(question) == WORDS[2]:
            return Response(401, "{}", wait_seconds=0.2)
        if title_of(question) == WORDS[0] and number == 1:
            return says("{")
        return Response(wait_seconds=30)

    with serve(behave) as server, pytest.raises(ServerRefuses):
        run(asks(3), prompt, server, sink, limits(concurrency=3))
    sent = [(row["subject"], row["attempt"], row["status"]) for row in sink.rows(LEDGER)]
    assert sorted(sent) == [
        ("c0", 1, "retried"),
        ("c0", 2, "error"),
        ("c1", 1, "error"),
        ("c2", 1, "error"),
    ]
    paid = {(row["subject"], row["attempt"]): row["completion_tokens"] for row in sink.rows(LEDGER)}
    assert paid["c0", 1] == 20
    cut_short = [
        row["error"] for row in sink.rows(LEDGER) if row["latency_ms"] and not paid["c1", 1]
    ]
    assert cut_short.count("the run ended before an answer came") == 2
    assert sink.rows(TABLE) == []


def tables_in(folder: str) -> Tables:
    """The ledger and the answer table as Delta tables; chunks are appended without Spark."""
    contracts = Contracts(ROOT / "expectations")
    tables = Tables(None, folder, contracts)  # type: ignore[arg-type]
    for table in (LEDGER, TABLE):
        tables.create(contracts[table])
    return tables


class KilledAfterLedger(Sink):
    """Ends its process, as SIGKILL would, when the ledger of the third chunk is committed."""

    chunks = 0

    def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
        super().append(table, rows, chunk_id)
        self.chunks += table == LEDGER
        if self.chunks == 3:
            os.kill(os.getpid(), signal.SIGKILL)


def pay_into_folder(folder: str, url: str, prompt_json: str, between_commits: str) -> None:
    """What the process that is killed does."""
    prompt = Prompt.model_validate_json(prompt_json)
    server = FaultyServer(echo, url)
    sink = (KilledAfterLedger if between_commits else Sink)(tables_in(folder))
    pay(plan(posed(asks(60), prompt), []), prompt, server, sink, limits())


@pytest.mark.parametrize("killed", ["with calls under way", "between ledger and answers"])
def test_invariant_4_a_killed_run_pays_again_for_at_most_one_chunk(
    prompt: Prompt, tmp_path: Path, killed: str
) -> None:
    """Without commits in chunks, the second run would send all 60 again."""
    child: list[subprocess.Popen[bytes]] = []
    between_commits = killed == "between ledger and answers"

    def behave(question: str, number: int) -> Response:
        if len(server.requests) == 30 and not between_commits:
            os.kill(child[0].pid, signal.SIGKILL)
        return echo(question, number)

    code = (
        "import sys; from tests.llm.test_bulk import pay_into_folder; "
        "pay_into_folder(*sys.argv[1:])"
    )
    with serve(behave) as server:
        tables = tables_in(str(tmp_path))
        arguments = [str(tmp_path), server.url, prompt.model_dump_json()]
        arguments.append("yes" if between_commits else "")
        child.append(subprocess.Popen([sys.executable, "-c", code, *arguments]))
        assert child[0].wait() == -signal.SIGKILL
        names = contract_schema(TABLE).names
        committed = tables.rows(TABLE, names, []).to_pylist()
        before = len(server.requests)
        assert 0 < before - len(committed) <= limits().chunk_size
        if between_commits:
            assert tables.rows(LEDGER, ["call_id"], []).num_rows > len(committed)
        planned = plan(posed(asks(60), prompt), committed)
        pay(planned, prompt, server, Sink(tables), limits())
        after = len(server.requests) - before
        assert after == 60 - len(committed)
    rows = tables.rows(TABLE, ["content_hash"], []).to_pylist()
    assert sorted(row["content_hash"] for row in rows) == sorted(f"c{n}" for n in range(60))
    # what the ledger does not know of was under way when the process was killed
    assert before + after - tables.rows(LEDGER, ["call_id"], []).num_rows <= limits().chunk_size


def test_an_empty_plan_needs_no_server(prompt: Prompt, sink: MemorySink) -> None:
    nowhere = FaultyServer(echo, "http://127.0.0.1:9/v1")
    assert pay(plan(posed([], prompt), []), prompt, nowhere, sink, limits()) == Tally()


Behaviour = Callable[[str, int], Response]


@pytest.mark.parametrize(
    "behave",
    [
        lambda question, number: Response(503, "{}") if number == 1 else echo(question, number),
        lambda question, number: Response(hang_up=True) if number == 1 else echo(question, number),
        lambda question, number: Response(200, "\x00garbage") if number == 1 else echo(question, 2),
    ],
    ids=["503", "hang-up", "garbage"],
)
def test_a_server_that_stumbles_on_every_call_loses_nothing(
    prompt: Prompt, sink: MemorySink, behave: Behaviour
) -> None:
    with serve(behave) as server:
        tally = run(asks(25), prompt, server, sink)
    assert tally.rows == Counter(success=25)
    assert (tally.retries, len(sink.rows(LEDGER)), len(server.requests)) == (25, 50, 50)


def within(
    budget: Budget, prompt: Prompt, sink: MemorySink, count: int = 30, known: Rate | None = None
) -> Tally:
    """Calls of 120 tokens, one by one, within a budget."""
    gate = AnswerGate(WordEncoder(), 0.5)
    planned = plan(posed(asks(count), prompt), [])
    return enrich(planned, prompt, OneByOne(1), gate, sink, target(), limits(), budget, known)


def test_a_token_budget_cuts_the_list_where_the_next_call_would_pass_it(
    prompt: Prompt, sink: MemorySink
) -> None:
    tally = within(Budget(tokens=1000), prompt, sink, known=Rate(100, 90, 20))
    # eight calls cost 960 tokens; a ninth would make it 1,080
    assert (tally.calls, tally.skipped) == (8, 22)
    assert {row["content_hash"] for row in sink.rows(TABLE)} == {f"c{n}" for n in range(8)}
    skipped = [row for row in sink.rows(LEDGER) if row["status"] == "skipped_budget"]
    assert sorted(row["subject"] for row in skipped) == sorted(f"c{n}" for n in range(8, 30))
    (said,) = {
        (row["attempt"], row["prompt_tokens"], row["cost"], row["latency_ms"], row["error"])
        for row in skipped
    }
    assert said == (0, None, None, 0.0, "token_budget 1,000 is spent")
    assert tally.rows["skipped_budget"] == 22


class HeldOpen(OneByOne):
    """Answers no call until none may start any more: `limit` have, or a budget skipped the rest."""

    async def __aenter__(self) -> HeldOpen:
        self.loop = asyncio.get_running_loop()
        self.all_started = asyncio.Event()
        self.started = 0
        await super().__aenter__()
        return self

    async def ask(self, prompt: Prompt, question: str, attempts: list[Attempt]) -> Reply:
        self.started += 1
        if self.started == self.limit:
            self.all_started.set()
        await self.all_started.wait()
        return await super().ask(prompt, question, attempts)


def test_a_token_budget_counts_what_calls_under_way_will_cost(prompt: Prompt) -> None:
    client = HeldOpen(10)

    class Watching(MemorySink):
        def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
            super().append(table, rows, chunk_id)
            # nothing is answered yet, so the first rows are those of skipped calls
            client.loop.call_soon_threadsafe(client.all_started.set)

    planned = plan(posed(asks(30), prompt), [])
    gate, settings = AnswerGate(WordEncoder(), 0.5), limits(concurrency=10, chunk_size=64)
    budget, known = Budget(tokens=1000), Rate(100, 90, 20)
    tally = enrich(planned, prompt, client, gate, Watching(), target(), settings, budget, known)
    # eight calls under way will cost 960 tokens; ten at once would cost 1,200
    assert (tally.calls, tally.skipped) == (8, 22)
    assert tally.prompt_tokens + tally.completion_tokens == 960


def test_calls_that_a_budget_cuts_off_are_written_some_at_a_time(
    prompt: Prompt, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.llm.bulk.SKIPS_AT_ONCE", 8)
    within(Budget(tokens=0), prompt, sink, count=20)
    assert [rows.num_rows for rows in sink.chunks.values()] == [8, 8, 4]
    assert len({row["subject"] for row in sink.rows(LEDGER)}) == 20


def test_a_budget_goes_by_what_calls_turn_out_to_cost(prompt: Prompt, sink: MemorySink) -> None:
    """Guessed at 10 tokens, 30 calls would fit in 3,000; at 120 they don't."""
    tally = within(Budget(tokens=3000), prompt, sink, known=Rate(8, 0, 2))
    assert (tally.calls, tally.skipped) == (25, 5)


def test_a_budget_of_nothing_sends_nothing_and_none_sends_all(
    prompt: Prompt, sink: MemorySink
) -> None:
    assert within(Budget(tokens=0), prompt, sink).calls == 0
    assert within(Budget(minutes=0), prompt, sink).calls == 0
    assert sink.rows(TABLE) == []
    assert within(Budget(), prompt, sink).calls == 30


def test_calls_are_started_until_the_minutes_are_over(prompt: Prompt, sink: MemorySink) -> None:
    """A clock that moves on by a minute at every look."""
    minutes = itertools.count(step=60)
    budget = Budget(minutes=5.5, clock=lambda: next(minutes))
    tally = within(budget, prompt, sink)
    assert (tally.calls, tally.skipped) == (5, 25)
    reasons = {row["error"] for row in sink.rows(LEDGER) if row["status"] == "skipped_budget"}
    assert reasons == {"minutes_budget 5.5 is over"}


def test_what_a_budget_cut_off_is_asked_by_the_next_run(prompt: Prompt, sink: MemorySink) -> None:
    within(Budget(tokens=1000), prompt, sink, known=Rate(100, 90, 20))
    with serve(echo) as server:
        again = run(asks(30), prompt, server, sink)
    assert again.calls == 22
