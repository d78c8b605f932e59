"""Which evidence gives which verdict: the gates one by one, and in their order."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from evidence_builders import (
    CLEAR,
    COMPETENCE,
    DETECTED,
    evidence,
    measurement,
    rule,
    scores,
)

from pytest_mesa.verdicts.decision import decide
from pytest_mesa.verdicts.evidence import Evidence, EvidenceError, Stratum
from pytest_mesa.verdicts.reasons import Outcome, Reason
from pytest_mesa.verdicts.verdict import Verdict


def verdict(data: Evidence, **changes: object) -> Verdict:
    return decide(rule(**changes), COMPETENCE, data)


ROLES = ("subjects", "must_detect", "must_not_detect")
LOW = measurement("low", 0.05)
HIGH = measurement("high", 0.9)
MIDDLE = measurement("middle", 0.37, n=4000)
STRADDLING = measurement("straddling", 0.23)
INCOMPETENT = measurement("incompetent", 0.05, accuracy=0.8)
INCOMPETENT_HIGH = measurement("incompetent", 0.9, accuracy=0.8)
SPLIT = measurement("split", [0.05, 0.9])
DRIFTING = replace(LOW, label="drift", strata=(Stratum("s0", (0.0,) * 300 + (1.0,) * 300),))
EXPLAINED = measurement("explained", 0.9, rivals={"raw-items": 0.9})
COARSE = replace(LOW, label="coarse", withheld=Reason.LADDER_TOO_COARSE)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (evidence(LOW), Outcome.PASS),
        (evidence(HIGH), Outcome.FAIL),
        (evidence(LOW, HIGH), Outcome.FAIL),
        (evidence(LOW, LOW, LOW), Outcome.PASS),
        (evidence(), Reason.NO_SUBJECT),
        (evidence(STRADDLING), Reason.BUDGET_SPENT),
        (evidence(measurement(means=0.23, n=399)), Reason.INTERVAL_STRADDLES),
        (evidence(replace(measurement(means=0.23, n=399), budget=399)), Reason.BUDGET_SPENT),
        (evidence(MIDDLE), Reason.INDIFFERENCE_ZONE),
        (evidence(SPLIT), Reason.STRATA_DISAGREE),
        (evidence(DRIFTING), Reason.SCORES_DRIFT),
        (evidence(EXPLAINED), Reason.RIVAL_EXPLAINS),
        (evidence(COARSE), Reason.LADDER_TOO_COARSE),
        (evidence(INCOMPETENT), Reason.NOT_COMPETENT),
        (evidence(INCOMPETENT_HIGH), Reason.NOT_COMPETENT),
        (evidence(measurement(accuracy=None)), Reason.NOT_COMPETENT),
        (evidence(LOW, must_detect=[]), Reason.CONTROL_MISSED),
        (evidence(LOW, must_not_detect=[]), Reason.CONTROL_FALSE_ALARM),
        (evidence(LOW, must_detect=[DETECTED, CLEAR]), Reason.CONTROL_MISSED),
        (evidence(HIGH, must_detect=[STRADDLING]), Reason.CONTROL_MISSED),
        (evidence(HIGH, must_detect=[MIDDLE]), Reason.CONTROL_MISSED),
        (evidence(HIGH, must_detect=[EXPLAINED]), Reason.CONTROL_MISSED),
        (evidence(HIGH, must_detect=[replace(HIGH, withheld=COARSE.withheld)]), "control-missed"),
        (evidence(LOW, must_not_detect=[CLEAR, DETECTED]), Reason.CONTROL_FALSE_ALARM),
        (evidence(LOW, must_not_detect=[STRADDLING]), Reason.CONTROL_FALSE_ALARM),
        (evidence(LOW, must_not_detect=[MIDDLE]), Reason.CONTROL_FALSE_ALARM),
        (evidence(LOW, must_not_detect=[DRIFTING]), Reason.CONTROL_FALSE_ALARM),
        (evidence(LOW, must_not_detect=[EXPLAINED]), Outcome.PASS),
        # Swapped for each other, the controls silence every subject.
        (evidence(LOW, must_detect=[CLEAR], must_not_detect=[DETECTED]), Reason.CONTROL_MISSED),
        (evidence(HIGH, must_detect=[CLEAR], must_not_detect=[DETECTED]), Reason.CONTROL_MISSED),
        # The order of the gates.
        (evidence(must_detect=[], must_not_detect=[]), Reason.NO_SUBJECT),
        (evidence(LOW, must_detect=[CLEAR], must_not_detect=[HIGH]), Reason.CONTROL_MISSED),
        (evidence(INCOMPETENT, must_not_detect=[HIGH]), Reason.CONTROL_FALSE_ALARM),
        (evidence(STRADDLING, EXPLAINED, INCOMPETENT), Reason.NOT_COMPETENT),
        (evidence(STRADDLING, EXPLAINED), Reason.RIVAL_EXPLAINS),
        (evidence(STRADDLING, MIDDLE), Reason.INDIFFERENCE_ZONE),
        # An incompetent or unclear neighbour does not save a refuted claim.
        (evidence(HIGH, INCOMPETENT, STRADDLING), Outcome.FAIL),
        (evidence(LOW, INCOMPETENT_HIGH), Reason.NOT_COMPETENT),
    ],
)
def test_decision_table(data: Evidence, expected: Outcome | Reason) -> None:
    decided = verdict(data)
    assert expected in (decided.outcome, decided.reason)
    assert (decided.reason is None) == (decided.outcome is not Outcome.INCONCLUSIVE)
    assert decided.message.endswith(".")
    json.dumps(decided.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("predicted", "refuted", "mean", "outcome"),
    [
        ({"above": 0.5}, {"below": 0.25}, 0.9, Outcome.PASS),
        ({"above": 0.5}, {"below": 0.25}, 0.05, Outcome.FAIL),
    ],
)
def test_regions_may_face_the_other_way(
    predicted: dict, refuted: dict, mean: float, outcome: Outcome
) -> None:
    data = evidence(measurement(means=mean), must_detect=[CLEAR], must_not_detect=[DETECTED])
    assert verdict(data, predicted=predicted, refuted=refuted).outcome is outcome


def test_the_sentence_names_what_is_wrong_with_a_control() -> None:
    missed = verdict(evidence(LOW, must_detect=[replace(CLEAR, label="staircase")]))
    assert "must-detect control staircase was not detected: it reads" in missed.message
    alarm = verdict(evidence(LOW, must_not_detect=[replace(HIGH, label="greedy")]))
    assert "must-not-detect control greedy raised an alarm" in alarm.message
    unclear = verdict(evidence(LOW, must_not_detect=[replace(STRADDLING, label="greedy")]))
    assert "greedy is not conclusively clear" in unclear.message
    none = verdict(evidence(LOW, must_detect=[]))
    assert none.message == "No must-detect control was measured."


def test_the_sentence_holds_the_numbers() -> None:
    upheld = verdict(evidence(LOW, measurement("closest", 0.1)))
    assert "below 0.25 in 2 of 2 subjects (2 needed)" in upheld.message
    assert "closest, reads 0.100 [" in upheld.message
    assert "after 400 scores at alpha 0.05" in upheld.message
    refuted = verdict(evidence(LOW, HIGH))
    assert "above 0.5 in 1 of 2 subjects (1 needed)" in refuted.message
    withheld = verdict(evidence(COARSE))
    assert "the experiment withholds a conclusion (ladder-too-coarse): add" in withheld.message
    unable = verdict(evidence(INCOMPETENT))
    assert "scores 0.800 at the task" in unable.message
    assert "where 0.9 is required" in unable.message


def test_a_control_saved_by_its_rival_is_on_record() -> None:
    decided = verdict(evidence(LOW, must_not_detect=[EXPLAINED]))
    (control,) = [c for c in decided.to_json()["controls"] if c["role"] == "must_not_detect"]
    assert control["saved_by_rival"] is True
    assert control["detected"] is False
    assert control["ok"] is True
    assert control["explained_by"] == ["raw-items/s0"]


def test_competence_needs_its_lower_bound_not_its_estimate() -> None:
    barely = replace(LOW, competence=scores(0.91, 200))
    assert verdict(evidence(barely)).reason is Reason.NOT_COMPETENT
    proven = replace(LOW, competence=scores(0.91, 20_000))
    assert verdict(evidence(proven)).outcome is Outcome.PASS


def test_the_worst_competence_and_detection_limit_are_shown() -> None:
    data = evidence(
        measurement("a", accuracy=0.99, detection_limit=0.2),
        measurement("b", accuracy=0.96, detection_limit=0.5),
    )
    decided = verdict(data)
    assert decided.competence is not None
    assert decided.competence.estimate == pytest.approx(0.96)
    assert decided.detection_limit == 0.5
    unknown = verdict(evidence(LOW, measurement(detection_limit=None)))
    assert unknown.detection_limit is None
    assert unknown.to_json()["detection_limit"] is None


def test_a_subject_that_left_nothing_to_measure_must_be_incompetent() -> None:
    hollow = replace(INCOMPETENT, strata=())
    decided = verdict(evidence(hollow))
    assert decided.reason is Reason.NOT_COMPETENT
    assert decided.estimate is None
    assert "estimate" not in decided.to_json()
    with pytest.raises(EvidenceError, match="low: no stratum was measured"):
        verdict(evidence(replace(LOW, strata=())))
    with pytest.raises(EvidenceError, match="stratum 's0' has no scores"):
        verdict(evidence(replace(LOW, strata=(Stratum("s0", ()),))))


BAD = [float("nan"), float("inf"), 1.5]
BROKEN = {
    "strata": lambda bad: replace(LOW, strata=(Stratum("s0", (0.0, bad, 1.0)),)),
    "rivals": lambda bad: replace(LOW, rivals=(Stratum("greedy/s0", (0.0, bad, 1.0)),)),
    "competence": lambda bad: replace(LOW, competence=(1.0, bad)),
    "limit": lambda bad: replace(LOW, detection_limit=bad),
}


@pytest.mark.parametrize(
    ("role", "part", "bad"),
    [
        *((role, part, bad) for role in ROLES for part in ("strata", "rivals") for bad in BAD),
        *(("subjects", "competence", bad) for bad in BAD),
        *(("subjects", "limit", bad) for bad in BAD[:2]),
    ],
)
def test_senseless_numbers_are_errors_never_verdicts(role: str, part: str, bad: float) -> None:
    data = replace(evidence(LOW), **{role: (BROKEN[part](bad),)})
    with pytest.raises(EvidenceError, match="low"):
        verdict(data)


def test_two_strata_of_one_name_are_refused() -> None:
    twice = replace(LOW, strata=LOW.strata * 2)
    with pytest.raises(EvidenceError, match="two strata have one name"):
        verdict(evidence(twice))


def test_seeds_and_estimand_reach_the_record() -> None:
    decided = verdict(evidence(measurement("a", seed=3), measurement("b", seed=7)))
    record = decided.to_json()
    assert record["seeds"] == [3, 7]
    assert record["estimand"] == "interchange-accuracy"
    assert record["predicted"] == {"below": 0.25}
    assert record["bounds"][0] <= record["estimate"] <= record["bounds"][1]
    assert record["n"] == 400
    assert [s["outcome"] for s in record["subjects"]] == ["pass", "pass"]


def test_the_first_conclusive_look_is_on_record() -> None:
    assert verdict(evidence(measurement(means=0.0, n=1000))).decided_at == 100
    slow = verdict(evidence(measurement(means=0.17, n=1000)))
    assert slow.outcome is Outcome.PASS
    assert slow.decided_at is not None
    cut = slow.decided_at
    early = measurement(means=0.17, n=1000)
    for n, outcome in ((cut, Outcome.PASS), (cut - 100, Outcome.INCONCLUSIVE)):
        shortened = replace(early, strata=(Stratum("s0", early.strata[0].scores[:n]),))
        assert verdict(evidence(shortened)).outcome is outcome


def test_every_reason_says_what_would_settle_it() -> None:
    remedies = {reason.remedy for reason in Reason}
    assert len(remedies) == len(Reason)
    assert all(20 < len(remedy) < 160 and "\n" not in remedy for remedy in remedies)
    assert verdict(evidence()).to_json()["remedy"] == Reason.NO_SUBJECT.remedy


def test_what_needs_no_skill_stands_beside_competence_where_it_is_known() -> None:
    told = verdict(evidence(replace(INCOMPETENT, unskilled=0.31)))
    assert told.message.endswith("where 0.9 is required and always the same answer scores 0.310.")
    assert told.to_json()["competence"]["unskilled"] == 0.31
    silent = verdict(evidence(INCOMPETENT))
    assert silent.message.endswith("where 0.9 is required.")
    assert "unskilled" not in silent.to_json()["competence"]
