"""A small compiler: programs over named residual slots → the weights of a transformer.

A program moves slots between positions with hard attention and computes with ReLU units that
read affine expressions. The assembled net hides the slots behind a random rotation of the
residual stream, next to distractor dimensions that hold functions of the same inputs but
reach no answer. Source of the idea: RASP (Weiss et al. 2021) and Tracr (Lindner et al. 2023);
here without layer norms, and with causal masking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pytest_mesa.instruments.past import Past

if TYPE_CHECKING:
    from jaxtyping import Float, Int

HARD = 200.0  # attention logit of the position looked at: the others weigh e^-200 of it
STEADY = 4  # positions: sums over fewer run in another order, and whole numbers tie
GATE = 64.0  # larger than any table entry; not larger still, since it multiplies rounding errors


@dataclass(frozen=True)
class Affine:
    """An affine expression over slots: coefficients by slot index, and a constant."""

    terms: tuple[tuple[int, float], ...] = ()
    constant: float = 0.0

    def __add__(self, other: Affine | float) -> Affine:
        if isinstance(other, Affine):
            sums = dict(self.terms)
            for slot, coefficient in other.terms:
                sums[slot] = sums.get(slot, 0.0) + coefficient
            return Affine(tuple(sums.items()), self.constant + other.constant)
        return Affine(self.terms, self.constant + other)

    def __mul__(self, factor: float) -> Affine:
        return Affine(tuple((s, c * factor) for s, c in self.terms), self.constant * factor)

    def __sub__(self, other: Affine | float) -> Affine:
        return self + other * -1.0

    __radd__ = __add__
    __rmul__ = __mul__


def var(slot: int) -> Affine:
    """The expression that reads one slot."""
    return Affine(((slot, 1.0),))


def at(position: int) -> Callable[[int], int]:
    """Look at one fixed position."""
    return lambda _place: position


def back(steps: int) -> Callable[[int], int]:
    """Look a number of positions back."""
    return lambda place: place - steps


def only(place: int, look: Callable[[int], int]) -> Callable[[int], int]:
    """Look as given at one place, and nowhere (at BOS) from all others."""
    return lambda here: look(here) if here == place else -1


@dataclass(frozen=True)
class Head:
    """Copies slots from the position that ``look`` names; from BOS where it names none."""

    look: Callable[[int], int]
    source: tuple[int, ...]
    target: tuple[int, ...]


@dataclass(frozen=True)
class Unit:
    """``slot[out] += amount * relu(expression)``."""

    expression: Affine
    out: int
    amount: float


@dataclass
class Layer:
    """One block's heads, then its units."""

    heads: list[Head] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)

    def gated(self, value: Affine, gates: Sequence[Affine], out: int, bound: float = GATE) -> None:
        """Add ``relu(value)``, at most ``bound``, to a slot where every gate is 1, else 0."""
        expression = value
        for gate in gates:
            expression = expression + (gate - 1.0) * bound
        self.add(expression, out)

    def add(self, expression: Affine, out: int, amount: float = 1.0) -> None:
        """Add ``amount * relu(expression)`` to a slot."""
        self.units.append(Unit(expression, out, amount))

    def step(self, value: Affine, out: int) -> None:
        """Add 1 to a slot where the integer ``value`` is at least 1."""
        self.add(value, out)
        self.add(value - 1.0, out, -1.0)


class Program:
    """Slots, layers, what each token writes, and the expression that is the answer."""

    def __init__(self, positions: int) -> None:
        self.size = 0
        self.layers: list[Layer] = []
        self.embedding: dict[int, dict[int, float]] = {}
        self.answer = Affine()
        self.position = self.slots(positions)

    def slots(self, count: int) -> tuple[int, ...]:
        """Allocate residual slots."""
        first = self.size
        self.size += count
        return tuple(range(first, self.size))

    def layer(self) -> Layer:
        """Append a block."""
        self.layers.append(Layer())
        return self.layers[-1]

    def token(self, ident: int, writes: dict[int, float]) -> None:
        """What a token's embedding holds."""
        self.embedding[ident] = writes


class CompiledBlock(nn.Module):
    """Attention, then a ReLU layer, both added to the residual stream. No norms."""

    def __init__(self, d_model: int, heads: int, d_head: int, d_mlp: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(heads, d_model, d_head))
        self.key = nn.Parameter(torch.zeros(heads, d_model, d_head))
        self.value = nn.Parameter(torch.zeros(heads, d_model, d_model))
        self.up = nn.Linear(d_model, d_mlp)
        self.down = nn.Linear(d_mlp, d_model, bias=False)

    def forward(
        self,
        residual: Float[Tensor, "batch pos d_model"],
        past: Float[Tensor, "batch before d_model"] | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """One block; ``past`` is what entered it at the positions before."""
        read = residual if past is None else torch.cat([past, residual], dim=1)
        query = torch.einsum("bpd,hdk->bhpk", residual, self.query)
        key = torch.einsum("bpd,hdk->bhpk", read, self.key)
        scores = query @ key.transpose(-1, -2)
        first = read.shape[1] - residual.shape[1] + 1
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(first)
        weights = scores.masked_fill(future, -torch.inf).softmax(-1)
        moved = torch.einsum("bhqp,bpd,hde->bqe", weights, read, self.value)
        residual = residual + moved
        out: Tensor = residual + self.down(torch.relu(self.up(residual)))
        return out


class CompiledTransformer(nn.Module):
    """A decoder whose weights were written down, not trained."""

    def __init__(
        self, vocabulary: int, positions: int, d_model: int, blocks: Sequence[CompiledBlock]
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, d_model)
        self.positions = nn.Embedding(positions, d_model)
        self.blocks = nn.ModuleList(blocks)
        self.unembed = nn.Linear(d_model, vocabulary)

    def forward(
        self, ids: Int[Tensor, "batch pos"], past: Past | None = None
    ) -> Float[Tensor, "batch pos vocabulary"]:
        """Next-token logits at every position, or at those after the past."""
        first = 0 if past is None else past.length
        residual = self.tokens(ids[:, first:]) + self.positions(torch.arange(first, ids.shape[1]))
        for layer, block in enumerate(self.blocks):
            before = () if past is None else (past.kept[layer][0][:, 0],)
            residual = block(residual, *before)
        out: Tensor = self.unembed(residual)
        return out

    def remember(self, ids: Int[Tensor, "batch pos"]) -> Past:
        """A whole run; what enters each block is what its later positions read."""
        kept = []
        residual = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks:
            kept.append((residual[:, None],))
            residual = block(residual)
        return Past(tuple(kept), for_logits=STEADY)


def assemble(
    program: Program,
    vocabulary: int,
    answers: range,
    distractors: int,
    rng: np.random.Generator,
    sharpness: float = 0.5,
) -> CompiledTransformer:
    """Write the weights, add distractors, rotate.

    The logit of answer ``y`` is ``sharpness * (2 y a - y^2)``, largest at the integer nearest
    to the answer expression ``a``; ``answers[y]`` is its token.
    """
    d_model = program.size + distractors
    rotation = np.linalg.qr(rng.standard_normal((d_model, d_model)))[0]
    positions = len(program.position)
    blocks = [_block(layer, program, d_model, rotation, rng) for layer in program.layers]
    net = CompiledTransformer(vocabulary, positions, d_model, blocks)
    tokens = np.zeros((vocabulary, d_model))
    for ident, writes in program.embedding.items():
        for slot, amount in writes.items():
            tokens[ident, slot] = amount
    tokens[:, program.size :] = rng.standard_normal((vocabulary, distractors))
    places = np.zeros((positions, d_model))
    places[:, list(program.position)] = np.eye(positions)
    unembed, bias = np.zeros((vocabulary, d_model)), np.full(vocabulary, -1e4)
    for y, ident in enumerate(answers):
        bias[ident] = sharpness * (2 * y * program.answer.constant - y * y)
        for slot, coefficient in program.answer.terms:
            unembed[ident, slot] = sharpness * 2 * y * coefficient
    with torch.no_grad():
        _write(net.tokens.weight, tokens @ rotation)
        _write(net.positions.weight, places @ rotation)
        _write(net.unembed.weight, unembed @ rotation)
        _write(net.unembed.bias, bias)
    return net.eval()


def _write(parameter: Tensor, value: np.ndarray) -> None:
    parameter.copy_(torch.from_numpy(value))


def _block(
    layer: Layer,
    program: Program,
    d_model: int,
    rotation: np.ndarray,
    rng: np.random.Generator,
) -> CompiledBlock:
    """One block's weights: the program's, and a distractor head and distractor units."""
    positions, hidden = len(program.position), 32
    noise = slice(program.size, d_model)
    count = len(layer.heads) + 1
    query = np.zeros((count, d_model, positions))
    key = np.zeros((count, d_model, positions))
    value = np.zeros((count, d_model, d_model))
    for h, head in enumerate(layer.heads):
        for place in range(positions):
            seen = head.look(place)
            query[h, program.position[place], seen if 0 <= seen <= place else 0] = HARD
            key[h, program.position[place], place] = 1.0
        value[h, list(head.source), list(head.target)] = 1.0
    # The last head averages the distractors of all earlier positions (its scores are equal).
    size = d_model - program.size
    value[-1, noise, noise] = 0.5 * np.linalg.qr(rng.standard_normal((size, size)))[0]
    up = np.zeros((len(layer.units) + hidden, d_model))
    bias = np.zeros(len(layer.units) + hidden)
    down = np.zeros((d_model, len(layer.units) + hidden))
    for u, unit in enumerate(layer.units):
        bias[u] = unit.expression.constant
        for slot, coefficient in unit.expression.terms:
            up[u, slot] = coefficient
        down[unit.out, u] += unit.amount
    # Distractor units read everything, so their outputs correlate with the algorithm's state.
    up[len(layer.units) :] = rng.standard_normal((hidden, d_model)) / np.sqrt(d_model)
    down[noise, len(layer.units) :] = 0.3 * rng.standard_normal((size, hidden)) / np.sqrt(hidden)
    block = CompiledBlock(d_model, count, positions, len(bias))
    with torch.no_grad():
        _write(block.query, np.einsum("hdk,de->hek", query, rotation))
        _write(block.key, np.einsum("hdk,de->hek", key, rotation))
        _write(block.value, np.einsum("hde,df,eg->hfg", value, rotation, rotation))
        _write(block.up.weight, up @ rotation)
        _write(block.up.bias, bias)
        _write(block.down.weight, rotation.T @ down)
    return block
