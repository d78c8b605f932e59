"""Checking a ledger from its first byte to its last."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_mesa.ledger.errors import RecordError
from pytest_mesa.ledger.records import (
    GENESIS,
    VERSION,
    Record,
    decode,
    encode,
    sha_of,
    validate,
)
from pytest_mesa.ledger.tail import head_path, read_head

What = Literal["unreadable", "not-json", "version", "changed", "chain", "field", "torn-tail", "end"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was written. ``line`` counts from 1; 0 is the whole file."""

    line: int
    what: What
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


def verify(path: Path) -> list[Problem]:
    """Every line that was flipped, removed, inserted, moved or repeated; empty where none was.

    Removed lines at the very end are known from the head note beside the ledger; without
    the note, nothing can tell them. Streams: memory does not grow with the ledger.
    """
    return list(_Check(path).problems())


@dataclass(slots=True)
class _Check:
    """One pass over a ledger."""

    path: Path
    prev: str = GENESIS
    size: int = 0
    is_torn: bool = False

    def problems(self) -> Iterator[Problem]:
        """All problems, in the file's order."""
        head = read_head(self.path)
        if head is None and head_path(self.path).exists():
            yield Problem(0, "end", f"{head_path(self.path)} is not a head note")
        is_head_met = head is None or (head.size == 0)
        number = 0
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    yield from self._line(number, line)
                    self.size += len(line)
                    if head is not None and self.size == head.size and self.prev == head.sha:
                        is_head_met = True
        except OSError as error:
            yield Problem(0, "unreadable", f"{self.path} can't be read ({error.strerror})")
            return
        # A torn tail is told as such: the next append heals it, whatever the note says.
        if head is not None and not is_head_met and not self.is_torn:
            yield Problem(
                number,
                "end",
                f"record {head.sha[:12]}, once the last, does not end at byte {head.size} "
                f"of the {self.size} there are: lines were removed, added or changed before it",
            )

    def _line(self, number: int, line: bytes) -> Iterator[Problem]:
        if not line.endswith(b"\n"):
            self.is_torn = True
            yield Problem(
                number, "torn-tail", "the last line has no end; the next append sets it aside"
            )
            return
        try:
            record = decode(line)
        except ValueError as error:
            yield Problem(number, "not-json", f"not a JSON object ({_short(error)})")
            # The next line tells whether this one was the record it follows.
            self.prev = ""
            return
        yield from self._record(number, line, record)
        sha = record.get("sha")
        self.prev = sha if isinstance(sha, str) else ""

    def _record(self, number: int, line: bytes, record: Record) -> Iterator[Problem]:
        if record.get("sha") != _sha(record) or not _is_as_written(record, line):
            yield Problem(number, "changed", "the record differs from what was written")
        prev = record.get("prev")
        if prev != self.prev and self.prev:
            expected = "the first record" if self.prev == GENESIS else self.prev[:12]
            yield Problem(
                number,
                "chain",
                f"follows {_show(prev)[:12]}, but stands after {expected}: "
                "a line was removed, inserted, moved or changed here",
            )
        try:
            validate(record)
        except RecordError as error:
            yield Problem(number, "version" if record.get("v") != VERSION else "field", str(error))


def _is_as_written(record: Record, line: bytes) -> bool:
    try:
        return encode(record) == line
    except ValueError:
        return False


def _sha(record: Record) -> str:
    try:
        return sha_of(record)
    except ValueError:
        return ""


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _short(error: ValueError) -> str:
    return str(error).partition("\n")[0][:100]
