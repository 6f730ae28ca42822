"""Candidates put in a new order, as the tasks do it, on rows written by hand."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from jobs.recall.fusion.reorder import Values, reorder_in_tasks
from jobs.recall.kernels.neighbor_table import NeighborTable

Pairs = dict[tuple[str, str], float]
Scores = dict[str, float]
ROW = pa.struct(
    [
        pa.field("user_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("scores", pa.map_(pa.string(), pa.float64())),
        pa.field("score", pa.float64()),
    ]
)


def reordered(
    folder: Path, users: dict[str, Scores], similar: Pairs, value: Values
) -> dict[str, Scores]:
    """The value of each item, by user; of each the best first."""
    pairs = [(i, j, score) for (i, j), score in similar.items()]
    columns = list(zip(*pairs, strict=True)) or [[], [], []]
    types = {"item_id": pa.string(), "neighbor_item_id": pa.string(), "score": pa.float64()}
    rows = pa.table(
        [pa.array(c, t) for c, t in zip(columns, types.values(), strict=True)], [*types]
    )
    table = folder / str(len(list(folder.iterdir())))
    NeighborTable.from_rows(rows).save(table)
    lists = [
        [
            {"user_id": user, "item_id": item, "scores": [("i2i", score)], "score": score}
            for item, score in found.items()
        ]
        for user, found in users.items()
    ]
    batch = pa.record_batch({"rows": pa.array(lists, pa.list_(ROW))})
    (made,) = reorder_in_tasks(table, value)(iter([batch]))
    assert made.schema.field("scores").type == ROW.field("scores").type
    values: dict[str, Scores] = {user: {} for user in users}
    for row in sorted(made.to_pylist(), key=lambda row: (-row["score"], row["item_id"])):
        assert dict(row["scores"]) == {"i2i": users[row["user_id"]][row["item_id"]]}
        values[row["user_id"]][row["item_id"]] = row["score"]
    return values
