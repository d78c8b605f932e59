"""Shuffled twins: what they keep, and that a random net shows nothing beyond them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import model, tokenizer

from pytest_mesa.experiments import agreement_words_asking as asking
from pytest_mesa.experiments import agreement_words_probes as probes
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.runs.cells import Result
from pytest_mesa.subjects.language import LanguageModel, Provenance
from pytest_mesa.subjects.shuffled import shuffled
from pytest_mesa.tasks.knapsack.aspects import ASPECTS

KEPT = {"kept": [{"template": "list", "shots": 0, "chat": False}]}
ABLE = {"competence": {"metric": "accuracy", "at_least": 0.9, "budget": 200}, "alpha": 0.05}


def random_model(seed: int = 0) -> LanguageModel:
    about = Provenance("tiny", "", "0" * 64, "cpu", "float32", remote_code=False, parameters=1)
    return LanguageModel("tiny", model(seed=seed), tokenizer(), about)


def test_a_twin_keeps_every_spectrum_and_nothing_else() -> None:
    subject = random_model()
    before = {name: weight.clone() for name, weight in subject.model.named_parameters()}
    twin, again, other = (shuffled(subject, seed) for seed in (1, 1, 2))
    for name, weight in twin.model.named_parameters():
        assert torch.equal(dict(subject.model.named_parameters())[name], before[name])
        if weight.ndim == 2:
            assert not torch.equal(weight, before[name])
            assert torch.allclose(
                torch.linalg.svdvals(weight), torch.linalg.svdvals(before[name]), atol=1e-3
            )
        else:
            assert torch.equal(weight, before[name])
    prompt, options = ["Two and two make"], [" four", " 12", " it"]
    scores = [m.option_logprobs(prompt, options) for m in (subject, twin, again, other)]
    assert torch.equal(scores[1], scores[2])
    assert not torch.allclose(scores[1], scores[0], atol=0.1)
    assert not torch.allclose(scores[1], scores[3], atol=0.1)


@pytest.mark.parametrize(("twins", "silent"), [(0, False), (3, True)])
def test_a_net_that_has_learned_nothing_shows_nothing_beyond_its_twins(
    twins: int, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_a: Any, **_k: Any) -> LanguageModel:
        return random_model(seed=1)

    monkeypatch.setattr(asking, "load", load)
    monkeypatch.setattr(probes, "TWINS", twins)
    task = KnapsackTask(kind="knapsack", items=3).model_dump()
    params = {"subject": {}, "own": 0, "task": task, "seed": 0, "alpha": 0.05, "able": ABLE}
    params |= {"aspects": list(ASPECTS), "counts": [1200, 300, 1000]}
    results = (Result("a", KEPT, Path()), Result("b", {"competence": [1.0] * 200}, Path()))
    found = probes.aspects(params, results, Path())["detail"]["aspects"]
    assert set(found) == set(ASPECTS)
    assert (not any(aspect["decodable"] for aspect in found.values())) is silent
