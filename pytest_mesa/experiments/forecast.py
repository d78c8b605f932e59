"""Does a release land where the releases before it let one expect?

Each watched claim is a stratum. Its own experiment is run on the release, so that the cells are
those of the claim's own verdict, and the estimate is held against the prediction interval that
the ledger's earlier releases give (`pytest_mesa.verdicts.forecast`). The estimand
``forecast-distance`` is 1 at either end of the interval. Alpha is split over the claims, and
spent over the sequence of releases.

A release that lies outside refutes. One that lies inside upholds without any e-value: nothing
bounds the chance that another course would have passed there too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pytest_mesa.experiments.base import LookBack, Plan, Watched
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.schemes import handles
from pytest_mesa.verdicts.bounds import edge
from pytest_mesa.verdicts.decision import decide
from pytest_mesa.verdicts.evidence import Evidence, Interval, Measurement
from pytest_mesa.verdicts.forecast import FARTHEST, LEAST, Scale, next_of
from pytest_mesa.verdicts.reasons import Reason
from pytest_mesa.verdicts.verdict import Verdict

ESTIMAND = "forecast-distance"
_FAULTY = (Reason.CONTROL_MISSED, Reason.CONTROL_FALSE_ALARM)


@dataclass(frozen=True)
class ForecastStudy:
    """The kind ``forecast``. ``past`` knows the watched claims and their earlier releases."""

    past: LookBack | None = None
    released: str | None = None

    def looking_back(self, past: LookBack, released: str) -> ForecastStudy:
        """The same study, with the ledger's past at hand, for one released model."""
        return ForecastStudy(past, released)

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """The watched claims' own cells on the release, and planted sequences.

        Raises:
            SubjectError: a subject that is no released model, a control that is no planted
                sequence, or a watched claim that can't be run on the release.
        """
        _check(prediction)
        cells: dict[Cell, None] = {}
        if released is not None:
            for name in prediction.experiment.watch:
                cells.update(dict.fromkeys(self._plan_of(name, released)[1].cells))
        return Plan(
            tuple(cells),
            _controls(prediction, "must_detect"),
            _controls(prediction, "must_not_detect"),
        )

    def read(self, prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """The release's distance on each watched claim, and those of planted sequences."""
        alpha = prediction.verdict.alpha
        subject, remark = self._released(prediction, results)
        return Evidence(
            (subject,),
            tuple(_planted(cell, results[cell], alpha) for cell in plan.must_detect),
            tuple(_planted(cell, results[cell], alpha) for cell in plan.must_not_detect),
            remark=remark,
        )

    def _plan_of(self, name: str, released: str) -> tuple[Watched, Plan]:
        if self.past is None:
            raise SubjectError("a forecast looks back on a ledger, and none is at hand here")
        watched = self.past(name)
        if not any(subject.released for subject in watched.prediction.subjects):
            raise SubjectError(
                f"experiment.watch: {name} has no slot for a released model, so releases have "
                "no course on it",
                at=("experiment", "watch", name),
            )
        return watched, watched.study.plan(watched.prediction, released)

    def _released(
        self, prediction: Prediction, results: Mapping[Cell, Result]
    ) -> tuple[Measurement, str]:
        """The release against its forecasts, and what to say about them."""
        released, share = (
            str(self.released),
            prediction.verdict.alpha / len(prediction.experiment.watch),
        )
        looked_at: list[_Look] = []
        looks: list[Measurement] = []
        for name, scale in prediction.experiment.watch.items():
            watched, plan = self._plan_of(name, released)
            evidence = watched.study.read(watched.prediction, plan, results)
            verdict = decide(watched.prediction.verdict, watched.prediction.competence, evidence)
            looked = _look(name, watched, verdict, Scale(scale.low, scale.high), share)
            looked_at.append(looked)
            looks += evidence.subjects
        weakest = min(looks, key=lambda look: fmean(look.competence or (0.0,)))
        measurement = Measurement(
            label=released,
            strata=tuple(one.distance for one in looked_at),
            combine="greatest",
            competence=weakest.competence,
            unskilled=weakest.unskilled,
            budget=1,
            detection_limit=_widest([one.width for one in looked_at]),
            withheld=_withheld(prediction, looked_at),
            weights_sha=looks[0].weights_sha,
            detail={"forecast": {one.distance.name: one.detail for one in looked_at}}
            | _model(looks[0]),
        )
        return measurement, " ".join(one.remark for one in looked_at)


STUDY = ForecastStudy()


@dataclass(frozen=True, slots=True)
class _Look:
    """One watched claim's estimate against its forecast."""

    distance: Interval
    detail: dict[str, Any]
    remark: str
    withheld: Reason | None = None
    width: float | None = None


def _look(name: str, watched: Watched, verdict: Verdict, scale: Scale, share: float) -> _Look:
    """Hold an estimate against the forecast; what can't be forecast may lie anywhere."""
    values = [release.estimate for release in watched.earlier]
    detail: dict[str, Any] = {"earlier": [[r.name, r.estimate] for r in watched.earlier]}
    anywhere = Interval(name, 0.0, 0.0, FARTHEST, share, len(values))
    if verdict.reason in _FAULTY or verdict.estimate is None:
        said = f"{name} was not measured: {verdict.message}"
        return _Look(anywhere, detail, said, Reason.CLAIM_UNMEASURED)
    detail["estimate"] = verdict.estimate
    if (missing := LEAST - len(values)) > 0:
        said = (
            f"{name}: {len(values)} of the {LEAST} releases that a forecast takes are in the "
            f"ledger, {missing} are missing."
        )
        return _Look(anywhere, detail, said, Reason.TOO_FEW_RELEASES)
    made = next_of(values, scale, share)
    distance = made.distance(verdict.estimate)
    stated = f"line {watched.stated}" if watched.stated else "not stated before"
    detail |= {
        "interval": [made.lower, made.upper],
        "level": made.level,
        "distance": distance,
        "width": made.width,
        "stated": watched.stated,
    }
    said = (
        f"{'ALARM: ' if distance > 1 else ''}{name} reads {verdict.estimate:.3f}, "
        f"{distance:.2f} of the way from the forecast's centre to its end; forecast "
        f"{made.lower:.3f} to {made.upper:.3f} from {made.earlier} releases ({stated})."
    )
    return _Look(
        Interval(name, distance, distance, distance, made.level, len(values), refutes_only=True),
        detail,
        said,
        width=made.width,
    )


def _withheld(prediction: Prediction, looked_at: list[_Look]) -> Reason | None:
    """What keeps a release without an alarm from upholding; an alarm stands by itself."""
    if any(one.distance.lower > edge(prediction.verdict.refuted) for one in looked_at):
        return None
    reasons = {one.withheld for one in looked_at}
    if any((one.width or 0.0) > prediction.experiment.leap for one in looked_at):
        reasons.add(Reason.FORECAST_TOO_WIDE)
    return next((reason for reason in Reason if reason in reasons), None)


def _widest(widths: list[float | None]) -> float | None:
    """The widest interval; None where one is not known."""
    known = [width for width in widths if width is not None]
    return max(known) if len(known) == len(widths) else None


def _model(measurement: Measurement) -> dict[str, Any]:
    return {"model": measurement.detail["model"]} if "model" in measurement.detail else {}


def _check(prediction: Prediction) -> None:
    rule = prediction.verdict
    if rule.estimand != ESTIMAND:
        raise SubjectError(
            f"verdict.estimand: a forecast measures '{ESTIMAND}', not '{rule.estimand}'",
            at=("verdict", "estimand"),
        )
    if rule.predicted.below is None or rule.predicted.below > 1:
        raise SubjectError(
            "verdict.predicted: a forecast predicts a distance below 1, the interval's end",
            at=("verdict", "predicted"),
        )
    if any(not subject.released for subject in prediction.subjects):
        raise SubjectError(
            "a forecast is of released models: give subjects as {released: true}",
            at=("subjects",),
        )


def _controls(prediction: Prediction, role: str) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for index, spec in enumerate(getattr(prediction.controls, role)):
        for handle in handles(spec):
            if handle.params["scheme"] != "sequence":
                raise SubjectError(
                    f"{handle.label} is no planted sequence of releases; write "
                    "{ref: 'sequence:planted-jump'}",
                    at=("controls", role, index),
                )
            cells.append(_sequence(prediction, handle))
    return tuple(cells)


def _sequence(prediction: Prediction, handle: Handle) -> Cell:
    params = {
        "planted": handle.params["planted"],
        "seed": [prediction.seed, handle.params["seed"]],
        "alpha": prediction.verdict.alpha,
    }
    impl = "pytest_mesa.experiments.forecast_cells:sequence"
    return Cell("planted-sequence", 1, params, impl, label=handle.label)


def _planted(cell: Cell, result: Result, alpha: float) -> Measurement:
    found = result.payload
    distance = found["distance"]
    n = len(found["values"])
    return Measurement(
        label=cell.label,
        strata=(Interval("sequence", distance, distance, distance, alpha, n, refutes_only=True),),
        detail={"values": found["values"], "distances": found["distances"]},
    )
