"""The index says what a full reading says, and refuses what is not as it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_bodies import error, verdict

from pytest_mesa.ledger import index as index_module
from pytest_mesa.ledger.append import append, read
from pytest_mesa.ledger.errors import LedgerError
from pytest_mesa.ledger.index import scan
from pytest_mesa.ledger.records import item, latest
from pytest_mesa.ledger.tail import head_path

# What JSON escapes, what UTF-8 needs several bytes for, and what looks like a record's end.
NAMES = st.sampled_from(
    ["a-claim", "claim-2", 'a "claim"', "back\\slash", "höher", "tab\there", "x\u2028y", "",
     '","prev":"' + "0" * 64]
)  # fmt: skip
RUN = {"kind": "run", "plugin": "0.1.0", "git": {}, "env": {}, "counts": {}}


def small(prediction: str, lineup: str, estimate: float) -> dict[str, Any]:
    return verdict(
        prediction, lineup=lineup, estimate=estimate, bounds=[0, 1], subjects=[], controls=[]
    )


BODIES = st.one_of(
    st.builds(small, NAMES, NAMES, st.floats(0, 1)),
    st.builds(error, NAMES),
    st.just(RUN),
    st.just(RUN | {"prediction": "a-claim", "lineup": "x"}),
    st.builds(lambda name: {"kind": "amend", "reason": "r", "prediction": name}, NAMES),
    st.builds(lambda name: {"kind": "amend", "prediction": name, "reason": name}, NAMES),
)


@given(st.lists(st.one_of(BODIES, st.none()), max_size=12), st.integers(200, 4000))
@settings(max_examples=60, deadline=None)
def test_the_index_says_what_a_full_reading_says_after_any_appends(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[dict[str, Any] | None], chunk: int
) -> None:
    """None stands for a look in between."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        # So that lines lie across the borders of what is read at once.
        patch.setattr(index_module, "_CHUNK", chunk)
        for body in [*bodies, None]:
            if body is None:
                check_against_reading(path)
            else:
                append(path, body)


def check_against_reading(path: Path) -> None:
    records, index = read(path), scan(path)
    assert list(index.records(index.lines)) == records
    assert [line.number for line in index.lines] == list(range(1, len(records) + 1))
    for line, record in zip(index.lines, records, strict=True):
        assert (line.kind, line.time, line.sha) == (record["kind"], record["time"], record["sha"])
        if record["kind"] == "verdict":
            assert line.item == item(record)
    newest = latest(records)
    assert {key: index.newest(key) for key in index.items} == newest
    assert index.newest(("nobody", "")) is None
    verdicts = [record for record in records if record["kind"] == "verdict"]
    for prediction, lines in index.claims.items():
        assert list(index.records(lines)) == [v for v in verdicts if v["prediction"] == prediction]
    for needle in (b'"kind":"run"', b"claim-2", b'"estimate":', b"\xc3\xb6"):
        raw = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        expected = [number for number, line in enumerate(raw, 1) if needle in line]
        assert [line.number for line in index.containing(needle)] == expected


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    append(path, RUN)
    for number in range(3):
        append(path, small(f"claim-{number}", "", 0.1))
    append(path, {"kind": "amend", "reason": "a slip", "prediction": "claim-1"})
    return path


def damaged(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (b'{"v":1,"kind":"verdict"', b'{"v":2,"kind":"verdict"', 2),
        (b'{"v":1,"kind":"verdict"', b'{"v":1,"kind":"verdikt"', 2),
        (b'"lineup":"","claim"', b'"lineup":"\\u","claim"', 2),
        (b'"prediction":"claim-1"', b'"prediction":"claim\xff1"', 3),
        (b'"reason":"a slip"', b'"reason":"a trip"', 5),
        (b'\n{"v":1', b'\n\n{"v":1', 2),
        (b'\n{"v":1', b'\nnonsense\n{"v":1', 2),
    ],
)
def test_a_damaged_frame_is_refused_with_its_line(
    path: Path, old: bytes, new: bytes, line: int
) -> None:
    damaged(path, old, new)
    with pytest.raises(LedgerError, match=rf"ledger\.jsonl:{line}: .*'mesa verify'"):
        scan(path)


@pytest.mark.parametrize("number", range(5))
def test_a_removed_line_is_noticed_wherever_it_was(path: Path, number: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
    with pytest.raises(LedgerError, match="mesa verify"):
        scan(path)


@pytest.mark.parametrize("move", [lambda ls: ls[::-1], lambda ls: [*ls[:2], ls[1], *ls[2:]]])
def test_moved_and_repeated_lines_are_noticed(path: Path, move: Any) -> None:
    path.write_bytes(b"".join(move(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(LedgerError, match="it does not follow the record before it"):
        scan(path)


def test_every_flipped_byte_of_a_record_is_noticed_when_it_is_read(path: Path) -> None:
    data = path.read_bytes()
    start = data.index(b"\n") + 1
    end = data.index(b"\n", start)
    for place in range(start, end, 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(LedgerError, match="ledger record"):
            index = scan(path)
            list(index.records(index.lines))


def test_a_record_that_names_two_claims_is_refused_when_it_is_read(path: Path) -> None:
    once = b'"prediction":"claim-1","lineup"'
    damaged(path, once, b'"prediction":"other","lineup":"",' + once)
    # Its size would tell.
    head_path(path).unlink()
    index = scan(path)
    with pytest.raises(LedgerError, match=r"ledger\.jsonl:3: .*names its claim twice"):
        index.record(index.claims["other"][0])


def test_a_note_of_the_last_record_that_cannot_be_read_is_refused(path: Path) -> None:
    head_path(path).write_text("nonsense")
    with pytest.raises(LedgerError, match="is not a head note"):
        scan(path)


def test_an_unfinished_last_line_is_no_record(path: Path) -> None:
    before = scan(path).lines
    with path.open("ab") as file:
        file.write(b'{"v":1,"kind":"verd')
    index = scan(path)
    assert index.lines == before
    assert index.containing(b'"kind":"verd') == [line for line in before if line.kind == "verdict"]


def test_records_appended_since_the_scan_are_not_mixed_in(path: Path) -> None:
    index = scan(path)
    append(path, small("claim-9", "", 0.1))
    assert [line.number for line in index.containing(b"claim-")] == [2, 3, 4, 5]
    assert len(list(index.records(index.lines))) == 5


def test_a_ledger_that_is_replaced_meanwhile_is_refused(path: Path) -> None:
    index = scan(path)
    other = path.with_name("other.jsonl")
    append(other, RUN)
    append(other, small("claim-0", "", 0.2))
    assert other.read_bytes().index(b"\n") == path.read_bytes().index(b"\n")
    other.replace(path)
    with pytest.raises(LedgerError, match="replaced while it was read"):
        index.record(index.lines[1])


def test_a_missing_ledger_is_empty(tmp_path: Path) -> None:
    assert scan(tmp_path / "none.jsonl").lines == []


def test_a_ledger_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").mkdir()
    with pytest.raises(LedgerError, match="can't be read"):
        scan(tmp_path / "ledger.jsonl")


def test_the_short_reading_is_the_one_that_is_taken(path: Path, monkeypatch: Any) -> None:
    """Else the index would be as slow as a full reading, and no test would tell."""
    decoded: list[bytes] = []
    full = index_module.decode
    monkeypatch.setattr(index_module, "decode", lambda line: decoded.append(line) or full(line))
    scan(path)
    assert [json.loads(line)["kind"] for line in decoded] == ["amend"]
