"""Bytes to screened text: encodings, characters, and files that are no files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.loader import collect, load
from pytest_mesa.registry.source import MAX_BYTES, decoded, screened


def only(action: Callable[[], Any]) -> Any:
    with pytest.raises(SpecErrors) as caught:
        action()
    (error,) = caught.value.errors
    return error


@pytest.mark.parametrize(
    ("text", "line", "col", "message"),
    [
        ("a: b\nc\x00", 2, 2, "NUL"),
        ("a: \x1b[31m", 1, 4, "U+001B"),
        ("a: b\rc: d", 1, 5, "carriage return"),
        ("a: b\n日\x85", 2, 2, "U+0085"),
        ("a: b\u2028", 1, 5, "U+2028"),
        ("a: \ud800", 1, 4, "U+D800"),
        ("a: \ufeffb", 1, 4, "U+FEFF"),
        ("%YAML 1.2\n---\na: b", 1, 1, "directives"),
        ("# x\n%TAG ! x\n", 2, 1, "directives"),
    ],
)
def test_screened_out_at_its_place(text: str, line: int, col: int, message: str) -> None:
    error = only(lambda: screened(text, "x.yaml"))
    assert (error.line, error.col) == (line, col)
    assert message in error.message
    assert error.hint


def test_crlf_and_tabs_between_words_are_welcome() -> None:
    assert screened("a: b\r\nc:\td\r\n", "x").lines == ["a: b", "c:\td"]


@pytest.mark.parametrize(
    ("data", "line", "col", "message"),
    [
        (b"\xef\xbb\xbfa: b", 1, 1, "UTF-8 byte-order mark"),
        ("a: b".encode("utf-16"), 1, 1, "UTF-16 byte-order mark"),
        ("a: b\nc: dé".encode("latin-1"), 2, 5, "not UTF-8"),
        ("日本: é\n".encode() + b"\xff", 2, 1, "not UTF-8"),
        (b"x" * (MAX_BYTES + 1), 1, 1, "too large"),
        (bytes(range(256)), 1, 129, "not UTF-8"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, line: int, col: int, message: str) -> None:
    error = only(lambda: decoded(data, "x.yaml"))
    assert message in error.message
    # bytes(range(256)) has a line feed at 10, so its position is on the second line.
    assert (error.line, error.col) == ((2, 118) if data[:2] == b"\x00\x01" else (line, col))


def test_ten_megabytes_are_not_read(tmp_path: Path) -> None:
    big = tmp_path / "big.yaml"
    big.write_bytes(b"a: b\n" * 2_000_000)
    error = only(lambda: load(big))
    assert (
        error.message == "the file is too large: 10,000,000 bytes, where a spec has at most 262,144"
    )


def test_a_pipe_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")

    def opened(*args: object, **kwargs: object) -> None:
        raise OSError(0, "opened: would wait for ever")

    monkeypatch.setattr(Path, "open", opened)
    found = collect([tmp_path])
    assert "not a regular file" in found.errors[0].errors[0].message


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    found = collect([tmp_path])
    assert "leads back to itself" in found.errors[0].errors[0].message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *[("absent.yaml", "no such file"), ("nul\0.yaml", "cannot be read")],
        ("a" * 300 + ".yaml", "file name too long"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, message: str) -> None:
    error = only(lambda: load(tmp_path / name))
    assert message in error.message
    assert error.render().splitlines()[0].count("\0") == 0


def test_a_directory_is_no_spec(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").mkdir()
    assert "found a directory" in only(lambda: load(tmp_path / "x.yaml")).message


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_permission_denied(tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("a: b")
    secret.chmod(0)
    assert "permission denied" in only(lambda: load(secret)).message


def test_a_read_error_has_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tmp_path / "x.yaml"
    spec.write_text("a: b")

    def broken(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", broken)
    assert "permission denied" in only(lambda: load(spec)).message
