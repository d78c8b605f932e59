"""What was read off each measurement: plain records, checked as they are built."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pytest_mesa.verdicts.bounds import Bounds, Landing
from pytest_mesa.verdicts.reasons import Outcome, Reason


class Role(StrEnum):
    """What a control is for."""

    MUST_DETECT = "must_detect"
    MUST_NOT_DETECT = "must_not_detect"


@dataclass(frozen=True, slots=True)
class RivalReading:
    """How far a stratum's scores go beyond a rival's, in the refuted direction.

    ``lower`` and ``upper`` are one-sided confidence bounds of the margin; the rival is beaten
    where ``lower`` is positive. ``e_value`` is against the null that the rival reaches at least
    as far.
    """

    name: str
    estimate: float
    margin: float
    lower: float
    upper: float
    paired: bool
    e_value: float

    @property
    def beaten(self) -> bool:
        """Whether the rival is conclusively left behind."""
        return self.lower > 0


@dataclass(frozen=True, slots=True)
class StratumReading:
    """One stratum's mean, and the e-values that it lies in either region.

    ``e_refuted`` is also against every rival: the least of the region's and the rivals'.
    """

    name: str
    estimate: float
    bounds: Bounds
    n: int
    landing: Landing
    e_predicted: float
    e_refuted: float
    rivals: tuple[RivalReading, ...] = ()

    @property
    def unbeaten(self) -> tuple[str, ...]:
        """The rivals that explain what this stratum shows."""
        return tuple(rival.name for rival in self.rivals if not rival.beaten)


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement against the rule.

    ``decided_at`` is the number of scores at which the bounds first lay in the region.
    ``explained_by`` names the rivals that reach as far, where the bounds lie in ``refuted``,
    or that account for all that keeps them out of ``predicted``.
    ``blocked`` says why no region was reached, or why it does not count.

    Raises:
        ValueError: bounds in no region, without a reason.
    """

    label: str
    estimate: float
    bounds: Bounds
    n: int
    landing: Landing
    decided_at: int | None
    strata: tuple[StratumReading, ...]
    e_predicted: float
    e_refuted: float
    explained_by: tuple[str, ...] = ()
    blocked: Reason | None = None

    def __post_init__(self) -> None:
        if self.blocked is None and self.landing is Landing.NEITHER:
            raise ValueError(f"{self.label}: bounds in no region need a reason")

    @property
    def detected(self) -> bool:
        """Whether the looked-for effect was found, beyond every rival."""
        return self.landing is Landing.REFUTED and self.blocked is None

    @property
    def clear(self) -> bool:
        """Whether the looked-for effect is conclusively absent."""
        return self.landing is Landing.PREDICTED and self.blocked is None


@dataclass(frozen=True, slots=True)
class CompetenceReading:
    """A subject's score at its task, and its one-sided lower confidence bound.

    ``unskilled`` is what always giving the same answer scores, where that is known.
    """

    estimate: float
    lower: float
    n: int
    at_least: float
    unskilled: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the subject conclusively solves the task."""
        return self.n > 0 and self.lower >= self.at_least


@dataclass(frozen=True, slots=True)
class SubjectReading:
    """One subject's part in the verdict.

    ``reading`` is None where nothing was measured, which only incompetence excuses.

    Raises:
        ValueError: a competent subject without a reading.
    """

    label: str
    competence: CompetenceReading
    reading: Reading | None
    detection_limit: float | None = None

    def __post_init__(self) -> None:
        if self.competence.ok and self.reading is None:
            raise ValueError(f"{self.label}: a competent subject must be measured")

    @property
    def outcome(self) -> Outcome:
        """Pass or fail only for a competent subject whose bounds lie in a region."""
        if not self.competence.ok or self.reading is None:
            return Outcome.INCONCLUSIVE
        if self.reading.clear:
            return Outcome.PASS
        return Outcome.FAIL if self.reading.detected else Outcome.INCONCLUSIVE

    @property
    def reason(self) -> Reason | None:
        """Why this subject has no conclusion; None where it has one."""
        if not self.competence.ok or self.reading is None:
            return Reason.NOT_COMPETENT
        return self.reading.blocked


@dataclass(frozen=True, slots=True)
class ControlReading:
    """A subject with known ground truth, and whether the instrument read it right.

    ``must_withhold`` is the reason for which no conclusion may be drawn about it, where that
    is the known truth.
    """

    role: Role
    reading: Reading
    must_withhold: Reason | None = None

    @property
    def expected(self) -> bool:
        """Whether the effect is known to be there."""
        return self.role is Role.MUST_DETECT

    @property
    def saved_by_rival(self) -> bool:
        """Whether only a rival's equal reach keeps this control from being an alarm."""
        return self.reading.blocked is Reason.RIVAL_EXPLAINS

    @property
    def ok(self) -> bool:
        """Detected where it must be; else conclusively clear, or explained by a rival."""
        if self.must_withhold is not None:
            return self.reading.blocked is self.must_withhold
        if self.expected:
            return self.reading.detected
        return self.reading.clear or self.saved_by_rival


def control_gate(controls: tuple[ControlReading, ...]) -> Reason | None:
    """Why the controls forbid any conclusion; None where they license one.

    Both kinds of control must be there, and every one of them must have been read right.
    """
    by_role = {role: [c for c in controls if c.role is role] for role in Role}
    for role, reason in (
        (Role.MUST_DETECT, Reason.CONTROL_MISSED),
        (Role.MUST_NOT_DETECT, Reason.CONTROL_FALSE_ALARM),
    ):
        if not by_role[role] or not all(control.ok for control in by_role[role]):
            return reason
    return None
