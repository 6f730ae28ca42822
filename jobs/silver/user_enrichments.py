"""What the LLM says about each active user's profile: interests, search phrases, next products.

One row per (user_id, profile_hash, prompt_version, model). Of a user, a prompt holds only the
aggregated profile text; users with the same profile share one call.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import EffectResult, Read, Run, Sink, effect
from jobs.llm.answers import answered_keys
from jobs.llm.daily import enrich_day, work_list
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
    settings=("llm", "encoder"),
)
def enrich_users(
    run: Run, sink: Sink, user_profiles: DataFrame, enrichments: DataFrame, ledger: DataFrame
) -> EffectResult:
    """Describe the day's `user_budget` most active users; commits in chunks through `sink`."""
    prompt, key = prompt_of("user", run.settings.llm), ("user_id", "profile_hash")
    answered = answered_keys(run, enrichments, prompt, key)
    selected = select_user_profiles(user_profiles, run.params.user_budget, answered)
    model = run.settings.llm.llm_model
    work = work_list(selected, key, "profile_hash", prompt, enrichments, model)
    return enrich_day(run, sink, TABLE, prompt, work, enrichments, ledger)
