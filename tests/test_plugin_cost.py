"""What an installed plugin brings into a run that does not ask for it."""

from __future__ import annotations

import json

import pytest

HEAVY = {"torch", "transformers", "numpy", "pydantic", "rich", "yaml"}

DUMP = """
import json, sys

def test_one():
    with open("modules.json", "w") as out:
        json.dump(sorted(sys.modules), out)
"""


@pytest.fixture
def alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Runs that load this plugin and none of the other installed ones."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(DUMP)
    return pytester


def modules(pytester: pytest.Pytester) -> set[str]:
    return set(json.loads((pytester.path / "modules.json").read_text()))


def test_a_plain_run_imports_the_plugin_and_nothing_behind_it(alone: pytest.Pytester) -> None:
    alone.runpytest_subprocess("-p", "pytest_mesa.plugin").assert_outcomes(passed=1)
    present = modules(alone)
    assert {name for name in present if name.startswith("pytest_mesa")} == {
        "pytest_mesa",
        "pytest_mesa.plugin",
    }
    assert not HEAVY & present


def test_collecting_predictions_needs_neither_torch_nor_numpy(alone: pytest.Pytester) -> None:
    alone.makefile(".yaml", broken="prediction: broken\n")
    result = alone.runpytest_subprocess("-p", "pytest_mesa.plugin", "--mesa-predictions", ".")
    result.assert_outcomes(passed=1, errors=1)
    present = modules(alone)
    assert "pydantic" in present
    assert not {"torch", "transformers"} & present


def test_without_the_switch_yaml_files_are_no_tests(alone: pytest.Pytester) -> None:
    alone.makefile(".yaml", broken="prediction: broken\n")
    alone.runpytest_subprocess("-p", "pytest_mesa.plugin").assert_outcomes(passed=1)
