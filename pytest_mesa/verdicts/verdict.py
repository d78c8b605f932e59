"""A verdict: what was concluded, from which numbers. One without its controls cannot exist."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from math import isfinite
from typing import Any

from pytest_mesa.registry.models import VerdictRule
from pytest_mesa.verdicts.bounds import Bounds, Landing, landing
from pytest_mesa.verdicts.readings import (
    CompetenceReading,
    ControlReading,
    SubjectReading,
    control_gate,
)
from pytest_mesa.verdicts.reasons import Outcome, Reason

_REGIONS = {Outcome.PASS: Landing.PREDICTED, Outcome.FAIL: Landing.REFUTED}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The conclusion about one prediction.

    ``estimate`` and ``bounds`` are the k-th least (greatest) subject's, k being what the
    quantifier asks for, so that a conclusion's bounds always lie in its region; None where
    no subject was measured. ``e_value`` is against the conclusion's null, halved because
    the data chose the direction; 1 without a conclusion. ``decided_at`` counts scores per
    subject. ``detection_limit`` is the subjects' largest, None where any is unknown.

    Raises:
        ValueError: a pass or fail without every control read right, without competent
            subjects, with a reason, or with bounds outside its region; an inconclusive
            verdict without a reason; an error, which is no verdict.
    """

    outcome: Outcome
    reason: Reason | None
    message: str
    rule: VerdictRule
    estimate: float | None
    bounds: Bounds | None
    n: int
    decided_at: int | None
    e_value: float
    subjects: tuple[SubjectReading, ...]
    controls: tuple[ControlReading, ...]
    detection_limit: float | None = None
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.outcome is Outcome.ERROR:
            raise ValueError("a run that broke has no verdict")
        if self.outcome is Outcome.INCONCLUSIVE:
            if self.reason is None:
                raise ValueError("an inconclusive verdict says why")
            return
        if self.reason is not None:
            raise ValueError(f"{self.outcome} needs no excuse ({self.reason})")
        if blocked := control_gate(self.controls):
            raise ValueError(f"no {self.outcome} past the controls: {blocked}")
        if not any(subject.outcome is self.outcome for subject in self.subjects):
            raise ValueError(f"no competent subject is behind this {self.outcome}")
        if self.bounds is None or landing(self.bounds, self.rule) is not _REGIONS[self.outcome]:
            raise ValueError(f"bounds {self.bounds} do not license {self.outcome}")

    @property
    def alpha(self) -> float:
        """The chance, at most, of a false conclusion."""
        return self.rule.alpha

    @property
    def competence(self) -> CompetenceReading | None:
        """The least competent subject's task score."""
        readings = [subject.competence for subject in self.subjects]
        return min(readings, key=lambda reading: reading.lower, default=None)

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON values. Keys without a value are left out, except
        ``reason``, ``decided_at`` and ``detection_limit``, which are null.

        Raises:
            ValueError: a number that is not finite.
        """
        body = {
            "outcome": self.outcome,
            "reason": self.reason,
            "remedy": self.reason.remedy if self.reason else None,
            "message": self.message,
            "estimand": self.rule.estimand,
            "quantifier": self.rule.quantifier,
            "predicted": self.rule.predicted.model_dump(exclude_none=True),
            "refuted": self.rule.refuted.model_dump(exclude_none=True),
            "estimate": self.estimate,
            "bounds": self.bounds,
            "alpha": self.alpha,
            "n": self.n,
            "decided_at": self.decided_at,
            "e_value": self.e_value,
            "competence": _competence_json(self.competence),
            "detection_limit": self.detection_limit,
            "subjects": [_subject_json(subject) for subject in self.subjects],
            "controls": [_control_json(control) for control in self.controls],
            "seeds": self.seeds,
        }
        nullable = {"reason", "decided_at", "detection_limit"}
        return {
            key: _plain(value)
            for key, value in body.items()
            if value is not None or key in nullable
        }


def _competence_json(reading: CompetenceReading | None) -> dict[str, Any] | None:
    if reading is None:
        return None
    known = {name: value for name, value in _plain(reading).items() if value is not None}
    return {**known, "ok": reading.ok}


def _subject_json(subject: SubjectReading) -> dict[str, Any]:
    measured = {} if subject.reading is None else _plain(subject.reading)
    return {
        **measured,
        "label": subject.label,
        "outcome": subject.outcome.value,
        "reason": subject.reason.value if subject.reason else None,
        "competence": _competence_json(subject.competence),
        "detection_limit": subject.detection_limit,
    }


def _control_json(control: ControlReading) -> dict[str, Any]:
    withholds = {"must_withhold": control.must_withhold.value} if control.must_withhold else {}
    return {
        **_plain(control.reading),
        **withholds,
        "role": control.role.value,
        "expected": control.expected,
        "detected": control.reading.detected,
        "saved_by_rival": control.saved_by_rival,
        "ok": control.ok,
    }


def _plain(value: Any) -> Any:
    """Records, enums, intervals and numpy numbers as JSON values."""
    if isinstance(value, Bounds):
        return [_plain(value.lower), _plain(value.upper)]
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{value} has no place in a record")
    return value
