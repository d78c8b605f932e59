"""Studies run in this process, on nets that need no training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_mesa.experiments.base import Plan
from pytest_mesa.registry.loader import load_text
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.runs.execute import LocalExecutor
from pytest_mesa.runs.store import Store
from pytest_mesa.session import find_study
from pytest_mesa.verdicts.decision import decide
from pytest_mesa.verdicts.evidence import Evidence
from pytest_mesa.verdicts.verdict import Verdict


def prediction(text: str) -> Prediction:
    """A spec's text as the loader reads it."""
    return load_text(text, "spec.yaml").prediction


def results_of(plan: Plan, folder: Path) -> Mapping[Cell, Result]:
    """Every cell's result; a failed one raises."""
    with LocalExecutor(Store(folder), workers=0) as executor:
        outcomes = executor.run(plan.cells)
    for outcome in outcomes.values():
        if not isinstance(outcome, Result):
            raise AssertionError(outcome.root.traceback or outcome.root.message)
    return {cell: outcome for cell, outcome in outcomes.items() if isinstance(outcome, Result)}


def run(spec: Prediction, folder: Path, released: str | None = None) -> tuple[Evidence, Verdict]:
    """A prediction's evidence and verdict."""
    study = find_study(spec.experiment.kind)
    plan = study.plan(spec, released)
    evidence = study.read(spec, plan, results_of(plan, folder))
    return evidence, decide(spec.verdict, spec.competence, evidence)


def means(evidence_part: Any) -> dict[str, float]:
    """The mean of each stratum of a measurement."""
    return {s.name: sum(s.scores) / len(s.scores) for s in evidence_part.strata}
