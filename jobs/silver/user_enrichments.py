"""What the LLM says about each active user's profile: interests, search phrases, next products.

One row per (user_id, profile_hash, prompt_version, model). A prompt holds the aggregated profile
text and nothing else of a user; users who share a profile share one call.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import EffectResult, Read, Run, Sink, effect
from jobs.llm.bulk import Ask
from jobs.llm.daily import enrich_day
from jobs.llm.prompt import prompt_of
from jobs.llm.selection import select_user_profiles

TABLE = "silver.user_enrichments"


@effect(
    TABLE,
    reads={
        "user_profiles": Read("silver.user_profiles"),
        "enrichments": Read(TABLE),
        "ledger": Read("ops.llm_ledger"),
    },
)
def enrich_users(
    run: Run, sink: Sink, user_profiles: DataFrame, enrichments: DataFrame, ledger: DataFrame
) -> EffectResult:
    """Describe the day's `user_budget` most active users; commits in chunks through `sink`."""
    selected = select_user_profiles(user_profiles, run.params.user_budget)
    asks = [
        Ask(
            {"user_id": row["user_id"], "profile_hash": row["profile_hash"]},
            row["profile_hash"],
            {"profile": row["profile"]},
        )
        for row in selected.orderBy("rank").toArrow().to_pylist()
    ]
    return enrich_day(run, sink, TABLE, prompt_of("user", run.settings), asks, enrichments, ledger)
