"""What is written of calls: the ledger before the answers, each once, nothing unaccounted for."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow as pa
import pytest

from jobs.llm.commits import LEDGER
from jobs.llm.prompt import Prompt
from jobs.llm.settings import Price
from tests.llm.conftest import MODEL, MemorySink, limits
from tests.llm.faulty_server import Response, says, serve
from tests.llm.work import TABLE, WORDS, asks, echo, run, title_of


def test_the_ledger_of_a_chunk_is_committed_before_its_answers(
    prompt: Prompt, sink: MemorySink
) -> None:
    with serve(echo) as server:
        run(asks(20), prompt, server, sink)
    order = list(sink.chunks)
    assert [table for table, _ in order] == [LEDGER, TABLE] * (len(order) // 2)
    assert [chunk for _, chunk in order[::2]] == [chunk for _, chunk in order[1::2]]


def test_invalid_output_is_final_and_keeps_what_was_said(prompt: Prompt, sink: MemorySink) -> None:
    def behave(question: str, number: int) -> Response:
        return (
            says('{"standard_name": "te') if title_of(question) == WORDS[1] else echo(question, 1)
        )

    with serve(behave) as server:
        run(asks(3), prompt, server, sink)
        again = run(asks(3), prompt, server, sink)
    invalid = [row for row in sink.rows(TABLE) if row["status"] == "invalid_output"]
    assert [(row["content_hash"], row["raw_text"]) for row in invalid] == [
        ("c1", '{"standard_name": "te')
    ]
    assert invalid[0]["gate_score"] is None
    assert invalid[0]["standard_name"] is None
    assert again.calls == 0
    # asked once more with the same seed, and both requests are accounted for
    asked = [row for row in sink.rows(LEDGER) if row["subject"] == "c1"]
    assert [(row["attempt"], row["status"], row["completion_tokens"]) for row in asked] == [
        (1, "retried", 20),
        (2, "invalid_output", 20),
    ]
    assert all(row["error"].startswith("InvalidAnswer: not JSON") for row in asked)


def test_refused_and_too_long_are_final_and_stop_no_day(prompt: Prompt, sink: MemorySink) -> None:
    refusal = json.dumps(
        {"choices": [{"message": {"refusal": "No.", "content": None}, "finish_reason": "stop"}]}
    )

    def behave(question: str, number: int) -> Response:
        if title_of(question) == WORDS[0]:
            return Response(body=refusal)
        return Response(400, '{"message": "This model\'s maximum context length is 8 tokens"}')

    with serve(behave) as server:
        tally = run(asks(30), prompt, server, sink)
        again = run(asks(30), prompt, server, sink)
    assert tally.rows == Counter(too_long=29, refused=1)
    rows = {row["content_hash"]: row for row in sink.rows(TABLE)}
    assert (rows["c0"]["status"], rows["c0"]["raw_text"]) == ("refused", "No.")
    assert (rows["c1"]["status"], rows["c1"]["raw_text"]) == ("too_long", None)
    assert (tally.errors, again.calls, len(sink.rows(LEDGER))) == (0, 0, 30)


def test_a_rejected_answer_is_final_and_kept_to_look_at(prompt: Prompt, sink: MemorySink) -> None:
    with serve(
        lambda question, number: says('{"standard_name":"crab","keywords":["crab"]}')
    ) as server:
        run(asks(1), prompt, server, sink)
        again = run(asks(1), prompt, server, sink)
    (row,) = sink.rows(TABLE)
    assert (row["status"], row["gate_score"], row["standard_name"]) == (
        "rejected_by_gate",
        0,
        "crab",
    )
    assert again.calls == 0


@pytest.mark.parametrize("text", ["tea \ud83d", '{"standard_name":"tea \\ud83d","keywords":["a"]}'])
def test_half_a_character_is_kept_as_an_unreadable_answer(
    prompt: Prompt, sink: MemorySink, text: str
) -> None:
    """Neither Arrow nor Parquet can hold one, and the commit of its chunk would fail."""
    loose = prompt.model_copy(
        update={
            "answer_schema": {
                **prompt.answer_schema,
                "properties": {"standard_name": {"type": "string"}, "keywords": {"type": "array"}},
            }
        }
    )
    loose.__dict__.pop("prompt_version", None)
    with serve(lambda question, number: says(text)) as server:
        run(asks(1), loose, server, sink)
    (row,) = sink.rows(TABLE)
    assert row["status"] == "invalid_output"
    assert row["raw_text"] == text.replace("\ud83d", "?")
    assert "half of a character" in sink.rows(LEDGER)[-1]["error"] or text[0] != "{"


def test_a_lost_acknowledgement_does_not_double_rows(prompt: Prompt) -> None:
    class Forgetful(MemorySink):
        """Commits, and once for each table says that it did not."""

        def __init__(self) -> None:
            super().__init__()
            self.lost: set[str] = set()

        def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
            super().append(table, rows, chunk_id)
            if table not in self.lost:
                self.lost.add(table)
                raise ConnectionError("connection reset")

    sink = Forgetful()
    with serve(echo) as server:
        run(asks(6), prompt, server, sink)
    assert len(sink.rows(TABLE)) == len(sink.rows(LEDGER)) == 6
    assert sink.lost == {TABLE, LEDGER}


@pytest.mark.parametrize("failing", [LEDGER, TABLE])
def test_a_commit_that_fails_stops_the_run_and_the_next_pays_for_the_rest(
    prompt: Prompt, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.llm.commits.COMMIT_ATTEMPTS", 1)

    class Breaking(MemorySink):
        whole = True

        def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
            if self.whole and table == failing and len(self.chunks) >= 2:
                raise OSError("disk full")
            super().append(table, rows, chunk_id)

    sink = Breaking()
    with serve(echo) as server:
        with pytest.raises(OSError, match="disk full"):
            run(asks(40), prompt, server, sink)
        committed = len(sink.rows(TABLE))
        assert 0 < committed < 40
        sink.whole = False
        tally = run(asks(40), prompt, server, sink)
    assert tally.calls == 40 - committed
    assert len(sink.rows(TABLE)) == 40


PRICED = {"prices": {MODEL: Price(input=2.0, cached=0.5, output=10.0)}}


def test_the_ledger_has_what_each_request_cost(prompt: Prompt, sink: MemorySink) -> None:
    def behave(question: str, number: int) -> Response:
        return Response(503, "{}") if number == 1 else echo(question, number)

    with serve(behave) as server:
        tally = run(asks(2), prompt, server, sink, limits(**PRICED))
    # 10 tokens at 2.0, 90 cached at 0.5 and 20 received at 10.0 a million
    assert sorted(row["cost"] or 0 for row in sink.rows(LEDGER)) == pytest.approx(
        [0, 0, 265e-6, 265e-6]
    )
    assert tally.cost == pytest.approx(530e-6)


def test_without_a_price_the_cost_is_unknown_not_nothing(prompt: Prompt, sink: MemorySink) -> None:
    with serve(echo) as server:
        run(asks(1), prompt, server, sink)
    assert [row["cost"] for row in sink.rows(LEDGER)] == [None]
