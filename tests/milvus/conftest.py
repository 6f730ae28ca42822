"""The Milvus server and the empty index of tests/vectors."""

from __future__ import annotations

from tests.vectors.conftest import index, milvus_uri

__all__ = ["index", "milvus_uri"]
