"""The kind ``scaling``: planted ladders end as planted, and nets are followed size by size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_runs import prediction, run

from pytest_mesa.experiments import scaling_cells
from pytest_mesa.experiments.scaling import STUDY
from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects import ladders
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.decoder import untrained
from pytest_mesa.subjects.errors import SubjectError, UnsuitedError
from pytest_mesa.subjects.recipes import (
    ALONG,
    LADDER_SEEDS,
    LADDERS,
    TASK,
    Recipe,
    training_cell,
)
from pytest_mesa.subjects.schemes import untrained_twin
from pytest_mesa.verdicts.assess import assess
from pytest_mesa.verdicts.decision import decide
from pytest_mesa.verdicts.evidence import Evidence
from pytest_mesa.verdicts.reasons import Outcome, Reason

ALONE = """\
prediction: growth
title: Growth
claim: Measures grow without a jump.
subjects: [{ref: "ladder:SUBJECT"}]
competence: {at_least: 0.01}
experiment: {kind: scaling, measures: [accuracy, papers]}
controls:
  must_detect: [{ref: "ladder:planted-step"}, {ref: "ladder:planted-bimodal"}]
  must_not_detect: [{ref: "ladder:planted-smooth"}]
verdict:
  estimand: sharpest-window
  predicted: {below: 0.6}
  refuted: {above: 0.8}
"""
BESIDE = """\
prediction: sharper
title: Sharper
claim: Papers look sharper than accuracy.
subjects: [{ref: "ladder:SUBJECT"}]
competence: {at_least: 0.01}
experiment: {kind: scaling, measures: [papers], beside: accuracy}
controls:
  must_detect: [{ref: "ladder:planted-smooth"}]
  must_not_detect: [{ref: "ladder:planted-threshold"}]
verdict:
  estimand: sharper-by
  predicted: {above: 0.3}
  refuted: {below: 0.2}
"""


def landed(text: str, subject: str, folder: Path) -> tuple[Evidence, Reason | None, bool, bool]:
    """A planted subject's evidence; why it is withheld; whether it is refuted, and upheld."""
    spec = prediction(text.replace("SUBJECT", subject))
    evidence, _ = run(spec, folder)
    reading = assess(evidence.subjects[0], spec.verdict, spec.verdict.alpha)
    return evidence, reading.blocked, reading.detected, reading.clear


@pytest.mark.parametrize(
    ("subject", "blocked", "refuted", "upheld"),
    [
        ("planted-step", None, True, False),
        ("planted-smooth", None, False, True),
        ("planted-bimodal", Reason.BREAKTHROUGHS, False, False),
    ],
)
def test_planted_ladders_come_out_as_planted(
    tmp_path: Path, subject: str, blocked: Reason | None, refuted: bool, upheld: bool
) -> None:
    evidence, *found = landed(ALONE, subject, tmp_path)
    assert found == [blocked, refuted, upheld]
    growth = evidence.subjects[0].detail["growth"]["accuracy"]
    assert growth["best_form"] == "step" or subject != "planted-step"
    assert evidence.subjects[0].budget == 40


@pytest.mark.parametrize(
    ("subject", "refuted", "upheld"),
    [("planted-smooth", True, False), ("planted-threshold", False, True)],
)
def test_what_is_sharper_beside_its_twin_is_told(
    tmp_path: Path, subject: str, refuted: bool, upheld: bool
) -> None:
    assert landed(BESIDE, subject, tmp_path)[1:] == (None, refuted, upheld)


def test_all_controls_are_read_right(tmp_path: Path) -> None:
    for text in (ALONE, BESIDE):
        spec = prediction(text.replace("SUBJECT", "planted-smooth"))
        _, verdict = run(spec, tmp_path)
        assert all(control.ok for control in verdict.controls)
        # A planted ladder holds no nets that could be able at anything.
        assert verdict.reason is Reason.NOT_COMPETENT


@pytest.mark.parametrize(
    ("broken", "blocked"),
    [
        ("sharpest_window", Reason.CONTROL_MISSED),
        ("breakthroughs", Reason.CONTROL_MISSED),
        ("held_out", Reason.CONTROL_MISSED),
    ],
)
def test_a_broken_instrument_misses_a_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, blocked: Reason
) -> None:
    """Blind to jumps, to seeds that part, or to which curve predicts."""
    from pytest_mesa.verdicts.scaling import breakthroughs, forms, reading, window

    smooth = np.linspace(0, 1, 8)[:, None] + np.zeros(5)

    def blinded(ladder: Any, *more: Any) -> Any:
        blind = type(ladder)(ladder.decades, smooth + 1e-3 * (ladder.scores % 0.1))
        sound = {
            "sharpest_window": window.sharpest_window,
            "breakthroughs": breakthroughs.breakthroughs,
            "held_out": forms.held_out,
        }
        return sound[broken](blind, *more)

    monkeypatch.setattr(reading, broken, blinded)
    _, verdict = run(prediction(ALONE.replace("SUBJECT", "planted-smooth")), tmp_path)
    assert verdict.reason is blocked


def test_a_control_that_must_be_withheld_is_missed_where_it_is_judged(tmp_path: Path) -> None:
    spec = prediction(ALONE.replace("SUBJECT", "planted-smooth"))
    evidence, _ = run(spec, tmp_path)
    step, bimodal = evidence.must_detect
    assert (step.must_withhold, bimodal.must_withhold) == (None, Reason.BREAKTHROUGHS)
    judged = replace(step, must_withhold=Reason.BREAKTHROUGHS)
    verdict = decide(spec.verdict, spec.competence, replace(evidence, must_detect=(judged,)))
    assert verdict.reason is Reason.CONTROL_MISSED
    assert "was judged, where judgement has to be withheld" in verdict.message


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """A ladder of six sizes and three seeds, trained for one step each."""
    recipes = tuple(
        Recipe(f"tiny-{d}", anchors=None, d_model=d, layers=1, heads=1, d_mlp=d, steps=1, batch=8)
        for d in (4, 6, 9, 14, 21, 31)
    )
    monkeypatch.setitem(LADDERS, "tiny", recipes)
    monkeypatch.setattr(scaling_cells, "ANSWERED", 200)
    for name in ("FIT", "CHOOSE", "MEASURE"):
        monkeypatch.setattr(scaling_cells, name, 100)
    return "tiny"


THREE = '", options: {seeds-per-size: 3}'


def test_nets_are_followed_size_by_size(tmp_path: Path, tiny: str) -> None:
    text = ALONE.replace('SUBJECT"', tiny + THREE).replace("accuracy, papers", "decodability")
    spec = prediction(text)
    evidence, verdict = run(spec, tmp_path)
    (subject,) = evidence.subjects
    table = subject.detail["ladder"]
    assert table["decades"] == sorted(table["decades"]) and len(table["decades"]) == 6
    assert {len(row) for rows in table["measures"].values() for row in rows} == {3}
    assert set(table["measures"]) == {
        *("decodability", "log-likelihood", "optimum-probability"),
        *("regret-closed", "accuracy", "papers"),
    }
    assert subject.budget == 18 and len(subject.competence) == 3 * 200
    # One step teaches nothing, so nothing grows: the whole range stays open.
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert (subject.strata[0].lower, subject.strata[0].upper) == (0.0, 1.0)  # type: ignore[union-attr]


def test_a_net_that_is_exact_scores_best_at_everything(tmp_path: Path) -> None:
    """The truth in place of a net's logits: every measure is at its upper end."""
    import torch

    from pytest_mesa.tasks.knapsack.exact import optimum
    from pytest_mesa.tasks.knapsack.instances import Instances

    class Exact(Subject):
        def answer_logits(self, instances: Instances) -> Any:
            return 50.0 * torch.nn.functional.one_hot(torch.from_numpy(optimum(instances)), 60)

    net = untrained(LADDERS["knapsack-fixed-steps"][0], 0)
    measures, right = scaling_cells.behaviour(Exact("exact", net), TASK, 20, (0,))
    assert measures == pytest.approx(
        {"log-likelihood": 0.0, "optimum-probability": 1.0, "regret-closed": 1.0}
        | {"accuracy": 1.0, "papers": 1.0}
    )
    assert right.all()
    chance, _ = scaling_cells.behaviour(Subject("untrained", net), TASK, 20, (0,))
    assert chance["papers"] == 0.0 and chance["regret-closed"] < 0


def test_an_untrained_net_holds_no_more_than_its_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("FIT", 600), ("CHOOSE", 200), ("MEASURE", 300)):
        monkeypatch.setattr(scaling_cells, name, count)
    recipe = LADDERS["knapsack-fixed-steps"][4]
    nets = [Subject("net", untrained(recipe, 0)) for _ in range(2)]
    assert abs(scaling_cells.decodability(*nets, TASK, (0,))) < 0.05


def test_ladders_span_two_decades_in_even_steps() -> None:
    for name, recipes in LADDERS.items():
        sizes = ALONG[name][1] if name in ALONG else [parameters(r) for r in recipes]
        steps = np.diff(np.log10(sizes))
        assert len(sizes) == (15 if name.endswith("fine") else 8)
        assert np.log10(sizes[-1] / sizes[0]) >= 2
        assert steps.max() - steps.min() < 0.01
        # The window of the registered specs holds one gap, or two.
        assert steps.max() < 0.29 * 1.03 / (2 if name.endswith("fine") else 1)
    fixed, fine, scaled, _ = LADDERS.values()
    shared = [a for a, b in zip(fixed, scaled, strict=True) if a.params(0) == b.params(0)]
    assert len(shared) == 1  # one size is trained alike in both, and only once
    assert [r.params(0) for r in fine[::2]] == [r.params(0) for r in fixed]


def test_compute_is_spent_by_nets_near_the_best_size() -> None:
    """Each budget is parameters times steps, and sizes grow with it."""
    axis, budgets = ALONG["knapsack-compute-optimal"]
    recipes = LADDERS["knapsack-compute-optimal"]
    assert axis == "compute"
    for budget, recipe in zip(budgets, recipes, strict=True):
        assert parameters(recipe) * recipe.steps == pytest.approx(budget, rel=2e-3)
    sizes = np.log10([parameters(recipe) for recipe in recipes])
    assert np.ptp(np.diff(sizes)) < 0.03 and sizes[-1] - sizes[0] > 0.8
    (handle,) = ladders.ladder_handles(SubjectSpec(ref="ladder:knapsack-compute-optimal"))
    assert handle.label.endswith("by compute") and handle.params["sizes"] == list(budgets)


def test_each_net_is_asked_instances_of_its_own_wherever_it_stands() -> None:
    """Or an error of the draw would be all nets' alike, and no number of them would show it."""
    spec = BESIDE.replace("SUBJECT", "knapsack-scaled-steps")
    (cell,) = STUDY.plan(prediction(spec)).subjects[0].inputs
    draws = [net.params["draw"] for net in cell.inputs]
    assert len(set(draws)) == len(draws) == 40
    fewer = spec.replace('-steps"}', '-steps", options: {first-seed: 1, seeds-per-size: 3}}')
    (some,) = STUDY.plan(prediction(fewer)).subjects[0].inputs
    assert {net.params["draw"] for net in some.inputs} < set(draws)


def parameters(recipe: Recipe) -> int:
    return sum(p.numel() for p in untrained(recipe, 0).parameters())


def test_a_ladder_names_its_nets_and_their_twins() -> None:
    (handle,) = ladders.ladder_handles(SubjectSpec(ref="ladder:knapsack-scaled-steps"))
    rungs = ladders.nets(handle)
    assert [len(rung) for rung in rungs] == [LADDER_SEEDS] * 8
    net = rungs[2][1]
    assert net.inputs == (training_cell(LADDERS["knapsack-scaled-steps"][2], 1),)
    twin = untrained_twin(net)
    assert twin is not None and twin.params["untrained"]["d_model"] == 10
    with pytest.raises(SubjectError, match="many nets, not one"):
        ladders.no_net({"name": "knapsack-fixed-steps"}, ())


SUBJECT, NETS = '"ladder:SUBJECT"', '"ladder:knapsack-fixed-steps"'


def test_a_ladder_takes_as_many_fresh_seeds_as_asked_for(tiny: str) -> None:
    spec = SubjectSpec(ref=f"ladder:{tiny}", options={"first-seed": 5, "seeds-per-size": 4})
    (handle,) = ladders.ladder_handles(spec)
    rungs = ladders.nets(handle)
    assert [len(rung) for rung in rungs] == [4] * 6
    assert [net.inputs for net in rungs[0]] == [
        (training_cell(LADDERS[tiny][0], seed),) for seed in (5, 6, 7, 8)
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sharpest-window", "sharper-by", "measures 'sharpest-window', not 'sharper-by'"),
        ("ladder:SUBJECT", "ladder:knapsack-fixed-step", "did you mean 'knapsack-fixed-steps'"),
        ("ladder:SUBJECT", "scripted:exact", "asks in ladders of many nets"),
        ('ref: "ladder:planted-smooth"', "compiled: prefix-dp", "asks in ladders"),
        (
            '"ladder:SUBJECT"',
            '"ladder:knapsack-fixed-steps", seeds: 2',
            "options: {seeds-per-size: 2}",
        ),
        (SUBJECT, f"{NETS}, options: {{seeds: 3}}", "no option 'seeds'; it has first-seed"),
        (SUBJECT, f"{NETS}, options: {{seeds-per-size: 2}}", "a whole number from 3 to 1000"),
        (SUBJECT, f"{NETS}, options: {{first-seed: true}}", "a whole number from 0"),
        (SUBJECT, f"{SUBJECT}, options: {{first-seed: 3}}", "ladder:planted-smooth has no options"),
    ],
)
def test_what_is_no_ladder_is_refused(old: str, new: str, said: str) -> None:
    text = ALONE.replace(old, new).replace("SUBJECT", "planted-smooth")
    with pytest.raises(SubjectError, match=said):
        STUDY.plan(prediction(text))


def test_saved_nets_are_followed_along_what_their_index_says(tmp_path: Path, tiny: str) -> None:
    """Nets of one's own, from ``--mesa-model`` to the verdict."""
    recipe, sizes = LADDERS[tiny][2], {}
    for step in (1, 3, 10, 30, 100, 300):
        for seed in range(3):
            net = untrained(recipe, seed)
            net.model.save_pretrained(tmp_path / "nets" / f"{step}-{seed}")
            sizes[f"{step}-{seed}"] = step
    (tmp_path / "nets" / "ladder.json").write_text(json.dumps({"axis": "steps", "sizes": sizes}))
    text = ALONE.replace('{ref: "ladder:SUBJECT"}', "{released: true}")
    spec = prediction(text.replace("accuracy, papers", "decodability, accuracy"))
    evidence, verdict = run(spec, tmp_path / "store", f"ladder:{tmp_path / 'nets'}")
    (subject,) = evidence.subjects
    table = subject.detail["ladder"]
    assert table["decades"] == pytest.approx(np.log10([1, 3, 10, 30, 100, 300]), abs=1e-3)
    # The same three nets stand at every step, so nothing grows.
    rows = table["measures"]["decodability"]
    assert all(row == rows[0] for row in rows) and len(set(rows[0])) == 3
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_one_model_is_no_ladder() -> None:
    text = ALONE.replace('{ref: "ladder:SUBJECT"}', "{released: true}")
    with pytest.raises(UnsuitedError, match="follows nets of many sizes, and hf:org/m is one"):
        STUDY.plan(prediction(text), "hf:org/m")
    assert len(STUDY.plan(prediction(text), "ladder:knapsack-fixed-steps").subjects) == 1


def test_a_measure_is_not_set_beside_itself() -> None:
    with pytest.raises(SpecErrors, match="no sharper than itself"):
        prediction(BESIDE.replace("beside: accuracy", "beside: papers"))


def test_cells_are_shared_between_predictions_on_one_ladder() -> None:
    """Two claims about one ladder measure each net once."""
    texts = [text.replace("SUBJECT", "knapsack-fixed-steps") for text in (ALONE, BESIDE)]
    first, second = (STUDY.plan(prediction(text)).subjects[0].inputs for text in texts)
    assert first == second
    assert len(first[0].inputs) == 8 * LADDER_SEEDS
