"""Ladders along which nothing grows: said to be so where it is plain, and not where it is noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_runs import prediction, run

from pytest_mesa.experiments import scaling_cells
from pytest_mesa.verdicts.reasons import Outcome, Reason
from pytest_mesa.verdicts.scaling.names import SMOOTH, THRESHOLD

FLAT = THRESHOLD  # whose name the ladders here are asked for by
ALONE = """\
prediction: growth
title: Growth
claim: Measures grow without a jump.
subjects: [{ref: "ladder:planted-threshold"}]
competence: {at_least: 0.01}
experiment: {kind: scaling, measures: [interchange, accuracy]}
controls:
  must_detect: [{ref: "ladder:planted-step"}]
  must_not_detect: [{ref: "ladder:planted-smooth"}]
verdict:
  estimand: sharpest-window
  predicted: {below: 0.6}
  refuted: {above: 0.8}
"""
BESIDE = """\
prediction: sharper
title: Sharper
claim: Accuracy looks sharper than what states drive.
subjects: [{ref: "ladder:planted-threshold"}]
competence: {at_least: 0.01}
experiment: {kind: scaling, measures: [accuracy], beside: interchange}
controls:
  must_detect: [{ref: "ladder:planted-smooth"}]
  must_not_detect: [{ref: "ladder:planted-step"}]
verdict:
  estimand: sharper-by
  predicted: {above: 0.3}
  refuted: {below: 0.2}
"""


@pytest.mark.parametrize("text", [ALONE, BESIDE])
@pytest.mark.parametrize(
    ("level", "noise", "reason"),
    [
        (0.0, 0.01, Reason.NO_GROWTH),
        (-0.02, 0.002, Reason.NO_GROWTH),  # a trifle, conclusively: its shares mean nothing
        (0.0, 0.3, None),  # may have grown: more seeds would tell
        (0.8, 0.01, None),
    ],
)
def test_no_growth_is_said_where_more_seeds_would_not_help(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    level: float,
    noise: float,
    reason: Reason | None,
) -> None:
    plant = scaling_cells.plant

    def planted(curve: str, measures: Any, sharp: str, rng: np.random.Generator) -> Any:
        scores = plant(SMOOTH if curve == FLAT else curve, measures, sharp, rng)
        if curve == FLAT:
            shape = scores["interchange"].shape
            drift = np.linspace(0, level, shape[0])[:, None]
            scores["interchange"] = drift + noise * rng.standard_normal(shape)
        return scores

    monkeypatch.setattr(scaling_cells, "plant", planted)
    spec = prediction(text)
    evidence, verdict = run(spec, tmp_path)
    (subject,) = evidence.subjects
    assert subject.withheld is reason
    change = subject.detail["growth"]["interchange"]["change"]
    low, high = change["bounds"]
    assert low < level < high
    assert verdict.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("text", [ALONE, BESIDE])
def test_a_fall_is_no_growth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Or a claim that more and more is done inside would be upheld by less and less."""
    plant = scaling_cells.plant

    def planted(curve: str, measures: Any, sharp: str, rng: np.random.Generator) -> Any:
        scores = plant(SMOOTH if curve == FLAT else curve, measures, sharp, rng)
        return {k: 1 - v if curve == FLAT else v for k, v in scores.items()}

    monkeypatch.setattr(scaling_cells, "plant", planted)
    evidence, _ = run(prediction(text), tmp_path)
    assert evidence.subjects[0].withheld is Reason.NO_GROWTH


def test_rungs_further_apart_than_the_window_say_nothing_of_two_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A jump in the wide gap would be nobody's share, and the other measure seem the sharper."""
    decades = scaling_cells.DECADES.copy()
    decades[4:] += 0.3
    monkeypatch.setattr(scaling_cells, "DECADES", decades)
    evidence, _ = run(prediction(BESIDE), tmp_path)
    assert evidence.subjects[0].withheld is Reason.LADDER_TOO_COARSE


@pytest.mark.parametrize(
    ("noise", "reason"), [(0.003, Reason.LADDER_TOO_COARSE), (0.2, None), (1.0, None)]
)
def test_a_ladder_is_too_coarse_where_spacing_leaves_more_open_than_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: float, reason: Reason | None
) -> None:
    """Half of a narrow transition on either side of a rung: no number of seeds would tell."""
    plant = scaling_cells.plant

    def planted(curve: str, measures: Any, sharp: str, rng: np.random.Generator) -> Any:
        scores = plant(curve, measures, sharp, rng)
        if curve == FLAT:
            half = np.array([0, 0, 0, 0.02, 0.5, 0.98, 1, 1])[:, None]
            scores = {k: half + noise * rng.standard_normal(v.shape) for k, v in scores.items()}
        return scores

    monkeypatch.setattr(scaling_cells, "plant", planted)
    evidence, _ = run(prediction(ALONE.replace("[interchange, accuracy]", "[accuracy]")), tmp_path)
    assert evidence.subjects[0].withheld is reason


def test_a_ladder_that_is_able_and_flat_ends_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as a budget that was too small, whose remedy would be in vain."""
    plant, planted = scaling_cells.plant, scaling_cells.planted

    def flat(curve: str, measures: Any, sharp: str, rng: np.random.Generator) -> Any:
        scores = plant(SMOOTH if curve == FLAT else curve, measures, sharp, rng)
        return {k: v * (0.01 if curve == FLAT else 1) for k, v in scores.items()}

    monkeypatch.setattr(scaling_cells, "plant", flat)
    monkeypatch.setattr(
        scaling_cells, "planted", lambda *told: planted(*told) | {"competence": [1.0] * 2000}
    )
    _, verdict = run(prediction(ALONE.replace("[interchange, accuracy]", "[accuracy]")), tmp_path)
    assert verdict.reason is Reason.NO_GROWTH
    assert "next to nothing grew" in verdict.message
