"""What a work list still costs: its questions, less everything that was ever answered."""

from __future__ import annotations

from collections import Counter

from jobs.llm.commits import LEDGER
from jobs.llm.plan import Ask, in_shard, message_hash, plan, posed
from jobs.llm.prompt import Prompt
from tests.llm.conftest import MemorySink, limits
from tests.llm.faulty_server import serve
from tests.llm.work import TABLE, WORDS, asks, echo, pay, run, title_of, twins


def test_another_prompt_version_pays_again(prompt: Prompt, sink: MemorySink) -> None:
    longer = prompt.model_copy(update={"max_tokens": 201})
    longer.__dict__.pop("prompt_version", None)
    with serve(echo) as server:
        run(asks(5), prompt, server, sink)
        known = [row for row in sink.rows(TABLE) if row["prompt_version"] == longer.prompt_version]
        planned = plan(posed(asks(5), longer), known)
    assert len(planned.calls) == 5
    assert message_hash(prompt, "tea") != message_hash(longer, "tea")


def test_asks_with_one_question_share_one_call(prompt: Prompt, sink: MemorySink) -> None:
    twins = [Ask({"content_hash": key}, key, {"title": "tea"}) for key in ("big", "small")]
    with serve(echo) as server:
        tally = run(twins, prompt, server, sink)
    assert len(server.requests) == 1
    assert [row["content_hash"] for row in sink.rows(TABLE)] == ["big", "small"]
    assert tally.rows == Counter(success=2)


def test_a_question_answered_for_another_key_is_copied_not_asked(
    prompt: Prompt, sink: MemorySink
) -> None:
    with serve(echo) as server:
        run([Ask({"content_hash": "big"}, "big", {"title": "tea"})], prompt, server, sink)
        tally = run(
            [Ask({"content_hash": "small"}, "small", {"title": "tea"})], prompt, server, sink
        )
    assert len(server.requests) == 1
    assert len(sink.rows(LEDGER)) == 1
    big, small = sink.rows(TABLE)
    assert {**big, "content_hash": "small"} == small
    assert (tally.calls, tally.rows) == (0, Counter(success=1))


def test_shards_share_out_a_work_list_and_keep_its_order(prompt: Prompt) -> None:
    work = posed(twins(40), prompt)
    shares = [in_shard(work, shard, 3) for shard in range(3)]
    assert sorted(work.index(question) for share in shares for question in share) == list(range(80))
    assert all(
        [work.index(question) for question in share] == sorted(work.index(q) for q in share)
        for share in shares
    )
    assert min(len(share) for share in shares) >= 14  # about 27 each
    assert in_shard(work, 0, 1) == work


def test_shards_together_pay_for_every_question_once(prompt: Prompt, sink: MemorySink) -> None:
    """All of them read the table before any of them writes, as tasks at the same time do."""
    with serve(echo) as server:
        run(twins(5)[:1], prompt, server, sink)
        answered = sink.rows(TABLE)
        work = posed(twins(40), prompt)
        plans = [plan(in_shard(work, shard, 4), answered) for shard in range(4)]
        for planned in plans:
            pay(planned, prompt, server, sink, limits())
    assert sorted(title_of(question) for question in server.questions()) == sorted(WORDS[:40])
    # the twin of the answered row is copied by one shard alone
    assert sum(len(planned.copies) for planned in plans) == 1
    keys = [row["content_hash"] for row in sink.rows(TABLE)]
    assert sorted(keys) == sorted(f"{key}{n}" for n in range(40) for key in "ab")


def test_a_plan_counts_what_is_cached(prompt: Prompt, sink: MemorySink) -> None:
    with serve(echo) as server:
        run(asks(4), prompt, server, sink)
    planned = plan(posed(asks(6), prompt), sink.rows(TABLE))
    assert (planned.cached, planned.copies, planned.asked) == (4, [], 2)
