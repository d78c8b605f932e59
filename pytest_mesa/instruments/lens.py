"""What would a net answer if it stopped here? Its own read-out applied to every layer's stream.

The logit lens (nostalgebraist 2020) reads each layer as if it were the last. The tuned lens
(Belrose et al. 2023) first carries a layer's stream into the last layer's basis by an affine
map, one a layer, so that a net which merely turns its stream is not taken for one that knows
nothing yet; `lens_training` fits those maps.

A read-out is the net's own way from its last stream to logits, norms and caps included, so a
lens at the last layer is the net. Language models are read one position at a time; a chess net
is read from all squares at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_mesa.instruments.stream import SiteError, Stream, tolerance

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Readout = Callable[[Tensor], Tensor]  # stream (row, …, d_model) → logits (row, option)
MEMORY = 256 * 2**20  # bytes of logits over the whole vocabulary that may exist at once
COPIES = 4  # such arrays alive at once: logits, log-probabilities, the last layer's, a product


def readout_of(stream: Stream) -> Readout:
    """How a language model reads single positions: ``(row, d_model)`` to ``(row, vocabulary)``.

    The net is run on from its last stream, each row a text of one token; its blocks are skipped.
    """
    device = next(stream.module.parameters()).device

    def read(values: Tensor) -> Tensor:
        ids = torch.zeros(len(values), 1, dtype=torch.long, device=device)
        return stream.resume(ids, values[:, None].to(device), stream.layers)[:, 0]

    return read


def carried(
    values: Float[Tensor, "row d_model"],
    weight: Float[Tensor, "d_model d_model"],
    bias: Float[Tensor, " d_model"],
) -> Float[Tensor, "row d_model"]:
    """``h + h W^T + b``: of zeros, the identity."""
    return values + values @ weight.T + bias


@dataclass(frozen=True, slots=True)
class Translators:
    """Affine maps from each layer's basis to the last one's, as `carried` applies them."""

    weight: Float[Tensor, "layer d_model d_model"]
    bias: Float[Tensor, "layer d_model"]

    def __call__(self, layer: int, values: Float[Tensor, "row d_model"]) -> Tensor:
        """A layer's stream in the last layer's basis; the last layer's own is left alone."""
        if layer == len(self.weight):
            return values
        return carried(values, self.weight[layer], self.bias[layer])


@dataclass(frozen=True, slots=True)
class Scores:
    """How far each layer's answer is from the net's. In nats; ranks count from 0.

    ``divergence``: of the net's answer from the layer's, KL(last ‖ layer). ``probability`` and
    ``rank`` are those of the tokens asked for.
    """

    divergence: Float[Tensor, "layer row"]
    entropy: Float[Tensor, "layer row"]
    probability: Float[Tensor, "layer row token"]
    rank: Int[Tensor, "layer row token"]


@dataclass(frozen=True, slots=True)
class Lens:
    """Reads every layer: with a read-out alone the logit lens, with translators a tuned one.

    ``memory`` bounds the bytes of logits held while reading, beside what is returned.
    """

    readout: Readout
    translators: Translators | None = None
    memory: int = MEMORY

    def layer(self, layer: int, values: Float[Tensor, "row d_model"]) -> Float[Tensor, "row v"]:
        """Logits of a few rows of one layer, all at once; differentiable."""
        return self.readout(values if self.translators is None else self.translators(layer, values))

    def by_layer(
        self,
        values: Float[Tensor, "layer row d_model"],
        options: Int[Tensor, " option"] | None = None,
    ) -> Iterator[Float[Tensor, "row option"]]:
        """Logits one layer after the other, all tokens' or those of ``options``.

        Raises:
            SiteError: the number of layers is not that of the translators.
        """
        self._require(values)
        rows = self.rows_at_once(values)
        for layer, whole in enumerate(values):
            with torch.no_grad():
                parts = [
                    logits if options is None else logits[:, options]
                    for logits in (self.layer(layer, part) for part in whole.split(rows))
                ]
            yield torch.cat(parts)

    def logits(
        self,
        values: Float[Tensor, "layer row d_model"],
        options: Int[Tensor, " option"] | None = None,
    ) -> Float[Tensor, "layer row option"]:
        """Every layer's logits, all tokens' or those of ``options``."""
        return torch.stack(list(self.by_layer(values, options)))

    def scores(
        self,
        values: Float[Tensor, "layer row d_model"],
        tokens: Int[Tensor, "row token"] | None = None,
    ) -> Scores:
        """Each layer's answer against the net's, over the whole vocabulary.

        Raises:
            SiteError: the number of layers is not that of the translators.
        """
        self._require(values)
        asked = torch.zeros(values.shape[1], 0, dtype=torch.long) if tokens is None else tokens
        size = self.rows_at_once(values)
        pieces = []
        with torch.no_grad():
            for part, some in zip(values.split(size, 1), asked.split(size), strict=True):
                last = self.layer(len(values) - 1, part[-1]).float().log_softmax(-1)
                each = [
                    _scored(self.layer(layer, rows), last, some) for layer, rows in enumerate(part)
                ]
                pieces.append([torch.stack(column) for column in zip(*each, strict=True)])
        return Scores(*(torch.cat(column, 1) for column in zip(*pieces, strict=True)))

    def rows_at_once(self, values: Float[Tensor, "layer row d_model"]) -> int:
        """How many rows may be read at once within ``memory``."""
        with torch.no_grad():
            one = self.readout(values[-1, :1])
        return max(1, self.memory // (COPIES * one.numel() * 4))

    def _require(self, values: Tensor) -> None:
        if self.translators is not None and len(values) != len(self.translators.weight) + 1:
            raise SiteError(
                f"a lens for {len(self.translators.weight)} blocks reads "
                f"{len(self.translators.weight) + 1} layers, not {len(values)}"
            )


def _scored(logits: Tensor, last: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
    """Divergence and entropy of rows, probability and rank of tokens."""
    here = logits.float().log_softmax(-1)
    own = here.gather(1, tokens.to(here.device))
    rank = [(here > token[:, None]).sum(-1) for token in own.unbind(1)]
    return (
        (last.exp() * (last - here)).sum(-1),
        -(here.exp() * here).sum(-1),
        own.exp(),
        torch.stack(rank, 1) if rank else torch.zeros_like(tokens),
    )


def read_layers(
    lens: Lens,
    streams: Float[Tensor, "layer batch pos d_model"],
    positions: Sequence[int] | None = None,
    options: Int[Tensor, " option"] | None = None,
) -> Float[Tensor, "layer batch pos option"]:
    """A language model's answer at every layer, at all positions or at some.

    Raises:
        SiteError: a position is outside the texts.
    """
    length = streams.shape[2]
    places = range(length) if positions is None else positions
    wrong = [position for position in places if not -length <= position < length]
    if wrong:
        raise SiteError(f"position {wrong[0]} is outside 0..{length - 1}")
    chosen = streams[:, :, list(places)]
    read = lens.logits(chosen.flatten(1, 2), options)
    return read.reshape(*chosen.shape[:3], -1)


def logit_lens(stream: Stream, ids: Int[Tensor, "batch pos"], memory: int = MEMORY) -> Lens:
    """The logit lens of a language model, checked on a few texts.

    Raises:
        SiteError: the last layer read a position at a time is not what the net answers.
    """
    lens = Lens(readout_of(stream), memory=memory)
    with torch.no_grad():
        plain = stream.logits(ids).flatten(0, 1)
        read = lens.layer(stream.layers, stream.capture(ids)[-1].flatten(0, 1))
    gap = float((read - plain).abs().max()) / (float(plain.abs().max()) + 1e-6)
    if read.shape != plain.shape or not gap <= tolerance(plain):
        raise SiteError(
            f"the last layer read one position at a time is off by {gap:.1e} of the logits: this "
            "net's answer is no function of single positions"
        )
    return lens
