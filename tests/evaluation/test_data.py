"""Reading what to evaluate on: both formats, and files that are not what they say."""

from __future__ import annotations

import gzip
import math
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.evaluation.data import (
    INTERACTIONS,
    UNDATED,
    BadData,
    is_timed,
    last_day,
    only_taken,
    read_interactions,
    read_items,
)
from jobs.evaluation.evaluate import Data, overlap_told
from jobs.evaluation.vocabulary import Format


def written(path: Path, **columns: list) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz"])
def test_a_line_is_a_user_and_what_they_took(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with gzip.open(path, "wt") if name.endswith("gz") else path.open("w") as file:
        file.write("7 1 2\n8\n9 3 \n")
    found = read_interactions(path, Format.lightgcn)
    assert found.schema.equals(INTERACTIONS)
    assert found["user_id"].to_pylist() == ["7", "7", "9"]
    assert found["item_id"].to_pylist() == ["1", "2", "3"]
    assert set(found["event_ts"].to_pylist()) == {datetime(2000, 1, 1, tzinfo=UTC)}
    assert last_day(found) == date(2000, 1, 1)
    assert set(found["weight"].to_pylist()) == {1.0}


def test_parquet_brings_times_and_weights_where_it_has_them(tmp_path: Path) -> None:
    times = [datetime(2011, 3, 4, 23, 30, tzinfo=UTC), datetime(2011, 3, 5, tzinfo=UTC)]
    path = written(
        tmp_path / "a", user_id=[1, 2], item_id=["x", "y"], event_ts=times, weight=[2, 3]
    )
    found = read_interactions(path, Format.parquet)
    assert found.schema.equals(INTERACTIONS)
    assert found["user_id"].to_pylist() == ["1", "2"]
    assert found["event_date"].to_pylist() == [date(2011, 3, 4), date(2011, 3, 5)]
    assert found["weight"].to_pylist() == [2.0, 3.0]
    assert last_day(found) == date(2011, 3, 5)
    bare = read_interactions(written(tmp_path / "b", user_id=["u"], item_id=["x"]), Format.parquet)
    assert (bare["event_ts"].to_pylist(), bare["weight"].to_pylist()) == ([UNDATED], [1.0])


@pytest.mark.parametrize(("days", "timed"), [([4, 4, 4], False), ([4, 5, 4], True)])
def test_two_times_are_enough_to_tell_what_came_first(
    tmp_path: Path, days: list[int], timed: bool
) -> None:
    times = [datetime(2011, 3, day, tzinfo=UTC) for day in days]
    path = written(tmp_path / "a", user_id=[1, 1, 2], item_id=["x", "y", "x"], event_ts=times)
    assert is_timed(read_interactions(path, Format.parquet)) is timed


def test_ids_are_spelled_as_in_the_lake(tmp_path: Path) -> None:
    path = written(tmp_path / "a", user_id=[7.0, 8.0], item_id=["AB-1\u00a0", "AB-1"])
    found = read_interactions(path, Format.parquet)
    assert found["user_id"].to_pylist() == ["7", "8"]
    assert found["item_id"].to_pylist() == ["AB-1", "AB-1"]
    texts = written(tmp_path / "items", item_id=["\u200bAB-1"], text=["a mug"])
    assert read_items(texts)["item_id"].to_pylist() == ["AB-1"]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"user_id": ["u", "NULL"], "item_id": ["x", "y"]}, "user_id is NULL in 1 rows, which usu"),
        ({"user_id": [1.5], "item_id": ["x"]}, "user_id 1.5 is a number with a fraction"),
        (
            {"user_id": ["u"], "item_id": ["x"], "event_ts": [1737072000]},
            "event_ts is int64, a number of an unknown unit; expected timestamps",
        ),
        (
            {"user_id": ["u"] * 2, "item_id": ["x", "y"], "weight": [float("nan"), 1.0]},
            "weight is NaN or infinite in 1 rows",
        ),
    ],
)
def test_a_column_that_would_be_misread_is_named(
    tmp_path: Path, columns: dict[str, list], why: str
) -> None:
    with pytest.raises(BadData, match=rf"f\.parquet: {why}.*Nothing was evaluated"):
        read_interactions(written(tmp_path / "f.parquet", **columns), Format.parquet)


def taken(*pairs: tuple[str, str]) -> pa.Table:
    return pa.table({"user_id": [u for u, _ in pairs], "item_id": [i for _, i in pairs]})


def test_how_many_of_test_train_knows_is_told() -> None:
    data = Data(taken(("u", "a"), ("v", "b")), taken(("u", "b"), ("w", "c"), ("u", "c")))
    assert data.overlap() == {
        "test_users": 2,
        "test_users_in_train": 1,
        "test_items": 2,
        "test_items_in_train": 1,
    }
    assert overlap_told(data.overlap()) == (
        "test: 2 users, of whom train knows 1; 2 items, of which train knows 1"
    )


def test_ids_of_test_that_train_never_has_are_an_error() -> None:
    """A zero would be printed for every metric. Items may be new where their texts are known."""
    train = taken(("7", "a"))
    with pytest.raises(
        BadData, match=r"none of the 1 users of test.*test has '0007', train has '7'"
    ):
        Data(train, taken(("0007", "a"))).overlap()
    with pytest.raises(BadData, match="none of the 1 items of test"):
        Data(train, taken(("7", "new"))).overlap()
    texts = pa.table({"item_id": ["new"], "text": ["a mug"]})
    assert Data(train, taken(("7", "new")), texts).overlap()["test_items_in_train"] == 0


def test_items_without_a_text_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "items", item_id=[1, 2, 3], text=["a mug", "", None])
    assert read_items(path).to_pylist() == [{"item_id": "1", "text": "a mug"}]


def test_tags_come_along_where_the_file_has_them(tmp_path: Path) -> None:
    path = written(tmp_path / "items", item_id=[1], text=["a mug"], tags=[["cup", "kitchen"]])
    assert read_items(path)["tags"].to_pylist() == [["cup", "kitchen"]]


def test_a_file_that_is_not_what_it_says_is_named(tmp_path: Path) -> None:
    text = tmp_path / "train.txt"
    text.write_text("1 2 3\n")
    with pytest.raises(BadData, match=r"train\.txt: expected parquet.*Nothing was evaluated"):
        read_interactions(text, Format.parquet)
    not_zipped = tmp_path / "train.txt.gz"
    not_zipped.write_text("1 2 3\n")
    with pytest.raises(BadData, match=r"train\.txt\.gz: expected lightgcn"):
        read_interactions(not_zipped, Format.lightgcn)
    with pytest.raises(BadData, match="no column item_id; found user_id, thing"):
        read_interactions(written(tmp_path / "c", user_id=[1], thing=[2]), Format.parquet)
    with pytest.raises(BadData, match="no column text; found item_id"):
        read_items(written(tmp_path / "d", item_id=[1]))
    with pytest.raises(BadData, match="expected parquet"):
        read_interactions(
            written(tmp_path / "e", user_id=[1], item_id=[2], event_ts=["noon"]), Format.parquet
        )


def test_a_file_without_interactions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("1\n\n")
    with pytest.raises(BadData, match="no interaction"):
        read_interactions(tmp_path / "train.txt", Format.lightgcn)


def test_an_interaction_without_a_user_or_an_item_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "f", user_id=["u", None], item_id=["x", "y"])
    with pytest.raises(BadData, match="user_id is null in 1 rows"):
        read_interactions(path, Format.parquet)


def test_types_and_quantities_weigh_as_in_the_lake(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a",
        user_id=["u"] * 5,
        item_id=["x"] * 5,
        event_type=["view", "purchase", "purchase", "dislike", "return"],
        quantity=[1, 3, -2, 1, 40],
    )
    found = read_interactions(path, Format.parquet)
    assert found["event_type"].to_pylist() == ["view", "purchase", "return", "dislike", "return"]
    assert found["quantity"].to_pylist() == [1.0, 3.0, 2.0, 1.0, 40.0]
    assert found["weight"].to_pylist() == pytest.approx([0.1, 1 + math.log(3), 0, 0, 0])


def test_a_given_weight_stays_but_for_events_that_take_nothing(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a",
        user_id=["u", "u"],
        item_id=["x", "y"],
        event_type=["view", "hide"],
        weight=[5.0, 5.0],
    )
    assert read_interactions(path, Format.parquet)["weight"].to_pylist() == [5.0, 0.0]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"event_type": ["order"]}, "event_type has 'order'; expected view, click"),
        ({"event_type": [None]}, "event_type is null in 1 rows"),
        ({"quantity": [float("nan")]}, "quantity is NaN or infinite in 1 rows"),
    ],
)
def test_types_and_quantities_that_mean_nothing_are_refused(
    tmp_path: Path, columns: dict[str, list], words: str
) -> None:
    path = written(tmp_path / "a", user_id=["u"], item_id=["x"], **columns)
    with pytest.raises(BadData, match=words):
        read_interactions(path, Format.parquet)


def test_test_holds_what_was_taken_and_wanted(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a",
        user_id=["u"] * 4,
        item_id=list("abcd"),
        event_type=["view", "purchase", "return", "hide"],
    )
    rows = read_interactions(path, Format.parquet)
    assert only_taken(rows)["item_id"].to_pylist() == ["a", "b"]
    data = Data(rows, rows)
    assert data.wanting(["purchase"]).test["item_id"].to_pylist() == ["b"]
    assert data.event_types == ("view", "purchase")
    with pytest.raises(BadData, match="no event of test is a click or cart; it has hide, purch"):
        data.wanting(["click", "cart"])


@pytest.mark.parametrize(
    ("at", "later"), [([3, 4], True), ([2, 2], True), ([1, 3], True), ([1, 1], False)]
)
def test_test_lies_after_train_or_among_it(tmp_path: Path, at: list[int], later: bool) -> None:
    def rows(name: str, *events: tuple[str, str, int]) -> pa.Table:
        users, items, days = zip(*events, strict=True)
        times = [datetime(2026, 1, day, tzinfo=UTC) for day in days]
        path = written(tmp_path / name, user_id=users, item_id=items, event_ts=times)
        return read_interactions(path, Format.parquet)

    train = rows("train", ("u", "a", 1), ("u", "b", 2))
    test = rows("test", ("u", "c", at[0]), ("u", "d", at[1]))
    data = Data(train, test)
    assert data.is_later() is later
    undated = data.undated()
    assert set(undated.train["event_ts"].to_pylist()) == {UNDATED}
    assert set(undated.test["event_date"].to_pylist()) == {UNDATED.date()}
    assert undated.train.schema.equals(INTERACTIONS)
    assert undated.is_later()


def test_users_that_train_does_not_know_are_later(tmp_path: Path) -> None:
    rows = read_interactions(written(tmp_path / "a", user_id=["u"], item_id=["x"]), Format.parquet)
    other = read_interactions(written(tmp_path / "b", user_id=["v"], item_id=["x"]), Format.parquet)
    assert Data(rows, other).is_later()
