"""A third party's experiment kind, cheap enough for tests of everything around it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pytest_mesa.experiments.base import Plan
from pytest_mesa.registry.kinds import Kind
from pytest_mesa.registry.models import Closed, Prediction, SubjectSpec
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.schemes import judged
from pytest_mesa.verdicts.evidence import Evidence, Measurement, Stratum

N = 400


class Fake(Closed):
    """The subject's mean score is told; so is what goes wrong in its cell or its reading."""

    kind: Literal["fake"]
    score: float = 0.0
    control_score: float = 1.0
    fault: Literal["", "raise", "kill", "plan", "read", "empty", "nan", "no-subject", "told"] = ""
    sleep_s: float = 0.0


class FakeStudy:
    """One cell a subject or control."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        spec: Fake = prediction.experiment
        if spec.fault == "plan":
            raise RuntimeError("the plan is bad")
        if spec.fault == "no-subject":
            raise SubjectError("no recipe is called 'nobody'; there are a, b")
        if spec.fault == "empty":
            return Plan((), (), ())
        common: dict[str, Any] = {"sleep_s": spec.sleep_s}
        subjects = tuple(
            _cell(_name(s, released), spec.score, common | {"fault": spec.fault, "seed": seed})
            for s in judged(prediction.subjects, released)
            for seed in range(s.seeds)
        )
        controls = prediction.controls
        return Plan(
            subjects,
            tuple(_cell(_name(s), spec.control_score, common) for s in controls.must_detect),
            tuple(_cell(_name(s), 0.0, common) for s in controls.must_not_detect),
        )

    def read(self, prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        if prediction.experiment.fault == "read":
            raise KeyError("scores")
        return Evidence(
            tuple(_measurement(cell, results[cell]) for cell in plan.subjects),
            tuple(_measurement(cell, results[cell]) for cell in plan.must_detect),
            tuple(_measurement(cell, results[cell]) for cell in plan.must_not_detect),
            {"smallest": [1, 2]},
        )


def measure(params: Mapping[str, Any], inputs: tuple[Result, ...], folder: Path) -> Any:
    """Scores with the given mean, and one line in the log of who was computed."""
    with Path(os.environ["FAKELAB_LOG"]).open("a") as log:
        log.write(params["name"] + "\n")
    time.sleep(params["sleep_s"])
    fault = params.get("fault")
    if fault == "raise":
        raise RuntimeError("the cell is bad")
    if fault == "told":
        raise SubjectError("there is no memory for it: take a smaller one")
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    ones = round(params["mean"] * N)
    # Spread evenly, so that the mean does not drift along the way.
    scores = [float((i * ones) // N != ((i + 1) * ones) // N) for i in range(N)]
    if fault == "nan":
        scores[0] = float("nan")
    return {"scores": scores}


def _cell(name: str, mean: float, params: Mapping[str, Any]) -> Cell:
    return Cell("fake", 1, {"name": name, "mean": mean, **params}, "fakelab:measure", label=name)


def _name(spec: SubjectSpec, released: str | None = None) -> str:
    return spec.recipe or spec.compiled or spec.ref or released or "released"


def _measurement(cell: Cell, result: Result) -> Measurement:
    scores = tuple(result.payload["scores"])
    return Measurement(
        cell.label, (Stratum("all", scores),), competence=(1.0,) * N, weights_sha=cell.key
    )


STUDY = FakeStudy()
FAKE = Kind("fake", Fake, "fakelab:STUDY")
