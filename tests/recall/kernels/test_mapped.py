"""Arrays over items in a folder, and items by number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.recall.kernels.mapped import id_codes, in_id_order, map_arrays, save_arrays


def test_what_was_saved_is_mapped_back(tmp_path: Path) -> None:
    arrays = {"indptr": np.array([0, 2, 2]), "scores": np.array([0.5, 0.25])}
    save_arrays(tmp_path / "of" / "items", pa.array(["a", "ü"]), arrays)
    ids, found = map_arrays(tmp_path / "of" / "items", ["scores", "indptr"])
    assert ids.to_pylist() == ["a", "ü"]
    assert {name: array.tolist() for name, array in found.items()} == {
        "scores": [0.5, 0.25],
        "indptr": [0, 2, 2],
    }
    assert all(isinstance(array, np.memmap) for array in found.values())
    with pytest.raises(ValueError, match="read-only"):
        found["scores"][0] = 1.0


def test_arrays_without_items_can_be_saved(tmp_path: Path) -> None:
    save_arrays(tmp_path / "none", pa.array([], pa.string()), {"scores": np.empty(0)})
    ids, found = map_arrays(tmp_path / "none", ["scores"])
    assert (len(ids), found["scores"].shape) == (0, (0,))


def test_a_folder_that_holds_other_arrays_is_refused(tmp_path: Path) -> None:
    save_arrays(tmp_path / "once", pa.array(["a"]), {})
    with pytest.raises(FileExistsError):
        save_arrays(tmp_path / "once", pa.array(["a"]), {})


def test_ids_of_all_columns_stand_once_in_the_order_of_their_bytes() -> None:
    left = pa.chunked_array([["b", "9"], ["ü", "b"]])
    right = pa.chunked_array([["10", "Z"], ["9"]])
    assert in_id_order(left, right).to_pylist() == ["10", "9", "Z", "b", "ü"]
    assert in_id_order(right.slice(0, 0)).to_pylist() == []


@pytest.mark.parametrize("is_encoded", [False, True])
def test_a_code_is_the_place_of_an_id_among_those_that_occur(is_encoded: bool) -> None:
    column = pa.chunked_array([["unused", "c", "a"], ["b", "c"]])
    if is_encoded:
        column = column.dictionary_encode()
    codes, ids = id_codes(column.slice(1))
    assert ids.to_pylist() == ["a", "b", "c"]
    assert codes.tolist() == [2, 0, 1, 2]


def test_a_column_without_rows_has_no_codes() -> None:
    codes, ids = id_codes(pa.chunked_array([[]], pa.string()))
    assert (codes.tolist(), ids.to_pylist()) == ([], [])
