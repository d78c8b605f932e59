"""Circuits are found shared where they are, apart where they are not, and faithful or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from study_runs import prediction
from transformers import LlamaConfig, LlamaForCausalLM

from pytest_mesa._paths import shipped
from pytest_mesa.experiments import circuit_cells, circuit_matrix, circuit_measure
from pytest_mesa.experiments.circuit_ablations import Lost, LostAtRandom, Trial
from pytest_mesa.experiments.circuit_measure import HIGH, LOW, Scale
from pytest_mesa.experiments.circuit_overlap import STUDY, _withheld
from pytest_mesa.experiments.circuit_scores import Shared, overlap, planted, shuffled
from pytest_mesa.experiments.circuit_tasks import partners, playing, telling_apart
from pytest_mesa.runs.cells import Result
from pytest_mesa.runs.compute import Failure
from pytest_mesa.runs.execute import LocalExecutor
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_players import Player, TextPlayer, token_player
from pytest_mesa.subjects.games_recipes import TWO_GAMES
from pytest_mesa.subjects.games_twins import TwinGames, twins
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.recipes import training_cell
from pytest_mesa.tasks.games.batches import Stretch, draw
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.prompts import TEMPLATES
from pytest_mesa.verdicts.evidence import Measurement, Stratum
from pytest_mesa.verdicts.reasons import Reason

pytest.importorskip("pyspiel")
torch.set_num_threads(1)
CELLS: dict[str, Any] = {"game": "tic-tac-toe", "plies": [2, 5], "templates": []}
weighted = st.lists(st.floats(0, 1, width=16), min_size=6, max_size=6).map(np.array)


@given(weighted, weighted)
def test_an_overlap_is_a_share_and_has_no_order(one: np.ndarray, other: np.ndarray) -> None:
    assert 0 <= overlap(one, other) == overlap(other, one) <= 1
    assert overlap(one, one) == 1


@given(weighted, st.integers(0, 2**31))
def test_shuffling_moves_weights_among_edges_that_are_alike(values: np.ndarray, seed: int) -> None:
    kinds = np.array([0, 1, 1, 0, 0, 2])
    moved = shuffled(values, kinds, np.random.default_rng(seed))
    for kind in range(3):
        assert sorted(moved[kinds == kind]) == sorted(values[kinds == kind])


def test_every_order_of_edges_that_are_alike_is_drawn() -> None:
    rng, kinds = np.random.default_rng(0), np.array([7, 3, 7, 7])
    drawn = {tuple(shuffled(np.arange(4), kinds, rng).tolist()) for _ in range(200)}
    assert len(drawn) == 6 and all(values[1] == 1 for values in drawn)


def test_all_of_a_setting_planted_is_other_games_of_the_first() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 2, 2, 9))
    full = planted(scores, 1.0)
    assert np.allclose(full[:, :, 1], np.roll(scores[:, :, 0], 1, axis=0))
    assert np.array_equal(full[:, :, 0], scores[:, :, 0])
    assert np.array_equal(planted(scores, 0.0), scores)


def lost(own: float, other: float) -> Lost:
    return Lost(0.9, own, other)


@given(st.floats(0, 0.5, width=16), st.floats(0, 0.5, width=16))
def test_cuts_that_hurt_alike_score_one_and_cuts_like_random_ones_zero(
    own: float, other: float
) -> None:
    scale = Scale(overlap=0.2, ablation=0.4)
    assert scale.hurts([lost(own, own), lost(other, other)]) == 1.0
    assert scale.hurts([lost(own + 0.4, own), lost(other + 0.4, other)]) == pytest.approx(0.0)
    assert LOW <= scale.hurts([lost(own, other)] * 2) <= HIGH


def test_scales_reach_from_random_circuits_to_one_settings_halves() -> None:
    compared = [Shared(0.3, 0.6, 0.2, 0.2), Shared(0.3, 0.5, 0.1, 0.2)]
    scale = Scale.of(compared, [[LostAtRandom(0.5, 0.1), LostAtRandom(0.3, 0.1)]])
    assert scale.hurts([lost(0.3, 0.0)] * 2) == pytest.approx(0.0)
    assert scale.shares(0.6, 0.2) == pytest.approx(1.0)
    assert scale.shares(0.2, 0.2) == 0.0
    assert scale.usable
    assert not Scale.of([Shared(0.3, 0.3, 0.3, 0.3)], [[LostAtRandom(0.5, 0.1)]]).usable


@given(st.lists(st.integers(0, 3), max_size=12))
def test_prompts_are_corrupted_by_others_that_are_alike(keys: list[int]) -> None:
    found = partners(keys)
    assert all(row != other and keys[row] == keys[other] for row, other in found.items())
    assert sorted(found.values()) == sorted(found)
    assert len(found) == sum(keys.count(key) > 1 for key in keys)


@cache
def decoder() -> Any:
    layers = (shipped("fixtures"),)
    result = Store(shipped("fixtures") / "nowhere", layers).get(training_cell(TWO_GAMES, 0))
    if result is None:
        pytest.skip("no two-game decoder is frozen")
    return load({"scheme": "recipe"}, (result,))


def player(shared: int | None = None) -> Player:
    subject = decoder()
    if shared is not None:
        module = twins(subject.module.model, shared).eval().requires_grad_(False)
        subject = TwinGames("twins", module, "")
    return token_player(subject, (Name.TIC_TAC_TOE, Name.TIC_TAC_TOE))


PARAMS: dict[str, Any] = {
    "own": 0,
    "settings": [CELLS, CELLS],
    "seed": 5,
    "batches": 6,
    "games": 24,
    "slots": 2,
    "twins": False,
    "steps": 1,
    "unrelated": 0,
    "able": None,
    "choose": 3,
    "sizes": [0.1, 0.3],
    "core": 0.05,
    "faithful": 0.5,
    "strengths": [],
    "edge": 0.5,
    "alpha": 0.05,
    "label": "a net",
}


def measured(asked: Player, folder: Path, **changed: Any) -> dict[str, Any]:
    """Everything from the draw to the scores."""
    params = PARAMS | changed
    with pytest.MonkeyPatch.context() as patch:
        for module in (circuit_cells, circuit_measure, circuit_matrix):
            patch.setattr(module, "player_of", lambda *_: asked)
        patch.setattr(circuit_matrix, "BATCHES", 1)
        drawn = Result("", circuit_cells.positions(params, (), folder), folder)
        traced = Result("", circuit_cells.attribute(params, (drawn,), folder), folder)
        found: dict[str, Any] = circuit_measure.measure(params, (drawn, traced), folder)
        if "matrix" in changed:
            found["matrix"] = circuit_matrix.matrix(
                params | {"sizes": [0.2]}, (drawn, traced), folder
            )
    json.dumps(found, allow_nan=False)
    return found


def means(found: Mapping[str, Any]) -> dict[str, float]:
    return {each["name"]: float(np.mean(each["scores"])) for each in found["strata"]}


def test_one_circuit_under_two_notations_is_seen_as_one(tmp_path: Path) -> None:
    found = measured(player(6), tmp_path)
    assert min(means(found).values()) >= 0.7
    about = found["detail"]["circuits"]
    assert about["anchors"]["halves"]["mean"] >= 0.7
    assert abs(about["anchors"]["random"]["mean"]) <= 0.2


@pytest.fixture(scope="module")
def disjoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    asked = {"strengths": [0.2, 0.9], "matrix": True, "games": 16, "batches": 5, "choose": 2}
    return measured(player(0), tmp_path_factory.mktemp("twins"), **asked)


def test_two_circuits_without_a_common_layer_are_seen_as_two(disjoint: dict[str, Any]) -> None:
    assert max(map(abs, means(disjoint).values())) <= 0.1
    loss = disjoint["detail"]["circuits"]["lost"]["tic-tac-toe"]
    assert loss["own_only"] >= 0.9
    assert abs(loss["other_only"]) <= 0.05


def test_the_matrix_shows_their_double_dissociation(disjoint: dict[str, Any]) -> None:
    _, *rows = disjoint["matrix"]["text"].splitlines()
    left = [[float(number) for number in row.split()[-8:]] for row in rows]
    assert len(left) == 4  # two kinds of ablation, two settings
    for (keep_own, keep_other, *_, own_only, other_only), twin in zip(
        left[::2], left[1::2], strict=True
    ):
        assert min(keep_own, other_only, twin[1], twin[-2]) >= 0.9
        assert max(map(abs, (keep_other, own_only, twin[0], twin[-1]))) <= 0.1


def test_planted_sharing_lifts_the_overlap(disjoint: dict[str, Any]) -> None:
    weak, strong = disjoint["detail"]["spike_in"]["tried"]
    assert weak["mean"] < 0.2 and strong["mean"] > 0.6


def test_noise_in_the_place_of_scores_misses_the_shared_circuit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, edges = np.random.default_rng(0), player().wiring.graph.edges

    def scores(_wiring: Any, _pairs: Any, _metric: Any, batch: torch.Tensor, *_: Any) -> list[Any]:
        return [SimpleNamespace(scores=rng.normal(size=edges.shape)) for _ in batch.unique()]

    monkeypatch.setattr(circuit_cells, "edge_attribution_by_group", scores)
    about = measured(player(6), tmp_path, batches=4, choose=2)["detail"]["circuits"]
    assert not about["usable"] or min(about["faithfulness"].values()) < 0.5


def test_a_model_that_does_not_play_gets_a_glance(tiny: LanguageModel, tmp_path: Path) -> None:
    unable = {"competence": {"metric": "legal-rate", "at_least": 0.9, "budget": 100}, "alpha": 0.05}
    able = Result("", {"competence": [0.0] * 50, "weights_sha": "ab"}, tmp_path)
    ways = tuple(tuple(TEMPLATES[n] for n in names) for names in (CHESS_WAYS, GO_WAYS))
    settings = [{"game": game, "plies": [4, 7]} for game in ("chess", "go")]
    params = PARAMS | {"able": unable, "settings": settings, "unrelated": 9, "games": 6}
    with pytest.MonkeyPatch.context() as patch:
        for module in (circuit_cells, circuit_measure, circuit_matrix):
            patch.setattr(module, "player_of", lambda *_: TextPlayer(tiny, ways))
        patch.setattr(TextPlayer, "weights_sha", "ab")
        drawn = Result("", circuit_cells.positions(params, (), tmp_path), tmp_path)
        payload = circuit_cells.attribute(params, (drawn, able), tmp_path)
        traced = Result("", payload, tmp_path)
        found = circuit_measure.measure(params, (drawn, traced, able), tmp_path)
        assert circuit_matrix.matrix(params, (drawn, traced, able), tmp_path) == {}
    (only,) = found["strata"]
    assert (only["name"], len(only["scores"])) == ("overlap", circuit_cells.GLANCE)
    assert "unrelated_task" not in found["detail"]["circuits"]["glance"]
    measurement = Measurement("tiny", (), detail=found["detail"])
    assert _withheld(measurement, prediction(SPEC)).withheld is None


def test_a_pair_sets_the_nets_own_moves_against_each_other() -> None:
    asked = player()
    stretches = (Stretch(Name.TIC_TAC_TOE, 2, 5), Stretch(Name.FIFTEEN, 2, 5))
    (batch,) = draw(stretches, 1, 6, 2, np.random.default_rng(0), twins=True)
    task = playing(asked, 0, 0, [batch])
    assert len(task.pairs) == 12
    logits = asked.wiring.run(task.pairs.clean, task.pairs.mask)
    margins = task.metric(logits[torch.arange(12), task.pairs.answers], torch.arange(12))
    assert (margins > 0).float().mean() > 0.9
    both = token_player(decoder(), (Name.TIC_TAC_TOE, Name.FIFTEEN))
    apart = telling_apart(both, 0, [batch])
    logits = both.wiring.run(apart.pairs.clean, apart.pairs.mask)
    rows = torch.arange(len(apart.pairs))
    assert (apart.metric(logits[rows, apart.pairs.answers], rows) > 0).all()


def test_a_language_model_is_asked_in_words_of_one_length(tiny: LanguageModel) -> None:
    ways = tuple(tuple(TEMPLATES[n] for n in names) for names in (CHESS_WAYS, GO_WAYS))
    asked = TextPlayer(tiny, ways)
    stretches = (Stretch(Name.CHESS, 2, 3), Stretch(Name.GO, 2, 3))
    (batch,) = draw(stretches, 1, 8, 2, np.random.default_rng(0))
    for setting in (0, 1):
        task = playing(asked, setting, 0, [batch])
        assert task.pairs.corrupt is not None
        assert bool((task.pairs.clean != task.pairs.corrupt).any(1).all())
        assert asked.wiring.graph.edges.sum() > 0
    apart = telling_apart(asked, 0, [batch])
    assert len(apart.pairs) == 32


def test_batches_asked_together_are_asked_as_each_alone() -> None:
    asked = player()
    stretches = (Stretch(Name.TIC_TAC_TOE, 2, 5), Stretch(Name.TIC_TAC_TOE, 2, 5))
    batches = draw(stretches, 3, 6, 4, np.random.default_rng(1))
    together = playing(asked, 0, 1, batches)
    edges = np.random.default_rng(0).random((3, int(asked.wiring.graph.edges.sum()))) < 0.6
    together_kept = Trial(asked, together).kept([edges, edges[0]])
    for number, batch in enumerate(batches):
        part, alone = together.of_batch(number), playing(asked, 0, 1, [batch])
        for name in ("clean", "corrupt", "answers"):
            width = int(alone.pairs.answers.max()) + 1
            got, want = (getattr(task.pairs, name) for task in (part, alone))
            assert torch.equal(got[..., :width], want[..., :width])
        logits = torch.randn(len(alone.pairs), 700, generator=torch.Generator().manual_seed(0))
        rows = torch.arange(len(alone.pairs))
        assert torch.equal(part.metric(logits, rows), alone.metric(logits, rows))
        kept = Trial(asked, alone).kept([edges[number], edges[0]])[:, 0]
        assert together_kept[:, number] == pytest.approx(kept, abs=1e-4)


def test_batches_are_told_apart_together_as_each_alone() -> None:
    asked = token_player(decoder(), (Name.CHESS, Name.GO))
    stretches = (Stretch(Name.CHESS, 4, 7), Stretch(Name.GO, 6, 9))
    batches = draw(stretches, 3, 4, 2, np.random.default_rng(1))
    together = telling_apart(asked, 1, batches)
    for number, batch in enumerate(batches):
        part, alone = together.of_batch(number), telling_apart(asked, 1, [batch])
        width = int(alone.pairs.answers.max()) + 1
        assert torch.equal(part.pairs.answers, alone.pairs.answers)
        assert torch.equal(part.pairs.clean[:, :width], alone.pairs.clean)
        logits = torch.randn(len(alone.pairs), 700, generator=torch.Generator().manual_seed(0))
        rows = torch.arange(len(alone.pairs)).flip(0)
        assert torch.equal(part.metric(logits, rows), alone.metric(logits, rows))


CHESS_WAYS, GO_WAYS = ("uci-position", "uci-story"), ("sgf-short", "sgf-full")


@pytest.fixture(scope="module")
def tiny() -> LanguageModel:
    """A random model whose tokens are characters, so that lengths are easily the same."""
    return LanguageModel("tiny", llama(), Characters(), None)  # type: ignore[arg-type]


def llama() -> LlamaForCausalLM:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=128, intermediate_size=24, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


class Characters:
    """A tokenizer, as far as one is asked for here."""

    pad_token_id, eos_token_id = 0, 1

    def __call__(self, text: str, **_how: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(character) for character in text]}

    def decode(self, ids: list[int], **_how: Any) -> str:
        return "".join(map(chr, ids))


SPEC = """
prediction: circuits
title: One net, two circuits
claim: It has two.
subjects: [{released: true}]
competence: {metric: legal-rate, at_least: 0.85, budget: 100}
experiment:
  kind: circuit-overlap
  settings:
    - {game: chess, plies: [2, 3], templates: [uci-position, uci-story]}
    - {game: go, plies: [2, 3], templates: [sgf-short, sgf-full]}
controls:
  must_detect: [{ref: "twins:two-game-decoder"}]
  must_not_detect: [{ref: "twins:two-game-decoder", options: {shared: 0}}]
verdict: {estimand: shared-circuit, predicted: {below: 0.5}, refuted: {above: 0.65}}
"""


def test_subjects_and_controls_share_the_draws_that_they_can() -> None:
    spec = prediction(SPEC.replace("{released: true}", "{recipe: two-game-decoder, seeds: 2}"))
    plan = STUDY.plan(spec)
    draws = {cell.inputs[-1].inputs[1].key for cell in (*plan.subjects, *plan.must_detect)} | {
        plan.must_not_detect[0].inputs[-1].inputs[1].key
    }
    assert len(plan.subjects) == 2
    assert len(draws) == 2
    games = plan.must_detect[0].inputs[-1].params["settings"]
    assert [each["game"] for each in games] == ["go", "go"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("shared-circuit", "overlap", "measures 'shared-circuit', not 'overlap'"),
        ("sgf-short", "uci-story", "go has no template 'uci-story'; there are sgf-full"),
        (
            "predicted: {below: 0.5}, refuted: {above: 0.65}",
            "predicted: {above: 0.65}, refuted: {below: 0.5}",
            "the claim is that circuits differ",
        ),
    ],
)
def test_what_cannot_be_measured_is_said(old: str, new: str, said: str) -> None:
    with pytest.raises(SubjectError, match=said):
        STUDY.plan(prediction(SPEC.replace(old, new)))


def test_what_cannot_be_drawn_is_said_in_a_sentence(tmp_path: Path) -> None:
    (control,) = STUDY.plan(prediction(SPEC)).must_detect
    cell = control.inputs[-1].inputs[1]
    with LocalExecutor(Store(tmp_path), workers=0) as executor:
        outcome = executor.run([cell])[cell]
    assert isinstance(outcome, Failure)
    assert outcome.message == "plies 2 to 3 of go can't be parted in 4"
    assert not outcome.traceback


def test_a_chess_net_without_words_or_tokens_is_no_subject() -> None:
    with pytest.raises(SubjectError, match=r"reads boards, and .* asks in the task's own tokens"):
        STUDY.plan(prediction(SPEC), "bundled:maia-1900")


SOUND: dict[str, Any] = {
    "faithfulness": {"chess": 0.9, "go": 0.85},
    "usable": True,
    "anchors": {"halves": {"bounds": [0.8, 1.05]}},
    "shared": {"unrelated_task": {"score": 0.3, "settings_score": 0.5}},
}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"faithfulness": {"chess": 0.9, "go": 0.79}}, Reason.CIRCUIT_UNFAITHFUL),
        ({"usable": False}, Reason.CIRCUIT_UNSTABLE),
        ({"anchors": {"halves": {"bounds": [0.3, 0.8]}}}, Reason.CIRCUIT_UNSTABLE),
    ],
)
def test_circuits_that_cannot_be_compared_conclude_nothing(
    changed: dict[str, Any], reason: Reason | None
) -> None:
    found = _withheld(sound([0.6, 0.9], changed), prediction(SPEC))
    assert found.withheld is reason


@pytest.mark.parametrize(
    ("scores", "reason"), [([0.7, 0.9], Reason.BASELINE_EXPLAINS), ([0.7, 0.6], None)]
)
def test_sharing_no_more_than_with_an_unrelated_task_refutes_nothing(
    scores: list[float], reason: Reason | None
) -> None:
    shared = {"shared": {"unrelated_task": {"score": 0.8, "settings_score": 0.7}}}
    assert _withheld(sound(scores, shared), prediction(SPEC)).withheld is reason


def sound(scores: list[float], changed: dict[str, Any]) -> Measurement:
    strata = tuple(Stratum(str(n), (score,) * 20, LOW, HIGH) for n, score in enumerate(scores))
    return Measurement("a net", strata, detail={"circuits": SOUND | changed})
