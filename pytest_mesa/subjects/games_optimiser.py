"""Muon (Jordan et al. 2024): momentum whose matrix updates are made nearly orthogonal.

On small decoders it takes about a third of AdamW's steps, and these nets must train on one
core. torch's own iterates in bfloat16, whose rounding differs between processors by more than
a replay of the first losses may; this one stays in float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from jaxtyping import Float

# The published quintic: steepest at zero, with singular values left between 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
MOMENTUM = 0.95
EPSILON = 1e-7


def orthogonalised(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """``U Vᵀ`` of the singular value decomposition ``U S Vᵀ``, roughly, by Newton-Schulz."""
    a, b, c = COEFFICIENTS
    x: Tensor
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=EPSILON)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + torch.addmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.T if tall else x


class Muon(Optimizer):
    """Nesterov momentum with orthogonalised updates, for matrices alone.

    A matrix much wider than it is tall is several maps side by side (queries, keys and values,
    say): it is cut into squares of its height where that divides it, as ``parts`` says.
    """

    def __init__(
        self, matrices: Iterable[tuple[nn.Parameter, int]], lr: float, weight_decay: float
    ) -> None:
        groups = [{"params": [matrix], "parts": parts} for matrix, parts in matrices]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step from the gradients."""
        del closure
        for group in self.param_groups:
            (matrix,) = group["params"]
            state = self.state[matrix]
            momentum = state.setdefault("momentum", torch.zeros_like(matrix))
            momentum.lerp_(matrix.grad, 1 - MOMENTUM)
            update = matrix.grad.lerp(momentum, MOMENTUM)
            pieces = [orthogonalised(piece) for piece in update.chunk(group["parts"], dim=1)]
            # Keeps the update's root mean square the same whatever the shape.
            scale = max(1.0, pieces[0].shape[0] / pieces[0].shape[1]) ** 0.5
            matrix.mul_(1 - group["lr"] * group["weight_decay"])
            matrix.add_(torch.cat(pieces, dim=1), alpha=-group["lr"] * scale)
