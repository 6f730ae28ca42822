"""Fixtures of the LLM tests: a small prompt, a word-counting encoder, a sink in memory, vLLM."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from infra.stack import vllm
from jobs.lake.contract import load_contract
from jobs.lake.schema import arrow_schema
from jobs.lake.settings import ROOT
from jobs.llm.client import LLMClient
from jobs.llm.commits import LEDGER, Destination
from jobs.llm.prompt import Prompt
from jobs.llm.settings import BulkSettings
from tests.llm.tiny_model import make_tiny_model

MODEL = "tiny"


class WordEncoder:
    """Texts as L2-normalised word counts: the cosine is the share of words in common.

    A word's hash says where it is counted, so that a text's row depends on no other text.
    """

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        counts = np.zeros((len(texts), 4096), np.float32)
        for row, text in zip(counts, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                row[zlib.crc32(word.encode()) % len(row)] += 1
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


class MemorySink:
    """Keeps chunks by table and id; the same id again adds nothing, as Delta would do."""

    def __init__(self) -> None:
        self.chunks: dict[tuple[str, str], pa.Table] = {}

    def schema(self, table: str) -> pa.Schema:
        return contract_schema(table)

    def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
        self.chunks.setdefault((table, chunk_id), rows)

    def rows(self, table: str) -> list[dict]:
        return [
            row for (name, _), t in self.chunks.items() if name == table for row in t.to_pylist()
        ]


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture(scope="session")
def prompt() -> Prompt:
    """One field in, a name and search words out."""
    return Prompt.model_validate(
        {
            "name": "item",
            "version": 1,
            "inputs": {"title": 100},
            "system": "Name the product. Answer with JSON only.",
            "examples": [],
            "template": "{{ item | data }}",
            "answer_schema": {
                "type": "object",
                "additionalProperties": False,
                "required": ["standard_name", "keywords"],
                "properties": {
                    "standard_name": {"type": "string", "pattern": "^[a-z ]{2,20}$"},
                    "keywords": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 2,
                        "items": {"type": "string", "pattern": "^[a-z ]{2,20}$"},
                    },
                },
            },
            "gate": {
                "own": ["title"],
                "required": ["standard_name"],
                "ease": {"standard_name": 0.0, "keywords": 0.0},
            },
            "max_tokens": 200,
            "temperature": 0,
            "seed": 3,
        }
    )


def contract_schema(table: str, without: Sequence[str] = ("recorded_at",)) -> pa.Schema:
    """What the sink receives: the contract's columns less the one that the runtime fills.

    without: the columns to leave out; none of them for the table as a run reads it.
    """
    path = ROOT / "expectations" / f"{table.replace('.', '/')}.yaml"
    return arrow_schema(load_contract(path), without=without)


def target(model: str = MODEL) -> Destination:
    table = "silver.item_enrichments"
    return Destination(
        table=table,
        schema=contract_schema(table),
        ledger_schema=contract_schema(LEDGER),
        model=model,
        ds=date(2017, 12, 28),
        run_id="run-1",
    )


def client_of(*urls: str, model: str = MODEL, **changed: Any) -> LLMClient:
    """A client that waits for next to nothing before it tries again."""
    arguments = {
        "timeout_seconds": 60.0,
        "max_attempts": 2,
        "concurrency": 64,
        "patience_seconds": 60.0,
        "first_wait_seconds": 0.01,
        "longest_wait_seconds": 0.05,
        "api_key": "sk-do-not-tell",
        **changed,
    }
    return LLMClient(urls, model, **arguments)


def limits(**changed: Any) -> BulkSettings:
    return BulkSettings(**{"concurrency": 4, "chunk_size": 8, "gate_threshold": 0.5, **changed})


@pytest.fixture(scope="session")
def tiny_vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real vLLM with a random model, under the name `tiny`; its base URL."""
    home: Path = tmp_path_factory.mktemp("vllm")
    with vllm(make_tiny_model(home / "model"), home, name=MODEL) as url:
        yield url
