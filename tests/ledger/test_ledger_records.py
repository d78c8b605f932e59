"""Records: their hash, their line, and when one says nothing new."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_bodies import error, verdict

from pytest_mesa.ledger.append import append, read
from pytest_mesa.ledger.records import (
    GENESIS,
    decode,
    encode,
    item,
    latest,
    seal,
    sha_of,
    unchanged,
)
from pytest_mesa.ledger.verify import verify

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(extra=JSON)
@settings(max_examples=200, deadline=None)
def test_a_line_decodes_and_encodes_to_the_same_bytes(extra: Any) -> None:
    line = encode(seal(verdict(exhibit={"extra": extra}), GENESIS))
    assert line.count(b"\n") == 1
    assert encode(decode(line)) == line
    assert decode(line)["sha"] == sha_of(decode(line))


def test_the_hash_is_what_anyone_can_compute() -> None:
    record = seal(verdict(), GENESIS)
    rest = {key: value for key, value in record.items() if key != "sha"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert record["sha"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("line", [b"[]", b"1", b'{"a":NaN}', b'{"a":Infinity}', b"\xff", b"{"])
def test_what_is_no_json_object_does_not_decode(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode(line)


VOLATILE = {
    "time": "2030-01-01T00:00:00Z",
    "duration_s": 99.0,
    "git": {"commit": "other", "dirty": True},
    "env": {"python": "3.14"},
    "src": verdict()["src"] | {"line": 40},
}


@pytest.mark.parametrize("field", VOLATILE)
def test_a_rerun_with_nothing_new_is_unchanged(field: str) -> None:
    assert unchanged(seal(verdict(), GENESIS), verdict() | {field: VOLATILE[field]})


@pytest.mark.parametrize(
    "change",
    [
        {"spec_sha": "6" * 64},
        {"model": verdict()["model"] | {"weights_sha": "8" * 64}},
        {"estimate": 0.06000001},
        {"bounds": [0.01, 0.12]},
        {"plugin": "0.2.0"},
        {"locked": "differs"},
        {"lineup": "gemma3-270m"},
        {"subjects": []},
        {"src": {"file": "elsewhere.yaml", "line": 1}},
    ],
)
def test_whatever_else_differs_is_new(change: dict[str, Any]) -> None:
    assert not unchanged(seal(verdict(), GENESIS), verdict() | change)


def test_what_was_read_back_is_unchanged_by_the_same_body(tmp_path: Path) -> None:
    """Tuples become lists on the way through the file, and that is no change."""
    path = tmp_path / "ledger.jsonl"
    body = verdict(bounds=(0.01, 0.11), exhibit={1: ("a", "b")})
    append(path, body)
    assert unchanged(read(path)[0], body)
    assert not unchanged(None, body)
    assert not unchanged(read(path)[0], error())


def test_the_newest_verdict_of_each_item_is_the_last() -> None:
    records = [
        seal(verdict("a", seed=1), GENESIS),
        seal(verdict("a", seed=2, lineup="m"), GENESIS),
        seal(verdict("a", seed=3), GENESIS),
        seal({"kind": "amend", "time": "", "reason": "x"}, GENESIS),
    ]
    newest = latest(records)
    assert {key: record["seed"] for key, record in newest.items()} == {("a", ""): 3, ("a", "m"): 2}
    assert item(records[1]) == ("a", "m")


@pytest.mark.parametrize("size", [65_530, 65_536, 200_000])
def test_records_longer_than_a_chunk_chain_as_well(tmp_path: Path, size: int) -> None:
    path = tmp_path / "ledger.jsonl"
    for _ in range(3):
        append(path, verdict(exhibit={"pad": "x" * size}))
    assert verify(path) == []
