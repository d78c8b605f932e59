"""Kinds: the built-in ones, those of other packages, and packages that do not work."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mesa.registry import kinds
from pytest_mesa.registry.discovery import KindError, built_in, find_kind, kind_names
from pytest_mesa.registry.kinds import CAUSAL_STATE, KNAPSACK

PACKAGE = """\
from typing import Literal
from pydantic import BaseModel, field_validator
from pytest_mesa.registry.kinds import Kind

class Params(BaseModel):
    kind: Literal["mine"]
    size: int
    sizes: list[int] = []
    names: set[str] = set()

    @field_validator("size")
    @classmethod
    def _odd(cls, value):
        if value == 13:
            raise RuntimeError("bad luck")
        return value

MINE = Kind("mine", Params, "labkit:STUDY")
NOT_A_KIND = 3
"""

CHILD = """
import sys
from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.loader import load_text
try:
    print(type(load_text(sys.stdin.read(), "s.yaml").prediction.experiment).__name__)
except SpecErrors as errors:
    print(errors.render())
print("labkit" in sys.modules)
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to put on the path, with an installed package that offers kinds."""
    (tmp_path / "labkit.py").write_text(PACKAGE)
    (tmp_path / "brokenkit.py").write_text("import a_module_that_is_not_there")
    info = tmp_path / "labkit-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: labkit\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[pytest_mesa.experiments]\n"
        "mine = labkit:MINE\n"
        "broken = brokenkit:KIND\n"
        "odd = labkit:NOT_A_KIND\n"
        "causal-state = labkit:MINE\n"
    )
    return tmp_path


def load_in_child(lab: Path, text: str) -> tuple[str, bool]:
    out = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=text,
        env={"PYTHONPATH": str(lab)},
        capture_output=True,
        text=True,
        check=True,
    )
    *shown, imported = out.stdout.splitlines()
    return "\n".join(shown), imported == "True"


def with_kind(spec: str, experiment: str) -> str:
    start, end = spec.index("experiment:"), spec.index("controls:")
    return f"{spec[:start]}experiment: {experiment}\n{spec[end:]}"


def test_built_in_kinds_are_those_of_the_distribution() -> None:
    for group, ours in (("experiments", kinds.EXPERIMENTS), ("tasks", kinds.TASKS)):
        points = importlib.metadata.distribution("pytest-mesa").entry_points
        named = {p.name: p.load() for p in points if p.group == f"pytest_mesa.{group}"}
        assert named == {kind.name: kind for kind in ours}


def test_every_kind_is_named_as_its_parameters_say() -> None:
    for kind in (*built_in("experiments"), *built_in("tasks")):
        assert kind.params.model_fields["kind"].annotation.__args__ == (kind.name,)  # type: ignore[union-attr]


def test_finding() -> None:
    assert find_kind("causal-state") is CAUSAL_STATE
    assert find_kind("knapsack", "tasks") is KNAPSACK
    with pytest.raises(KindError, match="unknown task kind 'causal-state'"):
        find_kind("causal-state", "tasks")
    assert {"agreement", "causal-state", "generalisation"} <= set(kind_names())


def test_another_packages_kind(lab: Path, spec: str) -> None:
    mine = "{kind: mine, size: 3, sizes: [1, 2], names: [a]}"
    assert load_in_child(lab, with_kind(spec, mine)) == ("Params", True)
    shown, _ = load_in_child(lab, with_kind(spec, "{kind: mine, size: x}"))
    assert shown.startswith("s.yaml:11:32: expected an integer, found 'x'")


def test_it_costs_nothing_to_specs_that_do_not_use_it(lab: Path, spec: str) -> None:
    assert load_in_child(lab, spec) == ("CausalState", False)


def test_a_package_that_does_not_import_fails_its_specs_only(lab: Path, spec: str) -> None:
    shown, _ = load_in_child(lab, with_kind(spec, "{kind: broken}"))
    assert shown.startswith(
        "s.yaml:11:20: the kind 'broken' comes from labkit, which fails to import: "
        "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"
    )
    assert load_in_child(lab, spec)[0] == "CausalState"


def test_an_entry_point_that_is_no_kind(lab: Path, spec: str) -> None:
    shown, _ = load_in_child(lab, with_kind(spec, "{kind: odd}"))
    assert "offers int 'labkit:NOT_A_KIND' where a Kind is expected" in shown


def test_a_check_that_crashes(lab: Path, spec: str) -> None:
    shown, _ = load_in_child(lab, with_kind(spec, "{kind: mine, size: 13}"))
    assert "its check failed with RuntimeError: bad luck" in shown


def test_an_unknown_kind_lists_theirs_too(lab: Path, spec: str) -> None:
    shown, _ = load_in_child(lab, with_kind(spec, "{kind: mien}"))
    assert "did you mean 'mine'? (known kinds: agreement, broken, causal-state," in shown
