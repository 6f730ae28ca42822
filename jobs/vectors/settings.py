"""What can be set about encoding texts and about the vector index."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class MilvusSettings(BaseModel):
    """The Milvus server that holds the day's vectors, and its kind of index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    milvus_uri: str = Field("", description="http://host:port of a Milvus server")
    milvus_token: SecretStr = Field(
        SecretStr(""), description="token of the Milvus server, if it asks for one"
    )
    milvus_index: Literal["FLAT", "IVF_FLAT", "HNSW", "AUTOINDEX"] = Field(
        "FLAT", description="index type of the item vectors: FLAT, IVF_FLAT, HNSW or AUTOINDEX"
    )

    @property
    def is_approximate(self) -> bool:
        """Whether the index looks at a part of the vectors only, which pays for millions."""
        return self.milvus_index != "FLAT"


class EncoderSettings(BaseModel):
    """The model that turns texts into vectors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field("minilm-l6", description="minilm-l6, or a sentence-transformers model")
    encoder_dtype: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="precision of the encoder: bf16, fp32, or auto, by the CPU"
    )
