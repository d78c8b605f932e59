"""Appending under faults: what was acknowledged is there, whole, and once."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_bodies import verdict

from pytest_mesa.ledger.append import append, read
from pytest_mesa.ledger.errors import LedgerError, RecordError
from pytest_mesa.ledger.tail import head_path
from pytest_mesa.ledger.verify import verify

WRITER = str(Path(__file__).with_name("ledger_bodies.py"))
NOTE = {"kind": "amend", "time": "2026-01-02T03:04:05Z"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "ledger.jsonl"


def note(reason: str, **more: Any) -> dict[str, Any]:
    return NOTE | {"reason": reason} | more


def shas(path: Path) -> list[str]:
    return [record["sha"] for record in read(path)]


def test_records_come_back_in_order_and_chained(path: Path) -> None:
    written = [append(path, verdict(seed=number)) for number in range(5)]
    assert read(path) == written
    assert [record["prev"] for record in written] == ["0" * 64, *shas(path)[:-1]]
    assert next(iter(written[0])) == "v"
    assert list(written[0])[-2:] == ["prev", "sha"]
    assert verify(path) == []


def test_a_missing_ledger_reads_as_empty(path: Path) -> None:
    assert read(path) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (verdict(estimate=float("nan")), "estimate is nan"),
        (verdict(estimate=None), "estimate has the wrong type"),
        (verdict(bounds=[0.1, None]), "bounds must be two numbers"),
        (verdict(bounds=[0.2, 0.1]), "bounds must ascend"),
        (verdict(subjects=[{"bounds": [0.0, float("inf")]}]), r"subjects\[0\]\.bounds\[1\] is inf"),
        (verdict(verdict="maybe"), "verdict must be one of"),
        (verdict(verdict="error"), "an error record needs a reason"),
        (verdict(verdict="error", reason="x"), "an error record holds no estimate"),
        (verdict(locked="perhaps"), "locked must be one of"),
        (verdict(n=True), "n has the wrong type"),
        (verdict(exhibit={"path": Path()}), r"exhibit\.path is a PosixPath"),
        ({"kind": "verdict"}, "a verdict record needs prediction"),
        ({"kind": "note"}, "kind must be run, verdict, amend or forecast"),
        ({}, "kind must be run, verdict, amend or forecast"),
        (verdict(v=2), "schema version 2"),
        (verdict(v=True), "schema version True"),
    ],
)
def test_what_is_no_record_is_refused(path: Path, body: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        append(path, body)
    assert read(path) == []


def test_text_that_utf8_can_not_hold_is_replaced(path: Path) -> None:
    append(path, note("a lone \ud800 surrogate and a line\u2028separator\n\x00"))
    assert read(path)[0]["reason"] == "a lone ? surrogate and a line\u2028separator\n\x00"
    assert verify(path) == []


def tear(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_ledger_cut_anywhere_takes_the_next_record(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Cut inside a line, wherever: whole records stay, the rest is kept aside, all verifies."""
    path = tmp_path_factory.mktemp("cut") / "ledger.jsonl"
    for number in range(3):
        append(path, note(f"½ {number}"))
    whole = path.read_bytes()
    keep = data.draw(st.integers(0, len(whole)).filter(lambda n: n and whole[n - 1] != 10))
    if data.draw(st.booleans(), label="without a head note"):
        head_path(path).unlink()
    tear(path, keep)
    *kept, cut = whole[:keep].split(b"\n")
    last = append(path, note("next"))
    lines = path.read_bytes().split(b"\n")
    if whole[keep : keep + 1] == b"\n":
        kept.append(cut)
        assert not list(path.parent.glob("*.torn-*"))
    else:
        torn = read(path)[-2]["torn"]
        assert path.with_name(torn["file"]).read_bytes() == cut
    assert lines[: len(kept)] == kept
    assert read(path)[-1] == last
    assert verify(path) == []


@pytest.mark.parametrize("garbage", [b"\0" * 300, b'{"v":1,', b"\xff\xfe\n\0\0", b"half\nlines\nx"])
def test_garbage_after_the_last_record_goes_aside(path: Path, garbage: bytes) -> None:
    first = append(path, note("first"))
    with path.open("ab") as file:
        file.write(garbage)
    append(path, note("second"))
    append(path, note("third"))
    assert read(path)[0] == first
    assert [record["reason"] for record in read(path)] == [
        *("first", "a write was cut off", "second", "third")
    ]
    assert path.with_name("ledger.jsonl.torn-1").read_bytes() == garbage
    assert verify(path) == []


def test_each_torn_tail_has_a_file_of_its_own(path: Path) -> None:
    for garbage in (b"one", b"two", b"one"):
        append(path, note("whole"))
        with path.open("ab") as file:
            file.write(garbage)
    append(path, note("last"))
    sides = sorted(side.read_bytes() for side in path.parent.glob("*.torn-*"))
    assert sides == [b"one", b"two"]
    assert verify(path) == []


def test_a_damaged_acknowledged_record_is_never_set_aside(path: Path) -> None:
    append(path, note("first"))
    append(path, note("second"))
    damaged = path.read_bytes().replace(b'"second"', b'"second ')
    path.write_bytes(damaged)
    append(path, note("third"))
    assert path.read_bytes().startswith(damaged)
    assert [problem.line for problem in verify(path)] == [2]
    with pytest.raises(LedgerError, match=r"ledger\.jsonl:2: not a ledger record"):
        read(path)


def test_a_deleted_ledger_starts_anew(path: Path) -> None:
    append(path, note("first"))
    path.unlink()
    append(path, note("second"))
    assert verify(path) == []


def start(path: Path, name: str, size: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, WRITER, str(path), name, str(size)], stdout=subprocess.PIPE, text=True
    )


def kill(writer: subprocess.Popen[str]) -> list[str]:
    """Kill -9, and return the hashes of the records that it had acknowledged."""
    os.kill(writer.pid, signal.SIGKILL)
    output = writer.communicate(timeout=20)[0]
    return [line.split()[2] for line in output.splitlines(keepends=True) if line.endswith("\n")]


def test_eight_writers_killed_at_will_lose_nothing(path: Path) -> None:
    writers = [start(path, f"w{number}", 20_000) for number in range(8)]
    deadline = time.monotonic() + 20
    while (not path.exists() or path.stat().st_size < 3_000_000) and time.monotonic() < deadline:
        time.sleep(0.02)
    acknowledged = [sha for writer in writers for sha in kill(writer)]
    assert len(acknowledged) > 50
    found = shas(path)
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    append(path, note("next"))
    assert verify(path) == []


def test_kill_9_again_and_again_loses_nothing(path: Path) -> None:
    rng = random.Random(1)
    acknowledged: list[str] = []
    for number in range(20):
        writer = start(path, f"k{number}", 20_000)
        assert writer.stdout is not None
        acknowledged.append(writer.stdout.readline().split()[2])
        time.sleep(rng.random() * 0.02)
        acknowledged += kill(writer)
    append(path, note("next"))
    found = shas(path)
    assert set(acknowledged) <= set(found)
    assert len(found) - len(acknowledged) <= 21
    assert verify(path) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_refuses_whole_records_and_keeps_the_rest(disk: Path) -> None:
    path = disk / "ledger.jsonl"
    written = []
    with pytest.raises(LedgerError, match=r"no space left .*nothing was added"):
        for number in range(100):
            written.append(append(path, note("x" * 7000, number=number)))  # noqa: PERF401
    assert len(written) >= 3
    assert read(path) == written
    assert verify(path) == []
    with pytest.raises(LedgerError, match="no space left"):
        append(path, note("x" * 7000))
    subprocess.run(["mount", "-o", "remount,size=128k", str(disk)], check=True)
    written.append(append(path, note("x" * 7000)))
    assert read(path) == written
    assert verify(path) == []


def test_a_full_disk_from_the_start_says_so(disk: Path) -> None:
    with (
        (disk / "filler").open("wb", buffering=0) as filler,
        pytest.raises(OSError, match="No space"),
    ):
        while True:
            filler.write(b"0" * 4096)
    with pytest.raises(LedgerError, match="no space left"):
        append(disk / "ledger.jsonl", note("first"))
    (disk / "filler").unlink()
    append(disk / "ledger.jsonl", note("first"))
    assert verify(disk / "ledger.jsonl") == []


def test_a_read_only_disk_says_so(disk: Path) -> None:
    path = disk / "ledger.jsonl"
    first = append(path, note("first"))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for ledger in (path, disk / "other.jsonl", disk / "folder" / "other.jsonl"):
        with pytest.raises(LedgerError, match=r"can't be written \(Read-only file system\)"):
            append(ledger, note("second"))
    assert read(path) == [first]


def test_a_folder_without_write_permission_says_so(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(LedgerError, match="can't be written"):
        append(tmp_path / "ledger.jsonl", note("first"))


def test_a_folder_in_place_of_the_ledger_says_so(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").mkdir()
    with pytest.raises(LedgerError, match="can't be written"):
        append(tmp_path / "ledger.jsonl", note("first"))


def limited(path: Path, limit: int) -> int:
    """In a child process with a file-size limit, append until refused; the count written."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        os._exit(until_refused(path))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def until_refused(path: Path) -> int:
    """How many records of 1 KB go in before the disk is said to be full."""
    for number in range(100):
        try:
            append(path, note("x" * 900))
        except LedgerError as error:
            return number if "no space left" in str(error) else 254
    return 255


@given(limit=st.integers(2_000, 12_000))
@settings(max_examples=25, deadline=None)
def test_a_write_cut_by_a_limit_is_taken_back(
    limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("limit") / "ledger.jsonl"
    count = limited(path, limit)
    assert 1 <= count <= 12
    assert len(read(path)) == count
    assert path.read_bytes().endswith(b"\n")
    append(path, note("next"))
    assert verify(path) == []
