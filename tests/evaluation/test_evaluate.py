"""Methods of the daily run on a shop of two groups that never meet, worked by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.evaluation.data import read_interactions
from jobs.evaluation.evaluate import Data, Result, evaluate_methods, settings_for
from jobs.evaluation.methods import UnknownMethod
from jobs.evaluation.vocabulary import Format
from jobs.settings import Settings

# Groups a (4 people, 4 items) and b (5 people, 5 items). Each person took all items of the group
# but one, which is the test: an item of a has 3 people, one of b has 4.
TAKEN = [
    (f"{group}-{person}", f"{group}{item}", person == item)
    for group, size in (("a", 4), ("b", 5))
    for person in range(size)
    for item in range(size)
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The shop's train and test files, in Parquet."""
    paths = []
    for name, is_test in (("train", False), ("test", True)):
        rows = [(user, item) for user, item, held_out in TAKEN if held_out is is_test]
        users, items = map(list, zip(*rows, strict=True))
        paths.append(tmp_path / f"{name}.parquet")
        pq.write_table(pa.table({"user_id": users, "item_id": items}), paths[-1])
    return paths[0], paths[1]


@pytest.fixture
def data(files: tuple[Path, Path]) -> Data:
    train, test = files
    return Data(read_interactions(train, Format.parquet), read_interactions(test, Format.parquet))


@pytest.fixture
def results(spark: SparkSession, tmp_path: Path) -> Callable[..., dict[str, Result]]:
    """Evaluates methods on some data, in a folder of this test."""

    def run(data: Data, *methods: str, k: int = 1, repeats: bool = False) -> dict[str, Result]:
        settings = settings_for(Settings(home=tmp_path / "home"), k, 10, repeats)
        folder = tmp_path / "evaluate"
        folder.mkdir(exist_ok=True)
        steps: list[str] = []
        found = evaluate_methods(spark, data, methods, k, settings, folder, steps.append)
        assert len(steps) == len(set(steps)), "a step ran twice"
        return {result.method: result for result in found}

    return run


def test_methods_find_what_each_person_left_out(
    data: Data, results: Callable[..., dict[str, Result]]
) -> None:
    found = results(data, "default", "i2i", "cooccurrence", "similar_users", "popular")
    assert list(found) == ["default", "i2i", "cooccurrence", "similar_users", "popular"]
    for method in ("default", "i2i", "cooccurrence", "similar_users"):
        assert found[method].metrics.recall == 1, method
        assert found[method].metrics.coverage == 1, method
    # people of b lack one of the most popular items, people of a are shown b0, which they lack too
    assert found["popular"].metrics.recall == pytest.approx(5 / 9)
    assert found["popular"].metrics.coverage == pytest.approx(5 / 9)
    assert all(result.seconds > 0 and result.gigabytes > 0 for result in found.values())
    # what the default needs contains what its channels need
    assert found["default"].seconds > found["i2i"].seconds


def test_repeats_are_listed_only_where_they_count(
    data: Data, results: Callable[..., dict[str, Result]]
) -> None:
    bought_again = pa.concat_tables([data.test, data.train.slice(0, 1)])
    again = Data(data.train, bought_again)
    assert (data.has_repeats(), again.has_repeats()) == (False, True)
    assert again.without_repeats().test.equals(data.test)
    # of a-0, 3 items of train and the one left out fill the list
    found = results(again, "i2i", k=4, repeats=True)["i2i"].metrics
    assert found.recall > 0.9


def test_texts_reach_an_item_that_nobody_took(
    data: Data, results: Callable[..., dict[str, Result]]
) -> None:
    words = {"a": "red wine from France, a bottle of", "b": "steel screws for wood, a box of"}
    known = {item: f"{words[item[0]]} {item[1]}" for _, item, _ in TAKEN}
    cold = {"a9": "white wine from France, a bottle", "b9": "brass screws for wood, a box"}
    texts = pa.table({"item_id": [*known, *cold], "text": [*known.values(), *cold.values()]})
    wanted = pa.table({"user_id": ["a-0", "b-0"], "item_id": ["a9", "b9"]})
    test = data.train.slice(0, 2)
    for place, name in enumerate(("user_id", "item_id")):
        test = test.set_column(place, name, wanted[name])
    found = results(Data(data.train, test, texts), "content", "cooccurrence", k=2)
    # a person of a lacks a0 and a9 of the wines, and the same with screws
    assert found["content"].metrics.recall == 1
    assert found["cooccurrence"].metrics.recall == 0


def test_lists_beside_the_popular_one_are_evaluated_on_timed_data(
    tmp_path: Path, results: Callable[..., dict[str, Result]]
) -> None:
    # All took a for years. In the last days all but one took b, and so did that one next.
    people = [f"p{number}" for number in range(6)]
    last = datetime(2020, 6, 1, tzinfo=UTC)
    rows = [(person, "a", last - timedelta(days=day)) for person in people for day in (0, 30, 700)]
    rows += [(person, "b", last - timedelta(days=1)) for person in people[1:]]
    columns = ("user_id", "item_id", "event_ts")
    wanted = [("p0", "b", last + timedelta(days=1))]
    parts = []
    for name, taken in (("train", rows), ("test", wanted)):
        pq.write_table(
            pa.table(dict(zip(columns, map(list, zip(*taken, strict=True)), strict=True))),
            tmp_path / f"{name}.parquet",
        )
        parts.append(read_interactions(tmp_path / f"{name}.parquet", Format.parquet))
    found = results(Data(*parts), "trending", "new", "seasonal")
    recall = {method: result.metrics.recall for method, result in found.items()}
    assert recall == {"trending": 1, "new": 1, "seasonal": 0}


def test_tags_reach_an_item_that_nobody_took(
    data: Data, results: Callable[..., dict[str, Result]]
) -> None:
    said = {item: ["wine" if item[0] == "a" else "screws"] for _, item, _ in TAKEN}
    said |= {"a9": ["wine"], "b9": ["screws"]}
    texts = pa.table(
        {
            "item_id": [*said],
            "text": [*said],
            "tags": pa.array(said.values(), pa.list_(pa.string())),
        }
    )
    test = data.train.slice(0, 2)
    for place, wanted in enumerate((["a-0", "b-0"], ["a9", "b9"])):
        test = test.set_column(place, test.column_names[place], [wanted])
    described = Data(data.train, test, texts)
    assert described.known == {"texts", "tags"}
    # a person of a lacks a0 and a9 of the wines, and the same with screws
    assert results(described, "augmented", k=2)["augmented"].metrics.recall == 1


def test_a_method_without_a_weight_is_made_only_for_itself(
    data: Data, spark: SparkSession, tmp_path: Path
) -> None:
    settings = settings_for(Settings(home=tmp_path), 1, 10, repeats=False)
    recall = settings.recall.with_changes(
        {"i2i": {"weights": {"cooccurrence": 1.0}}, "user": {"weights": {"i2i": 1.0}}}
    )
    settings = settings.model_copy(update={"recall": recall})
    steps: list[str] = []
    evaluate_methods(spark, data, ["default", "swing"], 1, settings, tmp_path, steps.append)
    assert set(steps) == {
        "gold.data_report_daily",
        "silver.i2i_candidates.cooccurrence",
        "gold.i2i_daily",
        "silver.user_candidates.i2i",
        "gold.popular_items_daily",
        "silver.user_candidates.popular",
        "gold.user_recall_daily",
        "silver.i2i_candidates.swing",
        "silver.user_candidates.i2i of swing",
    }


def test_methods_that_cannot_be_made_leave_nothing_to_fuse(
    data: Data, spark: SparkSession, tmp_path: Path
) -> None:
    settings = settings_for(Settings(home=tmp_path), 1, 10, repeats=False)
    recall = settings.recall.with_changes({"i2i": {"weights": {"content": 1.0}}})
    settings = settings.model_copy(update={"recall": recall})
    with pytest.raises(UnknownMethod, match="no method that has a weight"):
        evaluate_methods(spark, data, ["i2i"], 1, settings, tmp_path, lambda step: None)


def test_an_unknown_method_stops_before_any_work(
    data: Data, results: Callable[..., dict[str, Result]]
) -> None:
    with pytest.raises(UnknownMethod, match="swimming: no such method; one of default, i2i,"):
        results(data, "swimming")
    with pytest.raises(UnknownMethod, match="content: needs the texts of the items"):
        results(data, "content", k=2)
    with pytest.raises(UnknownMethod, match="augmented: needs what an LLM said of the items"):
        results(data, "augmented", k=2)


def test_settings_change_only_lengths_and_what_is_left_out() -> None:
    daily = Settings()
    for repeats, days in ((True, 0), (False, 36_500)):
        changed = settings_for(daily, 20, 200, repeats).recall
        assert changed.cooccurrence.neighbors == changed.i2i.neighbors == 200
        assert changed.item_history.exclude_seen_days == days
        assert changed.cooccurrence.item_exponent == daily.recall.cooccurrence.item_exponent
        assert changed.user.weights == daily.recall.user.weights
    assert settings_for(daily, 120, 200, True).recall.popular.items >= 120


@pytest.mark.server
def test_the_command_prints_and_writes_every_metric(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    # a process of its own: a local Spark and a Connect client do not share one
    train, test = files
    command = [sys.executable, "-m", "jobs.cli", "evaluate", "--format", "parquet"]
    command += ["--train", str(train), "--test", str(test), "--k", "1"]
    command += ["--method", "popular,cooccurrence", "--json", str(tmp_path / "found.json")]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"RECLAKE_HOME": str(tmp_path / "home")},
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["k"], found["data"]["interactions"]) == (1, len(TAKEN) - 9)
    assert found["data"]["seen"] == "exclude"
    assert [row["method"] for row in found["results"]] == ["popular", "cooccurrence"]
    popular, cooccurrence = found["results"]
    assert (popular["recall"], cooccurrence["recall"]) == (pytest.approx(5 / 9), 1)
    for name in popular:
        assert name in ended.stdout
    steps = [line.strip() for line in ended.stderr.splitlines() if line.startswith("  ")]
    assert steps == [
        "gold.data_report_daily",
        "gold.popular_items_daily",
        "silver.user_candidates.popular",
        "silver.i2i_candidates.cooccurrence",
        "silver.user_candidates.i2i of cooccurrence",
    ]
