"""Narrowing is measured as it is defined, and planted as it is described."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pytest_mesa.instruments.lens import Lens
from pytest_mesa.instruments.lens_training import Fit, tuned_lens
from pytest_mesa.instruments.narrowing import (
    Options,
    by_stage,
    commitment,
    depths,
    fall,
    least_spread,
    read_options,
)
from pytest_mesa.instruments.narrowing_plants import RULED_OUT, Plant, planted_readout, with_code

torch.set_num_threads(1)
masses = arrays(np.float64, (3, 5), elements=st.floats(0, 1))


@given(masses, masses)
def test_measures_are_bounded_and_change_sign_with_the_nets(
    one: np.ndarray, other: np.ndarray
) -> None:
    there, back = fall(one, other), fall(other, one)
    assert np.all(np.abs(there) <= 1)
    assert there == pytest.approx(-back)
    assert fall(one, one) == pytest.approx(0.0)
    there, back = by_stage(one, other), by_stage(other, one)
    assert np.all((there >= least_spread(4) - 1e-9) & (there <= 1))
    assert there + back == pytest.approx(-2 / 3)
    assert by_stage(one, one) == pytest.approx(-1 / 3)


@pytest.mark.parametrize(
    ("mass", "falls", "stages"),
    [
        ([0.8, 0.8, 0.8, 0.4], 1 / 3, 0.0),  # halved in one of three stages
        ([0.8, 0.4, 0.2, 0.1], 7 / 9, 1.0),
        ([0.4, 0.6, 0.5, 0.8], -1 / 3, -1.0),
        ([0.8, 0.0, 0.0, 0.0], 1.0, 0.0),
        ([0.8, 0.79, 0.785, 0.78], 0.0127, -0.5),  # cuts of a hundredth are none
    ],
)
def test_against_a_twin_that_leaves_all_as_it_is(
    mass: list[float], falls: float, stages: float
) -> None:
    flat = np.full((1, 4), 0.6)
    assert fall(np.array([mass]), flat)[0] == pytest.approx(falls, abs=1e-3)
    assert by_stage(np.array([mass]), flat)[0] == pytest.approx(stages, abs=1e-9)


def test_a_net_that_cuts_as_its_twin_does_narrows_nothing() -> None:
    falling = np.array([[0.8, 0.4, 0.2, 0.1]])
    assert fall(falling, falling / 2)[0] == pytest.approx(0.0, abs=1e-4)
    assert by_stage(falling, falling / 2)[0] == -0.5


@pytest.mark.parametrize(
    ("tops", "commits"),
    [([3, 3, 3], 0.0), ([1, 3, 3], 0.5), ([3, 1, 3], 1.0), ([1, 2, 3], 1.0), ([3], 0.0)],
)
def test_a_choice_commits_where_it_last_changes(tops: list[int], commits: float) -> None:
    assert float(commitment(torch.tensor([tops]))[0]) == commits


@pytest.mark.parametrize(
    ("layers", "stages", "found"),
    [(6, 6, [0, 1, 2, 3, 4, 5, 6]), (30, 6, [0, 5, 10, 15, 20, 25, 30]), (2, 6, [0, 1, 2])],
)
def test_depths_part_the_layers_evenly(layers: int, stages: int, found: list[int]) -> None:
    assert depths(layers, stages) == found


def rows(count: int, options: int, seed: int) -> Options:
    generator = torch.Generator().manual_seed(seed)
    bad = torch.rand(count, options, generator=generator) < 0.6
    bad[:, 0], bad[:, 1] = True, False
    return Options(torch.ones_like(bad), bad)


def read(plant: Plant, lens_breaks: bool = False) -> np.ndarray:
    """Mean bad mass by depth of a plant in a net whose stream stays noise."""
    depth, width, options = 5, 6, rows(300, 12, 1)
    generator = torch.Generator().manual_seed(2)
    own = torch.randn(300, width, generator=generator).expand(depth, -1, -1)
    head = torch.randn(width, 12, generator=generator) / 10
    streams = with_code(own, plant.code(options, torch.arange(300), depth))
    readout = planted_readout(lambda x: x @ head, width)
    lens = tuned_lens(readout, streams[:, :150], generator, Fit(steps=30))
    if lens_breaks:
        lens = Lens(lambda x: x[..., :width] @ head)
    part = Options(options.among[150:], options.bad[150:])
    found = read_options(lens, streams[:, 150:], {"x": part})["x"].mass
    return np.asarray(found.mean(0))


def test_the_four_plants_read_as_they_are_described() -> None:
    found = {
        name: read(Plant(name, 0.5, 0))
        for name in ("stage-by-stage", "at-once", "from-start", "any")
    }
    flat = np.full((1, 5), 0.6)
    falls = {name: float(fall(mass[None], flat)[0]) for name, mass in found.items()}
    stages = {name: float(by_stage(mass[None], flat)[0]) for name, mass in found.items()}
    assert falls["stage-by-stage"] > 0.6
    assert stages["stage-by-stage"] == 1.0
    assert falls["at-once"] == pytest.approx(falls["stage-by-stage"], abs=0.1)
    assert stages["at-once"] <= 0.1
    assert abs(falls["from-start"]) < 0.1
    assert abs(falls["any"]) < 0.15


def test_a_lens_that_does_not_read_the_plant_sees_no_narrowing() -> None:
    mass = read(Plant("stage-by-stage", 0.5, 0), lens_breaks=True)
    assert abs(float(fall(mass[None], np.full((1, 5), 0.6))[0])) < 0.01


def test_a_code_is_the_rows_own_and_rules_out_for_good() -> None:
    options = rows(20, 9, 3)
    plant = Plant("stage-by-stage", 0.3, 7)
    code = plant.code(options, torch.arange(20), 6)
    assert torch.equal(code[0], torch.zeros(20, 9))
    assert bool((code[1:] >= code[:-1]).all())
    assert not bool(code[:, ~options.bad].any())
    part = Options(options.among[5:8], options.bad[5:8])
    assert torch.equal(plant.code(part, torch.arange(5, 8), 6), code[:, 5:8])


def test_each_stage_rules_out_its_share_of_what_it_finds() -> None:
    code = Plant("stage-by-stage", 0.3, 7).code(rows(400, 40, 3), torch.arange(400), 4)
    left = 1 - code.sum((1, 2)) / rows(400, 40, 3).bad.sum()
    assert left.tolist() == pytest.approx([1.0, 0.7, 0.49, 0.343], abs=0.02)


def test_a_code_reaches_the_readout_whatever_the_sites() -> None:
    code = (torch.rand(2, 3, 10, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    for sites in ((), (4,)):
        streams = torch.zeros(2, 3, *sites, 5)
        wide = with_code(streams, code)
        logits = planted_readout(lambda x: torch.zeros(len(x), 10), 5)(wide[1])
        assert torch.equal(logits, -RULED_OUT * code[1])
