"""Items described alike: worked numbers, a brute-force oracle, and who gets no list."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import product
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.recall.methods.augmented import augmented_neighbors, described_items, tags
from jobs.recall.sources.methods import AugmentedSettings
from tests.recall.shop import interactions, items, rows_of

COLUMNS = ("item_id", "rank", "neighbor_item_id", "score", "support")
Described = dict[str, list[str]]


def neighbors(
    spark: SparkSession,
    described: Described,
    sellable: str | list[str],
    rows: Iterable[tuple] = (),
    **chosen: float,
) -> list[tuple]:
    frame = spark.createDataFrame(list(described.items()), "item_id string, tags array<string>")
    found = augmented_neighbors(
        frame, items(spark, sellable), interactions(spark, rows), AugmentedSettings(**chosen)
    )
    return rows_of(found, *COLUMNS)


SAID = (
    "item_id string, standard_name string, keywords array<string>, attributes map<string,string>, "
    "occasions array<string>"
)


def test_tags_are_what_the_model_named_in_any_field(spark: SparkSession) -> None:
    rows = [
        ("full", "Corn  Flakes", ["cereal", " Breakfast "], {"type": "cereal"}, ["breakfast", ""]),
        ("name", "soap", None, None, None),
        ("none", None, None, {"type": None}, []),
    ]
    found = spark.createDataFrame(rows, SAID).select("item_id", tags().alias("tags"))
    assert {item: sorted(said) for item, said in found.collect()} == {
        "full": ["breakfast", "breakfast", "cereal", "cereal", "corn flakes"],
        "name": ["soap"],
        "none": [],
    }


def test_scores_worked_by_hand(spark: SparkSession) -> None:
    # Four descriptions; "snack" is said in three of them, "corn" in two, "salt" and "fruit" in one
    # each. ln(1 + 4/3), ln(1 + 4/2), ln(1 + 4/1).
    snack, corn, alone = log(7 / 3), log(3), log(5)
    described = {"a": ["corn", "snack"], "b": ["salt", "snack", "corn"], "c": ["snack"],
                 "d": ["fruit"]}  # fmt: skip
    assert neighbors(spark, described, "abcd") == [
        ("a", 1, "b", pytest.approx((snack + corn) / (snack + corn + alone)), None),
        ("a", 2, "c", pytest.approx(snack / (snack + corn)), None),
        ("b", 1, "a", pytest.approx((snack + corn) / (snack + corn + alone)), None),
        ("b", 2, "c", pytest.approx(snack / (snack + corn + alone)), None),
        ("c", 1, "a", pytest.approx(snack / (snack + corn)), None),
        ("c", 2, "b", pytest.approx(snack / (snack + corn + alone)), None),
    ]


def test_a_tag_of_too_many_descriptions_counts_nowhere(spark: SparkSession) -> None:
    described = {"a": ["food", "corn"], "b": ["food", "corn", "salt"], "c": ["food"]}
    found = neighbors(spark, described, "abc", tag_descriptions=2)
    corn, salt = log(1 + 3 / 2), log(1 + 3)
    assert found == [
        ("a", 1, "b", pytest.approx(corn / (corn + salt)), None),
        ("b", 1, "a", pytest.approx(corn / (corn + salt)), None),
    ]


def test_only_an_item_of_few_users_gets_a_list_but_any_sellable_one_is_a_neighbor(
    spark: SparkSession,
) -> None:
    described = {item: ["corn"] for item in ("new", "rare", "known", "gone")}
    rows = [("u", "rare", 0), ("u", "rare", 1), ("v", "rare", 0, -1.0)]
    rows += [("u", "known", 0), ("v", "known", 0)]
    found = neighbors(spark, described, ["new", "rare", "known"], rows, max_users=1)
    assert [(item, neighbor) for item, _, neighbor, *_ in found] == [
        ("gone", "known"), ("gone", "new"), ("gone", "rare"), ("new", "known"), ("new", "rare"),
        ("rare", "known"), ("rare", "new"),
    ]  # fmt: skip


def test_a_crowd_of_one_description_leaves_room_for_another(spark: SparkSession) -> None:
    described = {f"s{n}": ["soap", "bar"] for n in range(5)} | {"t": ["soap"]}
    found = neighbors(spark, described, list(described), items_per_description=3, neighbors=3)
    lists = defaultdict(list)
    for item, _, neighbor, *_ in found:
        lists[item].append(neighbor)
    assert lists == {
        "s0": ["s1", "s2", "t"],
        "s1": ["s0", "s2", "t"],
        "s2": ["s0", "s1", "t"],
        "s3": ["s0", "s1", "s2"],
        "s4": ["s0", "s1", "s2"],
        "t": ["s0", "s1", "s2"],
    }


def test_two_that_share_too_little_are_no_neighbors(spark: SparkSession) -> None:
    described = {"a": ["corn", "x1", "x2"], "b": ["corn", "y1", "y2"]}
    corn, alone = log(1 + 2 / 2), log(1 + 2)
    score = corn / (corn + 4 * alone)
    assert len(neighbors(spark, described, "ab", min_score=score - 1e-6)) == 2
    assert neighbors(spark, described, "ab", min_score=score + 1e-6) == []


def test_without_a_description_there_are_no_rows(spark: SparkSession) -> None:
    assert neighbors(spark, {}, "ab") == []
    assert neighbors(spark, {"a": [], "b": []}, "ab") == []


def test_a_day_uses_the_answers_that_its_texts_use(spark: SparkSession) -> None:
    # c1 was answered to two prompts, c2 only after the day had made its texts.
    texts = spark.createDataFrame(
        [("i1", "c1", "v2", "m"), ("i2", "c1", "v2", "m"), ("i3", "c2", None, None)],
        "item_id string, content_hash string, prompt_version string, model string",
    )
    answers = spark.createDataFrame(
        [("c1", "v1", "m", "old"), ("c1", "v2", "m", "new"), ("c2", "v2", "m", "later")],
        "content_hash string, prompt_version string, model string, standard_name string",
    ).withColumns(
        {
            "keywords": F.array().cast("array<string>"),
            "attributes": F.lit(None).cast("map<string,string>"),
            "occasions": F.lit(None).cast("array<string>"),
        }
    )
    found = described_items(texts, answers)
    assert sorted(tuple(row) for row in found.collect()) == [("i1", ["new"]), ("i2", ["new"])]


def brute_force(described: Described, sellable: set[str], k: int, per: int) -> list[tuple]:
    sets = {item: frozenset(said) for item, said in described.items() if said}
    distinct = set(sets.values())
    counts = Counter(tag for said in distinct for tag in said)
    idf = {tag: log(1 + len(distinct) / n) for tag, n in counts.items()}
    crowd: Counter[frozenset[str]] = Counter()
    offered = []
    for item in sorted(sellable & sets.keys()):
        crowd[sets[item]] += 1
        if crowd[sets[item]] <= per:
            offered.append(item)
    scores: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for item, neighbor in product(sets, offered):
        shared = sum(idf[tag] for tag in sets[item] & sets[neighbor])
        if item != neighbor and shared:
            union = sum(idf[tag] for tag in sets[item] | sets[neighbor])
            scores[item].append((-round(shared / union, 6), neighbor))
    return [
        (item, rank, neighbor, -score)
        for item in sorted(scores)
        for rank, (score, neighbor) in enumerate(sorted(scores[item])[:k], start=1)
    ]


@settings(deadline=None, max_examples=10)
@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from(["x", "y", "z", "w"]))),
    st.sets(st.sampled_from("abcdefgh")),
    st.integers(1, 8),
    st.integers(1, 3),
)
def test_lists_are_those_of_comparing_all_with_all(
    spark: SparkSession, described: Described, sellable: set[str], k: int, per: int
) -> None:
    found = neighbors(
        spark, described, sorted(sellable), neighbors=k, items_per_description=per, min_score=0
    )
    rounded = [(item, rank, neighbor, round(score, 6)) for item, rank, neighbor, score, _ in found]
    assert rounded == brute_force(described, sellable, k, per)
