"""Twins play as the decoder does, on the layers that they are said to play on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from pytest_mesa.instruments.attribution_trunks import Answers
from pytest_mesa.instruments.attribution_writes import capture
from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import configuration
from pytest_mesa.subjects.games_players import TokenPlayer
from pytest_mesa.subjects.games_recipes import GamesRecipe
from pytest_mesa.subjects.games_twins import SwitchedDecoder, twins
from pytest_mesa.subjects.schemes import handles
from pytest_mesa.tasks.games import tokens
from pytest_mesa.tasks.games.notation import Name

V = tokens.VOCABULARY
LAYERS = 3


@pytest.fixture(scope="module")
def decoder() -> GPT2LMHeadModel:
    recipe = GamesRecipe("tiny", (), d_model=32, layers=LAYERS, heads=2, d_mlp=48, positions=32)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(configuration(recipe)).eval()
    with torch.no_grad():  # biases and gains are 0 or 1 in a new net, where they could be lost
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    return model


@pytest.fixture
def prompts() -> Tensor:
    squares = torch.tensor([[12, 28, 52, 36], [11, 27, 51, 35]]) + tokens.SQUARE
    return torch.cat([torch.full((2, 1), int(tokens.Tag.CHESS)), squares], dim=1)


@pytest.mark.parametrize("shared", range(LAYERS + 1))
def test_both_notations_are_played_as_the_decoder_plays(
    decoder: GPT2LMHeadModel, prompts: Tensor, shared: int
) -> None:
    net = twins(decoder, shared)
    with torch.no_grad():
        plain = decoder(input_ids=prompts).logits
        for notation in (0, 1):
            logits = net(prompts + notation * V)
            assert torch.allclose(logits[..., :V], logits[..., V:], atol=1e-4)
            assert torch.allclose(logits[..., :V], plain, atol=2e-3)


def test_what_is_not_shared_writes_nothing_for_the_other(
    decoder: GPT2LMHeadModel, prompts: Tensor
) -> None:
    net = twins(decoder, 1)
    player = TokenPlayer(net, "", (Name.CHESS, Name.CHESS), (0, 1))
    answers = Answers(torch.arange(2), torch.tensor([4, 4]))
    serving = {
        notation: {
            part.layer
            for part, value in zip(
                player.wiring.parts,
                capture(player.wiring, prompts + notation * V, None, answers).parts,
                strict=True,
            )
            if value.abs().max() > 0
        }
        for notation in (0, 1)
    }
    assert serving == {0: {0, 1, 2}, 1: {0, 3, 4}}


def test_a_plain_decoder_is_left_as_it_is(decoder: GPT2LMHeadModel, prompts: Tensor) -> None:
    with torch.no_grad():
        assert torch.equal(SwitchedDecoder(decoder)(prompts), decoder(input_ids=prompts).logits)


def test_more_layers_than_there_are_cannot_be_shared(decoder: GPT2LMHeadModel) -> None:
    with pytest.raises(SubjectError, match="3 layers shares 0 to 3 of them, not 4"):
        twins(decoder, LAYERS + 1)


def test_a_spec_names_twins_by_recipe_layers_and_seed() -> None:
    spec = SubjectSpec(ref="twins:two-game-decoder", options={"shared": 2, "seed": 1})
    (handle,) = handles(spec)
    assert handle.label == "two-game-decoder seed 1, twins sharing 2 of 6 layers"
    assert handle.params == {"scheme": "twins", "shared": 2}
    assert handle.inputs[0].params["seed"] == 1


@pytest.mark.parametrize(
    ("ref", "more", "said"),
    [
        ("twins:knapsack-decoder", {}, "knapsack-decoder plays no games"),
        ("twins:two-game-decoder", {"options": {"shared": 7}}, "has 6 layers to share"),
        ("twins:two-game-decoder", {"options": {"shared": True}}, "whole number from 0 on"),
        ("twins:two-game-decoder", {"options": {"depth": 2}}, "unknown subject option 'depth'"),
        ("twins:two-game-decoder", {"seeds": 2}, "give the option seed"),
    ],
)
def test_what_is_no_twin_is_said(ref: str, more: dict[str, object], said: str) -> None:
    with pytest.raises(SubjectError, match=said):
        handles(SubjectSpec.model_validate({"ref": ref, **more}))
