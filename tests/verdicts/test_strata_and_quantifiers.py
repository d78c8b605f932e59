"""How strata make a subject, and subjects a verdict, against brute force."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from statistics import fmean

import pytest
from evidence_builders import COMPETENCE, evidence, measurement, rule
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.verdicts.assess import assess
from pytest_mesa.verdicts.bounds import Bounds, Landing, landing
from pytest_mesa.verdicts.confidence import confidence_sequence, e_value
from pytest_mesa.verdicts.decision import decide, required
from pytest_mesa.verdicts.ebh import partial_conjunction
from pytest_mesa.verdicts.reasons import Outcome

MEANS = (0.05, 0.37, 0.9)


@pytest.mark.parametrize("means", list(itertools.product(MEANS, repeat=3)))
def test_combined_bounds_and_landings(means: tuple[float, ...]) -> None:
    for combine, estimate, lower, upper in (
        ("hull", fmean, min, max),
        ("least", min, min, min),
        ("greatest", max, max, max),
    ):
        data = measurement(means=means, n=1000, combine=combine)
        reading = assess(data, rule(), 0.05)
        parts = [confidence_sequence(s.scores, 0.05 / 3).final for s in data.strata]
        assert reading.estimate == pytest.approx(estimate(s.estimate for s in reading.strata))
        assert reading.bounds.lower == lower(part.lower for part in parts)
        assert reading.bounds.upper == upper(part.upper for part in parts)
        assert reading.landing is landing(reading.bounds, rule())
        assert reading.n == 3000
        # The e-values speak of the same conclusion as the bounds.
        assert (reading.e_predicted > 1e3) == (reading.landing is Landing.PREDICTED)
        assert (reading.e_refuted > 1e3) == (reading.landing is Landing.REFUTED)


def test_strata_of_unequal_length_keep_their_last_bounds() -> None:
    short, long = measurement(means=0.05, n=150), measurement(means=0.05, n=1000)
    mixed = replace(long, strata=(short.strata[0], replace(long.strata[0], name="s1")))
    reading = assess(mixed, rule(), 0.05)
    assert reading.n == 1150
    expected = confidence_sequence(short.strata[0].scores, 0.025).final.upper
    assert reading.bounds.upper == expected


@given(
    st.lists(st.sampled_from(["pass", "fail", "unable", "unclear"]), min_size=1, max_size=6),
    st.one_of(
        st.sampled_from(["every", "some"]),
        st.floats(0.01, 0.99).map(lambda p: {"fraction": p}),
    ),
)
@settings(max_examples=80, deadline=None)
def test_quantifiers_against_all_ways_the_open_subjects_could_turn_out(
    kinds: list[str], quantifier: str | dict[str, float]
) -> None:
    subject = {
        "pass": measurement(means=0.02),
        "fail": measurement(means=0.95),
        "unable": measurement(means=0.95, accuracy=0.5),
        "unclear": measurement(means=0.25),
    }
    decided = decide(
        rule(quantifier=quantifier), COMPETENCE, evidence(*(subject[kind] for kind in kinds))
    )

    def holds(truths: tuple[bool, ...]) -> bool:
        if quantifier == "every":
            return all(truths)
        if quantifier == "some":
            return any(truths)
        assert isinstance(quantifier, dict)
        return sum(truths) / len(truths) >= quantifier["fraction"] - 1e-9

    choices = {"pass": [True], "fail": [False], "unable": [True, False], "unclear": [True, False]}
    verdicts = {holds(truths) for truths in itertools.product(*(choices[k] for k in kinds))}
    expected = (
        Outcome.INCONCLUSIVE
        if len(verdicts) == 2
        else (Outcome.PASS if verdicts.pop() else Outcome.FAIL)
    )
    assert decided.outcome is expected
    if expected is not Outcome.INCONCLUSIVE:
        assert decided.bounds is not None
        assert decided.decided_at is not None
        assert decided.e_value > 1 / 0.05


def test_fractions_survive_floating_point() -> None:
    assert required(rule(quantifier={"fraction": 0.28}), 25) == 7
    assert required(rule(quantifier={"fraction": 0.6}), 5) == 3
    assert required(rule(quantifier={"fraction": 0.7}), 10) == 7
    assert required(rule(quantifier={"fraction": 0.01}), 5) == 1


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.01, math.nan])
def test_senseless_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        required(rule().model_copy(update={"quantifier": {"fraction": fraction}}), 5)


def test_alpha_is_split_over_subjects_and_strata_but_not_controls() -> None:
    subjects = [measurement(f"seed {i}", [0.05, 0.1]) for i in range(4)]
    decided = decide(rule(), COMPETENCE, evidence(*subjects))
    stratum = subjects[0].strata[1]
    reading = decided.subjects[0].reading
    assert reading is not None
    assert reading.strata[1].bounds == confidence_sequence(stratum.scores, 0.05 / 8).final
    control = decided.controls[0].reading.strata[0]
    detected = evidence().must_detect[0].strata[0]
    assert control.bounds == confidence_sequence(detected.scores, 0.05).final


def test_the_verdict_shows_the_subject_that_the_quantifier_turns_on() -> None:
    subjects = [measurement(f"seed {i}", mean) for i, mean in enumerate([0.0, 0.05, 0.1])]
    worst, middle, best = (
        decide(rule(quantifier=q), COMPETENCE, evidence(*subjects)).estimate
        for q in ("every", {"fraction": 0.5}, "some")
    )
    assert (worst, middle, best) == pytest.approx((0.1, 0.05, 0.0))
    upward = rule(predicted={"above": 0.5}, refuted={"below": 0.25})
    refuted = evidence(*subjects)
    flipped = replace(
        refuted, must_detect=refuted.must_not_detect, must_not_detect=refuted.must_detect
    )
    decided = decide(upward, COMPETENCE, flipped)
    assert decided.outcome is Outcome.FAIL
    assert decided.estimate == pytest.approx(0.0)


def test_a_verdict_is_as_late_as_the_last_subject_it_needs() -> None:
    early, late = measurement("a", 0.0, n=1000), measurement("b", 0.15, n=1000)
    times = [assess(subject, rule(), 0.05 / 2).decided_at for subject in (early, late)]
    assert times[0] == 100
    assert times[1] is not None
    assert times[1] > 100
    both = decide(rule(), COMPETENCE, evidence(early, late))
    either = decide(rule(quantifier="some"), COMPETENCE, evidence(early, late))
    assert (either.decided_at, both.decided_at) == tuple(times)


def test_the_e_value_is_half_that_of_the_partial_conjunction() -> None:
    subjects = [measurement(f"seed {i}", mean) for i, mean in enumerate([0.0, 0.05, 0.1])]

    def e(threshold: float, direction: str) -> list[float]:
        return [e_value(s.strata[0].scores, threshold, direction) for s in subjects]

    decided = decide(rule(), COMPETENCE, evidence(*subjects))
    assert decided.e_value == min(e(0.25, "below")) / 2
    two = decide(rule(quantifier={"fraction": 0.6}), COMPETENCE, evidence(*subjects))
    assert two.e_value == pytest.approx(partial_conjunction(e(0.25, "below"), 2) / 2)
    refuted = decide(
        rule(predicted={"above": 0.9}, refuted={"below": 0.25}),
        COMPETENCE,
        evidence(
            *subjects,
            must_detect=[measurement(means=0.0)],
            must_not_detect=[measurement(means=1.0)],
        ),
    )
    assert refuted.e_value == pytest.approx(fmean(e(0.25, "below")) / 2)
    open_case = decide(rule(), COMPETENCE, evidence(measurement(means=0.25)))
    assert open_case.e_value == 1


@pytest.mark.parametrize("ends", [(0.5, 0.4), (math.nan, 1.0), (0.0, math.inf)])
def test_senseless_bounds_cannot_be_built(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="no interval"):
        Bounds(*ends)


def test_bounds_that_touch_an_edge_are_not_inside() -> None:
    assert landing(Bounds(0.0, 0.25), rule()) is Landing.NEITHER
    assert landing(Bounds(0.5, 1.0), rule()) is Landing.NEITHER
    assert landing(Bounds(0.0, 0.2499), rule()) is Landing.PREDICTED
    assert landing(Bounds(0.5001, 1.0), rule()) is Landing.REFUTED
