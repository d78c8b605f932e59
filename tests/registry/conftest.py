"""A valid spec to spoil, and the fuzzer's mutants."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from sound_spec import SPEC

from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.loader import load_text


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
