"""Verification: every single mutation of a ledger is found."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_bodies import error, verdict

from pytest_mesa.ledger.append import append
from pytest_mesa.ledger.records import encode, seal
from pytest_mesa.ledger.tail import head_path
from pytest_mesa.ledger.verify import verify

SHORT = {"kind": "amend", "time": "2026-01-02T03:04:05Z"}


def build(folder: Path, count: int = 6) -> tuple[Path, list[bytes]]:
    """A small sound ledger with non-ASCII text, floats and all kinds; and its lines."""
    path = folder / "ledger.jsonl"
    for number in range(count):
        append(path, SHORT | {"reason": f"reason ½ {number}", "size": 1e-7 * number, "big": 1e22})
    append(path, verdict())
    append(path, error())
    return path, path.read_bytes().splitlines(keepends=True)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    return build(tmp_path_factory.mktemp("sound"))


def whats(path: Path) -> set[str]:
    return {problem.what for problem in verify(path)}


def mutate(sound: tuple[Path, list[bytes]], lines: list[bytes]) -> Path:
    """A mutated copy, beside the head note of the sound ledger."""
    path = sound[0]
    path.write_bytes(b"".join(lines))
    return path


def test_a_sound_ledger_has_no_problem(sound: tuple[Path, list[bytes]]) -> None:
    assert verify(mutate(sound, sound[1])) == []


def test_a_flipped_bit_in_any_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for number in range(3):
        append(path, SHORT | {"reason": f"½ {number}", "size": 1e-7 * (number + 1)})
    whole = path.read_bytes()
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << random.Random(position).randrange(8)
        path.write_bytes(data)
        assert verify(path), (position, bytes(data))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_byte_set_to_any_other_is_found(
    sound: tuple[Path, list[bytes]], data: st.DataObject
) -> None:
    whole = bytearray(b"".join(sound[1]))
    position = data.draw(st.integers(0, len(whole) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != whole[position]))
    whole[position] = value
    assert verify(mutate(sound, [bytes(whole)]))


@pytest.mark.parametrize("where", range(8))
def test_a_deleted_line_is_found_even_the_last(sound: tuple[Path, list[bytes]], where: int) -> None:
    lines = sound[1]
    assert len(lines) == 8
    assert verify(mutate(sound, lines[:where] + lines[where + 1 :]))


@pytest.mark.parametrize("keep", range(8))
def test_a_cut_off_end_is_found(sound: tuple[Path, list[bytes]], keep: int) -> None:
    assert "end" in whats(mutate(sound, sound[1][:keep]))


@pytest.mark.parametrize("first", range(8))
@pytest.mark.parametrize("second", range(8))
def test_two_swapped_lines_are_found(
    sound: tuple[Path, list[bytes]], first: int, second: int
) -> None:
    lines = list(sound[1])
    lines[first], lines[second] = lines[second], lines[first]
    assert bool(verify(mutate(sound, lines))) == (first != second)


@pytest.mark.parametrize("source", range(8))
@pytest.mark.parametrize("target", range(9))
def test_a_repeated_line_is_found_wherever_it_goes(
    sound: tuple[Path, list[bytes]], source: int, target: int
) -> None:
    lines = list(sound[1])
    lines.insert(target, sound[1][source])
    assert verify(mutate(sound, lines))


@pytest.mark.parametrize("target", range(9))
@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"null\n", b"\xff\n", b'{"v":1}\n', b" \n"])
def test_an_inserted_line_is_found(
    sound: tuple[Path, list[bytes]], target: int, line: bytes
) -> None:
    lines = list(sound[1])
    lines.insert(target, line)
    found = verify(mutate(sound, lines))
    assert target + 1 in {problem.line for problem in found}


def test_a_forged_record_breaks_the_chain_after_it(sound: tuple[Path, list[bytes]]) -> None:
    """A changed record with a fresh hash of its own is still found, at the next line."""
    lines = list(sound[1])
    first = encode(seal(SHORT | {"reason": "forged"}, "0" * 64))
    lines[0] = first
    found = verify(mutate(sound, lines))
    assert [problem.line for problem in found if problem.what == "chain"] == [2]


@pytest.mark.parametrize("missing", [1, 5, 40])
def test_a_torn_tail_is_told(sound: tuple[Path, list[bytes]], missing: int) -> None:
    whole = b"".join(sound[1])
    found = verify(mutate(sound, [whole[:-missing]]))
    assert [(problem.what, problem.line) for problem in found] == [("torn-tail", 8)]


def test_another_schema_version_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    append(path, SHORT | {"reason": "x"})
    path.write_bytes(path.read_bytes().replace(b'{"v":1', b'{"v":2'))
    assert "version" in whats(path)


def test_a_line_of_brackets_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"[" * 200_000 + b"\n" + b'{"v":1,"a":' * 50_000 + b"\n")
    assert [problem.what for problem in verify(path)] == ["not-json", "not-json"]


def test_a_ledger_copied_without_its_head_note_verifies(tmp_path: Path) -> None:
    path, _ = build(tmp_path)
    head_path(path).unlink()
    assert verify(path) == []


def test_a_missing_ledger_is_told(tmp_path: Path) -> None:
    assert whats(tmp_path / "none.jsonl") == {"unreadable"}


def test_removal_stays_visible_after_the_next_append(tmp_path: Path) -> None:
    path, lines = build(tmp_path)
    path.write_bytes(b"".join(lines[:-1]))
    append(path, verdict(seed=9))
    append(path, verdict(seed=10))
    assert "chain" in whats(path)


def test_a_long_ledger_verifies_and_appends_fast(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    prev, lines = "0" * 64, []
    body = verdict()
    for number in range(5_000):
        record = seal(body | {"seed": number}, prev)
        prev = record["sha"]
        lines.append(encode(record))
    path.write_bytes(b"".join(lines))
    began = time.process_time()
    assert verify(path) == []
    assert time.process_time() - began < 6
    began = time.process_time()
    append(path, verdict())
    assert time.process_time() - began < 0.5
    where = random.Random(0).randrange(5_000)
    path.write_bytes(b"".join(lines[:where] + lines[where + 1 :]))
    head_path(path).unlink()
    assert [problem.line for problem in verify(path)] == [where + 1]
