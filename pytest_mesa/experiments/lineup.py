"""What all kinds share: the line-up's cells, and measurements put together from their parts.

A part is a cell that looks at one aspect of one subject and returns some of the fields of a
measurement (`PART`). A measurement cell merges the parts of one subject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_mesa.experiments.base import Plan
from pytest_mesa.registry.models import Prediction, SubjectSpec
from pytest_mesa.runs.cells import Cell, Json, Result
from pytest_mesa.subjects.errors import SubjectError, UnsuitedError
from pytest_mesa.subjects.handles import Handle, Reads
from pytest_mesa.subjects.schemes import handles, judged, reads_text, scheme
from pytest_mesa.verdicts.evidence import Evidence, Measurement, Stratum

PART = (
    *("strata", "rivals", "budget", "competence", "unskilled"),
    *("detection_limit", "weights_sha", "detail"),
)
_READ = {
    "tokens": "the task's own tokens",
    "text": "text",
    "listing": "listed chess boards",
    "board": "boards",
    "ladder": "ladders of many nets",
}
Parts = Callable[[Handle], tuple[Cell, ...]]  # the part cells of one subject


def part_cell(
    kind: str,
    version: int,
    handle: Handle,
    params: Mapping[str, Json],
    impl: str,
    label: str,
    more: tuple[Cell, ...] = (),
) -> Cell:
    """A cell that looks at one subject; its parameters name the subject under ``subject``.

    ``more`` are inputs beside the subject's own, which come first.
    """
    return Cell(
        kind=kind,
        version=version,
        params={"subject": handle.params, **params},
        impl=impl,
        inputs=(*handle.inputs, *more),
        label=f"{label} · {handle.label}",
    )


def competence_cell(prediction: Prediction, handle: Handle) -> Cell:
    """The subject's score on fresh instances of the experiment's task."""
    return part_cell(
        "competence",
        1,
        handle,
        {
            "task": prediction.experiment.task.model_dump(mode="json"),
            "count": prediction.competence.budget,
            "seed": prediction.seed,
        },
        "pytest_mesa.experiments.competence:measure",
        "competence",
    )


def measurement_cell(handle: Handle, parts: tuple[Cell, ...], combine: str) -> Cell:
    """The subject's parts, merged."""
    return Cell(
        kind="measurement",
        version=1,
        params={"label": handle.label, "combine": combine},
        impl="pytest_mesa.experiments.lineup:merge",
        inputs=parts,
        label=f"gather · {handle.label}",
    )


def merge(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> dict[str, Any]:
    """Put the parts of one subject together: lists joined, details united."""
    merged: dict[str, Any] = {"strata": [], "rivals": [], "competence": [], "detail": {}}
    for part in (result.payload for result in inputs):
        for name in ("strata", "rivals", "competence"):
            merged[name].extend(part.get(name, []))
        merged["detail"].update(part.get("detail", {}))
        for name in ("budget", "detection_limit", "unskilled", "weights_sha"):
            if part.get(name) is not None:
                merged[name] = part[name]
    return {"label": params["label"], "combine": params["combine"], **merged}


def stratum(name: str, scores: Any, low: float = 0.0, high: float = 1.0) -> dict[str, Any]:
    """A stratum as a cell returns it; ``scores`` is any one-dimensional array."""
    return {"name": name, "scores": [float(s) for s in scores], "low": low, "high": high}


def _strata(rows: list[dict[str, Any]]) -> tuple[Stratum, ...]:
    return tuple(
        Stratum(row["name"], tuple(row["scores"]), row["low"], row["high"]) for row in rows
    )


def measurement(payload: Mapping[str, Any]) -> Measurement:
    """A measurement cell's payload as evidence."""
    return Measurement(
        label=payload["label"],
        strata=_strata(payload["strata"]),
        combine=payload["combine"],
        competence=tuple(payload["competence"]),
        unskilled=payload.get("unskilled"),
        budget=payload.get("budget"),
        rivals=_strata(payload["rivals"]),
        detection_limit=payload.get("detection_limit"),
        weights_sha=payload.get("weights_sha", ""),
        detail=payload["detail"],
    )


def plan_lineup(
    prediction: Prediction,
    released: str | None,
    subject_parts: Parts,
    control_parts: Parts,
    combine: str,
    exhibits: Callable[[Handle], tuple[Cell, ...]] = lambda _handle: (),
    *,
    asked_in: tuple[Reads, ...] = ("tokens",),
    own_controls: bool = True,
) -> Plan:
    """Lay out a measurement for every subject and control, and exhibits of the first subject.

    ``asked_in`` says what the kind can ask its subjects in. Controls that read text are for
    line-ups that do, which in turn need one in either role, unless ``own_controls`` is false:
    then what is known of the others holds for the instrument however a subject is asked.

    Raises:
        SubjectError: a subject or control that does not exist, or that reads what the kind
            does not write; a line-up asked in words without controls that are.
        UnsuitedError: a released model reads what the kind does not write.
    """
    chosen = judged(prediction.subjects, released)
    subjects = _handles(prediction.subjects, released, ("subjects",), chosen)
    detect, detect_not = (
        _handles(getattr(prediction.controls, role), released, ("controls", role))
        for role in ("must_detect", "must_not_detect")
    )
    in_words = any(map(reads_text, subjects))
    slots = released is not None and any(spec.released for spec in chosen)
    _check_readers(prediction, subjects, asked_in, UnsuitedError if slots else SubjectError)
    _check_readers(prediction, (*detect, *detect_not), asked_in)
    if in_words and own_controls:
        _check_controls({"must_detect": detect, "must_not_detect": detect_not})

    def cells(asked: list[Handle], parts: Parts) -> tuple[Cell, ...]:
        return tuple(measurement_cell(handle, parts(handle), combine) for handle in asked)

    def controls_of(asked: list[Handle]) -> tuple[Cell, ...]:
        return cells([h for h in asked if in_words or not reads_text(h)], control_parts)

    return Plan(
        subjects=cells(subjects, subject_parts),
        must_detect=controls_of(detect),
        must_not_detect=controls_of(detect_not),
        exhibits=exhibits(subjects[0]) if subjects else (),
    )


def _handles(
    specs: tuple[SubjectSpec, ...],
    released: str | None,
    where: tuple[str, ...],
    chosen: tuple[SubjectSpec, ...] | None = None,
) -> list[Handle]:
    """The subjects of the chosen lines (of all); errors say where in the spec a line stands."""
    found: list[Handle] = []
    for index, spec in enumerate(specs):
        if chosen is not None and spec not in chosen:
            continue
        try:
            found += handles(spec, released)
        except SubjectError as error:
            if spec.released and isinstance(error, UnsuitedError):
                raise
            raise SubjectError(str(error), at=error.at or (*where, index)) from error
    return found


def _check_readers(
    prediction: Prediction,
    asked: Iterable[Handle],
    asked_in: tuple[Reads, ...],
    error: type[SubjectError] = SubjectError,
) -> None:
    for handle in asked:
        if (read := scheme(str(handle.params["scheme"])).reads) not in asked_in:
            ways = " or ".join(_READ[way] for way in asked_in)
            raise error(
                f"{handle.label} reads {_READ[read]}, and the experiment "
                f"'{prediction.experiment.kind}' asks in {ways}"
            )


def _check_controls(roles: Mapping[str, list[Handle]]) -> None:
    """Hold a line-up that is asked in words to controls that are, in both roles."""
    for role, controls in roles.items():
        if not any(map(reads_text, controls)):
            raise SubjectError(
                f"a line-up that is asked in words needs a control that is, in controls.{role}: "
                "add {ref: 'scripted:exact'} or another scripted model",
                at=("controls", role),
            )


def read_lineup(plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
    """Evidence from the measurements and exhibits of a line-up."""

    def read(cells: tuple[Cell, ...]) -> tuple[Measurement, ...]:
        return tuple(measurement(results[cell].payload) for cell in cells)

    exhibit: dict[str, Any] = {}
    for cell in plan.exhibits:
        exhibit.update(results[cell].payload)
    return Evidence(
        read(plan.subjects), read(plan.must_detect), read(plan.must_not_detect), exhibit
    )
