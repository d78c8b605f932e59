"""Recipes and their nets: what is random, what is hashed, what a training run leaves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from pytest_mesa.runs.cells import Result
from pytest_mesa.subjects import load as loading
from pytest_mesa.subjects import training
from pytest_mesa.subjects.base import weights_sha
from pytest_mesa.subjects.decoder import staircase_mask, untrained
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.recipes import RECIPES, Recipe, from_params, recipe, training_cell
from pytest_mesa.tasks.knapsack import tokens
from pytest_mesa.tasks.knapsack.instances import Instances, draw

TINY = Recipe("tiny", d_model=16, layers=2, heads=2, d_mlp=32, steps=12, batch=32)
DECODER = recipe("knapsack-decoder")


def sample(count: int = 64) -> Instances:
    return draw(DECODER.task, count, np.random.default_rng(0))


def test_an_untrained_net_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first = untrained(DECODER, 0)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(4)
    assert weights_sha(untrained(DECODER, 0)) == weights_sha(first)
    assert weights_sha(untrained(DECODER, 1)) != weights_sha(first)


def test_the_hash_of_weights_sees_names_shapes_and_bytes() -> None:
    net = torch.nn.Linear(4, 4)
    before = weights_sha(net)
    assert weights_sha(net) == before
    with torch.no_grad():
        net.weight[2, 3] += 1e-6
    assert weights_sha(net) != before
    flat = torch.nn.Linear(4, 4, bias=False)
    named = torch.nn.ModuleDict({"a": flat})
    renamed = torch.nn.ModuleDict({"b": flat})
    assert weights_sha(named) != weights_sha(renamed)


def test_a_decoder_reads_a_knapsack_as_a_set() -> None:
    net = untrained(DECODER, 0).eval()
    instances = sample()
    turned = Instances(
        instances.weights[:, ::-1].copy(), instances.values[:, ::-1].copy(), instances.capacity
    )
    with torch.no_grad():
        one, other = (net(tokens.encode(x))[:, -1] for x in (instances, turned))
        moved = dataclasses.replace(instances, capacity=instances.capacity % 8 + 3)
        different = net(tokens.encode(moved))[:, -1]
    # In the first layer positions are equal; later ones see the causal order of the others.
    assert (one - other).abs().max() < (one - different).abs().max()


def test_the_staircase_lets_one_position_a_layer_read_its_predecessor() -> None:
    for layer in range(5):
        open_pairs = (staircase_mask(layer, 7)[0, 0] == 0).nonzero().tolist()
        diagonal = [[i, i] for i in range(7)]
        assert sorted(open_pairs) == sorted([*diagonal, [layer + 2, layer + 1]])


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_information_climbs_the_staircase_one_step_a_layer(layer: int) -> None:
    """Changing item 1 reaches position p only from layer p - 1 on."""
    net = untrained(recipe("knapsack-staircase"), 0).eval()
    ids = tokens.encode(sample(2))
    changed = ids.clone()
    changed[:, 1] = (ids[:, 1] - tokens.FIRST_ITEM + 5) % 25 + tokens.FIRST_ITEM
    with torch.no_grad():
        runs = [
            net.model.transformer(
                input_ids=i,
                position_ids=torch.zeros_like(i),
                attention_mask=torch.ones_like(i),
                output_hidden_states=True,
            ).hidden_states[layer]
            for i in (ids, changed)
        ]
    reached = (runs[0] - runs[1]).abs().amax((0, 2)) > 1e-6
    assert reached.tolist() == [1 <= p <= layer + 1 for p in range(7)]


def test_params_describe_a_recipe_in_full() -> None:
    for known in RECIPES.values():
        back, seed = from_params(known.params(3), known.name)
        assert (back, seed) == (known, 3)


def test_a_cell_is_named_by_every_field_of_its_recipe_but_the_name() -> None:
    key = training_cell(TINY, 0).key
    assert training_cell(dataclasses.replace(TINY, name="other"), 0).key == key
    assert training_cell(TINY, 1).key != key
    changed = {"steps": 13, "d_mlp": 33, "target": "greedy-ratio", "anchors": None}
    for field, value in changed.items():
        assert training_cell(dataclasses.replace(TINY, **{field: value}), 0).key != key, field


def test_training_repeats_and_its_net_loads(tmp_path: Path) -> None:
    lines: list[str] = []
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    first = training.train(TINY.params(0), (), folders[0], lines.append)
    again = training.train(TINY.params(0), (), folders[1])
    assert first["losses"] == again["losses"]
    assert len(first["losses"]) == 12
    assert first["losses"][-1] < first["losses"][0]
    handle = {"scheme": "recipe"}
    subjects = [
        loading.load(handle, (Result("", payload, folder),))
        for payload, folder in zip((first, again), folders, strict=True)
    ]
    assert subjects[0].weights_sha == subjects[1].weights_sha
    fresh = draw(TINY.task, 4000, np.random.default_rng([0, 0x76616C]))
    right = (subjects[0].answers(fresh) == training.SOLVERS["exact"](fresh)).mean()
    assert right == pytest.approx(first["accuracy"], abs=1e-4)
    assert not any(p.requires_grad for p in subjects[0].module.parameters())


def test_batches_show_anchors_every_so_often() -> None:
    seen = list(training.batches(dataclasses.replace(TINY, steps=32, anchor_every=4), 0))
    for step, batch in enumerate(seen):
        if step % 4 == 3:
            assert 1 <= batch.items <= 3
        else:
            assert batch.items == 5
            assert batch.weights.max() <= 5
    anchors = [batch for step, batch in enumerate(seen) if step % 4 == 3]
    assert max(int(b.weights.max()) for b in anchors) == 7
    assert max(int(b.capacity.max()) for b in anchors) == 15


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SubjectError, match="no recipe is called 'oracle'; there are knapsack-dec"):
        recipe("oracle")
