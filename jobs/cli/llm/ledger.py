"""What was asked, what came back and what it cost, from the lake alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from jobs.cli.terminal.output import counted, print_records, say, text
from jobs.lake.errors import UpstreamMissing
from jobs.lake.sql import LakeSql
from jobs.llm.prompt import prompt_of
from jobs.settings import Settings

Row = dict[str, Any]
_MEASURES = ("requests", "answers", "sent", "cached", "received", "seconds", "cost")
_FIELDS = ("title", "category", "department", "brand", "size", "description")
_HEAD = ("status", "gate_score", "prompt_version", "model", "selected_ds")
_REQUEST = (
    "ds",
    "prompt_version",
    "model",
    "attempt",
    "status",
    "prompt_tokens",
    "completion_tokens",
    "latency_ms",
    "cost",
    "error",
)


def cost_by(
    lake: LakeSql, columns: Sequence[str], from_ds: date | None, to_ds: date | None
) -> list[Row]:
    """One row for each combination of the ledger's `columns`, in their order, ascending.

    requests: how many were sent. answers: how many were answered. sent, cached, received: tokens;
    cached ones are among the sent. seconds: mean latency of a request. cost: null without a price.
    """
    keys = ", ".join(columns)
    head = f"{keys}, " if keys else ""
    order = " GROUP BY ALL ORDER BY ALL" if keys else ""
    return lake.query(
        f"""
        SELECT {head}count_if(attempt > 0) AS requests,
            count_if(completion_tokens IS NOT NULL) AS answers,
            coalesce(sum(prompt_tokens), 0)::BIGINT AS sent,
            coalesce(sum(cached_tokens), 0)::BIGINT AS cached,
            coalesce(sum(completion_tokens), 0)::BIGINT AS received,
            avg(latency_ms) FILTER (attempt > 0) / 1000 AS seconds,
            sum(cost) AS cost
        FROM ops.llm_ledger WHERE ds BETWEEN $from_ds AND $to_ds{order}""",
        {"from_ds": from_ds or date.min, "to_ds": to_ds or date.max},
    ).records()


def print_cost(rows: Sequence[Row]) -> None:
    """The rows, their sum, and what to do where nothing has a price."""
    if not rows or not any(row["requests"] for row in rows):
        say("No request was sent to an LLM in these days.")
        return
    print_records(rows, list(rows[0]))
    sums = {name: sum(row[name] or 0 for row in rows) for name in ("requests", "sent", "received")}
    priced = [row["cost"] for row in rows if row["cost"] is not None]
    say(
        f"\n{counted(sums['requests'], 'request')}, {sums['sent']:,} tokens sent, "
        f"{sums['received']:,} received" + (f", cost {sum(priced):,.4f}" if priced else "")
    )
    if not priced:
        say(
            'No price is set. RECLAKE_LLM__PRICES=\'{"MODEL": {"input": 0.1, "output": 0.4}}\' '
            "sets the price of a million tokens, for requests from then on."
        )


def item_facts(lake: LakeSql, settings: Settings, item_id: str, ds: date | None) -> Row:
    """item: the record. question, prompt_version: as asked now. answers, requests: newest first.

    Raises UpstreamMissing for an item that the catalogue does not have.
    """
    found = lake.query(
        "SELECT * FROM silver.items WHERE item_id = $item AND valid_from <= $ds "
        "ORDER BY valid_from DESC LIMIT 1",
        {"item": item_id, "ds": ds or date.max},
    ).records()
    if not found:
        until = f" up to {ds}" if ds else ""
        raise UpstreamMissing(f"silver.items has no item {item_id}{until}. Nothing to show.")
    (item,) = found
    prompt = prompt_of("item", settings)
    content = {"content": item["content_hash"]}
    answers = lake.query(
        "SELECT * EXCLUDE (content_hash, message_hash) FROM silver.item_enrichments "
        "WHERE content_hash = $content ORDER BY selected_ds DESC, prompt_version DESC, model",
        content,
    )
    # contents that ask the same share a call, and the ledger names the first of them
    requests = lake.query(
        f"""
        WITH own AS (
            SELECT message_hash FROM silver.item_enrichments WHERE content_hash = $content
        )
        SELECT {", ".join(_REQUEST)} FROM ops.llm_ledger
        WHERE prompt = 'item' AND subject IN (
            SELECT $content UNION ALL
            SELECT content_hash FROM silver.item_enrichments
            WHERE message_hash IN (SELECT message_hash FROM own)
        )
        ORDER BY recorded_at DESC, attempt DESC""",
        content,
    )
    has_title = "title" in prompt.sent(item)
    return {
        "item_id": item_id,
        "content_hash": item["content_hash"],
        "item": {name: item[name] for name in _FIELDS if item[name] is not None},
        "prompt_version": prompt.prompt_version,
        "question": prompt.question(item) if has_title else None,
        "answers": answers.records(),
        "requests": requests.records(),
    }


def print_item(facts: Row) -> None:
    """The facts of `item_facts` for a person."""
    say(f"{facts['item_id']}: {facts['item'].get('title', '(no title, so never asked about)')}")
    say(f"  asked now, prompt {facts['prompt_version']}:")
    say(f"    {facts['question'] or 'nothing'}")
    if not facts["answers"]:
        say("\nNo answer yet.")
    for answer in facts["answers"]:
        say("\n" + ", ".join(f"{n} {text(answer[n])}" for n in _HEAD if answer[n] is not None))
        for name, value in answer.items():
            if name not in _HEAD and value:
                say(f"  {name}: {text(value)}")
    if facts["requests"]:
        say(f"\n{counted(len(facts['requests']), 'request')}")
        print_records(facts["requests"], _REQUEST, indent=2)
