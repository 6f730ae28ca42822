"""vLLM is killed in the middle of a run, and started again: the run goes on, nothing is lost."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from infra.stack.ports import free_port
from infra.stack.process import members
from infra.stack.service import running
from infra.stack.services import vllm
from jobs.llm.bulk import Tally, enrich
from jobs.llm.commits import LEDGER
from jobs.llm.gate import AnswerGate
from jobs.llm.plan import Ask, plan, posed
from jobs.llm.prompt import Prompt
from tests.llm.conftest import MODEL, MemorySink, WordEncoder, client_of, limits, target
from tests.llm.tiny_model import make_tiny_model

# Two starts of vLLM, which on a busy machine take minutes each.
pytestmark = [pytest.mark.server, pytest.mark.chaos, pytest.mark.timeout(1800)]

TABLE = "silver.item_enrichments"
CALLS, CHUNK = 60, 16


class Watched(MemorySink):
    """Says when the first chunk is committed."""

    def __init__(self) -> None:
        super().__init__()
        self.committed = threading.Event()

    def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
        super().append(table, rows, chunk_id)
        if table == TABLE:
            self.committed.set()


def test_a_run_outlives_the_death_of_its_server(prompt: Prompt, tmp_path: Path) -> None:
    port, sink = free_port(), Watched()
    service = vllm.service(make_tiny_model(tmp_path / "model"), MODEL, port)
    work = [Ask({"content_hash": f"c{n}"}, f"c{n}", {"title": f"tea {n}"}) for n in range(CALLS)]
    tallies: list[Tally] = []

    def pay() -> None:
        client = client_of(
            vllm.url(port), concurrency=8, patience_seconds=900, longest_wait_seconds=1.0
        )
        gate = AnswerGate(WordEncoder(), 0.5)
        settings = limits(concurrency=8, chunk_size=CHUNK)
        tallies.append(
            enrich(plan(posed(work, prompt), []), prompt, client, gate, sink, target(), settings)
        )

    run = threading.Thread(target=pay)
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    with running(service, tmp_path / "first") as process:
        run.start()
        assert sink.committed.wait(600)
        for member in members(process):
            member.kill()
    before = len(sink.rows(TABLE))
    with running(service, tmp_path / "second"):
        run.join(600)
    (tally,) = tallies
    assert before < CALLS, "it was killed too late to show anything"
    assert Counter(row["content_hash"] for row in sink.rows(TABLE)) == Counter(
        f"c{n}" for n in range(CALLS)
    )
    assert (tally.calls, tally.errors) == (CALLS, 0)
    # only what was under way when it died was sent twice
    lost = [
        (row["error"].split(":")[0], row["status"]) for row in sink.rows(LEDGER) if row["error"]
    ]
    assert 1 <= len(lost) <= 8
    # the kernel closes or resets the connections of a killed process
    assert set(lost) <= {("ClientOSError", "retried"), ("ServerDisconnectedError", "retried")}
