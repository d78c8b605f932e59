"""What the README shows a newcomer is what the package does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_mesa.cli import main
from pytest_mesa.registry.loader import load_text
from pytest_mesa.session import find_study

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_spec_loads_and_plans() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    loaded = load_text(example, "README.md")
    plan = find_study(loaded.prediction.experiment.kind).plan(loaded.prediction)
    assert len(plan.subjects) == 3
    assert plan.must_detect
    assert plan.must_not_detect


def test_ci_and_readme_call_the_same_test_command() -> None:
    assert "make test" in README
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"^mesa (\w+)", README, re.MULTILINE)) | {"verify", "results"})
)
def test_commands_that_the_readme_names_exist(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert command in capsys.readouterr().out


def test_the_checked_in_results_are_what_the_ledger_renders_to() -> None:
    assert main(["verify", str(ROOT / "ledger.jsonl")]) == 0
