"""One plain sentence per verdict, with the numbers that a sceptic would ask for."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_mesa.registry.models import Region, VerdictRule
from pytest_mesa.verdicts.readings import ControlReading, Reading, Role, SubjectReading
from pytest_mesa.verdicts.reasons import Outcome, Reason


def message(
    rule: VerdictRule,
    outcome: Outcome,
    reason: Reason | None,
    subjects: Sequence[SubjectReading],
    controls: Sequence[ControlReading],
    needed: int,
) -> str:
    """Say what was concluded and why, or what stands in the way of a conclusion."""
    if reason is None:
        return _conclusion(rule, outcome, subjects, needed)
    if reason is Reason.NO_SUBJECT:
        return "No subject was measured."
    if reason in (Reason.CONTROL_MISSED, Reason.CONTROL_FALSE_ALARM):
        return _control(rule, reason, controls)
    concerned = [subject for subject in subjects if subject.reason is reason]
    return (
        _subject(rule, reason, concerned[0])
        + (
            f" (and {len(concerned) - 1} more of {len(subjects)} subjects)"
            if len(concerned) > 1
            else ""
        )
        + "."
    )


def region_text(region: Region) -> str:
    """``below 0.25`` or ``above 0.5``."""
    if region.below is not None:
        return f"below {region.below:g}"
    return f"above {region.above:g}"


def _conclusion(
    rule: VerdictRule, outcome: Outcome, subjects: Sequence[SubjectReading], needed: int
) -> str:
    upheld = outcome is Outcome.PASS
    region = rule.predicted if upheld else rule.refuted
    taken = needed if upheld else len(subjects) - needed + 1
    readings = [s.reading for s in subjects if s.outcome is outcome and s.reading]
    below = region.below is not None
    weakest = max(readings, key=lambda r: r.bounds.upper if below else -r.bounds.lower)
    return (
        f"{'Upheld' if upheld else 'Refuted'}: {rule.estimand} lies {region_text(region)} in "
        f"{len(readings)} of {len(subjects)} subjects ({taken} needed); the closest to the edge, "
        f"{weakest.label}, reads {_numbers(weakest)} at alpha {rule.alpha:g}."
    )


def _control(rule: VerdictRule, reason: Reason, controls: Sequence[ControlReading]) -> str:
    role = Role.MUST_DETECT if reason is Reason.CONTROL_MISSED else Role.MUST_NOT_DETECT
    kind = role.replace("_", "-")
    wrong = next((c for c in controls if c.role is role and not c.ok), None)
    if wrong is None:
        return f"No {kind} control was measured."
    reading = wrong.reading
    if wrong.must_withhold is not None:
        fault = "was judged, where judgement has to be withheld"
        why = f"it had to end as {wrong.must_withhold}"
    elif reading.detected:
        fault = "raised an alarm"
        why = f"that lies {region_text(rule.refuted)}"
    elif wrong.expected:
        fault = "was not detected"
        why = _why(reading, f"it had to lie {region_text(rule.refuted)}")
    else:
        fault = "is not conclusively clear"
        why = _why(reading, f"it had to lie {region_text(rule.predicted)}")
    return f"The {kind} control {reading.label} {fault}: it {_reads(rule, reading)}; {why}."


def _subject(rule: VerdictRule, reason: Reason, subject: SubjectReading) -> str:
    able, reading = subject.competence, subject.reading
    if reason is Reason.NOT_COMPETENT or reading is None:
        if not able.n:
            return f"The competence of {subject.label} was not measured"
        return (
            f"{subject.label} scores {able.estimate:.3f} at the task, at least {able.lower:.3f} "
            f"after {able.n} instances, where {able.at_least:g} is required"
            + (
                ""
                if able.unskilled is None
                else f" and always the same answer scores {able.unskilled:.3f}"
            )
        )
    regions = f"{region_text(rule.predicted)} or {region_text(rule.refuted)}"
    return (
        f"{subject.label} {_reads(rule, reading)}; "
        f"{_why(reading, f'a conclusion needs it {regions}')}"
    )


def _why(reading: Reading, otherwise: str) -> str:
    """What keeps a reading from its region."""
    match reading.blocked:
        case Reason.RIVAL_EXPLAINS:
            rivals = " and ".join(f"the rival {name}" for name in reading.explained_by)
            return f"{rivals} may reach as far"
        case Reason.SCORES_DRIFT:
            return "its scores changed level along the way, so that no single mean fits them"
        case Reason.STRATA_DISAGREE:
            parts = ", ".join(f"{s.name} {s.estimate:.3f} {s.bounds}" for s in reading.strata)
            return f"its strata lie on both sides: {parts}"
        case Reason.INDIFFERENCE_ZONE:
            return f"that lies between the regions, {otherwise}"
        case Reason.BUDGET_SPENT | Reason.INTERVAL_STRADDLES | None:
            return otherwise
        case withheld:
            return f"the experiment withholds a conclusion ({withheld}): {withheld.remedy}"


def _reads(rule: VerdictRule, reading: Reading) -> str:
    return f"reads {rule.estimand} {_numbers(reading)}"


def _numbers(reading: Reading) -> str:
    return f"{reading.estimate:.3f} {reading.bounds} after {reading.n} scores"
