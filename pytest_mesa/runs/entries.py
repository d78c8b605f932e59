"""What a stored entry is on disk: hashed, read with suspicion, and synced."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pytest_mesa.runs.cells import Json, Result, canonical

ENTRY = "result.json"
MANIFEST = "manifest.json"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


class StoreError(Exception):
    """The store can't be read or written as it must be; the message says where and why."""


class PayloadError(ValueError):
    """A cell returned something that is not finite JSON."""


class DamagedError(Exception):
    """An entry is there but is not what was stored."""


def entry(key: str, payload: Json, files: Mapping[str, str]) -> dict[str, Json]:
    """Key, payload, files' hashes, and one hash over the three."""
    body = {"key": key, "payload": payload, "files": dict(files)}
    return body | {"sha": hashlib.sha256(canonical(body)).hexdigest()}


def read(folder: Path, name: str, key: str) -> Result:
    """Read and check one entry.

    Raises:
        FileNotFoundError: there is no such entry.
        DamagedError: the entry, or one of its files, is not what was stored.
    """
    path = folder / name
    if name == ENTRY and not path.exists():
        if folder.exists():
            raise DamagedError(f"{path} is missing")
        raise FileNotFoundError(path)
    try:
        stored = load(path)
        payload, files = stored["payload"], dict(stored["files"])
        sha = entry(key, payload, files)["sha"]
    except (StoreError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{path} is not a stored result ({error})") from error
    # A manifest may be written by hand, without its own hash; its files' hashes still bind.
    if stored.get("key") != key or stored.get("sha", sha if name == MANIFEST else None) != sha:
        raise DamagedError(f"{path} differs from what was stored")
    for file, digest in files.items():
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            raise DamagedError(f"{path} lists a file outside its folder: {file}")
        try:
            found = _sha256(folder / file)
        except OSError as error:
            raise DamagedError(f"{folder / file} can't be read ({error.strerror})") from error
        if found != digest:
            raise DamagedError(f"{folder / file} differs from its recorded SHA-256")
    return Result(key, payload, folder)


def load(path: Path) -> dict[str, Json]:
    """A JSON object from a file.

    Raises:
        StoreError: unreadable, or not a JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path} can't be read ({error.strerror})") from error
    except ValueError as error:
        raise StoreError(f"{path} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path} must hold a JSON object")
    return value


def plain(payload: Json) -> Json:
    """What the payload reads back as (keys sorted), so that a fresh result equals a stored one.

    Raises:
        PayloadError: the payload is not finite JSON.
    """
    try:
        return json.loads(canonical(payload))
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"the result is not finite JSON: {error}") from error


def hashes(folder: Path, skip: Sequence[str] = ()) -> dict[str, str]:
    """Hex SHA-256 of every file under a folder, by relative name."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return {
        name: _sha256(folder / name)
        for name in names
        if name not in skip and (folder / name).is_file()
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Bring a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Bring a folder and all that is in it to the disk."""
    for path in sorted(folder.rglob("*"), reverse=True):
        sync(path)
    sync(folder)


@contextmanager
def explained(root: Path) -> Iterator[None]:
    """Turn an operating-system error into a `StoreError` that says what to do."""
    try:
        yield
    except OSError as error:
        where = error.filename or root
        if error.errno in _FULL:
            raise StoreError(
                f"no space left in {root}: free some, or choose another --mesa-cache-dir"
            ) from error
        if error.errno in _READ_ONLY:
            raise StoreError(
                f"{where} can't be written ({error.strerror}): choose another --mesa-cache-dir"
            ) from error
        raise StoreError(f"{where}: {error.strerror or error}") from error
