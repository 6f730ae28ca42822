"""The effect that pays for item descriptions, on real Delta tables."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import date

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake import EffectResult, Lake, Sink
from jobs.llm.errors import ServerRefuses
from jobs.llm.prompt import Fields, Prompt, load_prompt
from jobs.llm.settings import BulkSettings
from jobs.settings import RunParams
from jobs.silver.item_enrichments import enrich_items
from tests.llm.faulty_server import Response, says, serve

DAY = date(2017, 12, 28)
TITLES = ["BANANAS", "POTATO CHIPS", "TOILET TISSUE", "SHAMPOO"]


@pytest.fixture
def items(spark: SparkSession) -> DataFrame:
    """Four contents; the chips come in two sizes, and one item has no title."""
    rows = [(f"i{n}", f"c{n}", title) for n, title in enumerate(TITLES)]
    rows += [("i1-large", "c1", "POTATO CHIPS"), ("i9", "c9", None)]
    return spark.createDataFrame(
        [(i, c, title, "SNACKS", "GROCERY", "National", None, True, DAY) for i, c, title in rows],
        "item_id string, content_hash string, title string, category string, department string, "
        "brand string, description string, is_sellable boolean, valid_from date",
    )


@pytest.fixture
def interactions(spark: SparkSession) -> DataFrame:
    """Chips sell best, then bananas."""
    return spark.createDataFrame(
        [("u", "i1", DAY, 2.0), ("u", "i1-large", DAY, 2.0), ("u", "i0", DAY, 3.0)],
        "user_id string, item_id string, event_date date, weight double",
    )


def answer(question: str, number: int) -> Response:
    """The title as the name, a plain sentence, and a toothbrush that belongs nowhere."""
    title = json.loads(question)["title"]
    said = {
        "standard_name": title,
        "summary": f"{title.capitalize()} from the store.",
        "keywords": [title, "toothbrush"],
        "attributes": {"type": title},
        "occasions": ["everyday"],
    }
    return says(json.dumps(said))


def enrich(
    lake: Lake,
    items: DataFrame,
    interactions: DataFrame,
    ds: date = DAY,
    shard: int | None = None,
    **params: object,
) -> EffectResult:
    chosen = RunParams(**params)  # type: ignore[arg-type]
    run = replace(lake.by_hand(ds, params=chosen), run_id="run-1", shard=shard)
    enrichments = lake.tables.read("silver.item_enrichments")
    ledger = lake.tables.read("ops.llm_ledger")
    return enrich_items(run, Sink(lake.tables), items, interactions, enrichments, ledger)


def test_a_dry_run_says_what_it_would_pay_and_needs_no_server(
    make_lake, items: DataFrame, interactions: DataFrame
) -> None:
    lake = make_lake(llm_url="")
    result = enrich(lake, items, interactions, item_budget=3, dry_run=True)
    assert (result.rows_in, result.rows_out) == (3, 0)
    assert (result.counts["selected"], result.counts["planned_calls"]) == (3, 3)
    assert result.counts["planned_prompt_tokens"] > 0
    assert lake.tables.read("silver.item_enrichments").count() == 0


def test_a_run_renders_each_question_once(
    make_lake, items: DataFrame, interactions: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a million new contents, a second rendering is another minute before the first call."""
    rendered: Counter[str | None] = Counter()

    class Counting(Prompt):
        def question(self, fields: Fields) -> str:
            rendered[fields["title"]] += 1
            return super().question(fields)

    prompt = Counting.model_validate(load_prompt("item").model_dump() | {"examples": []})
    monkeypatch.setattr("jobs.silver.item_enrichments.prompt_of", lambda name, settings: prompt)
    with serve(answer) as server:
        lake = make_lake(llm_url=server.url)
        enrich(lake, items, interactions, item_budget=2)
        assert rendered == {"BANANAS": 1, "POTATO CHIPS": 1}
        # what is answered is never rendered again, and a shard renders a share once too
        enrich(lake, items, interactions, shard=0, item_budget=4, shards=2)
    assert rendered == dict.fromkeys(TITLES, 1)


def test_without_a_server_a_day_with_work_fails_and_one_without_does_not(
    make_lake, items: DataFrame, interactions: DataFrame
) -> None:
    lake = make_lake(llm_url="")
    assert enrich(lake, items, interactions, item_budget=0).rows_out == 0
    with pytest.raises(ServerRefuses, match="RECLAKE_LLM_URL"):
        enrich(lake, items, interactions, item_budget=1)


def test_a_day_pays_for_its_best_sellers_once_and_later_days_for_what_is_new(
    make_lake, items: DataFrame, interactions: DataFrame
) -> None:
    with serve(answer) as server:
        lake = make_lake(llm_url=server.url, llm_model="double")
        first = enrich(lake, items, interactions, item_budget=2)
        asked = [json.loads(question)["title"] for question in server.questions()]
        assert sorted(asked) == ["bananas", "potato chips"]

        again = enrich(lake, items, interactions, item_budget=2)
        ahead = enrich(lake, items, interactions, item_budget=4, dry_run=True)
        next_day = enrich(lake, items, interactions, date(2017, 12, 29), item_budget=4)
    assert (first.counts["sent"], first.counts["success"]) == (2, 2)
    assert (again.counts["sent"], again.counts["cached"], again.rows_out) == (0, 2, 0)
    assert (next_day.counts["sent"], next_day.counts["cached"]) == (2, 2)
    assert len(server.requests) == 4
    # two more calls, at what the first two cost: 100 tokens sent and 20 received
    planned = [ahead.counts[f"planned_{what}"] for what in ("calls", "prompt_tokens")]
    assert planned == [2, 200]
    assert ahead.counts["planned_completion_tokens"] == 40
    assert ahead.counts["planned_tokens_are"] == "measured"

    rows = {
        row["content_hash"]: row for row in lake.tables.read("silver.item_enrichments").collect()
    }
    assert sorted(rows) == ["c0", "c1", "c2", "c3"]
    chips = rows["c1"]
    assert (chips["status"], chips["standard_name"]) == ("success", "potato chips")
    assert chips["keywords"] == ["potato chips"]
    assert chips["attributes"] == {"type": "potato chips"}
    assert (chips["model"], chips["selected_ds"]) == ("double", DAY)
    assert rows["c3"]["selected_ds"] == date(2017, 12, 29)

    ledger = lake.tables.read("ops.llm_ledger").collect()
    assert sorted(row["subject"] for row in ledger) == ["c0", "c1", "c2", "c3"]
    assert {row["status"] for row in ledger} == {"success"}
    assert all(row["recorded_at"] is not None for row in ledger)


def test_runs_for_the_unanswered_alone_go_on_where_the_last_one_stopped(
    make_lake, items: DataFrame, interactions: DataFrame
) -> None:
    with serve(answer) as server:
        lake = make_lake(llm_url=server.url)
        runs = [
            enrich(lake, items, interactions, item_budget=2, only_unanswered=True) for _ in range(3)
        ]
    sent = [json.loads(question)["title"] for question in server.questions()]
    assert sorted(sent[:2]) == ["bananas", "potato chips"]
    assert sorted(sent[2:]) == ["shampoo", "toilet tissue"]
    assert [run.counts["sent"] for run in runs[:2]] == [2, 2]
    assert (runs[2].rows_in, runs[2].rows_out) == (0, 0)


def test_shards_share_out_a_token_budget(
    make_lake, items: DataFrame, interactions: DataFrame
) -> None:
    """240 tokens are two calls of 120, so one for each of two shards."""
    with serve(answer) as server:
        lake = make_lake(llm_url=server.url)
        enrich(lake, items, interactions, item_budget=1)  # what a call costs is known from now on
        counts = [
            enrich(
                lake, items, interactions, shard=n, shards=2, item_budget=4, token_budget=240
            ).counts
            for n in range(2)
        ]
    assert sum(c["sent"] for c in counts) <= 2
    assert all(c["sent"] * 120 <= 120 for c in counts)
    assert sum(c["sent"] + c["skipped_budget"] for c in counts) == 3


def test_the_long_prompt_fills_every_column_that_the_table_has_for_an_answer(
    make_lake, items: DataFrame, interactions: DataFrame
) -> None:
    """Version 2, within the attribute library; what the gate doubts is left out."""
    said = {
        "clean_title": "Potato chips",
        "standard_name": "potato chips",
        "summary": "Potato chips from the store.",
        "keywords": ["potato chips", "toothbrush"],
        "attributes": {"type": "potato chips"},
        "occasions": ["snack"],
        "seasons": ["summer"],
        "holidays": ["halloween"],
        "audience": "children",
        "reason": "Potato chips for a snack.",
    }
    with serve(lambda question, number: says(json.dumps(said))) as server:
        lake = make_lake(
            llm_url=server.url, llm=BulkSettings(prompts={"item": 2}, gate_threshold=0)
        )
        enrich(lake, items, interactions, item_budget=1)
        strict = make_lake(llm_url=server.url, llm_model="m", llm=BulkSettings(prompts={"item": 2}))
        enrich(strict, items, interactions, item_budget=1)
    rows = lake.tables.read("silver.item_enrichments").collect()
    loose, kept = (row.asDict() for row in sorted(rows, key=lambda row: row["model"] == "m"))
    assert loose["prompt_version"].startswith("v2-")
    assert {name: loose[name] for name in said} == said
    # a summer, a Halloween and children that the catalogue says nothing of
    assert kept["status"] == "success"
    doubted = {"seasons", "holidays", "audience"}
    assert {name for name in said if kept[name] is None} == doubted
    assert kept["keywords"] == ["potato chips"]


def test_another_model_pays_again(make_lake, items: DataFrame, interactions: DataFrame) -> None:
    with serve(answer) as server:
        small = make_lake(llm_url=server.url, llm_model="small")
        enrich(small, items, interactions, item_budget=1)
        large = make_lake(llm_url=server.url, llm_model="large")
        result = enrich(large, items, interactions, item_budget=1)
    assert result.counts["sent"] == 1
    assert small.tables.read("silver.item_enrichments").count() == 2


def test_an_edited_prompt_pays_again_beside_the_old_answers(
    make_lake, items: DataFrame, interactions: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = load_prompt("item")
    edited = Prompt.model_validate(prompt.model_dump() | {"max_tokens": prompt.max_tokens + 1})
    with serve(answer) as server:
        lake = make_lake(llm_url=server.url)
        enrich(lake, items, interactions, item_budget=1)
        monkeypatch.setattr("jobs.silver.item_enrichments.prompt_of", lambda name, settings: edited)
        result = enrich(lake, items, interactions, item_budget=1)
    assert result.counts["sent"] == 1
    rows = lake.tables.read("silver.item_enrichments").collect()
    assert sorted(row["prompt_version"] for row in rows) == sorted(
        [prompt.prompt_version, edited.prompt_version]
    )


def test_a_rejected_answer_is_not_asked_again(
    make_lake, items: DataFrame, interactions: DataFrame
) -> None:
    def crab(question: str, number: int) -> Response:
        said = {
            "standard_name": "crab",
            "summary": "Crab from the sea.",
            "keywords": ["crab", "crab legs"],
            "attributes": {"type": "crab"},
            "occasions": ["dinner"],
        }
        return says(json.dumps(said))

    with serve(crab) as server:
        lake = make_lake(llm_url=server.url)
        first = enrich(lake, items, interactions, item_budget=1)
        again = enrich(lake, items, interactions, item_budget=1)
    assert (first.counts["sent"], first.counts["rejected"]) == (1, 1)
    assert (again.counts["sent"], again.counts["cached"]) == (0, 1)
