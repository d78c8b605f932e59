"""Subspaces: orthonormal, uniform, and along what is encoded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pytest_mesa.instruments.subspace import encoding_subspace, orthonormal, random_subspace, ridge


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("d_model", "rank"), [(8, 1), (16, 5), (12, 12)])
def test_bases_are_orthonormal(d_model: int, rank: int) -> None:
    basis = random_subspace(d_model, rank, generator())
    assert torch.allclose(basis.T @ basis, torch.eye(rank), atol=1e-5)
    skewed = orthonormal(basis @ torch.randn(rank, rank, generator=generator(1)))
    assert torch.allclose(skewed @ skewed.T, basis @ basis.T, atol=1e-4)


def test_a_random_subspace_favours_no_coordinate() -> None:
    held = torch.stack(
        [(random_subspace(6, 2, generator(seed)) ** 2).sum(1) for seed in range(400)]
    )
    assert torch.allclose(held.mean(0), torch.full((6,), 2 / 6), atol=0.05)
    again = random_subspace(6, 2, generator(3))
    assert torch.equal(again, random_subspace(6, 2, generator(3)))


def test_ridge_recovers_a_linear_map_and_leaves_the_intercept_alone() -> None:
    features = torch.randn(500, 4, generator=generator())
    weights = torch.tensor([[1.0], [-2.0], [0.5], [0.0]])
    targets = features @ weights + 7
    coefficients, intercept = ridge(features, targets, penalty=1e-8)
    assert torch.allclose(coefficients, weights, atol=1e-4)
    assert intercept.item() == pytest.approx(7, abs=1e-3)
    shrunk, centre = ridge(features, targets, penalty=1e6)
    assert shrunk.abs().max() < 0.01
    assert centre.item() == pytest.approx(targets.mean().item(), abs=0.01)


def test_ridge_is_that_of_the_normal_equations() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 5)), rng.standard_normal((60, 2))
    centred = x - x.mean(0)
    gram = centred.T @ centred
    gram += 0.3 * np.diag(gram).mean() * np.eye(5)
    expected = np.linalg.solve(gram, centred.T @ (y - y.mean(0)))
    got, _ = ridge(torch.from_numpy(x).float(), torch.from_numpy(y).float(), penalty=0.3)
    assert np.allclose(got.numpy(), expected, atol=1e-4)


def planted(
    rank: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A stream that holds variables and nuisance features along known directions."""
    source = generator(seed)
    variables = torch.randn(2000, rank, generator=source)
    nuisance = torch.randn(2000, 3, generator=source)
    directions = random_subspace(20, rank + 3, source)
    held = torch.cat([variables, 4 * nuisance], dim=1)
    stream = held @ directions.T + 0.05 * torch.randn(2000, 20, generator=source)
    return stream, variables, nuisance, directions[:, :rank]


def test_the_encoding_directions_are_found_beside_louder_ones() -> None:
    stream, variables, nuisance, truth = planted(3)
    found = encoding_subspace(stream, variables, nuisance, 3, generator(5))
    assert torch.allclose(found.T @ found, torch.eye(3), atol=1e-5)
    cosines = torch.linalg.svdvals(found.T @ truth)
    assert cosines.min() > 0.999


def test_what_the_nuisance_explains_is_no_encoding() -> None:
    stream, variables, nuisance, truth = planted(2)
    tangled = torch.cat([variables, nuisance[:, :1] + 1e-3 * variables[:, :1]], dim=1)
    found = encoding_subspace(stream, tangled, nuisance, 2, generator(5))
    assert torch.linalg.svdvals(found.T @ truth).min() > 0.99


def test_directions_that_are_wanting_are_filled_up() -> None:
    stream, variables, nuisance, truth = planted(2)
    constant = torch.cat([variables, torch.ones(2000, 2)], dim=1)
    found = encoding_subspace(stream, constant, nuisance, 5, generator(5))
    assert found.shape == (20, 5)
    assert torch.allclose(found.T @ found, torch.eye(5), atol=1e-5)
    assert torch.linalg.svdvals(found.T @ truth).min() > 0.999
