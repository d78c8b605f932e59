"""The end of a ledger file: its last record, what a crash left after it, and the head note.

The head note (``<ledger>.head``) remembers the last acknowledged record and the size up to
it. It may lag behind the ledger, never run ahead: where it does, records were removed.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from pytest_mesa.ledger.records import GENESIS, Record, decode, sha_of

_CHUNK = 1 << 16
_HEAD_SIZE = 128


@dataclass(frozen=True, slots=True)
class Head:
    """The last acknowledged record's hash, and the ledger's size in bytes with it."""

    sha: str
    size: int


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the next record goes.

    ``keep`` bytes stay; what lies after them (``torn``) was never acknowledged.
    ``unended``: the last record is whole but for its newline. ``lost``: an acknowledged
    record is no longer there; the chain then goes on from it, so that the gap stays visible
    unless an amendment tells of it.
    """

    prev: str
    keep: int
    torn: bytes = b""
    unended: bool = False
    lost: bool = False


def head_path(ledger: Path) -> Path:
    """Where a ledger's head note lies."""
    return ledger.with_name(ledger.name + ".head")


def read_head(ledger: Path) -> Head | None:
    """The head note, or None where there is none that can be read."""
    try:
        note = json.loads(head_path(ledger).read_bytes())
        return Head(str(note["sha"]), int(note["size"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_head(ledger: Path, head: Head) -> None:
    """Note the last acknowledged record.

    One small write in place: it needs no space on a full disk and is never seen half-done.
    """
    text = json.dumps({"sha": head.sha, "size": head.size}).ljust(_HEAD_SIZE - 1) + "\n"
    descriptor = os.open(head_path(ledger), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.pwrite(descriptor, text.encode(), 0)
    finally:
        os.close(descriptor)


def read_tail(descriptor: int, head: Head | None) -> Tail:
    """Look at the end of a ledger without reading the rest."""
    size = os.fstat(descriptor).st_size
    acknowledged = head.size if head else 0
    last_end = size
    line = _line_before(descriptor, last_end)
    if line and not line.endswith(b"\n"):
        if _sound(line):
            is_head = head is None or head == Head(_sha(line), size + 1)
            lost = not is_head and head is not None and not _knows(descriptor, size, head)
            return Tail(_sha(line), size, unended=True, lost=lost)
        last_end -= len(line)
        line = _line_before(descriptor, last_end)
    # Whole lines that are no records can't be our torn writes once they were acknowledged.
    while line and not _parses(line) and last_end - len(line) >= acknowledged:
        last_end -= len(line)
        line = _line_before(descriptor, last_end)
    torn = os.pread(descriptor, size - last_end, last_end)
    prev = _sha(line) if line else GENESIS
    lost = head is not None and not _knows(descriptor, last_end, head)
    if head is not None and lost and not torn:
        prev = head.sha
    return Tail(prev, last_end, torn, lost=lost)


def _knows(descriptor: int, size: int, head: Head) -> bool:
    """Whether the noted record still ends where it ended."""
    if head.size > size:
        return False
    line = _line_before(descriptor, head.size)
    return (_sha(line) if line else GENESIS) == head.sha


def _line_before(descriptor: int, end: int) -> bytes:
    """The line that ends at ``end``, with its newline if it has one; empty at the start."""
    start, line = end, b""
    while start > 0:
        size = min(_CHUNK, start)
        start -= size
        line = os.pread(descriptor, size, start) + line
        # The line's own newline doesn't begin it.
        cut = line.rfind(b"\n", 0, len(line) - 1)
        if cut >= 0:
            return line[cut + 1 :]
    return line


def _record(line: bytes) -> Record | None:
    try:
        return decode(line)
    except ValueError:
        return None


def _parses(line: bytes) -> bool:
    return _record(line) is not None


def _sound(line: bytes) -> bool:
    record = _record(line)
    return record is not None and record.get("sha") == sha_of(record)


def _sha(line: bytes) -> str:
    record = _record(line)
    return str(record.get("sha", "")) if record is not None else ""
