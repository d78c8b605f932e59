"""What a causal net keeps of the positions before an intervention, which it can't change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from pytest_mesa.instruments.stream import Stream


@dataclass(frozen=True, slots=True)
class Past:
    """What later positions read of a run: for each block, tensors ``(batch, head, pos, width)``.

    What the tensors are (keys and values, or the stream itself) is the net's own business.

    Sums over few positions may differ in the last bit from those over a whole run. Training
    magnifies that, and so does a net whose answer hangs on a tie; what comes out must not depend
    on what was skipped. So at least ``for_logits`` positions are run again, and
    ``for_gradients`` where gradients are taken (None: all).
    """

    kept: tuple[tuple[Float[Tensor, "batch head pos width"], ...], ...]
    for_logits: int = 1
    for_gradients: int | None = None

    @property
    def length(self) -> int:
        """Positions kept."""
        return self.kept[0][0].shape[2]

    def take(self, index: Tensor | slice) -> Past:
        """Some of the runs."""
        return self._each(lambda part: part[index])

    def before(self, position: int) -> Past:
        """The positions before one."""
        return self._each(lambda part: part[:, :, :position])

    def _each(self, of: Callable[[Tensor], Tensor]) -> Past:
        return replace(self, kept=tuple(tuple(of(part) for part in block) for block in self.kept))


@runtime_checkable
class Continuing(Protocol):
    """A net that can go on from its past, with the logits that a whole run would give."""

    def __call__(
        self, ids: Int[Tensor, "batch pos"], past: Past | None = None
    ) -> Float[Tensor, "batch later vocabulary"]:
        """Logits of the positions after the past; ``ids`` are those of all positions."""

    def remember(self, ids: Int[Tensor, "batch pos"]) -> Past | None:
        """A whole run, and what it leaves to go on from; None where nothing is kept."""


def remember(
    stream: Stream, ids: Int[Tensor, "batch pos"]
) -> tuple[Float[Tensor, "layer batch pos d_model"], Past | None]:
    """`Stream.capture`, and what the run leaves to `Stream.resume` from at later positions."""
    net = stream.module
    if not isinstance(net, Continuing):
        return stream.capture(ids), None
    left: list[Past | None] = []
    return stream.capture(ids, run=lambda: left.append(net.remember(ids))), left[0]
