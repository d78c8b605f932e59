"""Weight files as lc0 writes them, from nested dictionaries of numbers and arrays."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mesa.subjects.lc0.messages import MESSAGES

ANY_VERSION = {"major": 0, "minor": 21}


def varint(number: int) -> bytes:
    """A number, 7 bits a byte."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def chunk(number: int, body: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def layer(values: np.ndarray) -> dict[str, Any]:
    """LINEAR16: the nearest of 65,536 steps between the smallest and the largest value."""
    flat = np.asarray(values, np.float32).ravel()
    low, high = float(flat.min()), float(flat.max())
    share = (flat - low) / (high - low) if high > low else np.zeros_like(flat)
    steps = np.round(share * 0xFFFF).astype("<u2")
    return {"min_val": low, "max_val": high, "params": steps.tobytes()}


def encode(message: str, values: Mapping[str, Any]) -> bytes:
    """A message of this name; arrays become layers, lists repeat."""
    numbers = {field.name: (number, field.kind) for number, field in MESSAGES[message].items()}
    out = b""
    for name, value in values.items():
        number, kind = numbers[name]
        for each in value if isinstance(value, list) else [value]:
            out += _field(number, kind, each)
    return out


def _field(number: int, kind: str, value: Any) -> bytes:
    if kind in MESSAGES:
        return chunk(
            number,
            encode(
                kind, layer(value) if kind == "Layer" and isinstance(value, np.ndarray) else value
            ),
        )
    if kind == "uint":
        return varint(number << 3) + varint(value)
    if kind == "fixed32":
        return varint(number << 3 | 5) + struct.pack("<I", value)
    if kind == "float":
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return chunk(number, value.encode() if isinstance(value, str) else value)


def net_bytes(weights: Mapping[str, Any], form: Mapping[str, int] | None, **other: Any) -> bytes:
    """A whole file before compression; ``form`` None leaves the network format out."""
    declared: dict[str, Any] = {"weights_encoding": 1}
    if form is not None:
        declared["network_format"] = form
    return encode(
        "Net",
        {"magic": 0x1C0, "min_version": ANY_VERSION, "format": declared, "weights": weights}
        | other,
    )


def write(path: Path, content: bytes) -> Path:
    """Compress and write."""
    path.write_bytes(gzip.compress(content, 1))
    return path
