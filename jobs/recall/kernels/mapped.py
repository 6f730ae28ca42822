"""Arrays over items, in a folder that many tasks map into memory at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def save_arrays(folder: Path, item_ids: pa.StringArray, arrays: Mapping[str, NDArray]) -> None:
    """Write ids and arrays into a folder that does not exist yet."""
    folder.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    table = pa.table({"item_id": item_ids})
    with pa.ipc.new_file(str(folder / "item_ids.arrow"), table.schema) as writer:
        writer.write_table(table)


def map_arrays(folder: Path, names: Sequence[str]) -> tuple[pa.StringArray, dict[str, NDArray]]:
    """Ids and arrays that were saved; nothing is read until it is used."""
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
    with pa.memory_map(str(folder / "item_ids.arrow")) as source:
        ids = pa.ipc.open_file(source).read_all()["item_id"].combine_chunks()
    return ids, arrays


def in_id_order(*columns: pa.ChunkedArray) -> pa.StringArray:
    """The distinct ids of all columns, ascending."""
    chunks = [chunk for column in columns for chunk in column.chunks]
    distinct = pa.chunked_array(chunks, columns[0].type).unique().cast(pa.string())
    return distinct.take(pc.array_sort_indices(distinct))


def id_codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], pa.StringArray]:
    """Each value's place among the distinct values in ascending order, and those values.

    column: strings, plain or dictionary-encoded.
    """
    encoded = column.dictionary_encode().unify_dictionaries().combine_chunks()
    ids, codes = encoded.dictionary, encoded.indices.to_numpy()
    used = np.bincount(codes, minlength=len(ids)) > 0
    order = pc.array_sort_indices(ids).to_numpy()
    order = order[used[order]]
    places = np.zeros(len(ids), np.int64)
    places[order] = np.arange(len(order))
    return places[codes], ids.take(pa.array(order)).cast(pa.string())
