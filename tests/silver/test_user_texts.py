"""Each active user has a text: the profile, and the LLM's words where the gate let them pass."""

from __future__ import annotations

from datetime import date

from pyspark.sql import SparkSession

from jobs.llm.prompt import load_prompt
from jobs.silver.user_texts import user_texts

DS = date(2026, 3, 31)
PROFILES = (
    "user_id string, profile string, profile_hash string, last_event_date date, "
    "interactions_count_90d bigint"
)
ANSWERS = (
    "user_id string, profile_hash string, prompt_version string, model string, status string, "
    "interests array<string>, search_phrases array<string>, next_products array<string>"
)


def test_only_selected_users_with_an_accepted_answer_get_more_than_their_profile(
    make_run, spark: SparkSession
) -> None:
    run = make_run(DS, user_budget=2)
    profiles = [
        ("u1", "Buys bread.", "p1", DS, 30),
        ("u2", "Buys cheese.", "p2", DS, 20),
        ("u3", "Buys beer.", "p3", DS, 10),
    ]
    version, model = load_prompt("user").prompt_version, run.settings.llm.llm_model
    answers = [
        ("u1", "p1", version, model, "success", ["baking"], ["rye bread"], ["butter"]),
        ("u2", "p2", version, model, "rejected_by_gate", ["x"], ["y"], ["z"]),
        ("u3", "p3", version, model, "success", ["beer"], ["ale"], ["crisps"]),
        ("u1", "old profile", version, model, "success", ["old"], ["old"], ["old"]),
    ]
    made = user_texts(
        run,
        user_profiles=spark.createDataFrame(profiles, PROFILES),
        enrichments=spark.createDataFrame(answers, ANSWERS),
    )
    found = {
        row.user_id: (row.text, row.text_source, row.prompt_version, row.model)
        for row in made.collect()
    }
    assert found == {
        "u1": ("Buys bread. baking, rye bread, butter", "enriched", version, model),
        "u2": ("Buys cheese.", "template", None, None),
        # two are selected, and u3 is the third
        "u3": ("Buys beer.", "template", None, None),
    }
