"""``mesa.lock``: the hash of each spec, taken before a number existed.

A verdict from a spec that differs from its lock is exploratory.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_mesa.registry.files import write_atomically
from pytest_mesa.registry.loader import LoadedPrediction

VERSION = 1
_SHA = re.compile(r"[0-9a-f]{64}")


class LockStatus(StrEnum):
    """How a spec stands to the lock file."""

    LOCKED = "locked"
    DIFFERS = "differs"
    UNLOCKED = "unlocked"


class LockError(Exception):
    """The lock file cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One locked spec: its hash, and its file relative to the lock's folder."""

    sha: str
    file: str


@dataclass(frozen=True, slots=True)
class Lock:
    """The lock's entries by prediction id."""

    predictions: Mapping[str, Entry] = field(default_factory=lambda: MappingProxyType({}))


def read_lock(path: str | os.PathLike[str]) -> Lock:
    """Read a lock file; an absent one locks nothing.

    Raises:
        LockError: unreadable, malformed, or of another version.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise LockError(
            f"{path}: cannot be read: {(error.strerror or str(error)).lower()}"
        ) from None
    except UnicodeDecodeError:
        raise LockError(f"{path}: the lock is not UTF-8; {_REMEDY}") from None
    try:
        data = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise LockError(f"{where}: the lock is not JSON: {error.msg.lower()}; {_REMEDY}") from None
    except (ValueError, RecursionError) as error:
        raise LockError(f"{path}: the lock is not usable: {error}; {_REMEDY}") from None
    return Lock(MappingProxyType(_entries(data, path)))


def write_lock(
    path: str | os.PathLike[str], loaded: Iterable[LoadedPrediction], keep: Lock | None = None
) -> Lock:
    """Write a lock of the given predictions, and of the entries of ``keep`` beside them.

    The file is the same for the same content: sorted, one line a fact, paths with ``/``.

    Raises:
        OSError: the file cannot be written; the one that was there still stands.
    """
    path = Path(path)
    entries = dict(keep.predictions) if keep else {}
    for spec in loaded:
        entries[spec.id] = Entry(spec.sha, _relative(spec.path, path.parent))
    entries = dict(sorted(entries.items()))
    body = {
        "version": VERSION,
        "predictions": {
            name: {"sha": entry.sha, "file": entry.file} for name, entry in entries.items()
        },
    }
    write_atomically(path, json.dumps(body, indent=2, ensure_ascii=False) + "\n")
    return Lock(MappingProxyType(entries))


def status(loaded: LoadedPrediction, lock: Lock) -> LockStatus:
    """How one spec stands to the lock."""
    entry = lock.predictions.get(loaded.id)
    if entry is None:
        return LockStatus.UNLOCKED
    return LockStatus.LOCKED if entry.sha == loaded.sha else LockStatus.DIFFERS


_REMEDY = "restore it from version control, or write it anew with: mesa lock"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"the key '{twice}' is given twice")
    return out


def _entries(data: object, path: Path) -> dict[str, Entry]:
    if not isinstance(data, dict) or not isinstance(data.get("predictions"), dict):
        raise LockError(f"{path}: expected the keys 'version' and 'predictions'; {_REMEDY}")
    if data.get("version") != VERSION or isinstance(data["version"], bool):
        raise LockError(
            f"{path}: version {data.get('version')!r} of the lock is unknown; this is version "
            f"{VERSION}: install the pytest-mesa that wrote it"
        )
    out = {}
    for name, entry in data["predictions"].items():
        sha, file = (entry.get("sha"), entry.get("file")) if isinstance(entry, dict) else ("", "")
        if not (isinstance(sha, str) and _SHA.fullmatch(sha) and isinstance(file, str)):
            wanted = "'sha' (64 hexadecimal digits) and 'file'"
            raise LockError(f"{path}: the entry '{name}' needs {wanted}; {_REMEDY}")
        out[name] = Entry(sha, file)
    return out


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_posix()
