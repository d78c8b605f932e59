"""YAML text to values with positions, within bounds, by either parser."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.nodes import MAX_DEPTH, MAX_NODES, Node, parse
from pytest_mesa.registry.source import Source, screened

TEXT = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=("Cc", "Cs", "Zl", "Zp"),
        exclude_characters="\ufeff\ufffe\uffff",
    ),
    max_size=20,
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]


def read(text: str, loader: Any = None) -> tuple[Any, Node]:
    return parse(screened(text, "x.yaml"), loader)


def refused(text: str, loader: Any = None) -> Any:
    with pytest.raises(SpecErrors) as caught:
        read(text, loader)
    (error,) = caught.value.errors
    return error


def attempt(text: str, loader: Any) -> Any:
    try:
        return read(text, loader)
    except SpecErrors as errors:
        return [(error.message, error.line, error.col) for error in errors.errors]


def patience(loader: Any) -> float:
    """CPU seconds: the bar for the parser in use, and a looser one for its fallback."""
    return 3.0 if loader is yaml.SafeLoader else 1.0


def tupled(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(tupled, value))
    return {k: tupled(v) for k, v in value.items()} if isinstance(value, dict) else value


@settings(deadline=None)
@given(TREES)
def test_values_come_back(tree: Any) -> None:
    text = json.dumps(tree, ensure_ascii=False, indent=1)
    assert read(text)[0] == tupled(tree)


def keyed(tree: Any, node: Node) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, child in node.children.items():
        if isinstance(tree, dict):
            yield str(name), child.name
        yield from keyed(tree[name], child)


@settings(deadline=None)
@given(TREES, st.sampled_from([None, 0, 3]))
def test_every_key_stands_where_its_node_says(tree: Any, indent: int | None) -> None:
    text = json.dumps(tree, ensure_ascii=False, indent=indent)
    lines = text.splitlines()
    for name, (line, col) in keyed(tree, read(text)[1]):
        assert lines[line - 1][col - 1 :].startswith(f"{json.dumps(name, ensure_ascii=False)}:")


def test_positions_count_from_one_and_in_characters() -> None:
    _, root = read("# head\n日本: {é: 1, b: [x, yy]}\nc:\n  - d: 1\n")
    inner = root.children["日本"]
    assert (inner.key, inner.line, inner.col) == ((2, 1), 2, 5)
    assert (inner.children["é"].key, inner.children["é"].col) == ((2, 6), 9)
    assert inner.children["b"].children[1].col == 19
    assert root.children["c"].children[0].children["d"].name == (4, 5)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    ("text", "line", "col", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "the key 'a' is already given on line 1"),
        ("a: {b: 1, b: 2}", 1, 11, "the key 'b' is already given on line 1"),
        ("a: 1\nb: *x\n", 2, 4, "aliases"),
        ("a: &x 1\n", 1, 4, "anchors"),
        ("a: &x [1]\n", 1, 4, "anchors"),
        ("<<: {a: 1}\n", 1, 1, "merge keys"),
        ("a: !!python/object:os.system x\n", 1, 4, "tags"),
        ("a: !mine {b: 1}\n", 1, 4, "tags"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
        ("? [a]\n: 1\n", 1, 3, "a key must be a plain word"),
        ("1: 2\n", 1, 1, "a key must be text, found 1"),
        ("true: 2\n", 1, 1, "a key must be text, found true"),
        ("~: 2\n", 1, 1, "a key is missing before ':'"),
        ("a: .nan\n", 1, 4, "NaN"),
        ("a: [1, 1e999]\n", 1, 8, "too large"),
        (f"a: {'9' * 5000}\n", 1, 4, "64 bits"),
        ('a: "\\e[31m"\n', 1, 4, "U+001B"),
        ("", 1, 1, "the file is empty"),
        ("# only a comment\n", 1, 1, "the file is empty"),
        ("a: b\n\tc: d\n", 2, 1, "a tab cannot indent YAML"),
        ("a: @b\n", 1, 4, "text cannot begin with @"),
        ("a: 'b\nc: d\n", 1, 4, "this quote is never closed"),
        ("a: b: c\n", 1, 5, "':' is out of place"),
    ],
)
def test_refused_at_its_place(loader: Any, text: str, line: int, col: int, message: str) -> None:
    error = refused(text, loader)
    assert (error.line, error.col) == (line, col)
    assert message in error.message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:b\nc: d\n", "line 1 needs a space after its ':'"),
        ("a: [1, 2\nb: 3\n", "the '[' on line 1 is not closed"),
        ("a: {b: 1\nc: 3\n", "the '{' on line 1 is not closed"),
        ("a: b: c\n", "quote text that has ': ' in it"),
        ("a: b\n\tc: d\n", "indent with spaces"),
    ],
)
def test_usual_slips_come_with_their_remedy(text: str, hint: str) -> None:
    assert hint in (refused(text).hint or "")


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "text",
    [
        *("[" * 130_000, "{a: " * 60_000, "- " * 130_000, "? " * 130_000, "[a, " * 60_000),
        *("[\n" * 130_000, "[{a: " * 50_000 + "}]" * 100, "- ? " * 60_000, "a: [" * 60_000),
        "\n".join(" " * i + "a:" for i in range(700)),
        "\n".join(" " * i + "-" for i in range(700)),
    ],
)
def test_deep_nesting_is_refused_at_once(loader: Any, text: str) -> None:
    began = time.process_time()
    error = refused(text, loader)
    assert time.process_time() - began < patience(loader)
    assert error.message


def test_depth_has_one_bound() -> None:
    value, _ = read("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        (value,) = value
    assert value == ()
    error = refused("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    assert error.message == f"nested more than {MAX_DEPTH} levels deep"
    assert error.col == MAX_DEPTH + 1


def test_number_of_values_has_a_bound() -> None:
    assert len(read("- 1\n" * (MAX_NODES - 1))[0]) == MAX_NODES - 1
    assert "more than 10,000 values" in refused("- 1\n" * MAX_NODES).message


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "text",
    [
        *(
            "a: *b\n" * 20_000,
            "&a " * 80_000,
            "*a " * 80_000,
            "!a " * 80_000,
            "%TAG !a! x\n" * 20_000,
        ),
        *("'" * 200_000, '"' * 200_000, ": " * 100_000, "? a\n" * 60_000, "#" * 250_000),
        *("}" * 200_000, "a: |\n" + "\n" * 200_000, "a" * 250_000 + ": 1", "? " + "k" * 250_000),
        *("{" + "a: 1, " * 9_000, "\n".join(f"k{i}: 1" for i in range(9000)), "---\n" * 60_000),
        "".join(f"%TAG !{i}! x\n" for i in range(18_000)) + "--- a",
    ],
)
def test_repetition_takes_no_time(loader: Any, text: str) -> None:
    began = time.process_time()
    try:
        read(text, loader)
    except SpecErrors as errors:
        assert errors.errors[0].line >= 1
    assert time.process_time() - began < patience(loader)


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="one parser only")
def test_both_parsers_agree(benchmark_module: Callable[[str], ModuleType]) -> None:
    mutants = benchmark_module("yaml_mutants")
    for number in range(200):
        text = mutants.structured(random.Random(number))
        assert attempt(text, yaml.SafeLoader) == attempt(text, yaml.CSafeLoader), number


def test_fallback_where_libyaml_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert read("a: [1, x]")[0] == {"a": (1, "x")}


def test_pure_parser_meets_an_impossible_escape() -> None:
    error = refused('a: "\\UFFFFFFFF"', yaml.SafeLoader)
    assert "no Unicode character" in error.message


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_a_value_or_a_placed_error(text: str) -> None:
    lines = text.replace("\r\n", "\n").split("\n")
    try:
        read(text)
    except SpecErrors as errors:
        for error in errors.errors:
            assert 1 <= error.line <= len(lines)
            assert 1 <= error.col <= len(lines[error.line - 1]) + 1
            assert error.render().startswith(f"x.yaml:{error.line}:{error.col}: ")


def test_source_moves_positions_into_the_text() -> None:
    source = Source("x", "ab\n")
    assert (source.error("m", 9, 9).line, source.error("m", 9, 9).col) == (1, 3)
    assert (source.error("m", 0, 0).line, source.error("m", 0, 0).col) == (1, 1)
    assert source.error("m", 1, 9).col == 3
