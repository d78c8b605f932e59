"""A valid spec to spoil, and the fuzzer's mutants."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.loader import load_text

SPEC = """\
prediction: knapsack-no-dp
title: Knapsack solvers do not rediscover dynamic programming
claim: >-
  A decoder trained on small knapsacks does not carry the table.
tags: [knapsack]
subjects:
  - recipe: knapsack-decoder
    seeds: 5
    options: {width: 64}
competence: {metric: accuracy, at_least: 0.9}
experiment:
  kind: causal-state
  task: {kind: knapsack, items: 5, weights: [1, 5], values: [1, 5], capacity: [3, 10]}
  algorithm: prefix-dp
  states: [2, 3]
  rivals: [greedy-ratio, raw-items]
controls:
  must_detect: [{compiled: prefix-dp}]
  must_not_detect: [{recipe: knapsack-decoder, untrained: true}]
verdict:
  estimand: interchange-accuracy
  quantifier: every
  predicted: {below: 0.25}
  refuted: {above: 0.5}
  alpha: 0.05
  budget: 4000
"""


@pytest.fixture
def spec() -> str:
    """The text of a valid spec."""
    return SPEC


@pytest.fixture
def refusal() -> Callable[..., SpecErrors]:
    """Load a spoiled spec: each (old, new) pair of texts is replaced first."""

    def load(*changes: tuple[str, str], text: str = SPEC) -> SpecErrors:
        for old, new in changes:
            if text.count(old) != 1:
                raise ValueError(f"{old!r} stands {text.count(old)} times in the spec")
            text = text.replace(old, new)
        with pytest.raises(SpecErrors) as caught:
            load_text(text, "spec.yaml")
        return caught.value

    return load


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a script of ``benchmarks/`` by its name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module
