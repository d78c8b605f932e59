"""Protobuf's wire format: the bytes of one message to numbered fields, within bounds.

A weight file may come from anywhere, so nothing here trusts a length: no byte is copied, no
field reaches beyond its message, and a file has at most `MAX_FIELDS` of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT = 0
FIXED64 = 1
LENGTH = 2
FIXED32 = 5

MAX_FIELDS = 200_000  # a net of 100 blocks has some 5,000
MAX_VARINT_BYTES = 10  # of 64 bits, 7 a byte

Value = int | memoryview


class WireError(ValueError):
    """Bytes that are no protobuf message."""


class FieldBudget:
    """How many more fields a file may have: tiny fields cost far more time than bytes."""

    def __init__(self, limit: int = MAX_FIELDS) -> None:
        self.limit = limit
        self.left = limit

    def spend(self) -> None:
        """Count one field.

        Raises:
            WireError: there were too many.
        """
        self.left -= 1
        if self.left < 0:
            raise WireError(f"more than {self.limit:,} fields")


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The unsigned number at ``at``, and where the next thing begins.

    Raises:
        WireError: it does not end, or does not fit 64 bits.
    """
    value = 0
    for shift in range(MAX_VARINT_BYTES):
        if at >= len(data):
            raise WireError("ends inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
    raise WireError("a number of more than 64 bits")


def fields(data: memoryview, budget: FieldBudget) -> Iterator[tuple[int, int, Value]]:
    """Field number, wire type and value of each field of a message, in the order of the file.

    Varints come as numbers, all else as a view of its bytes.

    Raises:
        WireError: broken off, a wire type that no version of lc0 writes, or too many fields.
    """
    at = 0
    while at < len(data):
        budget.spend()
        tag, at = varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if number == 0 or number >= 1 << 29:
            raise WireError(f"a field has the impossible number {number}")
        if wire_type == VARINT:
            value, at = varint(data, at)
            yield number, wire_type, value
            continue
        if wire_type == LENGTH:
            size, at = varint(data, at)
        elif wire_type in (FIXED32, FIXED64):
            size = 4 if wire_type == FIXED32 else 8
        else:
            raise WireError(f"field {number} has the wire type {wire_type}")
        if size > len(data) - at:
            raise WireError(f"field {number} has {size:,} bytes where {len(data) - at:,} are left")
        yield number, wire_type, data[at : at + size]
        at += size


def fixed32(value: memoryview) -> int:
    """An unsigned little-endian number of 4 bytes."""
    number: int = struct.unpack("<I", value)[0]
    return number


def float32(value: memoryview) -> float:
    """A little-endian float of 4 bytes."""
    number: float = struct.unpack("<f", value)[0]
    return number
