"""A small run of the fuzzer, and the fuzzer's own eyes."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from pytest_mesa.registry import source


def test_two_thousand_mutants(benchmark_module: Callable[[str], ModuleType]) -> None:
    fuzz = benchmark_module("fuzz_yaml")
    before = fuzz.peak_mb()
    report = fuzz.run_cases(1, range(2000))
    assert report.cases == 2000
    assert report.faults == []
    assert report.slowest_s < fuzz.HANG_S
    assert fuzz.peak_mb() - before < fuzz.RSS_MB
    assert len(report.outcomes) > 30  # the mutants reach many different errors
    assert report.outcomes["loaded"] > 100


def test_the_fuzzer_sees_a_traceback(
    benchmark_module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    fuzz = benchmark_module("fuzz_yaml")

    def broken(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(fuzz, "load_text", broken)
    assert len(fuzz.run_cases(1, range(50)).faults) > 10


def test_the_fuzzer_sees_an_error_outside_the_file(
    benchmark_module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    fuzz = benchmark_module("fuzz_yaml")
    place = source.Source.error

    def beyond(self: source.Source, message: str, line: int, col: int, hint: str | None = None):
        error = place(self, message, line, col, hint)
        return type(error)(message, error.file, error.line + 10_000, error.col)

    monkeypatch.setattr(source.Source, "error", beyond)
    faults = fuzz.run_cases(1, range(50)).faults
    assert faults
    assert all("outside the file" in what for _, what in faults)
