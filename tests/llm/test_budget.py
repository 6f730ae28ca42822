"""What calls will cost: measured where the ledger knows, guessed where it doesn't."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.llm.budget import Budget, Rate, estimate, guessed, measured, received_a_second
from jobs.llm.prompt import Prompt
from jobs.llm.settings import Price
from tests.llm.test_tokens import write_word_tokenizer

START = datetime(2026, 11, 20, 3)
LEDGER = (
    "run_id string, prompt_version string, model string, status string, prompt_tokens long, "
    "cached_tokens long, completion_tokens long, recorded_at timestamp"
)
RATE = Rate(100.0, 90.0, 20.0, calls_per_second=2.0)


def ledger(spark: SparkSession, *rows: tuple[object, ...]) -> DataFrame:
    """rows: run, status, tokens sent, cached and received, seconds after the start."""
    return spark.createDataFrame(
        [
            (run, "v1-a", "m", status, *tokens, START + timedelta(seconds=seconds))  # type: ignore[arg-type]
            for run, status, *tokens, seconds in rows
        ],
        LEDGER,
    )


def test_a_call_costs_what_calls_have_cost_retries_included(spark: SparkSession) -> None:
    rows = ledger(
        spark,
        ("r1", "retried", 100, 80, 50, 0),
        ("r1", "success", 100, 90, 30, 0),
        ("r1", "rejected_by_gate", 200, None, 20, 0),
        ("r1", "error", None, None, None, 0),
        ("r1", "error", None, None, None, 0),
        ("r1", "skipped_budget", None, None, None, 0),
        ("r1", "invalid_output", 200, 40, 50, 0),
    )
    # 600 sent, 210 cached and 150 received, over the three calls that were answered; one commit has
    # no pace
    assert measured(rows, "v1-a", "m") == Rate(200.0, 70.0, 50.0, None)


def test_calls_that_no_server_cached_have_a_cost_too(spark: SparkSession) -> None:
    rows = ledger(spark, ("r1", "success", 100, 0, 30, 0), ("r1", "success", 300, 0, 50, 0))
    assert measured(rows, "v1-a", "m") == Rate(200.0, 0.0, 40.0, None)


def test_another_version_or_model_says_nothing_and_nor_do_failures_alone(
    spark: SparkSession,
) -> None:
    rows = ledger(spark, ("r1", "success", 100, 90, 30, 0), ("r1", "error", None, None, None, 0))
    assert measured(rows, "v1-b", "m") is None
    assert measured(rows, "v1-a", "n") is None
    assert measured(rows.where("status = 'error'"), "v1-a", "m") is None


def test_the_pace_is_that_of_the_newest_run_with_two_commits(spark: SparkSession) -> None:
    rows = ledger(
        spark,
        *[("old", "success", 1, 1, 1, seconds) for seconds in (0, 1, 1, 1)],
        *[("new", "success", 1, 1, 1, seconds) for seconds in (100, 100, 110, 110, 120)],
        ("short", "success", 1, 1, 1, 200),
    )
    # three calls of later commits in the 20 seconds since the first commit
    found = measured(rows, "v1-a", "m")
    assert found is not None
    assert found.calls_per_second == pytest.approx(0.15)


def test_what_a_model_answers_a_second_is_known_from_any_prompt(spark: SparkSession) -> None:
    rows = ledger(
        spark,
        *[("new", "success", 1, 1, 30, seconds) for seconds in (0, 10, 20)],
        ("new", "error", None, None, None, 20),
    )
    # 60 tokens of later commits in the 20 seconds since the first one
    assert received_a_second(rows, "m") == pytest.approx(3.0)
    assert received_a_second(rows, "n") is None


def test_without_a_measurement_four_characters_are_a_token(prompt: Prompt) -> None:
    # The system text has 40 characters, the questions 18 on average: 58 / 4, and two messages of
    # five tokens around them; answers at full length
    assert guessed(prompt, ["q" * 16, "q" * 20]) == Rate(24.5, 0.0, 200.0)


@pytest.fixture
def counting(prompt: Prompt, tmp_path: Path) -> Prompt:
    """The prompt with a tokenizer to which each word is a token."""
    write_word_tokenizer(tmp_path / "tokenizer.json")
    return prompt.model_copy(update={"tokenizer": str(tmp_path)})


def test_with_the_models_tokenizer_tokens_are_counted(counting: Prompt) -> None:
    # "Name the product. Answer with JSON only." has seven words, the questions one and four
    assert guessed(counting, ["one", "one two three four"]) == Rate(19.5, 0.0, 200.0)
    said = estimate(["one"] * 2, counting, None, Budget(), None)
    assert (said["planned_tokens_are"], said["planned_prompt_tokens"]) == ("counted", 36)
    assert estimate(["one"], counting, RATE, Budget(), None)["planned_tokens_are"] == "measured"


def test_of_many_questions_an_even_sample_is_counted(
    counting: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.llm.budget.COUNTED_QUESTIONS", 2)
    # of five, the first and the fourth: 7 + (1 + 5) / 2 + 10
    questions = ["one", "one two", "one two", "one two three four five", "one two"]
    assert guessed(counting, questions).prompt_tokens == 20.0
    # of four, the first and the third
    assert guessed(counting, questions[:4]).prompt_tokens == 18.5


def test_without_a_question_only_the_fixed_part_counts(counting: Prompt) -> None:
    assert guessed(counting, []).prompt_tokens == 17.0


def test_an_estimate_says_calls_tokens_minutes_and_cost(prompt: Prompt) -> None:
    price = Price(input=2.0, cached=0.5, output=10.0)
    said = estimate(["q"] * 600, prompt, RATE, Budget(), price)
    assert said == {
        "planned_calls": 600,
        "planned_skipped": 0,
        "planned_prompt_tokens": 60_000,
        "planned_completion_tokens": 12_000,
        "planned_tokens_are": "measured",
        "planned_minutes": 5.0,
        "planned_minutes_are": "measured",
        "planned_cost": 0.159,  # 600 × (10 × 2.0 + 90 × 0.5 + 20 × 10.0) / 1e6
    }


def test_what_is_not_known_is_said_to_be_unknown(prompt: Prompt) -> None:
    said = estimate(["q"] * 2, prompt, None, Budget(), None)
    assert said["planned_tokens_are"] == "guessed"
    assert str(said["planned_minutes"]).startswith("unknown")
    assert said["planned_minutes_are"] == "unknown"
    assert str(said["planned_cost"]).startswith("unknown")


def test_minutes_of_a_new_prompt_are_guessed_by_what_the_model_did_before(prompt: Prompt) -> None:
    """200 tokens an answer at most, at 50 a second: 4 s a call."""
    said = estimate(["q"] * 30, prompt, None, Budget(), None, 50.0)
    assert (said["planned_minutes"], said["planned_minutes_are"]) == (2.0, "guessed")
    cut = estimate(["q"] * 30, prompt, None, Budget(minutes=1), None, 50.0)
    assert cut["planned_calls"] == 15


@pytest.mark.parametrize(
    ("budget", "calls"),
    [
        (Budget(), 600),
        (Budget(tokens=1199), 9),
        (Budget(tokens=1200), 10),
        (Budget(minutes=0.5), 60),
        (Budget(tokens=1200, minutes=0.05), 6),
        (Budget(tokens=0), 0),
        (Budget(minutes=0), 0),
    ],
)
def test_an_estimate_keeps_to_the_budget(prompt: Prompt, budget: Budget, calls: int) -> None:
    said = estimate(["q"] * 600, prompt, RATE, budget, None)
    assert (said["planned_calls"], said["planned_skipped"]) == (calls, 600 - calls)


def test_minutes_cut_nothing_off_an_estimate_while_the_pace_is_unknown(prompt: Prompt) -> None:
    assert estimate(["q"] * 600, prompt, None, Budget(minutes=1), None)["planned_calls"] == 600


def test_a_price_without_one_for_cached_tokens_counts_them_as_sent() -> None:
    assert Price(input=2.0, output=10.0).cost(100, 90, 20) == pytest.approx(400e-6)


def test_a_price_is_that_of_a_million_tokens() -> None:
    price = Price(input=2.0, cached=0.5, output=10.0)
    assert price.cost(1_000_000, 0, 0) == 2.0
    assert price.cost(1_000_000, 1_000_000, 1_000_000) == 10.5
