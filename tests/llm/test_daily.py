"""One day's enrichment: what of a selection is new, what it would cost, and what is paid."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.lake import EffectResult, Run
from jobs.lake.settings import Sections
from jobs.llm.budget import NO_PRICE
from jobs.llm.commits import LEDGER
from jobs.llm.daily import WorkList, enrich_day, work_list
from jobs.llm.plan import Ask, message_hash
from jobs.llm.prompt import Prompt
from jobs.llm.settings import Price
from jobs.settings import Settings
from tests.llm.conftest import MODEL, MemorySink, WordEncoder, contract_schema, limits
from tests.llm.faulty_server import FaultyServer, Response, says, serve
from tests.llm.work import TABLE, echo, title_of

DAY = date(2017, 12, 28)
KEY = ("content_hash",)


@pytest.fixture(autouse=True)
def word_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate compares words, so that no model is loaded."""
    monkeypatch.setattr("jobs.vectors.encoder.Encoder.of", lambda settings: WordEncoder())


def frame(spark: SparkSession, table: str, rows: list[dict[str, Any]]) -> DataFrame:
    """A table as a run reads it; columns that a row leaves out are null."""
    schema = contract_schema(table, without=())
    return spark.createDataFrame(pa.Table.from_pylist(rows, schema), from_arrow_schema(schema))


def answered(prompt: Prompt, content: str, title: str, **other: Any) -> dict[str, Any]:
    """A row of the answer table, of the prompt and model in use unless `other` says so."""
    row = {
        "content_hash": content,
        "message_hash": message_hash(prompt, prompt.question({"title": title})),
        "prompt_version": prompt.prompt_version,
        "model": MODEL,
        "status": "success",
        "standard_name": title,
        "selected_ds": DAY,
    }
    return row | other


def asks(**titles: str) -> list[Ask]:
    """A work list from titles by content."""
    return [Ask({"content_hash": c}, c, {"title": title}) for c, title in titles.items()]


@pytest.fixture
def enrich(
    spark: SparkSession,
    prompt: Prompt,
    make_run: Callable[..., Run],
    sink: MemorySink,
    tmp_path: Path,
) -> Callable[..., EffectResult]:
    """Enriches a work list on DAY, against a server if one is given."""

    def enrich_once(
        work: WorkList,
        answers: list[dict[str, Any]],
        server: FaultyServer | None = None,
        shard: int | None = None,
        prices: dict[str, Price] | None = None,
        **params: object,
    ) -> EffectResult:
        settings = Settings(
            home=tmp_path,
            llm_url=server.url if server else "",
            llm_model=MODEL,
            llm=limits(prices=prices or {}),
        )
        run = replace(make_run(DAY, **params), settings=Sections(settings, ("llm", "encoder")))
        return enrich_day(
            replace(run, shard=shard),
            sink,
            TABLE,
            prompt,
            work,
            frame(spark, TABLE, answers),
            frame(spark, LEDGER, []),
        )

    return enrich_once


def test_a_work_list_is_what_was_never_answered_the_most_urgent_first(
    spark: SparkSession, prompt: Prompt
) -> None:
    selected = spark.createDataFrame(
        [("c3", "cocoa", 3), ("c1", "tea", 1), ("c4", "milk", 4), ("c2", "coffee", 2)],
        "content_hash string, title string, rank int",
    )
    answers = [
        answered(prompt, "c1", "tea"),
        answered(prompt, "c2", "coffee", status="rejected_by_gate"),
        answered(prompt, "c3", "cocoa", model="another"),
        answered(prompt, "c4", "milk", prompt_version="v0-00000000"),
        answered(prompt, "c9", "not selected"),
    ]
    work = work_list(selected, KEY, "content_hash", prompt, frame(spark, TABLE, answers), MODEL)
    assert work.asks == asks(c3="cocoa", c4="milk")
    assert work.cached == 2


def test_a_column_of_the_key_that_the_prompt_shows_is_shown(
    spark: SparkSession, prompt: Prompt
) -> None:
    shows_both = prompt.model_copy(update={"inputs": {"title": 100, "content_hash": 100}})
    selected = spark.createDataFrame(
        [("c1", "tea", 1, "unseen")], "content_hash string, title string, rank int, brand string"
    )
    work = work_list(selected, KEY, "content_hash", shows_both, frame(spark, TABLE, []), MODEL)
    fields = {"title": "tea", "content_hash": "c1"}
    assert work.asks == [Ask({"content_hash": "c1"}, "c1", fields)]


def test_a_day_pays_for_a_question_once_and_copies_what_was_answered_for_another_key(
    prompt: Prompt, sink: MemorySink, enrich: Callable[..., EffectResult]
) -> None:
    work = WorkList(asks(big="tea", small="tea", large="milk", new="cocoa"), cached=5)
    with serve(echo) as server:
        result = enrich(work, [answered(prompt, "old", "milk")], server)
    assert sorted(title_of(question) for question in server.questions()) == ["cocoa", "tea"]
    rows = {row["content_hash"]: row["standard_name"] for row in sink.rows(TABLE)}
    assert rows == {"big": "tea", "small": "tea", "large": "milk", "new": "cocoa"}
    # four asks and five that were known before; of the four one is copied
    assert (result.rows_in, result.rows_out) == (9, 4)
    counts = dict(result.counts)
    assert [counts[name] for name in ("selected", "cached", "copied", "sent")] == [9, 5, 1, 2]
    assert (counts["success"], counts["prompt_version"]) == (4, prompt.prompt_version)
    # the faulty server says 100 tokens sent, 90 of them cached, and 20 received for each call
    tokens = [counts[f"{kind}_tokens"] for kind in ("prompt", "completion", "cached")]
    assert tokens == [200, 40, 180]
    assert counts["cost"] == NO_PRICE


def test_answers_that_the_gate_stops_are_rows_too_and_failures_are_not(
    sink: MemorySink, enrich: Callable[..., EffectResult]
) -> None:
    def behave(question: str, number: int) -> Response:
        if title_of(question) == "cocoa":
            return Response(503, "{}")
        return says(json.dumps({"standard_name": "tea", "keywords": ["tea"]}))

    work = WorkList(asks(right="tea", wrong="crab", failed="cocoa"), cached=0)
    price = {MODEL: Price(input=2.0, cached=0.5, output=10.0)}
    with serve(behave) as server:
        result = enrich(work, [], server, prices=price)
    counts = dict(result.counts)
    assert [counts[name] for name in ("success", "rejected", "errors")] == [1, 1, 1]
    assert (result.rows_in, result.rows_out) == (3, 2)
    assert {row["content_hash"] for row in sink.rows(TABLE)} == {"right", "wrong"}
    # two answers, each of 10 tokens at 2.0, 90 at 0.5 and 20 at 10.0 a million
    assert counts["cost"] == pytest.approx(530e-6)


def test_a_dry_run_sends_nothing_and_says_what_would_be_sent(
    prompt: Prompt, sink: MemorySink, enrich: Callable[..., EffectResult]
) -> None:
    work = WorkList(asks(big="tea", small="tea", new="cocoa", large="milk"), cached=1)
    result = enrich(work, [answered(prompt, "old", "milk")], dry_run=True)
    assert (result.rows_in, result.rows_out, sink.chunks) == (5, 0, {})
    counts = dict(result.counts)
    assert [counts[name] for name in ("selected", "cached", "copied")] == [5, 1, 1]
    assert (counts["planned_calls"], counts["planned_skipped"]) == (2, 0)
    none = enrich(work, [], dry_run=True, token_budget=0)
    assert (none.counts["planned_calls"], none.counts["planned_skipped"]) == (0, 3)


def test_a_day_without_anything_new_needs_no_server(
    prompt: Prompt, sink: MemorySink, enrich: Callable[..., EffectResult]
) -> None:
    known = [answered(prompt, "c1", "tea")]
    # c1 was answered after the work list was made
    result = enrich(WorkList(asks(c1="tea"), cached=2), known)
    assert (result.rows_in, result.rows_out, sink.chunks) == (3, 0, {})
    assert (result.counts["cached"], result.counts["sent"]) == (3, 0)
    assert result.settled


def test_a_day_is_settled_only_when_nothing_is_left_to_ask(
    prompt: Prompt, enrich: Callable[..., EffectResult]
) -> None:
    known = [answered(prompt, "c1", "tea")]
    nothing = WorkList(asks(c1="tea"), cached=0)
    assert enrich(nothing, known).settled
    assert enrich(nothing, known, shard=0, shards=1).settled
    # of several shards, each knows its own work alone
    assert not enrich(nothing, known, shard=0, shards=2).settled
    with serve(echo) as server:
        # the answer for another content is copied
        assert not enrich(WorkList(asks(c2="tea"), cached=0), known, server).settled
        # a budget of no tokens leaves the question for the next day
        left = enrich(WorkList(asks(c2="milk"), cached=0), known, server, token_budget=0)
        assert not left.settled
        assert not server.questions()


def test_shards_share_out_a_day_and_the_first_counts_what_is_cached(
    enrich: Callable[..., EffectResult],
) -> None:
    titles = {f"c{n}": f"tea {n}" for n in range(20)}
    work = WorkList(asks(**titles), cached=3)
    counts = [
        dict(enrich(work, [], shard=shard, shards=2, dry_run=True).counts) for shard in (0, 1)
    ]
    assert [c["shard"] for c in counts] == ["1 of 2", "2 of 2"]
    assert [c["cached"] for c in counts] == [3, 0]
    planned = [c["planned_calls"] for c in counts]
    assert sum(planned) == 20
    assert min(planned) > 0
    assert [c["selected"] for c in counts] == [planned[0] + 3, planned[1]]
