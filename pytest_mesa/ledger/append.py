"""Appending to a ledger, so that what was acknowledged stays."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pytest_mesa.ledger.errors import LedgerError
from pytest_mesa.ledger.records import Record, decode, encode, seal, validate
from pytest_mesa.ledger.tail import Head, Tail, head_path, read_head, read_tail, write_head

# Longer than any queue of writers; a lock held so long is a hung process.
_LOCK_WAIT_S = 60.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


def now() -> str:
    """The current time as records hold it: UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def append(path: Path, body: Mapping[str, Any]) -> Record:
    """Append one record and return it once it is on the disk: then it is acknowledged.

    ``body`` needs no ``v``, ``prev``, ``sha``; ``time`` is added where it is missing. What a
    killed writer left half-written goes to ``<ledger>.torn-<n>``, and an ``amend`` record
    says so. The ledger's size doesn't matter: only its end is read.

    Raises:
        LedgerError: full disk, read-only folder, a lock that stays taken; nothing is added.
        RecordError: ``body`` is no valid record; nothing is added.
    """
    body = {"kind": body.get("kind"), "time": now()} | dict(body)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            return _append(path, body)


def read(path: Path) -> list[Record]:
    """All records of a ledger; none where there is no file. An unfinished last line is no record.

    Raises:
        LedgerError: a line that is no record; the message tells its number.
    """
    records = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    record = decode(line)
                    validate(record)
                except ValueError as error:
                    raise LedgerError(
                        f"{path}:{number}: not a ledger record ({error}); see 'mesa verify'"
                    ) from error
                records.append(record)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LedgerError(f"{path} can't be read ({error.strerror})") from error
    return records


def _append(path: Path, body: Mapping[str, Any]) -> Record:
    """Append under the lock."""
    is_new = not path.exists()
    if is_new:
        head_path(path).unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        tail = read_tail(descriptor, read_head(path))
        lines, prev = b"\n" if tail.unended else b"", tail.prev
        healing = _healing(path, tail)
        if healing is not None:
            amendment = seal(healing, prev)
            lines, prev = lines + encode(amendment), amendment["sha"]
        record = seal(body, prev)
        if tail.torn:
            _set_aside(path, tail.torn)
            os.ftruncate(descriptor, tail.keep)
        size = tail.keep + _write(descriptor, lines + encode(record), tail.keep)
        if is_new:
            _sync_folder(path.parent)
        write_head(path, Head(record["sha"], size))
    finally:
        os.close(descriptor)
    return record


def _write(descriptor: int, data: bytes, size: int) -> int:
    """Write and sync all of ``data``, or take back what was written."""
    try:
        done = 0
        while done < len(data):
            done += os.write(descriptor, data[done:])
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
        raise
    return done


def _healing(path: Path, tail: Tail) -> Record | None:
    """The amendment that tells of a healed tail."""
    if not tail.torn and not (tail.unended and tail.lost):
        return None
    reason = "the ledger was cut short" if tail.lost else "a write was cut off"
    amendment: Record = {"kind": "amend", "time": now(), "reason": reason}
    if tail.torn:
        amendment["torn"] = {
            "file": _aside(path, tail.torn).name,
            "bytes": len(tail.torn),
            "sha256": hashlib.sha256(tail.torn).hexdigest(),
        }
    return amendment


def _aside(path: Path, torn: bytes) -> Path:
    """The first free side file, or the one that holds these bytes since an earlier try."""
    number = 1
    while True:
        side = path.with_name(f"{path.name}.torn-{number}")
        if not side.exists() or side.read_bytes() == torn:
            return side
        number += 1


def _set_aside(path: Path, torn: bytes) -> None:
    side = _aside(path, torn)
    try:
        with side.open("wb") as file:
            file.write(torn)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        side.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Be the only writer."""
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=_LOCK_WAIT_S, poll_interval=0.005)
    except Timeout as error:
        raise LedgerError(
            f"{path}: another process has held {lock.lock_file} for {_LOCK_WAIT_S:.0f} s; "
            "end it and run again"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn an operating-system error into one that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            what = "no space left on its disk: free some and run again; nothing was added"
        elif error.errno in _READ_ONLY:
            what = f"can't be written ({error.strerror}): choose another --mesa-ledger"
        else:
            what = f"can't be written ({error.strerror or error})"
        raise LedgerError(f"{path}: {what}") from error
