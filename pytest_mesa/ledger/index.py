"""A long ledger, read by the ends of its lines.

`scan` looks at what each line begins and ends with: what the record is about, and the chain.
A record itself is read when it is asked for, and then its hash is checked. So what is shown is
sound, and nothing is missing, added or moved between the records; damage inside a
record that nobody asked for is found by `verify` alone.

Derived in memory at each use: nothing is kept beside the ledger that could go stale.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pytest_mesa.ledger.errors import LedgerError
from pytest_mesa.ledger.records import GENESIS, Record, decode, sha_of, validate
from pytest_mesa.ledger.tail import Head, head_path, read_head

_CHUNK = 1 << 22
# As `seal` and `encode` write them. Names with escapes, and amendments, are read in full.
_TEXT = rb'([^"\\\x00-\x1f]*)'
_START = re.compile(
    rb'\{"v":1,"kind":"(?:(run)|(verdict))","time":"' + _TEXT + rb'",'
    rb'(?:"prediction":"' + _TEXT + rb'","lineup":"' + _TEXT + rb'",)?'
)
_END = re.compile(rb',"prev":"([0-9a-f]{64})","sha":"([0-9a-f]{64})"\}\n')
_END_SIZE = 149

Item = tuple[str, str]


class Line(NamedTuple):
    """Where a record is, and what it is about. ``number`` counts from 1, ``start`` bytes."""

    number: int
    start: int
    size: int
    kind: str
    time: str
    prediction: str
    lineup: str
    sha: str

    @property
    def item(self) -> Item:
        """What a verdict is about: the prediction and the line-up."""
        return self.prediction, self.lineup


class Index:
    """The lines of a ledger, and its records on demand."""

    def __init__(self, path: Path, lines: list[Line]) -> None:
        self.path = path
        self.lines = lines
        self._starts = [line.start for line in lines]
        self._read: dict[int, Record] = {}

    @cached_property
    def items(self) -> dict[Item, list[Line]]:
        """The lines of each item's verdicts, oldest first."""
        found: dict[Item, list[Line]] = {}
        for line in self.lines:
            if line.kind == "verdict":
                found.setdefault((line.prediction, line.lineup), []).append(line)
        return found

    @cached_property
    def lineups(self) -> list[str]:
        """Every line-up once, the one that was met last at the end."""
        last = {line.lineup: None for line in reversed(self.lines) if line.kind == "verdict"}
        return list(reversed(last))

    @cached_property
    def claims(self) -> dict[str, list[Line]]:
        """The lines of each prediction's verdicts, oldest first, whatever the line-up."""
        found: dict[str, list[Line]] = {}
        for line in self.lines:
            if line.kind == "verdict":
                found.setdefault(line.prediction, []).append(line)
        return found

    @cached_property
    def amendments(self) -> dict[str, list[Line]]:
        """The lines of the amendments to each prediction; to the ledger itself, under ``""``."""
        found: dict[str, list[Line]] = {}
        for line in self.lines:
            if line.kind == "amend":
                about = line.prediction if line.prediction in self.claims else ""
                found.setdefault(about, []).append(line)
        return found

    def newest(self, item: Item) -> Record | None:
        """The last verdict on an item.

        Raises:
            LedgerError: the record is damaged.
        """
        lines = self.items.get(item)
        return self.record(lines[-1]) if lines else None

    def record(self, line: Line) -> Record:
        """One record, checked.

        Raises:
            LedgerError: the record is damaged.
        """
        return next(self.records([line]))

    def records(self, lines: Iterable[Line]) -> Iterator[Record]:
        """The records of these lines, one by one as they are asked for, each checked against
        its hash; read once, then kept.

        Raises:
            LedgerError: a record is damaged, or the ledger was changed meanwhile.
        """
        with ExitStack() as stack:
            file: BinaryIO | None = None
            for line in lines:
                if line.number not in self._read:
                    try:
                        file = file or stack.enter_context(self.path.open("rb"))
                        file.seek(line.start)
                        data = file.read(line.size)
                    except OSError as error:
                        raise _unreadable(self.path, error) from error
                    self._read[line.number] = self._checked(line, data)
                yield self._read[line.number]

    def containing(self, needle: bytes) -> list[Line]:
        """The lines that hold these bytes, in the ledger's order. One pass, nothing parsed."""
        found: list[Line] = []
        end = 0
        if not self.lines:
            return found
        for start, data in _chunks(self.path, overlap=len(needle) - 1):
            at = data.find(needle, max(0, end - start))
            while at >= 0:
                number = bisect_right(self._starts, start + at) - 1
                if number < 0 or start + at >= (end := self._end(number)):
                    # A torn tail, or what was appended since the scan.
                    return found
                found.append(self.lines[number])
                at = data.find(needle, end - start)
        return found

    def _end(self, number: int) -> int:
        return self.lines[number].start + self.lines[number].size

    def _checked(self, line: Line, data: bytes) -> Record:
        try:
            record = checked(data)
        except ValueError as error:
            raise _refused(self.path, line.number, str(error)) from error
        if record["sha"] != line.sha:
            raise LedgerError(f"{self.path} was replaced while it was read; run again")
        if (record["kind"], record["time"], *_about(record)) != line[3:7]:
            raise _refused(self.path, line.number, "it names its claim twice")
        return record


def scan(path: Path) -> Index:
    """Index a ledger; an empty one where there is no file. An unfinished last line is no record.

    Raises:
        LedgerError: a line that is no record or out of its place in the chain, or records
            missing at the end.
    """
    try:
        return Index(path, list(_lines(path)))
    except FileNotFoundError:
        return Index(path, [])
    except OSError as error:
        raise _unreadable(path, error) from error


def checked(line: bytes) -> Record:
    """A line as its record, if it says what was written.

    Raises:
        ValueError: no record, or one that was changed.
    """
    record = decode(line)
    validate(record)
    if record.get("sha") != sha_of(record):
        raise ValueError("the record differs from what was written")
    return record


def _lines(path: Path) -> Iterator[Line]:
    """Every line, in the file's order.

    Raises:
        LedgerError, OSError: as `scan`.
    """
    # Read before the ledger: the note may lag behind it, never run ahead.
    head = read_head(path)
    if head is None and head_path(path).exists():
        raise LedgerError(f"{head_path(path)} is not a head note; see 'mesa verify'")
    is_head_met = head is None or head.size == 0
    prev, number, size, rest = GENESIS, 0, 0, b""
    for _, data in _chunks(path):
        data, at = rest + data, 0
        while (end := data.find(b"\n", at) + 1) > 0:
            number += 1
            line, before = _line(path, number, size, data, at, end)
            if before != prev:
                raise _refused(path, number, "it does not follow the record before it")
            yield line
            prev, size, at = line.sha, size + line.size, end
            is_head_met = is_head_met or head == Head(prev, size)
        rest = data[at:]
    # A torn tail is healed by the next append, whatever the note says.
    if not is_head_met and not rest:
        raise _refused(path, number, "records that once followed are missing")


def _line(path: Path, number: int, start: int, data: bytes, at: int, end: int) -> tuple[Line, str]:
    """The line in ``data[at:end]`` and the hash of the record that it follows."""
    first = _START.match(data, at, end)
    last = _END.fullmatch(data, max(at, end - _END_SIZE), end)
    try:
        if first and last and (first[1] or first[4] is not None):
            kind = "run" if first[1] else "verdict"
            about = ("", "") if first[1] else (first[4].decode(), first[5].decode())
            time, prev, sha = first[3].decode(), last[1].decode(), last[2].decode()
        else:
            record = checked(data[at:end])
            kind, time = record["kind"], record["time"]
            about = _about(record)
            prev, sha = str(record.get("prev")), record["sha"]
    except ValueError as error:
        raise _refused(path, number, str(error)) from error
    return Line(number, start, end - at, kind, time, *about, sha), prev


def _about(record: Record) -> tuple[str, str]:
    """The prediction and the line-up of a verdict or an amendment."""
    if record["kind"] == "run":
        return "", ""
    return str(record.get("prediction", "")), str(record.get("lineup", ""))


def _chunks(path: Path, overlap: int = 0) -> Iterator[tuple[int, bytes]]:
    """Pieces of a file with their first byte's place; each repeats the last one's last bytes."""
    start, kept = 0, b""
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            data = kept + piece
            yield start, data
            kept = data[len(data) - overlap :] if overlap else b""
            start += len(data) - len(kept)


def _refused(path: Path, number: int, why: str) -> LedgerError:
    return LedgerError(f"{path}:{number}: not a sound ledger record ({why}); see 'mesa verify'")


def _unreadable(path: Path, error: OSError) -> LedgerError:
    return LedgerError(f"{path} can't be read ({error.strerror})")
