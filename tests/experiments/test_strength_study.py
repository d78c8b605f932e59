"""The kind ``strength``: known players are read as they are, and misuse is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_runs import prediction

from pytest_mesa.experiments import strength_cells
from pytest_mesa.experiments.ratings import rated, strengths
from pytest_mesa.experiments.strength import STUDY
from pytest_mesa.runs.cells import Result
from pytest_mesa.subjects.bundled import installed
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.tasks.games.errors import GamesError
from pytest_mesa.tasks.games.matches import play

needs_maia = pytest.mark.skipif(not installed("maia-1900"), reason="the extra models")

SPEC = """\
prediction: strong
title: t
claim: c
subjects: [{ref: bundled:maia-1900}]
competence: {metric: sound-move-rate, at_least: 0.8}
experiment: {kind: strength, nodes: 64}
controls:
  must_detect: [{ref: search:64}]
  must_not_detect: [{ref: search:64, options: {gifts: 0.5}}]
verdict:
  estimand: score-against-search
  predicted: {above: 0.7}
  refuted: {below: 0.6}
"""
GAMES = {"even": 50, "plies": 30, "ahead": 500, "held": 4, "won": 200}


def played(nodes: int, against: int, pairs: int = 8, **more: Any) -> dict[str, Any]:
    params = {
        "subject": {"scheme": "search", "nodes": nodes},
        "nodes": against,
        "visits": None,
        "gifts": 0.0,
        "pairs": pairs,
        "games": GAMES,
        "seed": 9,
    }
    found: dict[str, Any] = strength_cells.match(params | more, (), Path())
    return found


def points(body: dict[str, Any]) -> float:
    return float(np.mean(body["scores"]))


def test_the_better_of_two_searches_takes_more_points_on_either_side() -> None:
    strong, weak = played(160, 8), played(8, 160)
    assert points(strong) > 0.6
    assert points(weak) < 0.4
    assert played(160, 8)["scores"] == strong["scores"]


def test_gifts_make_an_equal_player_the_stronger_one() -> None:
    assert points(played(32, 32, gifts=0.6)) > 0.75


def test_an_instrument_that_credits_the_wrong_side_misses_the_control(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(strength_cells, "play", lambda one, other, *rest: play(other, one, *rest))
    assert points(played(32, 32, gifts=0.6)) < 0.4


def test_more_pairs_than_even_openings_are_refused() -> None:
    with pytest.raises(GamesError, match="register fewer"):
        played(8, 8, pairs=4000)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=5))
def test_ratings_are_those_that_made_the_points(true: list[float]) -> None:
    worth = np.exp(np.array(true))
    wins = 1000 * worth[:, None] / (worth[:, None] + worth[None, :])
    np.fill_diagonal(wins, 0.0)
    assert strengths(wins) == pytest.approx(np.array(true) - np.mean(true), abs=0.02)


def test_ratings_are_told_from_their_anchor_with_intervals() -> None:
    given_ = [("a", "b", [0.75] * 40), ("b", "c", [0.75] * 40), ("a", "c", [1.0] * 3)]
    found = rated(given_, "b", np.random.default_rng(0))
    assert found["b"] == {"elo": 0, "interval": [0, 0]}
    assert found["a"]["elo"] > 150 > -150 > found["c"]["elo"]
    low, high = found["a"]["interval"]
    assert low <= found["a"]["elo"] <= high


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({64: 0.9, 256: 0.7}, "more than 256 nodes"),
        ({64: 0.4, 256: 0.3}, "at most 64 nodes"),
        ({64: 0.7, 256: 0.3}, "about 128 nodes"),
    ],
)
def test_a_policy_is_told_in_nodes(found: dict[int, float], says: str) -> None:
    assert strength_cells.matched_by(found) == says


def test_the_limit_is_the_least_gift_that_is_seen() -> None:
    parts = tuple(Result("", {"scores": [mean] * 60}, Path()) for mean in (0.6, 0.95, 1.0))
    params = {"strengths": [0.1, 0.2, 0.4], "alpha": 0.05, "edge": 0.7}
    assert strength_cells.limit(params, parts, Path())["detection_limit"] == 0.2


@needs_maia
def test_subjects_get_a_pool_and_controls_a_match() -> None:
    plan = STUDY.plan(prediction(SPEC))
    (subject,), (equal,), (helped,) = plan.subjects, plan.must_detect, plan.must_not_detect
    kinds = ["board-competence", "strength-scores", "strength-pool", "strength-limit"]
    assert [part.kind for part in subject.inputs] == kinds
    for control, gifts in ((equal, 0.0), (helped, 0.5)):
        (scored,) = control.inputs
        (match,) = scored.inputs
        assert match.params["gifts"] == gifts
        assert match.params["subject"] == {"scheme": "search", "nodes": 64}


@needs_maia
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("score-against-search", "points", "measures 'score-against-search'"),
        ("subjects: [{ref: bundled:maia-1900}]", "subjects: [{ref: search:64}]", "is no policy"),
        (
            "subjects: [{ref: bundled:maia-1900}]",
            "subjects: [{recipe: two-game-decoder}]",
            "boards",
        ),
        (
            "predicted: {above: 0.7}\n  refuted: {below: 0.6}",
            "predicted: {below: 0.6}\n  refuted: {above: 0.7}",
            "give 'above'",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(old: str, new: str, says: str) -> None:
    assert old in SPEC
    with pytest.raises(SubjectError, match=says):
        STUDY.plan(prediction(SPEC.replace(old, new)))
