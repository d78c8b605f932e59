"""The header of a GGUF file: enough to refuse a broken one, and to size it, in milliseconds.

Source: the format's specification in ggml, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from pytest_mesa.subjects.errors import SubjectError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
LONGEST = 2**24  # bytes of a name or a single text; no real header has longer ones
MOST = 2**24  # tensors, metadata entries
DIMENSIONS = 4
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY = 8, 9

_Read = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says: the architecture, how many parameters, and whether it has tokens."""

    architecture: str
    parameters: int
    tokens: int


def read_header(parts: Sequence[Path], name: str) -> Header:
    """Read the header of the file that the parts make up, one after another.

    Raises:
        SubjectError: not a GGUF file, one of an unknown version, or one that ends too early.
    """
    if not parts or sum(path.stat().st_size for path in parts) == 0:
        raise SubjectError(f"{name} is no GGUF file: it is empty")
    with parts[0].open("rb") as file:
        reader = _Reader(file.read, name)
        return _header(reader)


def _header(reader: _Reader) -> Header:
    magic = reader.bytes(4)
    if magic != MAGIC:
        raise SubjectError(
            f"{reader.name} is no GGUF file: it starts with {magic!r}, not {MAGIC!r}"
        )
    version = reader.number("<I")
    if version not in VERSIONS:
        big = " (a big-endian file?)" if version > 2**16 else ""
        raise SubjectError(
            f"{reader.name} is GGUF of version {version}{big}; versions 2 and 3 are read"
        )
    tensors, entries = reader.number("<Q"), reader.number("<Q")
    if tensors > MOST or entries > MOST:
        raise SubjectError(f"{reader.name} is damaged: it claims {max(tensors, entries)} entries")
    architecture, tokens = "", 0
    for _ in range(entries):
        key = reader.text()
        value = reader.value()
        if key == "general.architecture" and isinstance(value, str):
            architecture = value
        elif key == "tokenizer.ggml.tokens" and isinstance(value, int):
            tokens = value
    if not architecture:
        raise SubjectError(f"{reader.name} does not say its architecture, so it is no model")
    return Header(architecture, sum(reader.tensor_size() for _ in range(tensors)), tokens)


class _Reader:
    """Reads values in order; an end where a value should be is a damaged file."""

    def __init__(self, read: _Read, name: str) -> None:
        self._read = read
        self.name = name

    def bytes(self, count: int) -> bytes:
        """So many bytes."""
        data = self._read(count)
        if len(data) != count:
            raise SubjectError(f"{self.name} is damaged or cut short: its header ends too early")
        return data

    def number(self, form: str) -> int:
        """One unsigned number."""
        (value,) = struct.unpack(form, self.bytes(struct.calcsize(form)))
        return int(value)

    def text(self) -> str:
        """A length and so many bytes."""
        length = self.number("<Q")
        if length > LONGEST:
            raise SubjectError(f"{self.name} is damaged: a text of {length} bytes in its header")
        return self.bytes(length).decode("utf-8", "replace")

    def value(self) -> str | int | None:
        """The next value: a text, the length of an array, or None for a number."""
        kind = self.number("<I")
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY:
            return self._array()
        self.bytes(self._size(kind))
        return None

    def tensor_size(self) -> int:
        """The number of elements of the next tensor."""
        self.text()
        dimensions = self.number("<I")
        if dimensions > DIMENSIONS:
            raise SubjectError(f"{self.name} is damaged: a tensor of {dimensions} dimensions")
        shape = [self.number("<Q") for _ in range(dimensions)]
        self.bytes(4 + 8)  # type and offset
        return prod(shape)

    def _array(self) -> int:
        kind, length = self.number("<I"), self.number("<Q")
        if length > MOST:
            raise SubjectError(f"{self.name} is damaged: an array of {length} values")
        if kind == _TEXT:
            for _ in range(length):
                self.text()
        else:
            self.bytes(length * self._size(kind))
        return length

    def _size(self, kind: int) -> int:
        if kind not in _SIZES:
            raise SubjectError(f"{self.name} is damaged: no value has type {kind}")
        return _SIZES[kind]
