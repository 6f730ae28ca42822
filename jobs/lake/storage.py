"""Files outside Delta, on a disk or in an object store; only this module knows which.

Paths are those of `pyarrow.fs`. Object stores take their credentials from the environment, as
pyarrow documents for each.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, cast

from pyarrow import fs

_CHUNK = 1 << 20


def locate(place: str) -> tuple[fs.FileSystem, str]:
    """The file system of a folder or file, and its path there.

    >>> locate("/data/landing")[1]
    '/data/landing'
    """
    if "://" not in place:
        return fs.LocalFileSystem(), str(Path(place).absolute())
    return cast(
        tuple[fs.FileSystem, str],
        fs.FileSystem.from_uri(place.replace("s3a://", "s3://", 1)),
    )


def sha256(place: str) -> str:
    """The sha256 of a file's bytes, in hex."""
    system, path = locate(place)
    digest = hashlib.sha256()
    with system.open_input_stream(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def open_binary(place: str) -> BinaryIO:
    """A file opened for reading, with seek."""
    system, path = locate(place)
    return cast(BinaryIO, system.open_input_file(path))


def write_new(place: str, content: bytes) -> bool:
    """Write a file that appears whole. Returns False, writing nothing, if it is there already."""
    system, path = locate(place)
    if system.get_file_info(path).type != fs.FileType.NotFound:
        return False
    folder, _, name = path.rpartition("/")
    system.create_dir(folder, recursive=True)
    unfinished = f"{folder}/_{name}.unfinished"
    with system.open_output_stream(unfinished) as stream:
        stream.write(content)
    system.move(unfinished, path)
    return True
