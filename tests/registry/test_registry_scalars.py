"""YAML 1.2 scalars, and no value that JSON or a float cannot hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.registry.scalars import ScalarError, plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(word, None) for word in ("", "~", "null", "Null", "NULL")],
        *[(word, True) for word in ("true", "True", "TRUE")],
        *[(word, False) for word in ("false", "False", "FALSE")],
        *[(word, word) for word in ("no", "on", "yes", "off", "y", "n", "No", "YES", "tRUE")],
        *[("1e-3", 1e-3), ("1E3", 1000.0), (".5", 0.5), ("1.", 1.0), ("-0.0", -0.0)],
        *[("0o17", 15), ("0x1F", 31), ("017", 17), ("-12", -12), ("+7", 7)],
        *[
            (word, word)
            for word in ("1_000", "1:30", "0b1", "0o8", "1e", "e1", "--1", "+", "-", ".")
        ],
        *[("2026-01-01", "2026-01-01"), ("1.2.3", "1.2.3"), ("=", "="), ("0X1F", "0X1F")],
        *[("١٢", "١٢"), ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63))],
    ],
)
def test_core_schema(text: str, value: object) -> None:
    got = plain(text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *[(word, "finite") for word in (".nan", ".NaN", ".inf", "-.INF", "+.Inf")],
        *[("1e999", "float"), ("-1e400", "float"), ("9" * 400 + ".0", "float")],
        *[("9" * 5000, "64 bits"), ("-" + "9" * 5000, "64 bits"), ("0x" + "f" * 5000, "64 bits")],
        *[("9223372036854775808", "64 bits"), ("0o7777777777777777777777777", "64 bits")],
    ],
)
def test_values_beyond_a_spec_are_refused(text: str, why: str) -> None:
    with pytest.raises(ScalarError, match=why):
        plain(text)


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_come_back(number: int) -> None:
    assert plain(str(number)) == number


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back(number: float) -> None:
    got = plain(repr(number))
    assert isinstance(got, float)
    assert got == number
