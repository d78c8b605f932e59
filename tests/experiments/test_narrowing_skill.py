"""The question ``skill``: rungs are compared in order, and planted ladders are read as such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from study_runs import prediction

from pytest_mesa.experiments import narrowing_cells, narrowing_games
from pytest_mesa.experiments.narrowing import STUDY
from pytest_mesa.experiments.narrowing_skill import rungs
from pytest_mesa.experiments.narrowing_skill_cells import pruning, scores, settling
from pytest_mesa.instruments.narrowing_plants import Plant
from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.cells import Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import GamesSubject, untrained
from pytest_mesa.subjects.games_recipes import TWO_GAMES
from pytest_mesa.subjects.plants import unplanted
from pytest_mesa.subjects.schemes import handles

torch.set_num_threads(1)

SPEC = """\
prediction: prunes
title: t
claim: c
subjects: [{recipe: two-game-decoder}]
competence: {metric: legal-rate, at_least: 0.8}
experiment: {kind: narrowing, question: skill, games: [chess], judged: [chess]}
controls:
  must_detect: [{recipe: two-game-decoder, untrained: true, options: {plant: level}}]
  must_not_detect: [{recipe: two-game-decoder, untrained: true, options: {plant: growing}}]
verdict:
  estimand: narrowing-by-skill
  predicted: {above: 0.25}
  refuted: {below: 0.15}
"""


def rung(left: list[float], commit: list[float], choice: list[int]) -> dict[str, Any]:
    """A reading of two units of two positions each."""
    mass = [[0.9, each] for each in left]
    return {"mass": mass, "commit": commit, "choice": choice, "units": [0, 0, 1, 1]}


def test_order_is_what_counts() -> None:
    weak = rung([0.8, 0.8, 0.5, 0.5], [0.9, 0.9, 0.2, 0.9], [1, 2, 3, 4])
    better = rung([0.4, 0.4, 0.5, 0.5], [0.5, 0.1, 0.4, 0.9], [1, 9, 3, 4])
    best = rung([0.1, 0.1, 0.6, 0.6], [0.1, 0.1, 0.6, 0.9], [1, 9, 9, 4])
    ladder = [weak, better, best]
    assert pruning(ladder).tolist() == pytest.approx([1.0, -2 / 3])
    # First unit: 1 is chosen by all, sooner each time; the two better ones settle on 9 at once.
    # Second: on 3 the better of two settles later; on 4 all at the end.
    assert settling(ladder).tolist() == pytest.approx([3 / 4, -1 / 4])
    assert pruning(ladder[::-1]).tolist() == pytest.approx((-pruning(ladder)).tolist())
    assert settling(ladder[::-1]).tolist() == pytest.approx((-settling(ladder)).tolist())


def test_units_in_which_nobody_chooses_alike_are_left_out() -> None:
    one = rung([0.5] * 4, [0.1] * 4, [1, 2, 3, 4])
    other = rung([0.5] * 4, [0.1] * 4, [5, 6, 3, 8])
    assert settling([one, other]).tolist() == [0.0]
    never = rung([0.5] * 4, [0.1] * 4, [5, 6, 7, 8])
    results = tuple(
        Result("", {"read": {"chess": each}, "weights_sha": "x"}, Path()) for each in (one, never)
    )
    body = scores({"judged": ["chess"]}, results, Path())
    assert [each["name"] for each in body["strata"]] == ["chess-prunes-more"]
    assert body["detail"]["ladder"]["chess"]["compared"] == 0


def test_planted_ladders_are_read_as_they_are_and_a_stuck_reading_misses_them() -> None:
    told = narrowing_games.positions(
        {"seed": 3, "batch": 4, "fit": 40, "measure": 40, "plies": {"chess": 12}}, (), Path()
    )
    params: dict[str, Any] = {
        "seed": 3, "own": 0, "stages": 6, "batch": 4, "games": ["chess"], "count": 40,
        "lens": {"rows": 40, "steps": 15},
    }  # fmt: skip
    net = GamesSubject("untrained", untrained(TWO_GAMES, 0))
    found: dict[str, tuple[float, float]] = {}
    for plant in ("growing", "level"):
        (handle,) = handles(
            SubjectSpec(
                recipe="two-game-decoder", untrained=True, options={"plant": plant, "strength": 0.9}
            )
        )
        plants = [Plant(**(unplanted(each)[1] or {})) for each in rungs(handle)[::2]]
        (asked,) = narrowing_cells.asked_of(net, params, told)
        reads = [each["chess"] for each in narrowing_cells._read(asked, plants, params)]
        found[plant] = float(pruning(reads).mean()), float(settling(reads).mean())
    assert min(found["growing"]) > 0.25
    assert max(map(abs, found["level"])) < 0.15
    stuck = reads[:1] * 3
    assert (float(pruning(stuck).mean()), float(settling(stuck).mean())) == (0.0, 0.0)


def test_a_ladder_is_what_the_recipe_keeps_and_the_finished_net() -> None:
    (trained,) = handles(SubjectSpec(recipe="two-game-decoder"))
    steps = [each.params.get("rung") for each in rungs(trained)]
    assert steps == [*TWO_GAMES.rungs, None]
    (bare,) = handles(SubjectSpec(recipe="two-game-decoder", untrained=True))
    seeds = [each.params["untrained"]["seed"] for each in rungs(bare)]
    assert seeds == list(range(len(steps)))


def test_growing_plants_rise_in_equal_steps_with_draws_of_their_own() -> None:
    def shares(plant: str) -> list[float]:
        options = {"plant": plant, "strength": 0.5}
        spec = SubjectSpec(recipe="two-game-decoder", untrained=True, options=options)
        plants = [unplanted(each)[1] or {} for each in rungs(handles(spec)[0])]
        assert len({plant["seed"] for plant in plants}) == len(plants)
        return [plant["strength"] for plant in plants]

    assert shares("growing") == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert shares("level") == [0.5] * 5


def test_the_plan_compares_rungs_and_shares_the_strongest_plant_with_the_limit() -> None:
    text = SPEC.replace("games: [chess]", "games: [chess], spike_in: {strengths: [0.5]}")
    plan = STUDY.plan(prediction(text))
    (subject,), (growing,) = plan.subjects, plan.must_not_detect
    kinds = ["games-competence", "narrowing-by-skill", "narrowing-limit"]
    assert [part.kind for part in subject.inputs] == kinds
    assert subject.inputs[2].inputs[0].key == growing.inputs[0].key
    assert len(subject.inputs[1].inputs) == len(TWO_GAMES.rungs) + 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("plant: level", "plant: at-once", "in ladders there are growing, level"),
        ("narrowing-by-skill", "narrowing-by-depth", "measures 'narrowing-by-skill'"),
        ("[{recipe: two-game-decoder}]", "[{recipe: knapsack-decoder}]", "plays no games"),
        ("[{recipe: two-game-decoder}]", "[{recipe: two-game-decoder, seeds: 2}]", "seed 0 alone"),
        (
            "[{recipe: two-game-decoder}]",
            "[{recipe: two-game-decoder, options: {rung: 60}}]",
            "is no ladder",
        ),
    ],
)
def test_what_is_no_ladder_is_refused(old: str, new: str, says: str) -> None:
    assert old in SPEC
    with pytest.raises(SubjectError, match=says):
        STUDY.plan(prediction(SPEC.replace(old, new)))


def test_one_released_model_is_no_ladder() -> None:
    with pytest.raises(SubjectError, match="is one model"):
        STUDY.plan(prediction(SPEC.replace("}]\ncomp", "}, {released: true}]\ncomp")), "hf:a/b")


def test_a_ladders_plant_is_refused_where_single_nets_are_read() -> None:
    text = SPEC.replace("question: skill, ", "").replace("by-skill", "by-depth")
    with pytest.raises(SubjectError, match="is planted in ladders"):
        STUDY.plan(prediction(text))


def test_ranks_have_no_scale() -> None:
    rng = np.random.default_rng(0)
    reads = [rung(rng.random(4).tolist(), [0.5] * 4, [1] * 4) for _ in range(4)]
    halved = [each | {"mass": [[a, b / 2] for a, b in each["mass"]]} for each in reads]
    assert pruning(reads).tolist() == pruning(halved).tolist()
