"""Linear subspaces of the residual stream: random ones, and those that encode something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


def orthonormal(columns: Float[Tensor, "d_model rank"]) -> Float[Tensor, "d_model rank"]:
    """An orthonormal basis of the columns' span; differentiable."""
    basis: Tensor = torch.linalg.qr(columns).Q
    return basis


def random_subspace(
    d_model: int, rank: int, generator: torch.Generator
) -> Float[Tensor, "d_model rank"]:
    """A uniformly random subspace (the basis of a Gaussian matrix)."""
    return orthonormal(torch.randn(d_model, rank, generator=generator))


def ridge(
    features: Float[Tensor, "batch feature"],
    targets: Float[Tensor, "batch target"],
    penalty: float = 1e-2,
) -> tuple[Float[Tensor, "feature target"], Float[Tensor, " target"]]:
    """Ridge regression with an unpenalised intercept: coefficients and intercept.

    ``penalty`` is relative to the mean feature variance, so that units do not matter.
    """
    mean_x, mean_y = features.mean(0), targets.mean(0)
    x, y = (features - mean_x).double(), (targets - mean_y).double()
    gram = x.T @ x
    gram += penalty * (gram.diagonal().mean() + 1e-12) * torch.eye(len(gram), dtype=gram.dtype)
    coefficients = torch.linalg.solve(gram, x.T @ y).float()
    return coefficients, mean_y - mean_x @ coefficients


def encoding_subspace(
    stream: Float[Tensor, "batch d_model"],
    variables: Float[Tensor, "batch cell"],
    nuisance: Float[Tensor, "batch feature"],
    rank: int,
    generator: torch.Generator,
) -> Float[Tensor, "d_model rank"]:
    """The subspace along which the stream moves, linearly, when the variables do.

    These are encoding directions (the stream regressed on the variables). The read-out
    directions of a probe are others, and are no place to intervene. What the ``nuisance``
    features explain is taken out first (Frisch-Waugh), since its sampling noise would leak
    into directions that the net may be far more sensitive to. Where the variables span less
    than ``rank``, random directions fill up.
    """
    coefficients, intercept = ridge(nuisance, stream, penalty=1e-6)
    rest = stream - nuisance @ coefficients - intercept
    spread = variables.std(0)
    used = variables[:, spread > 0]
    used = (used - used.mean(0)) / used.std(0)
    slopes, _ = ridge(used, rest, penalty=1e-6)
    directions = torch.linalg.svd(slopes, full_matrices=False).Vh[:rank].T
    fill = torch.randn(stream.shape[1], rank - directions.shape[1], generator=generator)
    return orthonormal(torch.cat([directions, fill], dim=1))
