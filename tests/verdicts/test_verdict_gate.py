"""A pass or fail without its controls cannot be built, by whatever way."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from evidence_builders import CLEAR, COMPETENCE, evidence, measurement, rule

from pytest_mesa.verdicts.bounds import Bounds, Landing
from pytest_mesa.verdicts.decision import decide
from pytest_mesa.verdicts.readings import (
    CompetenceReading,
    Reading,
    Role,
    SubjectReading,
    control_gate,
)
from pytest_mesa.verdicts.reasons import Outcome, Reason

PASSED = decide(rule(), COMPETENCE, evidence(measurement(means=0.05)))
FAILED = decide(rule(), COMPETENCE, evidence(measurement(means=0.95)))


@pytest.mark.parametrize("verdict", [PASSED, FAILED])
def test_conclusions_need_both_kinds_of_control(verdict) -> None:
    for role in Role:
        rest = tuple(control for control in verdict.controls if control.role is not role)
        with pytest.raises(ValueError, match="past the controls"):
            replace(verdict, controls=rest)
    with pytest.raises(ValueError, match="past the controls"):
        replace(verdict, controls=())


@pytest.mark.parametrize("verdict", [PASSED, FAILED])
def test_one_control_read_wrong_is_enough(verdict) -> None:
    swapped = tuple(
        replace(control, role=next(role for role in Role if role is not control.role))
        for control in verdict.controls
    )
    assert control_gate(swapped) is Reason.CONTROL_MISSED
    with pytest.raises(ValueError, match="control-missed"):
        replace(verdict, controls=swapped)
    with pytest.raises(ValueError, match="control-false-alarm"):
        replace(verdict, controls=(*verdict.controls, swapped[0]))


@pytest.mark.parametrize("verdict", [PASSED, FAILED])
def test_conclusions_need_competent_subjects_and_their_region(verdict) -> None:
    (subject,) = verdict.subjects
    unable = replace(subject, competence=CompetenceReading(0.5, 0.4, 100, 0.9))
    for subjects in ((), (unable,)):
        with pytest.raises(ValueError, match="no competent subject"):
            replace(verdict, subjects=subjects)
    for bounds in (None, Bounds(0.0, 1.0), Bounds(0.3, 0.4)):
        with pytest.raises(ValueError, match="do not license"):
            replace(verdict, bounds=bounds)
    with pytest.raises(ValueError, match="no competent subject"):
        other = Outcome.FAIL if verdict.outcome is Outcome.PASS else Outcome.PASS
        replace(verdict, outcome=other)


def test_reasons_belong_to_inconclusive_verdicts_only() -> None:
    with pytest.raises(ValueError, match="needs no excuse"):
        replace(PASSED, reason=Reason.BUDGET_SPENT)
    with pytest.raises(ValueError, match="says why"):
        replace(PASSED, outcome=Outcome.INCONCLUSIVE)
    with pytest.raises(ValueError, match="no verdict"):
        replace(PASSED, outcome=Outcome.ERROR)


def test_verdicts_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PASSED.outcome = Outcome.FAIL


def test_readings_cannot_lack_a_reason() -> None:
    with pytest.raises(ValueError, match="need a reason"):
        Reading("x", 0.3, Bounds(0.2, 0.4), 10, Landing.NEITHER, None, (), 1.0, 1.0)
    able = CompetenceReading(0.99, 0.95, 100, 0.9)
    with pytest.raises(ValueError, match="must be measured"):
        SubjectReading("x", able, None)


def test_competence_without_instances_is_none() -> None:
    assert not CompetenceReading(1.0, 1.0, 0, 0.9).ok


def test_no_number_that_is_not_finite_leaves_in_json() -> None:
    with pytest.raises(ValueError, match="no place in a record"):
        replace(PASSED, e_value=float("inf")).to_json()


def test_an_untrained_twin_in_place_of_the_compiled_control_silences_the_verdict() -> None:
    for mean in (0.05, 0.95):
        data = evidence(measurement(means=mean), must_detect=[CLEAR])
        assert decide(rule(), COMPETENCE, data).reason is Reason.CONTROL_MISSED
