"""The demo's last page: what was published, a few rows with their reasons, what the LLM cost."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

from jobs.lake.sql import LakeSql

GOLD = (
    "gold.i2i_daily",
    "gold.user_recall_daily",
    "gold.popular_items_daily",
    "gold.item_bundles_daily",
)
I2I_ROWS = 10
USERS = 2
ROWS_PER_USER = 6

_COUNTS = "SELECT ds, count(*) AS rows FROM {table} WHERE ds IN ({days}) GROUP BY ds"

_NAMES = """
    names AS (
        SELECT item_id, arg_max(coalesce(title, category, item_id), valid_from) AS name
        FROM silver.items WHERE valid_from <= $ds GROUP BY item_id
    )"""

# the two nearest neighbors of each of the five best sellers
_I2I = f"""
    WITH {_NAMES},
    best AS (
        SELECT item_id, rank AS place FROM gold.popular_items_daily
        WHERE ds = $ds AND kind = 'popular' AND segment = 'all' ORDER BY rank LIMIT 5
    )
    SELECT a.name AS item, i.rank, b.name AS neighbor, round(i.score, 3) AS score,
           array_to_string(i.methods, ', ') AS methods, i.reason
    FROM gold.i2i_daily i
    JOIN best USING (item_id)
    JOIN names a ON a.item_id = i.item_id
    JOIN names b ON b.item_id = i.neighbor_item_id
    WHERE i.ds = $ds AND i.rank <= 2
    ORDER BY best.place, i.rank
    LIMIT {I2I_ROWS}
"""

# the users whose first rows come from the most channels say the most
_EXAMPLE_USERS = f"""
    SELECT user_id FROM gold.user_recall_daily
    WHERE ds = $ds AND rank <= {ROWS_PER_USER}
    GROUP BY user_id ORDER BY count(DISTINCT channel) DESC, user_id LIMIT {USERS}
"""

_RECALL = f"""
    WITH {_NAMES}
    SELECT r.rank, n.name AS item, round(r.score, 3) AS score, r.channel, r.reason
    FROM gold.user_recall_daily r JOIN names n USING (item_id)
    WHERE r.ds = $ds AND r.user_id = $user_id AND r.rank <= {ROWS_PER_USER}
    ORDER BY r.rank
"""

_LEDGER = """
    SELECT prompt, count(*) AS requests, sum(prompt_tokens) AS sent,
           sum(cached_tokens) AS cached, sum(completion_tokens) AS received,
           count(*) FILTER (status = 'success') AS success,
           count(*) FILTER (status = 'rejected_by_gate') AS rejected,
           count(*) FILTER (status = 'retried') AS repeated,
           count(*) FILTER (status NOT IN ('success', 'rejected_by_gate', 'retried')) AS failed
    FROM ops.llm_ledger GROUP BY prompt ORDER BY prompt
"""


@dataclass(frozen=True)
class Section:
    """One table of the page."""

    title: str
    rows: list[dict[str, Any]]


def sections(lake: LakeSql, days: Collection[date]) -> list[Section]:
    """The page, top to bottom, for days that are published."""
    last = {"ds": max(days)}
    found = [
        Section("Published rows by day", published_rows(lake, days)),
        Section(f"Neighbors of five best sellers, {max(days)}", lake.query(_I2I, last).records()),
    ]
    for user in lake.query(_EXAMPLE_USERS, last).records():
        rows = lake.query(_RECALL, last | user).records()
        found.append(Section(f"Recalled for user {user['user_id']}, {max(days)}", rows))
    return [*found, Section("LLM requests by prompt", ledger(lake))]


def published_rows(lake: LakeSql, days: Collection[date]) -> list[dict[str, Any]]:
    """One row a gold table, one column a day: how many rows it has."""
    listed = ", ".join(f"DATE '{day}'" for day in sorted(days))
    rows = []
    for table in GOLD:
        answer = lake.query(_COUNTS.format(table=table, days=listed)).records()
        counts = {row["ds"]: row["rows"] for row in answer}
        rows.append({"table": table} | {str(day): counts.get(day, 0) for day in sorted(days)})
    return rows


def published_days(lake: LakeSql, days: Collection[date]) -> set[date]:
    """The days that both recommendation tables have."""
    tables = ("gold.i2i_daily", "gold.user_recall_daily")
    if not all(lake.exists(table) for table in tables):
        return set()
    return set(days).intersection(*(lake.days(table) for table in tables))


def ledger(lake: LakeSql) -> list[dict[str, Any]]:
    """Calls, tokens and outcomes by prompt, as `ops.llm_ledger` has them."""
    return lake.query(_LEDGER).records()
