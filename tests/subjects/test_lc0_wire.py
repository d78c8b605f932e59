"""The protobuf reader: what a writer wrote comes back, and nothing else gets through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lc0_writer import chunk, encode, varint

from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0 import wire
from pytest_mesa.subjects.lc0.messages import MESSAGES, Record, parse

U64 = st.integers(0, (1 << 64) - 1)


def read(data: bytes) -> list[tuple[int, int, Any]]:
    """All fields, views as bytes."""
    return [
        (number, kind, bytes(value) if isinstance(value, memoryview) else value)
        for number, kind, value in wire.fields(memoryview(data), wire.FieldBudget())
    ]


@given(U64)
def test_numbers_come_back(number: int) -> None:
    data = varint(number)
    assert wire.varint(memoryview(data), 0) == (number, len(data))


@given(st.lists(st.tuples(st.integers(1, (1 << 29) - 1), U64 | st.binary(max_size=300))))
def test_fields_come_back_in_order(given_fields: list[tuple[int, int | bytes]]) -> None:
    data = b"".join(
        chunk(number, value) if isinstance(value, bytes) else varint(number << 3) + varint(value)
        for number, value in given_fields
    )
    assert [(number, value) for number, _, value in read(data)] == given_fields


@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_an_error(data: bytes) -> None:
    try:
        found = read(data)
    except wire.WireError:
        return
    assert sum(len(value) if isinstance(value, bytes) else 1 for *_, value in found) <= len(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80", "ends inside a number"),
        (b"\x08\xff\xff", "ends inside a number"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "more than 64 bits"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "more than 64 bits"),
        (b"\x00\x01", "impossible number 0"),
        (b"\x0b", "field 1 has the wire type 3"),
        (b"\x0f", "field 1 has the wire type 7"),
        (b"\x0a\x05abc", "field 1 has 5 bytes where 3 are left"),
        (b"\x0a" + varint(1 << 62), "where 0 are left"),
        (b"\x0d\x01\x02\x03", "field 1 has 4 bytes where 3 are left"),
        (b"\x09\x01\x02\x03", "field 1 has 8 bytes where 3 are left"),
    ],
)
def test_broken_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(wire.WireError, match=message):
        read(data)


def test_a_flood_of_fields_is_refused() -> None:
    flood = memoryview(b"\x08\x01" * 100)
    assert len(list(wire.fields(flood, wire.FieldBudget(100)))) == 100
    with pytest.raises(wire.WireError, match="more than 99 fields"):
        list(wire.fields(flood, wire.FieldBudget(99)))


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "uint": U64,
    "fixed32": st.integers(0, (1 << 32) - 1),
    "float": st.floats(width=32, allow_nan=False),
    "bytes": st.binary(max_size=20),
    "text": st.text(max_size=20),
}


def values(message: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any content of a message."""
    optional = {}
    for spec in MESSAGES[message].values():
        one = SCALARS[spec.kind] if spec.kind in SCALARS else values(spec.kind)
        optional[spec.name] = st.lists(one, min_size=1, max_size=3) if spec.repeated else one
    # Few fields at once: Weights has 44, most of them messages.
    return st.lists(st.sampled_from(sorted(optional)), max_size=4, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: optional[name] for name in names})
    )


def plain(record: Record) -> dict[str, Any]:
    """A record as the nested dictionary that it was written from."""
    repeated = {"residual", "encoder", "pol_encoder"}
    out = {}
    for name, found in record.values.items():
        each = [
            plain(value)
            if isinstance(value, Record)
            else bytes(value)
            if isinstance(value, memoryview)
            else value
            for value in found
        ]
        out[name] = each if name in repeated else each[0]
    return out


@settings(max_examples=150, deadline=None)
@given(values("Net"))
def test_messages_come_back(content: dict[str, Any]) -> None:
    assert plain(parse(memoryview(encode("Net", content)))) == content


def test_unknown_fields_are_skipped() -> None:
    data = encode("Net", {"license": "free"}) + chunk(77, b"new") + varint(78 << 3) + varint(5)
    assert plain(parse(memoryview(data))) == {"license": "free"}


def test_places_are_told() -> None:
    net = parse(memoryview(encode("Net", {"weights": {"residual": [{}, {"se": {}}]}})))
    unit = net.message("weights").messages("residual")[1].message("se")
    assert unit.message("w1").path == "weights.residual[1].se.w1"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encode("Net", {"license": "a"}) * 2, "license is given twice"),
        (varint(2 << 3) + varint(1), "license has the wire type 0"),
        (chunk(10, chunk(2, b"\x0a")), "ends inside a number"),
        (b"PK\x03\x04 something else", "not an lc0 weight file"),
    ],
)
def test_what_is_not_lc0s_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(SubjectError, match=message):
        parse(memoryview(data))
