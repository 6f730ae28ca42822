"""A loop is compiled for one kind of arrays, and leaves its callers' as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numba.core.errors import TypingError
from numpy.typing import NDArray

from jobs.recall.kernels import compiled as module
from jobs.recall.kernels.compiled import kernel
from jobs.recall.kernels.mapped import map_arrays, save_arrays


def test_a_loop_sees_the_same_type_for_arrays_of_the_process_and_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = np.array([1.5, 2.5])
    save_arrays(tmp_path / "saved", pa.array(["a", "b"]), {"own": own})
    _, mapped = map_arrays(tmp_path / "saved", ["own"])
    seen: list[tuple[type, bool]] = []

    def loop(array: NDArray[np.float64], factor: float) -> float:
        seen.append((type(array), array.flags.writeable))
        return float(array.sum()) * factor

    monkeypatch.setattr(module, "njit", lambda **_: lambda compiled: compiled)
    added = kernel(loop)
    assert [added(own, 2.0), added(mapped["own"], factor=2.0)] == [8.0, 8.0]
    assert seen == [(np.ndarray, False)] * 2
    own[0] = 0.0  # the caller's array can still be written


def test_a_loop_that_writes_to_its_arrays_is_refused() -> None:
    def loop(array: NDArray[np.float64]) -> None:
        array[0] = 1.0

    with pytest.raises(TypingError, match="readonly"):
        kernel(loop)(np.zeros(2))
