"""Each mistake in a spec: what is said, where, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from pytest_mesa.registry.errors import SpecErrors

Refusal = Callable[..., SpecErrors]

KIND = "kind: causal-state"
CLAIM = "claim: >-\n  A decoder trained on small knapsacks does not carry the table.\n"

# (text replaced, by what, where the error must point in the new text, message, hint)
CASES = [
    ("title:", "titel:", "titel", "unknown key 'titel'", "did you mean 'title'?"),
    ("alpha:", "alfa:", "alfa", "unknown key 'alfa'", "did you mean 'alpha'?"),
    ("seeds:", "sedes:", "sedes", "unknown key 'sedes'", "did you mean 'seeds'?"),
    ("{below: 0.25}", "{bellow: 0.25}", "bellow", "unknown key 'bellow'", "did you mean 'below'?"),
    ("tags:", "alpha: 0.1\ntags:", "alpha: 0.1", "unknown key 'alpha'", "belongs under 'verdict'"),
    ("tags:", "zzz: 1\ntags:", "zzz", "unknown key 'zzz'", "known keys: prediction, title"),
    ("seeds: 5", 'seeds: "5"', '"5"', "expected an integer, found '5'", "write 5, without quotes"),
    ("seeds: 5", "seeds: 5.0", "5.0", "expected an integer, found 5.0", "write 5"),
    ("seeds: 5", "seeds: yes", "yes", "expected an integer, found 'yes'", None),
    ("seeds: 5", "seeds: true", "true", "expected an integer, found true", None),
    ("seeds: 5", "seeds:", "seeds:", "expected an integer, found nothing", None),
    ("seeds: 5", "seeds: 0", "0", "expected a number >= 1, found 0", None),
    ("seeds: 5", "seeds: 101", "101", "expected a number <= 100, found 101", None),
    ("alpha: 0.05", "alpha: 0.5", "0.5", "expected a number <= 0.2, found 0.5", None),
    ("alpha: 0.05", "alpha: 0", "0", "expected a number > 0, found 0", None),
    ("at_least: 0.9", "at_least: 1", "1", "expected a number < 1, found 1", None),
    ("untrained: true", "untrained: no", "no}", "true or false, found 'no'", "write false"),
    ("metric: accuracy", "metric: acuracy", "acuracy", "expected 'accuracy'", "did you mean 'acc"),
    ("quantifier: every", "quantifier: evry", "evry", "or a mapping, found 'evry'", "'every'?"),
    ("quantifier: every", "quantifier: {fraction: 2}", "2}", "fraction is between 0 and 1", None),
    ("quantifier: every", "quantifier: {}", "{}", "fraction is between 0 and 1", None),
    ("quantifier: every", "quantifier: {fraction: x}", "x}", "expected a number, found 'x'", None),
    ("{compiled: prefix-dp}", "{released: no}", "no}", "expected true, found 'no'", None),
    ("tags: [knapsack]", "tags: knapsack", "knapsack", "expected a list", "write [knapsack]"),
    ("tags: [knapsack]", "tags: [2024]", "2024", "expected text, found 2024", 'quote it: "2024"'),
    ("tags: [knapsack]", "tags: [A b]", "A b", "found 'A b'", "lower case with hyphens"),
    ("tags: [knapsack]", "tags: [a, a]", "a]", "the tag 'a' is given twice", None),
    ("{width: 64}", "{width: null}", "null", "expected text, an integer, a number or true", None),
    ("{width: 64}", "{width: [1]}", "[1]", "or true or false, found a list", None),
    ("items: 5", "items: 13", "13", "expected a number <= 12, found 13", None),
    ("weights: [1, 5]", "weights: [5, 1]", "[5, 1]", "a range is [low, high]", None),
    ("weights: [1, 5]", "weights: [0, 5]", "[0, 5]", "a range is [low, high]", None),
    ("weights: [1, 5]", "weights: [1]", "[1]", "expected at least 2 items, found 1", None),
    ("weights: [1, 5]", "weights: [1, 2, 3]", "[1, 2", "expected at most 2 items, found 3", None),
    ("states: [2, 3]", "states: [2, 6]", "6]", "a stage is one of 1 to 5", None),
    ("states: [2, 3]", "states: [0]", "0]", "a stage is one of 1 to 5", None),
    ("states: [2, 3]", "spike_in: {strengths: [0.5, 0.2]}", "0.2]", "strengths ascend", None),
    ("states: [2, 3]", "spike_in: {strengths: [0.5, 1.5]}", "1.5]", "strengths ascend", None),
    ("states: [2, 3]", "spike_in: {strengths: [0]}", "0]", "strengths ascend", None),
    ("states: [2, 3]", "states: [2, 2]", "2]", "2 is given twice", None),
    ("states: [2, 3]", "states: []", "[]", "expected at least 1 entry, found 0", None),
    ("greedy-ratio, raw", "prefix-dp, raw", "prefix-dp, raw", "is no rival", None),
    ("[{compiled: prefix-dp}]", "[]", "[]", "expected at least 1 entry, found 0", None),
    ("[{compiled: prefix-dp}]", "[{}]", "{}", "exactly one of recipe, compiled", None),
    ("[{compiled: prefix-dp}]", "[{released: true}]", "true}", "is no control", None),
    ("{compiled: prefix-dp}", "{compiled: x, untrained: true}", "true}", "only a recipe", None),
    ("{compiled: prefix-dp}", "{compiled: x, recipe: y}", "{comp", "found recipe, comp", None),
    ("{below: 0.25}", "{below: 0.5}", "{above", "must leave a gap", None),
    ("{below: 0.25}", "{above: 0.7}", "{above: 0.5}", "so refuted must be 'below'", None),
    ("{below: 0.25}", "{below: 0.1, above: 0.2}", "{below", "exactly one of below, above", None),
    ("{below: 0.25}", "\n    below: 0.1\n    above: 0.2", "predicted:", "exactly one of", None),
    ("prediction: knapsack-no-dp", "prediction: No_DP", "No_DP", "found 'No_DP'", "lower case"),
    ("prediction: knapsack-no-dp", "prediction: 12", "12", "expected text", 'quote it: "12"'),
    (KIND, "kind: causal-stat", "causal-stat\n", "unknown experiment kind", "causal-state'?"),
    (KIND, "kind: zzz", "zzz", "unknown experiment kind 'zzz'", "known kinds: agreement"),
    (KIND, "kind: 3", "3", "expected the name of an experiment kind", "known kinds"),
    (f"  {KIND}\n", "", "experiment:", "key 'kind' is missing", "known kinds"),
    ("kind: knapsack,", "kind: knapsak,", "knapsak", "expected 'knapsack'", "'knapsack'?"),
    (CLAIM, "claim: ''\n", "''", "expected text, found none", None),
    (CLAIM, "claim: []\n", "[]", "expected text, found a list", None),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "message", "hint"), CASES)
def test_one_mistake_one_error_at_its_place(
    refusal: Refusal, spec: str, old: str, new: str, at: str, message: str, hint: str | None
) -> None:
    errors = refusal((old, new)).errors
    error = next((error for error in errors if message in error.message), None)
    assert error is not None, [error.message for error in errors]
    shown = f"{error.source_line[error.col - 1 :]}\n"
    assert shown.startswith(at) or not shown.strip(), (shown, at)
    assert hint is None or hint in (error.hint or ""), error.hint
    others = [other.message for other in errors if other is not error]
    assert all("is missing" in other or "exactly one" in other for other in others), others


@pytest.mark.parametrize(
    ("old", "line", "message"),
    [
        ("title: Knapsack solvers do not rediscover dynamic programming\n", 1, "'title'"),
        ("  estimand: interchange-accuracy\n", 19, "'estimand'"),
        ("  algorithm: prefix-dp\n", 12, "'algorithm'"),
        ("competence: {metric: accuracy, at_least: 0.9}\n", 1, "'competence'"),
        (", at_least: 0.9", 11, "'at_least'"),
    ],
)
def test_a_missing_key_is_told_at_its_parent(
    refusal: Refusal, spec: str, old: str, line: int, message: str
) -> None:
    (error,) = refusal((old, "")).errors
    assert error.message == f"the key {message} is missing"
    parent = {1: "prediction", 11: "competence", 12: "experiment", 19: "verdict"}[line]
    assert error.source_line.startswith(f"{parent}:")
    assert error.col == 1


def test_a_spec_without_an_experiment(refusal: Refusal, spec: str) -> None:
    start, end = spec.index("experiment:"), spec.index("controls:")
    (error,) = refusal((spec[start:end], "")).errors
    assert error.message == "the key 'experiment' is missing"
    (error,) = refusal((spec[start:end], "experiment: causal-state\n")).errors
    assert error.message == "expected a mapping with the key 'kind'"


def test_an_axis_that_moves_nothing(
    refusal: Refusal, benchmark_module: Callable[[str], ModuleType]
) -> None:
    text = benchmark_module("yaml_mutants").GENERALISATION
    (error,) = refusal(
        ("{kind: knapsack, items: 8}", "{kind: knapsack, items: 5}"), text=text
    ).errors
    assert error.message == "an axis differs from the task; this one is the same"
    assert error.source_line[error.col - 1 :] == "{kind: knapsack, items: 5}"


def test_all_errors_at_once_in_the_order_of_lines(refusal: Refusal) -> None:
    errors = refusal(
        ("alpha: 0.05", "alpha: 5"),
        ("items: 5", "items: x"),
        ("title:", "titel:"),
        ("causal-state", "causal-state\n  extra: 1"),
    ).errors
    assert [error.message for error in errors] == [
        "the key 'title' is missing",
        "unknown key 'titel'",
        "unknown key 'extra'",
        "expected an integer, found 'x'",
        "expected a number <= 0.2, found 5",
    ]


def test_many_errors_are_cut_and_take_no_time(refusal: Refusal) -> None:
    errors = refusal(("subjects:\n", "subjects:\n" + "  - {seeds: x}\n" * 4000)).errors
    assert len(errors) == 25


def test_long_values_are_clipped(refusal: Refusal) -> None:
    (error,) = refusal(("metric: accuracy", "metric: " + "a" * 20_000)).errors
    assert len(error.message) < 130
    assert all(len(line) < 160 for line in error.render().splitlines())


def test_crlf_keeps_positions(refusal: Refusal, spec: str) -> None:
    (error,) = refusal(text=spec.replace("seeds: 5", "seeds: x").replace("\n", "\r\n")).errors
    assert (error.line, error.col, error.source_line) == (8, 12, "    seeds: x")
