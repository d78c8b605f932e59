"""Plain YAML scalars by the YAML 1.2 core schema, and nothing of YAML 1.1.

``no``, ``on`` and ``1_000`` are strings, ``1e-3`` is a number, ``0o17`` is 15 and ``017`` is 17.
"""

from __future__ import annotations

import math
import re

Scalar = str | int | float | bool | None

_NUMBER_STARTS = frozenset("+-.0123456789")
_WORDS: dict[str, Scalar] = {"": None, "~": None}
for _spellings, _value in (("null", None), ("true", True), ("false", False)):
    _WORDS |= dict.fromkeys((_spellings, _spellings.title(), _spellings.upper()), _value)

_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST_INT = 24  # more digits than a 64-bit integer in any base here, leading sign included


class ScalarError(ValueError):
    """A plain scalar that names a value which no spec can hold."""


def plain(text: str) -> Scalar:
    """The value of an unquoted scalar.

    Raises:
        ScalarError: an integer beyond 64 bits, or a number that is not finite.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _INT.fullmatch(text):
        return _integer(text, 10)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ScalarError("this number is too large for a float")
        return number
    if _OCTAL.fullmatch(text):
        return _integer(text, 8)
    if _HEX.fullmatch(text):
        return _integer(text, 16)
    if _NOT_FINITE.fullmatch(text):
        raise ScalarError("NaN and infinities are not supported: a number here is finite")
    return text


def _integer(text: str, base: int) -> int:
    # Python refuses to convert very long digit strings, so their length is looked at first.
    digits = text.lstrip("+-0ox")
    if len(digits) <= _LONGEST_INT:
        number = int(text, base)
        if -(2**63) <= number < 2**63:
            return number
    raise ScalarError("this integer does not fit into 64 bits")
