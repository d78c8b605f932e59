"""Sites in a chess net: read, replace and resume the residual stream at (layer, square).

Layer ``k`` is the stream as it enters block ``k``; the last is what the heads read. Squares are
those of the planes, seen from the side to move: `moves.square_index` finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_mesa.instruments.stream import TOLERANCE, Edit, SiteError
from pytest_mesa.subjects.lc0.net import Lc0Net, Lc0Output

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

SQUARES = 64
ROWS = 256  # runs at once in a sweep

Metric = Callable[[Tensor], Tensor]  # policy logits (batch, 1858) → (batch,)


def at_squares(donor: Float[Tensor, "batch 64 d_model"], squares: Bool[Tensor, "batch 64"]) -> Edit:
    """The edit that puts a donor's stream in the marked squares of each row."""
    return lambda stream: torch.where(squares[..., None], donor, stream)


class Lc0Stream:
    """Reads and writes the residual stream of a net."""

    def __init__(self, net: Lc0Net) -> None:
        self.net = net

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.net.blocks)

    def capture(
        self, planes: Float[Tensor, "batch 112 8 8"]
    ) -> Float[Tensor, "layer batch 64 d_model"]:
        """The stream at every layer of a plain run, without gradients."""
        with torch.no_grad():
            seen = [self.net.entry(planes)]
            for block in self.net.blocks:
                seen.append(block(seen[-1]))
        return torch.stack(seen)

    def resume(
        self,
        stream: Float[Tensor, "batch 64 d_model"],
        layer: int,
        edits: Mapping[int, Edit] | None = None,
    ) -> Lc0Output:
        """Run on from ``stream`` entering ``layer``; nothing earlier is computed.

        ``edits`` change the stream as it enters ``layer`` and further ones (after the last
        block, too). Gradients flow to ``stream`` and to what the edits hold.

        Raises:
            SiteError: no such layer, or an edit of one that is not run.
        """
        self._require(layer)
        changes = dict(edits or {})
        if early := [place for place in changes if not layer <= place <= self.layers]:
            raise SiteError(f"edits at {early} lie outside the layers {layer}..{self.layers}")
        for place in range(layer, self.layers):
            if place in changes:
                stream = changes[place](stream)
            stream = self.net.blocks[place](stream)
        if self.layers in changes:
            stream = changes[self.layers](stream)
        return self.net.read(stream)

    def _require(self, layer: int) -> None:
        if not 0 <= layer <= self.layers:
            raise SiteError(f"layer {layer} is outside 0..{self.layers}")

    def layer_policy(
        self, planes: Float[Tensor, "batch 112 8 8"]
    ) -> Float[Tensor, "layer batch 1858"]:
        """Policy logits read from the stream at every layer: the logit lens of a chess net."""
        with torch.no_grad():
            return torch.stack([self.net.policy(stream) for stream in self.capture(planes)])

    def sweep(
        self,
        base: Float[Tensor, "layer batch 64 d_model"],
        donor: Float[Tensor, "layer batch 64 d_model"],
        layer: int,
        metric: Metric,
    ) -> Float[Tensor, "64 batch"]:
        """A metric of the policy after patching each square alone, at one layer.

        Many squares share a forward; ``base`` and ``donor`` come from `capture`.

        Raises:
            SiteError: no such layer.
        """
        self._require(layer)
        batch = base.shape[1]
        together = max(1, ROWS // batch)
        found = []
        with torch.no_grad():
            for squares in torch.arange(SQUARES).split(together):
                here = base[layer].expand(len(squares), -1, -1, -1).clone()
                each = torch.arange(len(squares))
                here[each, :, squares] = donor[layer][:, squares].transpose(0, 1)
                policy = self.resume(here.flatten(0, 1), layer).policy
                found += [metric(part) for part in policy.unflatten(0, (-1, batch))]
        return torch.stack(found)

    def check(self, planes: Float[Tensor, "batch 112 8 8"]) -> None:
        """Prove on runs that reading and writing this stream mean what they should.

        At every layer, patching a run with itself changes nothing, and patching all squares
        with another run's reproduces that run. ``planes`` needs two different rows.

        Raises:
            SiteError: one of the two fails, or the net's outputs are not finite.
        """
        with torch.no_grad():
            plain = _said(self.net(planes))
            if not bool(plain.isfinite().all()):
                raise SiteError("the net's outputs are not finite")
            stream = self.capture(planes)
            everywhere = torch.ones(len(planes), SQUARES, dtype=torch.bool)
            scale = float(plain.abs().max()) + 1e-6
            for layer in range(self.layers + 1):
                swap = {layer: at_squares(stream[layer].flip(0), everywhere)}
                own = _said(self.resume(stream[layer], layer))
                other = _said(self.resume(stream[layer], layer, swap))
                for what, got, want in (
                    ("patching a run with itself changes it", own, plain),
                    ("a patch of all squares does not give the donor's run", other, plain.flip(0)),
                ):
                    gap = float((got - want).abs().max()) / scale
                    if not gap <= TOLERANCE:
                        raise SiteError(f"at layer {layer}, {what} (by {gap:.1e} of the logits)")


def _said(output: Lc0Output) -> Float[Tensor, "batch said"]:
    return torch.cat([output.policy, output.value[:, None]], dim=1)
