"""Milvus follows Delta: the alias holds exactly the day's ids, and moves only when that is so."""

from __future__ import annotations

import pickle
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from infra.stack import milvus
from jobs.lake.errors import UpstreamMissing
from jobs.settings import Settings
from jobs.vectors import day_vectors as day_vectors_module
from jobs.vectors.day_vectors import DayVectors
from jobs.vectors.encoder import Encoder
from jobs.vectors.index import (
    KEPT_LOADS,
    LIVE,
    QUERIES_PER_REQUEST,
    IndexMismatch,
    ItemIndex,
    NoMilvus,
    NoSuchDay,
)
from tests.vectors.conftest import ENCODER, MakeDay, on_grid, random_vectors

pytestmark = pytest.mark.server

D28, D29, D30 = date(2017, 12, 28), date(2017, 12, 29), date(2017, 12, 30)


def ids_in(index: ItemIndex, target: str) -> list[str]:
    """Every id that a reader of a collection or alias can see."""
    rows = index._client.query(
        target, filter="item_id != ''", output_fields=["item_id"], consistency_level="Strong"
    )
    return sorted(row["item_id"] for row in rows)


def ids_of(vectors: DayVectors) -> list[str]:
    return [item_id for part in vectors.parts() for item_id in part.item_ids]


def collections(index: ItemIndex) -> set[str]:
    return set(index._client.list_collections())


# Following the embedding table


def test_invariant_6_both_aliases_hold_exactly_the_days_ids(
    index: ItemIndex, make_day: MakeDay
) -> None:
    day = make_day(D28, random_vectors(50))
    published = index.publish(day)
    assert index.aliases() == {"items_20171228": published.collection, LIVE: published.live}
    assert published.collection == published.live == f"items_20171228_{day.digest[:12]}"
    assert ids_in(index, LIVE) == ids_in(index, "items_20171228") == ids_of(day)
    about = index._properties(published.collection)
    assert about["ds"] == "2017-12-28"
    assert about["encoder"] == Encoder.of(Settings()).name
    assert about["rows"] == "50"


def test_the_next_day_drops_and_adds_ids(index: ItemIndex, make_day: MakeDay) -> None:
    index.publish(make_day(D28, random_vectors(4), ["a", "b", "c", "d"]))
    index.publish(make_day(D29, random_vectors(4), ["b", "c", "d", "e"]))
    assert ids_in(index, LIVE) == ["b", "c", "d", "e"]
    assert ids_in(index, "items_20171228") == ["a", "b", "c", "d"]


def test_a_backfilled_day_is_searched_but_never_live(index: ItemIndex, make_day: MakeDay) -> None:
    vectors = random_vectors(4)
    newest = index.publish(make_day(D30, vectors, ["a", "b", "c", "d"]))
    old = index.publish(make_day(D28, vectors[:2], ["x", "y"]))
    assert old.live == newest.collection
    assert ids_in(index, LIVE) == ["a", "b", "c", "d"]
    ids, _ = index.of_day(D28, ENCODER)(vectors, 10)
    assert [sorted(found) for found in ids] == [["x", "y"]] * 4


def test_a_day_again_changes_nothing(index: ItemIndex, make_day: MakeDay) -> None:
    day = make_day(D28, random_vectors(30))
    first = index.publish(day)
    assert index.publish(make_day(D28, random_vectors(30))) == first
    assert collections(index) == {first.collection}
    assert ids_in(index, LIVE) == ids_of(day)


def test_other_rows_of_one_day_get_another_collection(index: ItemIndex, make_day: MakeDay) -> None:
    first = index.publish(make_day(D28, random_vectors(30)))
    other = index.publish(make_day(D28, random_vectors(30, seed=8)))
    assert other.collection != first.collection
    assert index.aliases() == {"items_20171228": other.collection, LIVE: other.collection}
    assert first.collection in collections(index)


# When something goes wrong


def test_a_lost_row_stops_the_switch(
    index: ItemIndex, make_day: MakeDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = index.publish(make_day(D28, random_vectors(30)))
    insert = index._client.insert
    monkeypatch.setattr(index._client, "insert", lambda name, rows: insert(name, rows[1:]))
    with pytest.raises(IndexMismatch, match=r"ds=2017-12-29: expected 31 rows, found 29") as error:
        index.publish(make_day(D29, random_vectors(31)))
    assert "No alias was moved" in str(error.value)
    assert index.aliases() == {"items_20171228": good.collection, LIVE: good.collection}
    assert collections(index) == {good.collection}


def test_a_row_too_many_stops_the_switch(
    index: ItemIndex, make_day: MakeDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No vector of the day has a negative component, and the stray has no other: it is the last of
    # every list, so the nearest ten are those that brute force finds.
    good = index.publish(make_day(D28, random_vectors(30)))
    stray = {
        "item_id": "stray",
        "is_first_of_text": True,
        "embedding": on_grid(-np.ones((1, 16)))[0],
    }
    flush = index._client.flush

    def with_stray(name: str) -> None:
        index._client.insert(name, [stray])
        flush(name)

    monkeypatch.setattr(index._client, "flush", with_stray)
    with pytest.raises(IndexMismatch, match=r"ds=2017-12-29: expected 31 rows, found 32") as error:
        index.publish(make_day(D29, np.abs(random_vectors(31))))
    assert "No alias was moved" in str(error.value)
    assert index.aliases() == {"items_20171228": good.collection, LIVE: good.collection}
    assert collections(index) == {good.collection}


def test_a_wrong_vector_stops_the_switch(
    index: ItemIndex, make_day: MakeDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = index.publish(make_day(D28, random_vectors(30)))
    insert = index._client.insert

    def swap_two(name: str, rows: list[dict]) -> None:
        if len(rows) > 1:
            rows[0]["embedding"], rows[1]["embedding"] = rows[1]["embedding"], rows[0]["embedding"]
        insert(name, rows)

    monkeypatch.setattr(index._client, "insert", swap_two)
    with pytest.raises(IndexMismatch, match="as brute force finds them"):
        index.publish(make_day(D29, random_vectors(31)))
    assert index.aliases()[LIVE] == good.collection


class Killed(Exception):
    """Stands for the process dying where it is raised."""


def kill_at(call: str, index: ItemIndex, patch: pytest.MonkeyPatch, after: int = 0) -> None:
    """Die at the call of a client method, once it has worked `after` times."""
    method, made = getattr(index._client, call), []

    def die(*arguments: object, **options: object) -> object:
        if len(made) == after:
            raise Killed
        made.append(call)
        return method(*arguments, **options)

    patch.setattr(index._client, call, die)


@pytest.mark.parametrize(
    ("call", "after"),
    [
        ("create_index", 0),
        ("insert", 0),
        ("insert", 2),
        ("flush", 0),
        ("search", 0),
        ("create_alias", 0),
        ("alter_alias", 0),
        ("drop_collection", 0),
    ],
)
def test_a_killed_load_is_finished_by_the_next_try(
    index: ItemIndex, make_day: MakeDay, call: str, after: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(day_vectors_module, "PART_ROWS", 10)
        old = index.publish(make_day(D28, random_vectors(30)))
        for back in range(KEPT_LOADS + 1):
            index.publish(make_day(D28 - timedelta(days=1 + back), random_vectors(3, back)))
        day = make_day(D29, random_vectors(41))
        with pytest.MonkeyPatch.context() as kill:
            kill_at(call, index, kill, after)
            with pytest.raises(Killed):
                index.publish(day)
        before = index.aliases()[LIVE]
        assert ids_in(index, before) == (
            ids_of(day) if call == "drop_collection" else ids_in(index, old.collection)
        )
        published = index.publish(day)
    assert ids_in(index, LIVE) == ids_of(day)
    assert index.aliases()["items_20171229"] == published.collection == index.aliases()[LIVE]


def test_a_killed_load_sends_no_row_twice(index: ItemIndex, make_day: MakeDay) -> None:
    sent: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(day_vectors_module, "PART_ROWS", 10)
        insert = index._client.insert

        def count(name: str, rows: list[dict]) -> None:
            insert(name, rows)
            sent.extend(row["item_id"] for row in rows)

        patch.setattr(index._client, "insert", count)
        day = make_day(D28, random_vectors(41))
        with pytest.MonkeyPatch.context() as kill:
            kill_at("insert", index, kill, after=2)
            with pytest.raises(Killed):
                index.publish(day)
        index.publish(day)
    assert sorted(sent) == ids_of(day)


def test_a_killed_load_leaves_nothing_to_other_rows_of_the_day(
    index: ItemIndex, make_day: MakeDay
) -> None:
    with pytest.MonkeyPatch.context() as kill:
        kill_at("flush", index, kill)
        with pytest.raises(Killed):
            index.publish(make_day(D28, random_vectors(3), ["a", "b", "c"]))
    index.publish(make_day(D28, random_vectors(2, seed=8), ["a", "d"]))
    assert ids_in(index, LIVE) == ["a", "d"]


def test_a_damaged_live_collection_is_replaced_beside_it(
    index: ItemIndex, make_day: MakeDay
) -> None:
    day = make_day(D28, random_vectors(30))
    first = index.publish(day)
    index._client.delete(first.collection, ids=["i0003"])
    second = index.publish(day)
    assert second.collection == f"{first.collection}_2"
    assert ids_in(index, LIVE) == ids_of(day)
    assert "i0003" not in ids_in(index, first.collection)


def test_of_two_days_that_end_at_once_the_newer_is_live(
    index: ItemIndex, make_day: MakeDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.publish(make_day(D28, random_vectors(5, seed=1)))
    newer = make_day(D30, random_vectors(5, seed=3))
    point = index._point

    def slow(alias: str, collection: str) -> None:
        if alias == LIVE:
            # The older run has decided to move `items`; the newer day comes and goes meanwhile.
            monkeypatch.setattr(index, "_point", point)
            index.publish(newer)
        point(alias, collection)

    monkeypatch.setattr(index, "_point", slow)
    index.publish(make_day(D29, random_vectors(5, seed=2)))
    assert index.aliases()[LIVE] == index.days()[D30]


# Moving back, and what is kept


def test_readers_move_back_and_forward_again(index: ItemIndex, make_day: MakeDay) -> None:
    days = {ds: make_day(ds, random_vectors(5, seed=ds.day)) for ds in (D28, D29, D30)}
    names = {ds: index.publish(day).collection for ds, day in days.items()}
    assert index.roll_back() == names[D29] == index.aliases()[LIVE]
    assert set(index.days()) == {D28, D29}
    assert index.roll_back(D28) == names[D28] == index.aliases()[LIVE]
    index.publish(days[D28])
    assert index.aliases()[LIVE] == names[D28]
    assert index.publish(days[D30]).collection == names[D30] == index.aliases()[LIVE]


def test_a_day_with_the_rows_of_the_day_before_shares_its_collection(
    index: ItemIndex, make_day: MakeDay
) -> None:
    first = index.publish(make_day(D28, random_vectors(5)))
    assert index.carry(D28, D29)
    assert index.days() == {D28: first.collection, D29: first.collection}
    assert index.aliases()[LIVE] == first.collection
    second = index.publish(make_day(D30, random_vectors(6)))
    assert index.carry(D28, D29)  # again, beside a newer day that stays live
    assert index.aliases()[LIVE] == second.collection
    assert index.roll_back() == first.collection
    assert set(index.days()) == {D28, D29}


def test_a_day_that_is_not_loaded_cannot_be_carried_over(
    index: ItemIndex, make_day: MakeDay
) -> None:
    first = index.publish(make_day(D29, random_vectors(5)))
    assert not index.carry(D28, D30)
    assert index.days() == {D29: first.collection}


def test_moving_back_to_a_day_that_is_not_loaded_says_which_are(
    index: ItemIndex, make_day: MakeDay
) -> None:
    index.publish(make_day(D29, random_vectors(5)))
    with pytest.raises(NoSuchDay, match="no collection of 2017-12-28; loaded days: 2017-12-29"):
        index.roll_back(D28)
    with pytest.raises(NoSuchDay, match="no collection of a day before the live one"):
        index.roll_back()
    assert index.aliases()[LIVE] == index.days()[D29]


def test_old_loads_go_but_the_live_day_and_the_one_before_stay(
    index: ItemIndex, make_day: MakeDay
) -> None:
    for ds in (D28, D29, D30):
        index.publish(make_day(ds, random_vectors(5)))
    backfilled = [date(2017, 6, day) for day in range(1, KEPT_LOADS + 3)]
    for ds in backfilled:
        index.publish(make_day(ds, random_vectors(5)))
    assert set(index.days()) == {D29, D30, *backfilled[-KEPT_LOADS:]}
    assert collections(index) == set(index.days().values())


# Searching


@pytest.mark.parametrize("k", [1, 7, 40, 200, 1000])
def test_search_is_brute_force_with_a_total_order(
    index: ItemIndex, make_day: MakeDay, k: int
) -> None:
    # 12 distinct vectors for 600 items: every list is cut within a group of equal scores.
    distinct = random_vectors(12)
    rows = np.random.default_rng(3).integers(0, 12, 600)
    day = make_day(D28, distinct[rows])
    index.publish(day)
    ids, scores = index.search(LIVE, distinct, k)
    true_ids, true_scores = day.nearest(distinct, k)
    assert [list(found) for found in ids] == true_ids
    assert [list(found) for found in scores] == true_scores


def test_a_day_is_searched_by_its_texts(index: ItemIndex, make_day: MakeDay) -> None:
    # 300 items of 40 texts; no text's first item hides one of another text.
    rows = np.random.default_rng(3).integers(0, 40, 300)
    firsts = [row not in rows[:number] for number, row in enumerate(rows)]
    vectors = random_vectors(40)
    index.publish(make_day(D28, vectors[rows], firsts=firsts))
    numbers = [number for number, first in enumerate(firsts) if first]
    texts = make_day(D29, vectors[rows[numbers]], [f"i{number:04d}" for number in numbers])
    asked = random_vectors(9, seed=5)
    ids, scores = index.of_day(D28, ENCODER)(asked, 10)
    true_ids, true_scores = texts.nearest(asked, 10)
    assert [list(found) for found in ids] == true_ids
    assert [list(found) for found in scores] == true_scores


def test_equal_scores_come_in_id_order_however_milvus_orders_them(
    index: ItemIndex, make_day: MakeDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = np.eye(2, dtype=np.float32)
    index.publish(make_day(D28, np.array([near, far, near, near]), ["a", "b", "c", "d"]))
    ask = index._ask

    def ties_backwards(*arguments: object) -> list[list[tuple[float, str]]]:
        return [sorted(hits, reverse=True) for hits in ask(*arguments)]

    monkeypatch.setattr(index, "_ask", ties_backwards)
    assert index.search(LIVE, near[None], 2)[0] == [["a", "c"]]


def test_the_answer_does_not_depend_on_the_batch(index: ItemIndex, make_day: MakeDay) -> None:
    day = make_day(D28, random_vectors(300))
    index.publish(day)
    asked = random_vectors(QUERIES_PER_REQUEST + 9, seed=5)
    together = index.search(LIVE, asked, 20)
    alone = [index.search(LIVE, asked[row : row + 1], 20) for row in (0, 100, len(asked) - 1)]
    for row, (ids, scores) in zip((0, 100, len(asked) - 1), alone, strict=True):
        assert (list(ids[0]), list(scores[0])) == (together[0][row], list(together[1][row]))


def test_scores_are_cosines_best_first(index: ItemIndex, make_day: MakeDay) -> None:
    # cos 0, 45 and 90 degrees from the first axis; 1448 / 2048 is the grid's sine of 45 degrees.
    index.publish(make_day(D28, on_grid(np.array([[0, 1.0], [1, 1], [1, 0]])), ["up", "mid", "x"]))
    ids, scores = index.search(target=LIVE, vectors=on_grid(np.array([[1.0, 0]])), k=3)
    assert ids == [["x", "mid", "up"]]
    assert list(scores[0]) == [1.0, 1448 / 2048, 0.0]


def test_no_queries_have_no_answers_and_k_has_bounds(index: ItemIndex, make_day: MakeDay) -> None:
    index.publish(make_day(D28, random_vectors(3)))
    assert index.search(LIVE, random_vectors(3)[:0], 5) == ([], [])
    for k in (0, 16_385):
        with pytest.raises(ValueError, match=r"k is 1 to 16,384"):
            index.search(LIVE, random_vectors(1), k)


@pytest.mark.parametrize("kind", ["IVF_FLAT", "HNSW", "AUTOINDEX"])
def test_other_index_types_find_nearly_all(index: ItemIndex, make_day: MakeDay, kind: str) -> None:
    settings = index.settings.model_copy(update={"milvus_index": kind})
    approximate = ItemIndex(settings)
    day = make_day(D28, random_vectors(400))
    approximate.publish(day)
    asked = random_vectors(20, seed=4)
    ids, _ = approximate.search(LIVE, asked, 10)
    true, _ = day.nearest(asked, 10)
    shared = sum(len(set(a) & set(b)) for a, b in zip(ids, true, strict=True))
    assert shared >= 0.9 * 200


def test_a_day_that_is_not_loaded_names_the_command(index: ItemIndex, make_day: MakeDay) -> None:
    index.publish(make_day(D28, random_vectors(3)))
    search = index.of_day(D29, ENCODER)
    with pytest.raises(UpstreamMissing, match=r"reclake run milvus.items --ds 2017-12-29"):
        search(random_vectors(1), 1)


def test_vectors_of_another_encoder_are_refused(index: ItemIndex, make_day: MakeDay) -> None:
    day = make_day(D28, random_vectors(3))
    index.publish(DayVectors(D28, "other:fp32", day.folder))
    search = index.of_day(D28, ENCODER)
    with pytest.raises(UpstreamMissing, match="found other:fp32"):
        search(random_vectors(1), 1)


def test_an_index_travels_to_executors(index: ItemIndex, make_day: MakeDay) -> None:
    index.publish(make_day(D28, random_vectors(3), ["a", "b", "c"]))
    sent = pickle.loads(pickle.dumps(index))
    assert sent.search(LIVE, random_vectors(3), 1)[0] == [["a"], ["b"], ["c"]]


def test_without_a_server_the_setting_is_named() -> None:
    with pytest.raises(NoMilvus, match="RECLAKE_MILVUS_URI"):
        ItemIndex(Settings(milvus_uri="")).aliases()


def test_the_index_survives_a_restart_of_milvus(tmp_path: Path, make_day: MakeDay) -> None:
    home = tmp_path / "milvus"
    home.mkdir()
    with milvus(home) as uri:
        ItemIndex(Settings(milvus_uri=uri)).publish(
            make_day(D28, random_vectors(3), ["a", "b", "c"])
        )
    with milvus(home) as uri:
        index = ItemIndex(Settings(milvus_uri=uri))
        assert index.search(LIVE, random_vectors(3), 1)[0] == [["a"], ["b"], ["c"]]
        assert set(index.days()) == {D28}
