"""silver.item_embeddings holds each (item, text, encoder) once, whichever day asks."""

from __future__ import annotations

from datetime import date

from jobs.lake import Lake
from jobs.vectors.encoder import Encoder
from tests.vectors.texts import publish_texts

FIRST, SECOND = date(2017, 12, 28), date(2017, 12, 29)
TABLE = "silver.item_embeddings"


def kept(lake: Lake) -> list[tuple]:
    rows = lake.tables.read(TABLE).collect()
    return sorted((row.item_id, tuple(row.embedding), row.encoder, row.first_ds) for row in rows)


def test_a_day_adds_only_what_no_day_had(lake: Lake) -> None:
    encoder = Encoder.of(lake.settings)
    beer, bread, ale = (tuple(v) for v in encoder.encode(["beer", "bread", "ale"]).tolist())
    publish_texts(lake, "silver.item_texts", FIRST, {"x1": "beer", "x2": "beer", "x3": "bread"})
    publish_texts(lake, "silver.item_texts", SECOND, {"x1": "beer", "x2": "ale", "x4": "bread"})

    lake.run(TABLE, ds=FIRST)
    before = kept(lake)
    assert before == [
        ("x1", beer, encoder.name, FIRST),
        ("x2", beer, encoder.name, FIRST),
        ("x3", bread, encoder.name, FIRST),
    ]
    assert lake.run(TABLE, ds=SECOND).rows_out == 2
    after = kept(lake)
    assert sorted(set(after) - set(before)) == [
        ("x2", ale, encoder.name, SECOND),
        ("x4", bread, encoder.name, SECOND),
    ]
    assert set(before) < set(after)

    assert lake.run(TABLE, ds=FIRST).rows_out == 0
    assert lake.run(TABLE, ds=SECOND).rows_out == 0
    assert kept(lake) == after
