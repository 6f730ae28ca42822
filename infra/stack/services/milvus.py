"""milvus-lite as a server: a real Milvus port in front of one folder."""

from __future__ import annotations

from pathlib import Path

from infra.stack.paths import PYTHON
from infra.stack.ports import LOOPBACK
from infra.stack.process import Command
from infra.stack.service import Service

NAME = "milvus"
PREFERRED_PORT = 19530


def command(home: Path, port: int) -> Command:
    """How to start the server on the database folder `<home>/milvus`."""
    argv = (
        str(PYTHON.parent / "milvus-lite"),
        "server",
        "--data-dir",
        str(home / "milvus"),
        "--host",
        LOOPBACK,
        "--port",
        str(port),
    )
    return Command(argv, {"TZ": "UTC"})


def url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def service(home: Path, port: int) -> Service:
    return Service(NAME, command(home, port), lambda: ask_collections(port), timeout_seconds=180)


def ask_collections(port: int) -> None:
    """Lists the collections over gRPC."""
    import grpc
    from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

    with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        stub = milvus_pb2_grpc.MilvusServiceStub(channel)
        answer = stub.ShowCollections(milvus_pb2.ShowCollectionsRequest(), timeout=5)
    if answer.status.code != 0:
        raise ConnectionError(answer.status.reason)
