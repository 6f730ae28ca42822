"""# recall_daily

Turns one day of drops into a list of neighbors for each item and a list of recalled items for each
user.

## Inputs
`landing/{events,items,users}/ds=D/*`, due by 02:30 UTC of the day after D.

## Outputs
Partition `ds=D` of `gold.i2i_daily`, `gold.user_recall_daily`, `gold.popular_items_daily`,
`gold.item_bundles_daily`, `gold.recall_metrics_daily`, `gold.llm_quality_daily` and
`gold.data_report_daily`, and the Milvus aliases of the item vectors, ready by 04:00 UTC. Readers
see a day whole and audited, or not at all.

## Kind
Data interval: the run of logical date D makes `ds=D`. It starts when D ends, at 00:00 UTC, and
waits for the drops. A backfill makes one run for each day of its range.

## Rerun
Clear the day's run, or one task with its downstream. The same rows are published again, and no
LLM call is paid twice. `dags/README.md` has ranges of days and dry runs.

## When it is red
Readers keep the last published day. Airflow retries an error that may pass by itself. A task that
failed without a retry needs a person: the error in its log names the table, the day and the next
command.

## Owner
recall

## Runbooks
`docs/runbooks/README.md`, by symptom.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG, CronDataIntervalTimetable, TriggerRule

from jobs.airflow_task import (
    TASK_DEFAULTS,
    Impact,
    Triage,
    airflow_params,
    llm_shards,
    skip_unchosen,
    step,
)
from jobs.recall.sources import CHANNEL_NAMES, METHOD_NAMES

# Midnight, so that a day has one logical date and a backfill from D to E includes E.
EVERY_DAY_WHEN_IT_ENDS = CronDataIntervalTimetable("0 0 * * *", timezone="UTC")
DROPS_ARE_DUE_AFTER = timedelta(hours=2, minutes=30)

with DAG(
    "recall_daily",
    description="Item-to-item and user recall lists of one day",
    doc_md=__doc__,
    schedule=EVERY_DAY_WHEN_IT_ENDS,
    start_date=datetime(2017, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=2,
    params=airflow_params(methods=METHOD_NAMES, channels=CHANNEL_NAMES),
    tags=[Impact.TODAY, Triage.RUNBOOK],
    default_args={"owner": "recall", **TASK_DEFAULTS},
):
    drops_are_due = TimeDeltaSensor(
        task_id="drops_are_due",
        delta=DROPS_ARE_DUE_AFTER,
        deferrable=True,
        execution_timeout=timedelta(hours=3),
        doc_md="Waits until the day's drops are due. A drop that comes later counts as late.",
    )

    # A run takes in all pending drops up to its day, so two days must not take in at once.
    intake: dict[str, Any] = {"max_active_tis_per_dag": 1}
    bronze_events = step("bronze.events", **intake)
    bronze_items = step("bronze.items", **intake)
    bronze_users = step("bronze.users", **intake)
    interactions = step("silver.interactions", **intake)
    items = step("silver.items", **intake)
    users = step("silver.users", **intake)

    # One task instance a shard; one in all unless the run's params say otherwise.
    shards = llm_shards.override(doc_md="Numbers the shards of the LLM steps: param `shards`.")()
    paid: dict[str, Any] = {
        "shards": shards,
        "pool": "llm",
        "execution_timeout": timedelta(hours=4),
    }
    item_enrichments = step("silver.item_enrichments", **paid)
    user_profiles = step("silver.user_profiles")
    user_enrichments = step("silver.user_enrichments", **paid)

    item_texts = step("silver.item_texts")
    user_texts = step("silver.user_texts")
    # Two days at once would both encode the same missing texts.
    encoded: dict[str, Any] = {"max_active_tis_per_dag": 1}
    item_embeddings = step("silver.item_embeddings", **encoded)
    user_embeddings = step("silver.user_embeddings", **encoded)
    milvus_items = step(
        "milvus.items",
        pool="milvus",
        doc_md="Loads the day's item vectors into a collection of its own, verifies it, then moves "
        "the aliases to it. Rerun: clear this task. Red: `docs/runbooks/milvus-mismatch.md`.",
    )

    item_companions = step("silver.item_companions", **paid)
    # Settings of the methods and channels follow its facts.
    data_report = step("gold.data_report_daily")

    # The run builds the methods and channels that its params name, or else those with a weight;
    # fusion takes these.
    unchosen = skip_unchosen.override(
        doc_md="Skips the methods and channels that the run does not build: they have no weight, "
        "or the run's params name others."
    )()
    fused: dict[str, Any] = {"trigger_rule": TriggerRule.NONE_FAILED}
    cooccurrence = step("silver.i2i_candidates", "cooccurrence")
    session = step("silver.i2i_candidates", "session")
    slim = step("silver.i2i_candidates", "slim")
    swing = step("silver.i2i_candidates", "swing")
    transition = step("silver.i2i_candidates", "transition")
    content = step("silver.i2i_candidates", "content", pool="milvus")
    augmented = step("silver.i2i_candidates", "augmented", pool="milvus")
    pair_reasons = step("silver.pair_reasons", **paid, **fused)
    i2i_daily = step("gold.i2i_daily", **fused)
    popular_items = step("gold.popular_items_daily")
    item_bundles = step("gold.item_bundles_daily")
    i2i = step("silver.user_candidates", "i2i")
    similar_users = step("silver.user_candidates", "similar_users")
    repurchase = step("silver.user_candidates", "repurchase")
    vector = step("silver.user_candidates", "vector", pool="milvus")
    popular = step("silver.user_candidates", "popular")
    trending = step("silver.user_candidates", "trending")
    new = step("silver.user_candidates", "new")
    seasonal = step("silver.user_candidates", "seasonal")
    newcomer = step("silver.user_candidates", "newcomer")
    q2i = step("silver.user_candidates", "q2i", pool="milvus")
    product_names = step("silver.user_candidates", "product_names")
    user_recall = step("gold.user_recall_daily", **fused)
    recall_metrics = step("gold.recall_metrics_daily")
    llm_quality = step("gold.llm_quality_daily")

    drops_are_due >> [bronze_events, bronze_items, bronze_users]
    bronze_events >> interactions
    bronze_items >> items
    bronze_users >> users

    [interactions, items] >> item_enrichments >> item_texts >> item_embeddings >> milvus_items
    [interactions, items, users] >> user_profiles >> user_enrichments >> user_texts
    user_texts >> user_embeddings

    [interactions, items] >> data_report
    milvus_items >> content
    milvus_items >> item_companions >> augmented
    methods = [cooccurrence, session, slim, swing, transition, content, augmented]
    unchosen >> methods
    data_report >> methods
    methods >> pair_reasons >> i2i_daily
    [interactions, items, users] >> popular_items
    [interactions, items] >> item_bundles

    [user_profiles, i2i_daily] >> i2i
    user_profiles >> similar_users
    user_profiles >> repurchase
    [user_embeddings, milvus_items] >> vector
    [user_profiles, popular_items] >> popular
    [user_profiles, popular_items] >> trending
    [user_profiles, popular_items] >> new
    [user_profiles, popular_items] >> seasonal
    user_profiles >> newcomer
    [user_texts, milvus_items] >> q2i
    [user_texts, item_embeddings] >> product_names
    channels = [i2i, similar_users, repurchase, vector, popular, trending, new, seasonal]
    channels += [newcomer, q2i, product_names]
    unchosen >> channels
    data_report >> channels
    channels >> user_recall
    user_recall >> recall_metrics
    [item_enrichments, user_enrichments, item_companions, pair_reasons] >> llm_quality
