"""A grocery of six items and five users on two published days, small enough to read.

Written by deltalake from the contracts' columns, so that a test needs no Spark.

    ann   active on both days; her list is explained by her history
    bob   active on both days; the LLM was not asked about him; his bread of the 28th arrived
          on the 30th
    cid   last seen on 2017-09-01, so inactive
    dee   in silver.users only
    eve   first seen on 2017-12-30

    milk    described by the LLM, accepted
    bread   described, rejected by the quality gate
    butter  described, answer did not fit the schema
    jam     not selected on 2017-12-30 (budget 3), on sale on both days
    candle  not sellable since 2017-12-29
    tea     in the catalogue since 2017-12-30
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from jobs.lake.contract import Contract, Contracts
from jobs.lake.schema import arrow_schema
from jobs.recall.facts import Facts
from jobs.settings import RecallSettings, Settings

D28, D29, D30 = date(2017, 12, 28), date(2017, 12, 29), date(2017, 12, 30)
SEPTEMBER = date(2017, 9, 1)
PROMPT = {"prompt_version": "v1-0a1b2c3d", "model": "smollm2-135m-instruct"}

Row = dict[str, Any]


def _items() -> Iterable[Row]:
    def item(item_id: str, since: date, title: str, category: str, **rest: Any) -> Row:
        return {
            "item_id": item_id,
            "valid_from": since,
            "title": title,
            "category": category,
            "department": "GROCERY",
            "brand": "Private",
            "is_sellable": True,
            "content_hash": f"content-{item_id}",
            "row_hash": f"row-{item_id}-{since}",
        } | rest

    yield item("milk", D28, "MILK 2% GALLON", "FLUID MILK", size="1 GA", price=2.79)
    yield item("bread", D28, "WHITE BREAD", "BAKED BREAD", size="20 OZ")
    yield item("butter", D28, "BUTTER STICKS", "BUTTER", size="16 OZ")
    yield item("jam", D28, "STRAWBERRY JAM", "PRESERVES")
    yield item("candle", D28, "CANDLE", "CANDLES", department="GIFTS")
    yield item("candle", D29, "CANDLE", "CANDLES", department="GIFTS", is_sellable=False)
    yield item("tea", D30, "GREEN TEA", "TEA")


def _users() -> Iterable[Row]:
    for user_id, attributes in (
        ("ann", [("age", "35-44"), ("household_size", "4")]),
        ("bob", [("age", "25-34")]),
        ("cid", []),
        ("dee", []),
    ):
        yield {
            "user_id": user_id,
            "valid_from": D28,
            "attributes": attributes,
            "row_hash": f"row-{user_id}",
        }


def _interactions() -> Iterable[Row]:
    for user_id, item_id, day, hour in (
        ("ann", "milk", date(2017, 12, 20), 9),
        ("ann", "bread", D28, 9),
        ("ann", "jam", D30, 17),
        ("bob", "milk", D28, 12),
        ("bob", "bread", D28, 13),
        ("cid", "milk", SEPTEMBER, 8),
        ("eve", "milk", D30, 10),
    ):
        yield {
            "user_id": user_id,
            "item_id": item_id,
            "event_ts": datetime(day.year, day.month, day.day, hour, tzinfo=UTC),
            "event_type": "purchase",
            "event_date": day,
            "weight": 1.0,
            "quantity": 2.0 if item_id == "milk" else 1.0,
            "session_id": None,
            "ingest_ds": D30 if (user_id, item_id) == ("bob", "bread") else max(day, D28),
        }


def _item_texts() -> Iterable[Row]:
    for ds in (D29, D30):
        for item_id, title in (
            ("milk", "milk 2% gallon, fluid milk"),
            ("bread", "white bread, baked bread"),
            ("butter", "butter sticks, butter"),
            ("jam", "strawberry jam, preserves"),
        ):
            enriched = item_id == "milk"
            yield {
                "ds": ds,
                "item_id": item_id,
                "text": f"{title}. Fresh dairy milk for the family." if enriched else title,
                "text_hash": f"text-{item_id}",
                "text_source": "enriched" if enriched else "template",
                "content_hash": f"content-{item_id}",
            } | (PROMPT if enriched else {})


def _item_enrichments() -> Iterable[Row]:
    yield {
        "content_hash": "content-milk",
        "message_hash": "message-milk",
        "status": "success",
        "gate_score": 0.71,
        "standard_name": "reduced fat milk",
        "summary": "Fresh dairy milk for the family.",
        "keywords": ["milk", "dairy"],
        "raw_text": "{}",
        "selected_ds": D28,
    } | PROMPT
    yield {
        "content_hash": "content-bread",
        "message_hash": "message-bread",
        "status": "rejected_by_gate",
        "gate_score": 0.31,
        "summary": "A toy for children.",
        "raw_text": '{"summary":"A toy for children."}',
        "selected_ds": D29,
    } | PROMPT
    yield {
        "content_hash": "content-butter",
        "message_hash": "message-butter",
        "status": "invalid_output",
        "raw_text": "butter is",
        "selected_ds": D29,
    } | PROMPT


def _user_profiles() -> Iterable[Row]:
    for ds, user_id, last, count in (
        (D29, "ann", D28, 2),
        (D29, "bob", D28, 1),
        (D30, "ann", D30, 3),
        (D30, "bob", D28, 2),
        (D30, "eve", D30, 1),
    ):
        yield {
            "ds": ds,
            "user_id": user_id,
            "profile": "buys often: FLUID MILK, BAKED BREAD",
            "profile_hash": f"profile-{user_id}",
            "last_event_date": last,
            "interactions_count_90d": count,
        }


def _user_texts() -> Iterable[Row]:
    for profile in _user_profiles():
        enriched = profile["user_id"] == "ann"
        yield {
            "ds": profile["ds"],
            "user_id": profile["user_id"],
            "text": profile["profile"] + (". Likes breakfast." if enriched else ""),
            "text_hash": f"text-{profile['user_id']}",
            "text_source": "enriched" if enriched else "template",
            "profile_hash": profile["profile_hash"],
        } | (PROMPT if enriched else {})


def _user_enrichments() -> Iterable[Row]:
    yield {
        "user_id": "ann",
        "profile_hash": "profile-ann",
        "message_hash": "message-ann",
        "status": "success",
        "gate_score": 0.68,
        "interests": ["breakfast"],
        "search_phrases": ["strawberry jam"],
        "next_products": ["butter"],
        "raw_text": "{}",
        "selected_ds": D29,
    } | PROMPT


# item, neighbor: score of each method as the fusion scales it, users behind the pair
_PAIRS = {
    ("milk", "bread"): ({"content": 0.8, "cooccurrence": 1.2, "slim": 1.5}, 41),
    ("milk", "butter"): ({"content": 1.1}, None),
    ("bread", "milk"): ({"content": 0.8, "cooccurrence": 1.2, "slim": 1.0}, 41),
    ("bread", "jam"): ({"cooccurrence": 0.4}, 12),
    ("butter", "milk"): ({"content": 1.1}, None),
    ("jam", "bread"): ({"cooccurrence": 0.6, "slim": 0.5}, 12),
}
# what the fusion divides by: the mean of each method's best scores
_UNITS = {"content": 0.5, "cooccurrence": 0.25, "slim": 0.125}
_POPULAR = {"milk": (1.0, 3), "bread": (0.5, 1)}  # decayed and distinct users


def _parts(scores: dict[str, float], weights: dict[str, float]) -> dict[str, float]:
    """What each method or channel adds to the fused score; the default weights add up to 1."""
    return {name: weights[name] * score for name, score in scores.items()}


def _i2i_candidates() -> Iterable[Row]:
    found = [
        (score, method, item_id, neighbor, support)
        for (item_id, neighbor), (scores, support) in _PAIRS.items()
        for method, score in scores.items()
    ]
    # behind the two that a list of this lake holds
    found.append((0.7, "content", "milk", "jam", None))
    for ds in (D29, D30):
        ranks: dict[tuple[str, str], int] = {}
        for score, method, item_id, neighbor, support in sorted(found, reverse=True):
            rank = ranks[item_id, method] = ranks.get((item_id, method), 0) + 1
            yield {
                "ds": ds,
                "method": method,
                "item_id": item_id,
                "rank": rank,
                "neighbor_item_id": neighbor,
                "score": score * _UNITS[method],
                "support": None if method == "content" else support,
            }


def _i2i_daily() -> Iterable[Row]:
    weights, titles = RecallSettings().i2i.weights, _titles()
    for ds in (D29, D30):
        ranks: dict[str, int] = {}
        for (item_id, neighbor), (scores, support) in _PAIRS.items():
            ranks[item_id] = ranks.get(item_id, 0) + 1
            together = [f"chosen together by {support} users"] if support else []
            alike = [f"similar product: {titles[neighbor]}"] if "content" in scores else []
            yield {
                "ds": ds,
                "item_id": item_id,
                "rank": ranks[item_id],
                "neighbor_item_id": neighbor,
                "score": sum(_parts(scores, weights).values()),
                "methods": sorted(scores),
                "method_scores": sorted(scores.items()),
                "reason": "; ".join(together + alike),
            }


def _user_candidates() -> Iterable[Row]:
    for channel, user_id, rank, item_id, score, because in (
        ("i2i", "ann", 1, "butter", 0.8, "milk"),
        ("i2i", "ann", 2, "tea", 0.1, "milk"),
        ("similar_users", "ann", 1, "milk", 0.05, None),
        ("popular", "ann", 1, "milk", 1.0, None),
        ("popular", "bob", 1, "milk", 1.0, None),
        ("popular", "eve", 1, "bread", 1.0, None),
    ):
        yield {
            "ds": D30,
            "channel": channel,
            "user_id": user_id,
            "rank": rank,
            "item_id": item_id,
            "score": score,
            "because_item_id": because,
        }


def _user_recall_daily() -> Iterable[Row]:
    weights = RecallSettings().user.weights
    for ds, user_id, rank, item_id, channels, because in (
        (D29, "ann", 1, "milk", ("popular",), None),
        (D29, "bob", 1, "milk", ("popular",), None),
        (D30, "ann", 1, "butter", ("i2i",), "milk"),
        (D30, "ann", 2, "milk", ("popular", "similar_users"), None),
        (D30, "bob", 1, "milk", ("popular",), None),
        (D30, "eve", 1, "bread", ("popular",), None),
    ):
        scores = dict.fromkeys(channels, 1.0)  # each is the best of its channel's list
        parts = _parts(scores, weights)
        reasons = []
        if "i2i" in channels:
            reasons.append(f"goes with your {_titles()[because]}")
        if "similar_users" in channels:
            reasons.append("users with a taste like yours took it")
        if "popular" in channels:
            users = _POPULAR[item_id][1]
            reasons.append(f"popular with {users} user{'s' if users > 1 else ''} lately")
        yield {
            "ds": ds,
            "user_id": user_id,
            "rank": rank,
            "item_id": item_id,
            "score": sum(parts.values()),
            "channel": max(parts, key=parts.__getitem__),
            "channel_scores": sorted(scores.items()),
            "because_item_id": because,
            "reason": "; ".join(reasons),
        }


def _titles() -> dict[str, str]:
    return {row["item_id"]: row["title"] for row in _items()}


def _popular_items_daily() -> Iterable[Row]:
    for ds in (D29, D30):
        for rank, (item_id, (score, users)) in enumerate(_POPULAR.items(), 1):
            yield {
                "ds": ds,
                "kind": "popular",
                "segment": "all",
                "rank": rank,
                "item_id": item_id,
                "score": score,
                "users_count": users,
            }
    yield {
        "ds": D30,
        "kind": "trending",
        "segment": "all",
        "rank": 1,
        "item_id": "jam",
        "score": 1.5,
        "users_count": 1,
    }


# antecedent, consequent: baskets and users behind the rule, confidence, lift; the best first. Of
# 1,000 baskets 250 hold milk, 200 bread, 80 butter, and 100 milk and bread.
_RULES = {
    (("bread",), "milk"): (100, 41, 0.5, 2.0),
    (("milk",), "bread"): (100, 41, 0.4, 2.0),
    (("bread", "milk"), "butter"): (30, 18, 0.3, 3.75),
}


def _item_bundles_daily() -> Iterable[Row]:
    titles = _titles()
    for ds in (D29, D30):
        for rank, ((antecedent, consequent), found) in enumerate(_RULES.items(), 1):
            baskets, users, confidence, lift = found
            listed = " and ".join(titles[item] for item in antecedent)
            yield {
                "ds": ds,
                "rule_id": f"{json.dumps(antecedent, separators=(',', ':'))} => {consequent}",
                "rank": rank,
                "antecedent": list(antecedent),
                "consequent_item_id": consequent,
                "baskets_count": baskets,
                "users_count": users,
                "confidence": confidence,
                "lift": lift,
                "score": math.sqrt(lift * baskets / 1_000),
                "reason": f"{confidence:.0%} of baskets with {listed} also hold "
                f"{titles[consequent]}, {lift:.1f} times as often as usual",
            }


_FACTS = {
    "events": (9, None),
    "users": (5, None),
    "items": (6, None),
    "pairs": (8, None),
    "catalogue_items": (6, None),
    "density": (8 / 30, None),
    "days": (120, "2017-09-02 to 2017-12-30"),
    "user_days": (40, None),
    "items_per_user": (2, None),
    "repeat_share": (0.1, None),
    "return_days": (7, None),
    "visit_items": (1.5, None),
    "largest_share": (0.6, "item milk"),
}


def _data_report_daily() -> Iterable[Row]:
    for measure in (field.name for field in fields(Facts)):
        value, text = _FACTS.get(measure, (0, None))
        yield {"ds": D30, "measure": measure, "value": float(value), "text": text}


def _run(table: str, ds: date, minute: int, **rest: Any) -> Row:
    return {
        "run_id": f"{table}-{rest.get('slice', '')}-{ds}-{minute}",
        "table": table,
        "slice": "",
        "ds": ds,
        "known_on": ds,
        "status": "published",
        "rows_quarantined": 0,
        "rows_folded": 0,
        "seconds": 3.5,
        "params": '{"item_budget": 3, "user_budget": 1}',
        "counts": "{}",
        "recorded_at": datetime(2026, 11, 22, 4, minute, tzinfo=UTC),
    } | rest


def _runs() -> Iterable[Row]:
    for minute, ds in ((0, D29), (30, D30)):
        yield _run("bronze.events", ds, minute, rows_in=6, rows_out=5, rows_quarantined=1)
        yield _run("silver.items", ds, minute + 1, rows_in=6, rows_out=1, rows_folded=5)
        yield _run("silver.item_enrichments", ds, minute + 2, rows_out=3, seconds=41.0)
        yield _run("silver.user_enrichments", ds, minute + 3, rows_out=1)
        yield _run("silver.i2i_candidates", ds, minute + 5, slice="content", rows_out=7)
        yield _run("gold.i2i_daily", ds, minute + 6, rows_out=6)
        yield _run("gold.user_recall_daily", ds, minute + 7, rows_out=4)
    yield _run(
        "silver.i2i_candidates",
        D30,
        34,
        slice="content",
        status="failed",
        error="ConnectionError: Milvus did not answer",
    )


def _audits() -> Iterable[Row]:
    for ds, minute, success, observed in (
        (D29, 6, False, "9 rows, trailing mean 6"),  # mended by the next run of the day
        (D29, 7, True, ""),
        (D30, 36, False, "6 rows, trailing mean 9"),
    ):
        yield {
            "run_id": f"run-{minute}",
            "table": "gold.i2i_daily",
            "slice": "",
            "ds": ds,
            "check": "expect_row_count_near_trailing_mean",
            "severity": "warn",
            "success": success,
            "observed": observed,
            "details": '{"days": 7, "within": 0.3}',
            "recorded_at": datetime(2026, 11, 22, 4, minute, tzinfo=UTC),
        }


def _quarantine() -> Iterable[Row]:
    for ds, row_id, minute, reason in (
        (D29, "17", 0, "quantity: 'two' is not a number"),
        (D30, "4", 30, "quantity: 'two' is not a number"),
    ):
        yield {
            "table": "bronze.events",
            "ds": ds,
            "source_file": f"events/ds={ds}/baskets.csv",
            "row_id": row_id,
            "column": "quantity",
            "reason": reason,
            "payload": '{"quantity": "two"}',
            "rows": 1,
            "run_id": _run("bronze.events", ds, minute)["run_id"],
            "recorded_at": datetime(2026, 11, 22, 4, 0, tzinfo=UTC),
        }


def _llm_ledger() -> Iterable[Row]:
    for number, (ds, prompt, subject, status) in enumerate(
        (
            (D28, "item", "content-milk", "success"),
            (D29, "item", "content-bread", "rejected_by_gate"),
            (D29, "item", "content-butter", "invalid_output"),
            (D29, "user", "profile-ann", "success"),
        )
    ):
        yield {
            "call_id": f"call-{number}",
            "ds": ds,
            "prompt": prompt,
            "subject": subject,
            "status": status,
            "attempt": 1,
            "prompt_tokens": 300,
            "completion_tokens": 60,
            "cached_tokens": 256,
            "latency_ms": 900.0,
            "server": "http://127.0.0.1:8000/v1",
            "run_id": "run-1",
            "recorded_at": datetime(2026, 11, 22, 4, number, tzinfo=UTC),
        } | PROMPT


_ROWS = {
    "silver.items": _items,
    "silver.users": _users,
    "silver.interactions": _interactions,
    "silver.item_texts": _item_texts,
    "silver.item_enrichments": _item_enrichments,
    "silver.user_profiles": _user_profiles,
    "silver.user_texts": _user_texts,
    "silver.user_enrichments": _user_enrichments,
    "silver.i2i_candidates": _i2i_candidates,
    "silver.user_candidates": _user_candidates,
    "gold.i2i_daily": _i2i_daily,
    "gold.user_recall_daily": _user_recall_daily,
    "gold.popular_items_daily": _popular_items_daily,
    "gold.item_bundles_daily": _item_bundles_daily,
    "gold.data_report_daily": _data_report_daily,
    "ops.runs": _runs,
    "ops.audits": _audits,
    "ops.quarantine": _quarantine,
    "ops.llm_ledger": _llm_ledger,
}


def write_small_lake(lake: Path) -> None:
    """Create every table that has a contract; those above with rows, the others empty."""
    for contract in Contracts(Settings().contracts):
        rows = list(_ROWS[contract.table]()) if contract.table in _ROWS else []
        write_table(lake, contract, rows)


def rewrite(lake: Path, table: str, change: Callable[[Row], Row | None]) -> None:
    """Replace every row of a table by what `change` makes of it; None drops the row."""
    contract = Contracts(Settings().contracts)[table]
    folder = str(lake / table.replace(".", "/"))
    rows = DeltaTable(folder).to_pyarrow_table().to_pylist()
    kept = [changed for row in rows if (changed := change(row)) is not None]
    arrow = pa.Table.from_pylist(kept, schema=arrow_schema(contract))
    write_deltalake(folder, arrow, mode="overwrite")


def write_table(lake: Path, contract: Contract, rows: list[Row]) -> None:
    """Write rows by a contract's columns; a column that a row leaves out is null."""
    schema = arrow_schema(contract)
    for row in rows:
        if unknown := sorted(set(row) - set(schema.names)):
            raise KeyError(f"{contract.table} has no column {unknown}")
    write_deltalake(
        str(lake / contract.table.replace(".", "/")),
        pa.Table.from_pylist(rows, schema=schema),
        partition_by=list(contract.partition) or None,
        description=contract.grain,
        mode="append",
    )
