"""The item index in Milvus: one collection a day, and aliases that point at the one to read.

A collection is written once, verified, and then only read. Its name holds the day and a digest of
its rows, so that the same rows give the same collection and other rows never touch it. Two kinds of
alias point at collections:

    items_20171230    the day's index, for work of that day, also in a backfill
    items             the live index: the newest day, for all other readers

Readers move only when an alias moves. docs/decisions/0006-embeddings-and-milvus.md says why.
"""

from __future__ import annotations

import logging
import re
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from jobs.lake.errors import Terminal, Transient, UpstreamMissing
from jobs.vectors.day_vectors import DayVectors
from jobs.vectors.encoder import Vectors
from jobs.vectors.hits import TextHits, TextSearch
from jobs.vectors.settings import MilvusSettings

if TYPE_CHECKING:
    from pymilvus import MilvusClient

logger = logging.getLogger(__name__)

LIVE = "items"
_COLLECTION = re.compile(r"items_(\d{8})_[0-9a-f]{12}(_\d+)?")
_DAY_ALIAS = re.compile(r"items_(\d{8})")

# How many of the last loaded collections are kept, beside those of the live day and of the day
# before: as many as days are worked on at once, and some to spare.
KEPT_LOADS = 4
QUERIES_PER_REQUEST = 256
REQUESTS_UNDER_WAY = 2
# Hits to ask for beyond k, to see where a group of equal scores ends.
TIE_MARGIN = 16
# Milvus refuses a larger limit.
MOST_HITS = 16_384
LONGEST_ID = 512
SAMPLED_ITEMS = 64
SAMPLED_NEIGHBORS = 10
# Share of the true neighbors that an approximate index has to find; FLAT has to find all.
APPROXIMATE_RECALL = 0.9
_BUILD_PARAMS: dict[str, dict[str, int]] = {
    "IVF_FLAT": {"nlist": 128},
    "HNSW": {"M": 16, "efConstruction": 200},
}


class NoMilvus(Terminal):
    """No Milvus server is configured."""


class NoSuchDay(Terminal):
    """The index cannot move back to a day that it does not hold."""


class IndexMismatch(Transient):
    """A loaded collection differs from the embedding table; the aliases stay where they were."""


@dataclass(frozen=True)
class Published:
    """collection: where the day's alias points now. live: where `items` points now."""

    collection: str
    live: str


class ItemIndex:
    """The item vectors of one Milvus server. Cheap to make and to pickle; connects on first use."""

    def __init__(self, settings: MilvusSettings) -> None:
        self.settings = settings

    @property
    def _client(self) -> MilvusClient:
        if not self.settings.milvus_uri:
            raise NoMilvus("milvus.items: RECLAKE_MILVUS_URI is empty; set it to http://host:port")
        return _connect(self.settings.milvus_uri, self.settings.milvus_token.get_secret_value())

    def search(
        self, target: str, vectors: Vectors, k: int, *, one_of_each_text: bool = False
    ) -> TextHits:
        """The k nearest items of each vector by inner product: ids and scores, a list a vector.

        target: a collection, or an alias that is looked up once, so that all answers come from one
        collection. vectors: float32 (n, dimension), as the encoder makes them. k: 1 to 16,384.
        one_of_each_text: of the items that share a text only the first counts, so that k texts
        are found.

        Order: score descending, item_id ascending; the cut at k follows this order. Milvus itself
        cuts a group of equal scores anywhere. So the search asks for a few more hits, and for twice
        as many again while the group may go on. A list is shorter than k only if the collection is.
        With FLAT the answer is exact and the same on every run; only a group of more than 16,384
        equal scores is cut by Milvus, with a warning.
        """
        if not 1 <= k <= MOST_HITS:
            raise ValueError(f"search: k is 1 to {MOST_HITS:,}, found {k:,}")
        collection = self.aliases().get(target, target)
        self._client.load_collection(collection)
        ids: list[Sequence[str]] = []
        scores: list[Sequence[float]] = []
        interned: dict[str, str] = {}
        wanted = "is_first_of_text == true" if one_of_each_text else ""
        batches = [
            vectors[start : start + QUERIES_PER_REQUEST]
            for start in range(0, len(vectors), QUERIES_PER_REQUEST)
        ]
        with ThreadPoolExecutor(REQUESTS_UNDER_WAY) as pool:
            for found in pool.map(lambda b: self._nearest(collection, b, k, wanted), batches):
                for hits in found:
                    ids.append([interned.setdefault(item, item) for _, item in hits])
                    scores.append(array("f", [score for score, _ in hits]))
        return ids, scores

    def of_day(self, ds: date, encoder: str) -> TextSearch:
        """A search over the item texts of `ds`, whichever day is live: one item of each text.

        encoder: name of the encoder of the vectors to search with. The search connects when it is
        first used, so a day without texts needs no index. It raises UpstreamMissing when the day is
        not loaded, or was loaded with another encoder's vectors.
        """

        def search(vectors: Vectors, k: int) -> TextHits:
            collection = self.days().get(ds)
            found = self._properties(collection)["encoder"] if collection else "nothing"
            if collection is None or found != encoder:
                raise UpstreamMissing(
                    f"milvus.items ds={ds}: expected vectors by {encoder}, found {found}. "
                    f"Run `reclake run milvus.items --ds {ds}` first."
                )
            return self.search(collection, vectors, k, one_of_each_text=True)

        return search

    def aliases(self) -> dict[str, str]:
        """Each alias of an item collection, and the collection."""
        return {
            alias: collection
            for collection in self._collections()
            for alias in self._aliases_of(collection)
        }

    def days(self) -> dict[date, str]:
        """The days that can be searched, and the collection of each."""
        return {
            _day(match[1]): collection
            for alias, collection in self.aliases().items()
            if (match := _DAY_ALIAS.fullmatch(alias))
        }

    def publish(self, vectors: DayVectors) -> Published:
        """Load the day, verify it, and only then let readers see it.

        The day's alias moves to the verified collection, and `items` to that of the newest day,
        so that a backfill never moves it back. Safe to repeat, to kill and to run beside other
        days. Raises IndexMismatch when Milvus does not hold the given vectors; then no alias has
        moved.
        """
        collection = self._verified(vectors)
        self._point(_day_alias(vectors.ds), collection)
        live = self._follow_newest_day()
        self._retire(live)
        return Published(collection, live)

    def carry(self, earlier: date, ds: date) -> bool:
        """Let the alias of `ds` point at the collection of an earlier day, and `items` follow the
        newest day; false, and nothing moved, where the earlier day is not loaded."""
        collection = self.days().get(earlier)
        if collection is None:
            return False
        self._point(_day_alias(ds), collection)
        self._follow_newest_day()
        return True

    def roll_back(self, to: date | None = None) -> str:
        """Move `items` back to an earlier day and withdraw the days after it; returns the
        collection.

        to: the day; by default the newest day before the live one. A withdrawn day comes back when
        its `milvus.items` runs again. Raises NoSuchDay, with the days that are loaded.
        """
        aliases, days = self.aliases(), self.days()
        live = _day_of(aliases[LIVE]) if LIVE in aliases else date.max
        target = to or max((day for day in days if day < live), default=None)
        if target not in days:
            loaded = ", ".join(str(day) for day in sorted(days)) or "none"
            raise NoSuchDay(
                f"milvus.items: no collection of {to or 'a day before the live one'}; loaded days: "
                f"{loaded}. `items` was not moved. Run `reclake run milvus.items --ds D` for the "
                "day that you want."
            )
        for day in days:
            if day > target:
                self._client.drop_alias(_day_alias(day))
        return self._follow_newest_day()

    def _verified(self, vectors: DayVectors) -> str:
        """A collection that holds exactly `vectors`: an existing or a new one."""
        base = f"{_day_alias(vectors.ds)}_{vectors.digest[:12]}"
        read = set(self.aliases().values())
        for name in sorted(name for name in read if name.startswith(base)):
            problem = self._problem(name, vectors)
            if not problem:
                return name
            logger.warning("%s is damaged (%s); loading another beside it", name, problem)
        names = (base if number == 1 else f"{base}_{number}" for number in count(1))
        name = next(name for name in names if name not in read)
        self._load(name, vectors)
        if problem := self._problem(name, vectors):
            self._client.drop_collection(name)
            raise IndexMismatch(
                f"milvus.items ds={vectors.ds}: {problem} in {name}, which was dropped. No alias "
                "was moved; readers see what they saw before. Run the task again; if it stays, "
                "see docs/runbooks/milvus-mismatch.md."
            )
        return name

    def _load(self, name: str, vectors: DayVectors) -> None:
        """Fill a collection that nobody reads, keeping rows that an earlier try left."""
        client = self._client
        resumed = client.has_collection(name)
        if not resumed:
            self._create(name, vectors)
        if not client.list_indexes(name):
            index = client.prepare_index_params()
            index.add_index(
                "embedding",
                index_type=self.settings.milvus_index,
                metric_type="IP",
                params=_BUILD_PARAMS.get(self.settings.milvus_index, {}),
            )
            client.create_index(name, index)
        client.load_collection(name)
        for part in vectors.parts():
            held = set()
            if resumed:
                found = client.get(name, part.item_ids, ["item_id"], consistency_level="Strong")
                held = {row["item_id"] for row in found}
            rows = [
                {"item_id": item_id, "is_first_of_text": is_first, "embedding": vector}
                for item_id, is_first, vector in zip(
                    part.item_ids, part.is_first_of_text, part.vectors, strict=True
                )
                if item_id not in held
            ]
            if rows:
                client.insert(name, rows)
        client.flush(name)

    def _create(self, name: str, vectors: DayVectors) -> None:
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("item_id", DataType.VARCHAR, is_primary=True, max_length=LONGEST_ID)
        schema.add_field("is_first_of_text", DataType.BOOL)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=vectors.dimension)
        loads = [self._load_number(other) for other in self._collections()]
        properties = {
            "reclake.ds": str(vectors.ds),
            "reclake.encoder": vectors.encoder,
            "reclake.rows": str(vectors.rows),
            "reclake.digest": vectors.digest,
            "reclake.load": str(max(loads, default=0) + 1),
        }
        self._client.create_collection(name, schema=schema, properties=properties)

    def _problem(self, name: str, vectors: DayVectors) -> str:
        """How a collection differs from `vectors`, or ''."""
        self._client.load_collection(name)
        counted = self._client.query(
            name, filter="", output_fields=["count(*)"], consistency_level="Strong"
        )
        rows = counted[0]["count(*)"]
        if rows != vectors.rows:
            return f"expected {vectors.rows:,} rows, found {rows:,}"
        sample = vectors.sample(SAMPLED_ITEMS)
        k = min(SAMPLED_NEIGHBORS, rows)
        true, found = _pairs(vectors.nearest(sample, k)), _pairs(self.search(name, sample, k))
        agree = sum(len(a & b) for a, b in zip(true, found, strict=True))
        wanted = 1.0 if self.settings.milvus_index == "FLAT" else APPROXIMATE_RECALL
        if agree < wanted * len(sample) * k:
            return (
                f"expected at least {wanted:.0%} of the {k} nearest items of each of {len(sample)} "
                f"items, as brute force finds them, found {agree / (len(sample) * k):.1%}"
            )
        return ""

    def _nearest(
        self, collection: str, vectors: Vectors, k: int, wanted: str
    ) -> list[list[tuple[float, str]]]:
        """For each vector its k best (score, item_id), score descending, then item_id.

        wanted: a Milvus expression that an item has to meet, '' for all items.
        """
        done: dict[int, list[tuple[float, str]]] = {}
        waiting, limit = list(range(len(vectors))), min(k + TIE_MARGIN, MOST_HITS)
        while waiting:
            asked, waiting = waiting, []
            answers = self._ask(collection, vectors[asked], limit, wanted)
            for row, hits in zip(asked, answers, strict=True):
                cut_within_ties = len(hits) == limit and hits[k - 1][0] == hits[-1][0]
                if cut_within_ties and limit < MOST_HITS:
                    waiting.append(row)
                    continue
                if cut_within_ties:
                    logger.warning("%s: Milvus cut %d equal scores", collection, MOST_HITS)
                done[row] = sorted(hits, key=lambda hit: (-hit[0], hit[1]))[:k]
            limit = min(limit * 2, MOST_HITS)
        return [done[row] for row in range(len(vectors))]

    def _ask(
        self, collection: str, vectors: Vectors, limit: int, wanted: str
    ) -> Iterator[list[tuple[float, str]]]:
        """The (score, item_id) that Milvus answers to each vector, best first."""
        answers = self._client.search(
            collection,
            list(vectors),
            anns_field="embedding",
            filter=wanted,
            limit=limit,
            # milvus-lite sends the vectors back unless the wanted fields are named.
            output_fields=["item_id"],
            search_params={"metric_type": "IP", "params": self._search_params(limit)},
            consistency_level="Strong",
        )
        return (list(zip(hits.distances, hits.ids, strict=True)) for hits in answers)

    def _search_params(self, limit: int) -> dict[str, int]:
        match self.settings.milvus_index:
            case "IVF_FLAT":
                return {"nprobe": 32}
            case "HNSW":
                return {"ef": max(128, 2 * limit)}
        return {}

    def _point(self, alias: str, collection: str) -> None:
        aliases = self.aliases()
        if alias not in aliases:
            self._client.create_alias(collection, alias)
        elif aliases[alias] != collection:
            self._client.alter_alias(collection, alias)

    def _follow_newest_day(self) -> str:
        """Point `items` at the newest day's collection; returns the collection.

        Each run sets its day's alias first, and looks again after it moved `items`. When two runs
        end at once, the run that looks last sees both days, so the newer day stays live.
        """
        while self.aliases().get(LIVE) != (newest := self._newest()):
            self._point(LIVE, newest)
        return newest

    def _newest(self) -> str:
        days = self.days()
        return days[max(days)]

    def _retire(self, live: str) -> None:
        """Drop old collections with their aliases; KEPT_LOADS says which stay."""
        collections = sorted(self._collections(), key=self._load_number, reverse=True)
        days = self.days()
        before = sorted(day for day in days if day < _day_of(live))[-1:]
        keep = {live, *collections[:KEPT_LOADS], *(days[day] for day in before)}
        for name in collections:
            if name not in keep:
                for alias in self._aliases_of(name):
                    self._client.drop_alias(alias)
                self._client.drop_collection(name)

    def _collections(self) -> list[str]:
        return [name for name in self._client.list_collections() if _COLLECTION.fullmatch(name)]

    def _aliases_of(self, collection: str) -> list[str]:
        answer: Any = self._client.list_aliases(collection)
        return list(answer["aliases"])

    def _properties(self, collection: str) -> dict[str, str]:
        found = self._client.describe_collection(collection)["properties"]
        return {
            key.removeprefix("reclake."): str(value)
            for key, value in found.items()
            if key.startswith("reclake.")
        }

    def _load_number(self, collection: str) -> int:
        return int(self._properties(collection)["load"])


@lru_cache(maxsize=4)
def _connect(uri: str, token: str) -> MilvusClient:
    from pymilvus import MilvusClient

    return MilvusClient(uri=uri, token=token)


def _pairs(hits: TextHits) -> list[set[tuple[str, float]]]:
    """For each query the set of its (item_id, score)."""
    return [set(zip(ids, scores, strict=True)) for ids, scores in zip(*hits, strict=True)]


def _day_alias(ds: date) -> str:
    return f"items_{ds:%Y%m%d}"


def _day(digits: str) -> date:
    return datetime.strptime(digits, "%Y%m%d").date()


def _day_of(collection: str) -> date:
    match = _COLLECTION.fullmatch(collection)
    if match is None:
        raise ValueError(f"{collection} is not an item collection of reclake")
    return _day(match[1])
