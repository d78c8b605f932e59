"""Probes: ridge by the textbook, honest splits, and gains that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mesa.instruments.probe import (
    ProbeError,
    ProbeScore,
    Ridge,
    Split,
    bootstrap,
    bounded_gains,
    partial_r2,
    probe_layers,
    unit_range,
)
from pytest_mesa.verdicts.confidence import lower_bound

SPLIT = Split.of(600, 300, 600)
N = 1500
MARGIN = 0.05


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def decodable(score: ProbeScore) -> bool:
    return lower_bound([float(g) for g in score.gains], 0.01, -1.0, 1.0) > 0


def test_splits_do_not_overlap_and_cover_all() -> None:
    rows = np.arange(N)
    parts = [rows[part] for part in (SPLIT.fit, SPLIT.choose, SPLIT.measure)]
    assert np.concatenate(parts).tolist() == rows.tolist()
    with pytest.raises(ProbeError, match="a probe needs instances"):
        Split.of(10, 0, 5)


def test_ridge_is_that_of_the_normal_equations_on_the_fitting_rows() -> None:
    x, y = rng().normal(3, 2, (N, 4)), rng(1).random((N, 2))
    got = Ridge(x, SPLIT).predict(y, 0.1)
    fit = slice(0, 600)
    z = (x - x[fit].mean(0)) / x[fit].std(0)
    gram = z[fit].T @ z[fit] / 600 + 0.1 * np.eye(4)
    weights = np.linalg.solve(gram, z[fit].T @ (y[fit] - y[fit].mean(0)) / 600)
    assert np.allclose(got, z @ weights + y[fit].mean(0))


def test_rows_outside_the_fit_do_not_reach_it() -> None:
    x, y = rng().normal(0, 1, (N, 4)), rng(1).random((N, 1))
    spoiled = y.copy()
    spoiled[SPLIT.choose] = spoiled[SPLIT.measure] = 0.0
    spoiled = np.where(np.arange(N)[:, None] < 600, y, 0.0)
    assert np.array_equal(Ridge(x, SPLIT).predict(y, 0.1), Ridge(x, SPLIT).predict(spoiled, 0.1))


def test_a_column_that_is_constant_where_fitted_is_left_out() -> None:
    x = rng().normal(0, 1, (N, 3))
    late = np.where(np.arange(N) < 600, 1.0, 1e9)[:, None]
    y = rng(1).random((N, 1))
    plain = Ridge(x, SPLIT).predict(y, 0.1)
    assert np.array_equal(Ridge(np.hstack([x, late]), SPLIT).predict(y, 0.1), plain)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(bad: float) -> None:
    x = rng().normal(0, 1, (N, 3))
    x[-1, 1] = bad
    with pytest.raises(ProbeError, match="not finite"):
        Ridge(x, SPLIT)


def test_targets_are_scaled_by_the_fitting_rows_and_clipped() -> None:
    targets = np.array([[0.0, 5.0], [10.0, 5.0], [5.0, 5.0], [20.0, 5.0], [-3.0, 6.0]])
    scaled = unit_range(targets, Split.of(3, 1, 1))
    assert scaled[:, 0].tolist() == [0.0, 1.0, 0.5, 1.0, 0.0]
    assert scaled[:, 1].tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=40),
    st.floats(0, 0.9),
    st.floats(0.01, 2),
    st.integers(0, 100),
)
def test_gains_are_bounded_and_average_above_zero_as_promised(
    errors: list[float], threshold: float, cut: float, seed: int
) -> None:
    baseline = np.array(errors)
    full = rng(seed).random(len(errors))
    gains = bounded_gains(baseline, full, cut, threshold)
    assert (gains >= -1).all() and (gains <= 1).all()
    small = np.minimum(baseline, cut), np.minimum(full, cut)
    if small[0].sum() > 0:
        above = partial_r2(*small) - threshold
        assert gains.mean() * above >= -1e-9


def test_the_bootstrap_covers_a_known_share() -> None:
    inside = 0
    for seed in range(60):
        base = rng(seed).exponential(1.0, 400)
        full = base * 0.7 * rng(seed + 1000).uniform(0.5, 1.5, 400)
        low, high = bootstrap(base, full, rng(seed))
        inside += low <= 0.3 <= high
    assert 52 <= inside <= 60


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Plain inputs, a stream of three layers, targets, and a control task."""
    r = rng(seed)
    plain = r.normal(0, 1, (N, 6))
    hidden = plain[:, :1] * plain[:, 1:2]  # no linear function of the inputs
    layers = r.normal(0, 1, (3, N, 10))
    layers[1, :, :1] += 5 * hidden
    targets = {
        "in the inputs": plain[:, :2].copy(),
        "in the stream": hidden,
        "nowhere": r.normal(0, 1, (N, 1)),
    }
    return plain, layers, targets, r.random((N, 1))


def test_what_only_the_stream_holds_is_decodable_and_the_rest_is_not() -> None:
    plain, layers, targets, control = scene()
    scores = probe_layers(list(layers), plain, targets, control, SPLIT, MARGIN, rng())
    found = scores["in the stream"]
    assert found.layer == 1
    assert found.partial_r2 > 0.9 and found.interval[0] > 0.85
    assert found.baseline_r2 < 0.05 and found.full_r2 > 0.9
    assert found.selectivity > 0.85
    assert decodable(found)
    for name in ("in the inputs", "nowhere"):
        assert not decodable(scores[name]), name
        assert scores[name].partial_r2 < MARGIN
    assert scores["in the inputs"].baseline_r2 > 0.99


def test_a_twin_that_holds_as_much_leaves_nothing_to_decode() -> None:
    plain, layers, targets, control = scene()
    twin = layers + rng(9).normal(0, 1e-3, layers.shape)
    baseline = np.hstack([plain, *twin])
    scores = probe_layers(list(layers), baseline, targets, control, SPLIT, MARGIN, rng())
    assert not decodable(scores["in the stream"])
    assert scores["in the stream"].baseline_r2 > 0.9


def test_a_stream_that_holds_anything_must_beat_its_control_task() -> None:
    """Where even a meaningless label is decodable, decoding an aspect says nothing."""
    plain, layers, targets, control = scene()
    layers[1, :, 1:2] += 50 * control
    scores = probe_layers(list(layers), plain, targets, control, SPLIT, MARGIN, rng())
    found = scores["in the stream"]
    assert found.threshold > 0.9 and found.control > 0.9
    assert not decodable(found)


def test_the_layer_is_not_chosen_on_the_measuring_rows() -> None:
    plain, layers, targets, control = scene()
    layers[0, SPLIT.fit, 5:6] += 5 * targets["in the stream"][SPLIT.fit]
    layers[0, SPLIT.measure, 5:6] += 5 * targets["in the stream"][SPLIT.measure]
    scores = probe_layers(list(layers), plain, targets, control, SPLIT, MARGIN, rng())
    assert scores["in the stream"].layer == 1
