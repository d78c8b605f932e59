"""Model references: text in, parts out, and a clear word for what is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mesa.subjects import references
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.references import parse, revision_of, short_name, with_options


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder in ("mine", "org/local", "home/mine", "at@v1"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text("{}")
    (tmp_path / "org/empty").mkdir()
    for file in ("a.gguf", "b.pb.gz", "notes.txt"):
        (tmp_path / file).write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "scheme", "rest", "revision"),
    [
        ("org/name", "hf", "org/name", ""),
        ("org/name@v2", "hf", "org/name", "v2"),
        ("org/name@refs/pr/1", "hf", "org/name", "refs/pr/1"),
        ("hf:org/name@v2", "hf", "org/name", "v2"),
        ("hf:gpt2", "hf", "gpt2", ""),
        ("org/empty", "hf", "org/empty", ""),  # a folder without a model is no model
        ("recipe:knapsack-decoder", "recipe", "knapsack-decoder", ""),
        ("bundled:gemma3-270m", "bundled", "gemma3-270m", ""),
        ("zoo:okapi@1", "zoo", "okapi@1", ""),
    ],
)
def test_names(here: Path, text: str, scheme: str, rest: str, revision: str) -> None:
    found = parse(text)
    assert (found.scheme, found.rest, found.revision) == (scheme, rest, revision)
    assert found.path is None


@pytest.mark.parametrize(
    ("text", "scheme", "path"),
    [
        ("mine", "hf", "mine"),
        ("./mine/", "hf", "mine"),
        ("hf:mine", "hf", "mine"),
        ("org/local", "hf", "org/local"),
        ("~/mine", "hf", "home/mine"),
        ("at@v1", "hf", "at@v1"),
        ("a.gguf", "gguf", "a.gguf"),
        ("gguf:./a.gguf", "gguf", "a.gguf"),
        ("b.pb.gz", "lc0", "b.pb.gz"),
        ("lc0:b.pb.gz", "lc0", "b.pb.gz"),
    ],
)
def test_paths(here: Path, text: str, scheme: str, path: str) -> None:
    found = parse(text)
    assert found.scheme == scheme
    assert found.path == here / path
    assert parse(str(here / path)).path == here / path


def test_options(here: Path) -> None:
    found = parse("org/name@v2?dtype=bfloat16&trust-remote-code")
    assert (found.dtype, found.remote_code) == ("bfloat16", True)
    assert (found.rest, found.revision) == ("org/name", "v2")
    assert not parse("org/name").remote_code
    assert with_options("org/name", dtype="float16") == "org/name?dtype=float16"
    both = with_options("org/name?dtype=float32", dtype="float16", remote_code=True)
    assert both == "org/name?dtype=float32&trust-remote-code"
    for other in ("recipe:knapsack-decoder", "zoo:okapi", "lc0:b.pb.gz"):
        assert with_options(other, dtype="float16", remote_code=True) == other


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the reference is empty"),
        ("hf:", "nothing follows 'hf:'"),
        ("smollm2-135m", "did you mean 'bundled:smollm2-135m'"),
        ("bundled:smollm2-13m", "did you mean 'smollm2-135m'"),
        ("bundled:x", "there are smollm2-135m, gemma3-270m, maia-1900"),
        ("./nope", "there is no directory .*nope"),
        ("~nobody-here/x", "cannot load model '~nobody-here/x'"),
        ("C:\\models\\tiny", "there is no directory"),
        ("a.ggu", "no hub id"),
        ("aa.gguf", "there is no file .*; did you mean 'a.gguf'"),
        ("gguf:mine", "is a directory, not a file"),
        ("hf:a.gguf", "is a file, not a directory"),
        ("notes.txt", "a model file ends in .gguf or .pb.gz"),
        ("hf:two words", "neither a directory nor a hub id"),
        ("org/name?dtype=int8", "dtype 'int8' is none of float32"),
        ("org/name?dtype=float32&x=1", "unknown option 'x=1'"),
        ("a\x00b.gguf", "cannot load model"),
    ],
)
def test_what_is_no_model_is_refused(here: Path, text: str, message: str) -> None:
    with pytest.raises(SubjectError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "short", "revision"),
    [
        ("bundled:gemma3-270m", "gemma3-270m", ""),
        ("org/name", "name", ""),
        ("hf:org/name@v2", "name@v2", "v2"),
        ("org/name@refs/pr/1", "name@refs-pr-1", "refs/pr/1"),
        ("org/name@v2?dtype=float16", "name@v2", "v2"),
        ("/models/tiny/", "tiny", ""),
        ("~/me@home/tiny.gguf", "tiny", ""),
        ("C:\\models\\tiny.gguf", "tiny", ""),
        ("lc0:nets/maia.pb.gz", "maia", ""),
        ("hf:", "hf", ""),
    ],
)
def test_short_names(text: str, short: str, revision: str) -> None:
    assert short_name(text) == short
    assert revision_of(text) == revision


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_a_subject_error(text: str) -> None:
    try:
        found = parse(text)
    except SubjectError as error:
        assert str(error)
    else:
        assert found.short
        assert found.scheme
        assert found.rest


def test_the_schemes_of_other_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("zoo", "zoo.nets:SCHEME", "pytest_mesa.subjects")
    monkeypatch.setattr(references, "entry_points", lambda group: [point])
    with pytest.raises(SubjectError, match=r"scripted, bundled, .*, zoo;"):
        parse("nothing-like-it")
