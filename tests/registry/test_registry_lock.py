"""The lock file: read, written, compared."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_mesa.registry.files import write_atomically
from pytest_mesa.registry.loader import LoadedPrediction, load
from pytest_mesa.registry.lock import (
    LockError,
    LockStatus,
    read_lock,
    status,
    write_lock,
)


@pytest.fixture
def loaded(tmp_path: Path, spec: str) -> LoadedPrediction:
    path = tmp_path / "predictions" / "knapsack-no-dp.yaml"
    path.parent.mkdir()
    path.write_text(spec)
    return load(path)


def other(loaded: LoadedPrediction, old: str, new: str) -> LoadedPrediction:
    path = loaded.path.with_name(f"{new}.yaml".replace(" ", ""))
    path.write_text(loaded.path.read_text().replace(old, new))
    return load(path)


def test_the_file_reads_like_a_diff(tmp_path: Path, loaded: LoadedPrediction) -> None:
    before = other(loaded, "knapsack-no-dp", "a-first")
    write_lock(tmp_path / "mesa.lock", [loaded, before])
    text = (tmp_path / "mesa.lock").read_text()
    assert text == (
        '{\n  "version": 1,\n  "predictions": {\n'
        f'    "a-first": {{\n      "sha": "{before.sha}",\n'
        '      "file": "predictions/a-first.yaml"\n    },\n'
        f'    "knapsack-no-dp": {{\n      "sha": "{loaded.sha}",\n'
        '      "file": "predictions/knapsack-no-dp.yaml"\n    }\n  }\n}\n'
    )
    write_lock(tmp_path / "again.lock", [before, loaded])
    assert (tmp_path / "again.lock").read_text() == text
    assert (tmp_path / "mesa.lock").stat().st_mode & 0o044 == 0o044 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_status(tmp_path: Path, loaded: LoadedPrediction) -> None:
    lock = tmp_path / "mesa.lock"
    assert status(loaded, read_lock(lock)) is LockStatus.UNLOCKED
    write_lock(lock, [loaded])
    assert status(loaded, read_lock(lock)) is LockStatus.LOCKED
    edited = other(loaded, "alpha: 0.05", "alpha: 0.06")
    assert status(edited, read_lock(lock)) is LockStatus.DIFFERS
    assert status(other(loaded, "knapsack-no-dp", "b"), read_lock(lock)) is LockStatus.UNLOCKED


def test_moving_a_file_does_not_unlock_it(tmp_path: Path, loaded: LoadedPrediction) -> None:
    lock = write_lock(tmp_path / "mesa.lock", [loaded])
    moved = load(loaded.path.rename(tmp_path / "moved.yaml"))
    assert status(moved, lock) is LockStatus.LOCKED


def test_entries_are_kept_on_request(tmp_path: Path, loaded: LoadedPrediction) -> None:
    path = tmp_path / "mesa.lock"
    write_lock(path, [loaded])
    second = other(loaded, "knapsack-no-dp", "second")
    kept = write_lock(path, [second], keep=read_lock(path))
    assert list(kept.predictions) == ["knapsack-no-dp", "second"]
    assert read_lock(path) == kept
    assert list(write_lock(path, [second]).predictions) == ["second"]


SHA = "0" * 64


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ('{"version": 1,\n<<<<<<< HEAD\n', ":2:1: the lock is not JSON"),
        ("[]", "expected the keys"),
        ('{"version": 1}', "expected the keys"),
        ('{"version": 2, "predictions": {}}', "version 2"),
        ('{"version": true, "predictions": {}}', "version True"),
        ('{"version": 1, "predictions": {"a": 1}}', "entry 'a' needs"),
        ('{"version": 1, "predictions": {"a": {"sha": "xy", "file": "f"}}}', "entry 'a' needs"),
        (f'{{"version": 1, "predictions": {{"a": {{"sha": "{SHA}"}}}}}}', "entry 'a' needs"),
        ('{"version": 1, "version": 1, "predictions": {}}', "'version' is given twice"),
        ("[" * 200_000, "not usable"),
        ("9" * 5000, "not usable"),
        ("\ud800", "not UTF-8"),
    ],
)
def test_a_malformed_lock_says_what_to_do(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "mesa.lock"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(LockError) as caught:
        read_lock(path)
    assert str(caught.value).startswith(str(path))
    assert why in str(caught.value)
    assert "mesa lock" in str(caught.value) or "install" in str(caught.value)


def test_an_unreadable_lock(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="cannot be read: is a directory"):
        read_lock(tmp_path)


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mesa.lock"
    write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["mesa.lock"]


def test_the_lock_is_json_for_other_tools(tmp_path: Path, loaded: LoadedPrediction) -> None:
    write_lock(tmp_path / "mesa.lock", [loaded])
    data = json.loads((tmp_path / "mesa.lock").read_text())
    assert data["predictions"]["knapsack-no-dp"]["sha"] == loaded.sha
