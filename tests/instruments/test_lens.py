"""Reading every layer: exact at the last, and through a known turn of the stream."""

from __future__ import annotations

import pytest
import torch
from decoder_zoo import LAYERS, VOCABULARY, WIDTH, ZOO, built, tokens
from torch import Tensor, nn

from pytest_mesa.instruments.dissect import dissect
from pytest_mesa.instruments.lens import Lens, logit_lens, read_layers, readout_of
from pytest_mesa.instruments.lens_training import Fit, tuned_lens
from pytest_mesa.instruments.stream import SiteError, Stream
from pytest_mesa.instruments.subspace import orthonormal


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3", "opt-post-norm", "jamba", "mamba"])
def test_the_last_layer_is_the_net(family: str) -> None:
    stream = dissect(built(ZOO[family].make), tokens()).stream()
    ids = tokens(rows=3)
    read = read_layers(logit_lens(stream, ids), stream.capture(ids))
    assert read.shape == (LAYERS + 1, 3, 6, VOCABULARY)
    torch.testing.assert_close(read[-1], stream.logits(ids), rtol=0, atol=1e-5)


def test_earlier_layers_are_read_by_norm_and_unembedding() -> None:
    module = built(ZOO["llama"].make)
    stream = Stream(module)
    values = stream.capture(tokens())
    read = read_layers(logit_lens(stream, tokens()), values)
    by_hand = module.lm_head(module.model.norm(values))
    torch.testing.assert_close(read, by_hand, rtol=0, atol=1e-5)
    assert float((read[1] - read[-1]).abs().max()) > 0.1


def test_positions_and_options_are_parts_of_the_whole() -> None:
    stream = Stream(built(ZOO["gpt2"].make))
    lens = logit_lens(stream, tokens())
    values, options = stream.capture(tokens()), torch.tensor([7, 3])
    whole = read_layers(lens, values)
    part = read_layers(lens, values, [-1, 2], options)
    assert part.shape == (LAYERS + 1, 2, 2, 2)
    torch.testing.assert_close(part, whole[:, :, [-1, 2]][..., options])
    with pytest.raises(SiteError, match=r"position 6 is outside 0..5"):
        read_layers(lens, values, [6])


def test_scores_are_what_their_names_say() -> None:
    stream = Stream(built(ZOO["gpt2"].make))
    values = stream.capture(tokens()).flatten(1, 2)
    lens = logit_lens(stream, tokens())
    asked = torch.tensor([[4, 9]]).repeat(12, 1)
    scores = lens.scores(values, asked)
    logs = lens.logits(values).log_softmax(-1)
    last = logs[-1].expand_as(logs)
    kl = nn.functional.kl_div(logs, last, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(scores.divergence, kl, atol=1e-5, rtol=1e-4)
    assert float(scores.divergence[-1].abs().max()) < 1e-6 < float(scores.divergence[0].min())
    entropy = torch.distributions.Categorical(logits=logs).entropy()
    torch.testing.assert_close(scores.entropy, entropy, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scores.probability, logs[..., [4, 9]].exp())
    order = logs.argsort(-1, descending=True)
    for column, token in enumerate((4, 9)):
        assert torch.equal(scores.rank[..., column], (order == token).int().argmax(-1))
    assert lens.scores(values).rank.shape == (LAYERS + 1, 12, 0)


def test_memory_bounds_what_is_read_at_once_and_changes_nothing() -> None:
    stream = Stream(built(ZOO["gpt2"].make))
    values = stream.capture(tokens()).flatten(1, 2)
    sizes: list[int] = []
    inner = readout_of(stream)

    def readout(rows: Tensor) -> Tensor:
        sizes.append(len(rows))
        return inner(rows)

    tight = Lens(readout, memory=5 * 4 * 4 * VOCABULARY)  # five rows of logits
    small, big = tight.scores(values), Lens(inner).scores(values)
    assert max(sizes) == 5
    torch.testing.assert_close(small.divergence, big.divergence, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(tight.logits(values), Lens(inner).logits(values))


class Turned(nn.Module):
    """Each block turns the stream by a known rotation, and adds a little of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        turns = [orthonormal(torch.randn(WIDTH, WIDTH)) for _ in range(2)]
        self.blocks = nn.ModuleList(Turn(turn) for turn in turns)
        self.out = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.out.weight.data *= 4.0  # answers sharp enough to tell directions apart

    def forward(self, ids: Tensor) -> Tensor:
        stream = self.embed(ids)
        for block in self.blocks:
            stream = block(stream)
        return self.out(stream)


class Turn(nn.Module):
    def __init__(self, turn: Tensor) -> None:
        super().__init__()
        self.turn = nn.Buffer(turn)

    def forward(self, stream: Tensor) -> Tensor:
        return stream @ self.turn.T


@pytest.fixture(scope="module")
def turned() -> tuple[Stream, Lens, Lens, Tensor]:
    """A net, both lenses, and rows that neither was fitted on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        stream = Stream(Turned().requires_grad_(False))
    fit, held_out = (
        # The stream plus noise: a token's embedding alone is too few points to fix a map.
        stream.capture(tokens(rows=rows, length=8, seed=seed)).flatten(1, 2)
        for rows, seed in ((96, 5), (16, 6))
    )
    noise = torch.randn(fit.shape[1], WIDTH, generator=torch.Generator().manual_seed(7))
    spread = fit[0] + noise
    values = torch.stack(
        [spread, stream.blocks[0](spread), stream.blocks[1](stream.blocks[0](spread))]
    )
    generator = torch.Generator().manual_seed(8)
    logit = logit_lens(stream, tokens())
    tuned = tuned_lens(logit.readout, values, generator, Fit(steps=30))
    return stream, logit, tuned, held_out


def test_a_tuned_lens_sees_through_a_turn(turned: tuple[Stream, Lens, Lens, Tensor]) -> None:
    _, logit, tuned, held_out = turned
    before, after = (lens.scores(held_out).divergence.mean(1) for lens in (logit, tuned))
    assert float(before[:2].min()) > 1.0  # all is there, in a basis that the logit lens misreads
    assert float(after[:2].max()) < 0.02 * float(before[:2].min())
    assert float(after[2]) < 1e-6


def test_a_tuned_lens_recovers_the_turn(turned: tuple[Stream, Lens, Lens, Tensor]) -> None:
    stream, _, tuned, _ = turned
    assert tuned.translators is not None
    found = torch.eye(WIDTH) + tuned.translators.weight[1]
    turn = stream.blocks[1].turn
    assert float((found - turn).norm() / turn.norm()) < 0.02


def test_a_tuned_lens_helps_a_trained_shape_on_texts_it_has_not_seen() -> None:
    stream = Stream(built(ZOO["llama"].make))
    fit, held_out = (stream.capture(tokens(rows=64, seed=seed)).flatten(1, 2) for seed in (5, 6))
    logit = logit_lens(stream, tokens())
    logit_kl, start_kl, tuned_kl = (
        lens.scores(held_out).divergence[:-1].mean(1)
        for lens in (
            logit,
            tuned_lens(logit.readout, fit, torch.Generator().manual_seed(2), Fit(steps=0)),
            tuned_lens(logit.readout, fit, torch.Generator().manual_seed(2), Fit(steps=100)),
        )
    )
    assert bool((tuned_kl < logit_kl).all())
    assert float(tuned_kl.mean()) < 0.95 * float(start_kl.mean())  # steps do their part


def test_fitting_leaves_global_randomness_and_the_net_alone() -> None:
    module = built(ZOO["gpt2"].make)
    stream = Stream(module)
    values = stream.capture(tokens()).flatten(1, 2)
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.get_rng_state()
    lenses = [
        tuned_lens(readout_of(stream), values, torch.Generator().manual_seed(0), Fit(steps=3))
        for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())
    first, second = (lens.translators for lens in lenses)
    assert first is not None and second is not None
    assert torch.equal(first.weight, second.weight) and bool(first.weight.any())


def test_a_fit_that_only_harms_is_thrown_away() -> None:
    stream = Stream(built(ZOO["gpt2"].make))
    fit, held_out = (stream.capture(tokens(rows=8, seed=seed)).flatten(1, 2) for seed in (5, 6))
    logit = Lens(readout_of(stream))
    wild = Fit(steps=3, learning_rate=1e4)
    tuned = tuned_lens(logit.readout, fit, torch.Generator().manual_seed(0), wild)
    before, after = (lens.scores(held_out).divergence.mean(1) for lens in (logit, tuned))
    assert bool((after <= 1.05 * before).all())


class Pooled(nn.Module):
    """Answers from the mean over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList([nn.Linear(WIDTH, WIDTH)])
        self.out = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        stream = self.blocks[0](self.embed(ids))
        return self.out(stream + stream.mean(1, keepdim=True))


def test_nets_that_no_single_position_answers_for_are_refused() -> None:
    with pytest.raises(SiteError, match="no function of single positions"):
        logit_lens(Stream(built(Pooled)), tokens())


def test_lenses_of_another_net_are_refused() -> None:
    stream = Stream(built(ZOO["gpt2"].make))
    values = stream.capture(tokens()).flatten(1, 2)
    lens = tuned_lens(readout_of(stream), values, torch.Generator(), Fit(steps=0))
    with pytest.raises(SiteError, match="a lens for 3 blocks reads 4 layers, not 3"):
        lens.logits(values[1:])
    with pytest.raises(SiteError, match="at least one block"):
        tuned_lens(readout_of(stream), values[-1:], torch.Generator())
