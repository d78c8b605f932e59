"""Linear probes scored by what they add beyond baselines (partial R²), on a split apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

PENALTIES = (1e-4, 1e-2, 1.0)  # of the mean feature variance; picked on the choosing split
OUTLIER = 0.95  # quantile of the baseline's errors at which errors are cut off for `gains`
RESAMPLES = 400  # bootstrap draws of an interval that is shown, not decided on

Features: TypeAlias = 'Float[np.ndarray, "batch feature"]'
Targets: TypeAlias = 'Float[np.ndarray, "batch output"]'


class ProbeError(ValueError):
    """A split with too few instances, or features that are not finite."""


@dataclass(frozen=True, slots=True)
class Split:
    """Row ranges of one batch: where a probe is fitted, chosen and measured."""

    fit: slice
    choose: slice
    measure: slice

    @classmethod
    def of(cls, fit: int, choose: int, measure: int) -> Split:
        """Consecutive ranges of these sizes.

        Raises:
            ProbeError: an empty range.
        """
        if min(fit, choose, measure) < 1:
            raise ProbeError("a probe needs instances to be fitted, chosen and measured on")
        return cls(
            slice(0, fit),
            slice(fit, fit + choose),
            slice(fit + choose, fit + choose + measure),
        )


class Ridge:
    """Ridge regressions on one set of standardised features, for any targets and penalty.

    The Gram matrix is decomposed once.

    Raises:
        ProbeError: features that are not finite.
    """

    def __init__(self, features: Features, split: Split) -> None:
        if not np.isfinite(features).all():
            raise ProbeError("features are not finite")
        fit = features[split.fit].astype(np.float64)
        self.split = split
        self.mean = fit.mean(0)
        spread = fit.std(0)
        used = spread > 1e-9  # a feature that is constant where it is fitted says nothing
        self.x = (features[:, used] - self.mean[used]) / spread[used]

    @cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        fit = self.x[self.split.fit]
        values, vectors = np.linalg.eigh(fit.T @ fit / len(fit))
        return values, vectors

    def predict(self, targets: Targets, penalty: float) -> Targets:
        """Predictions for every row, fitted on the fitting rows alone."""
        y = targets[self.split.fit]
        centre = y.mean(0)
        x = self.x[self.split.fit]
        values, vectors = self._spectrum
        inner = vectors.T @ (x.T @ (y - centre)) / len(x)
        predicted: Targets = self.x @ (vectors @ (inner / (values + penalty)[:, None])) + centre
        return predicted

    def squared_errors(self, targets: Targets) -> Float[np.ndarray, " batch"]:
        """Squared error of each row, averaged over outputs, at the penalty best on ``choose``.

        ``targets`` lie in [0, 1]; predictions are clipped to that, so errors do too.
        """
        candidates = [
            ((np.clip(self.predict(targets, penalty), 0.0, 1.0) - targets) ** 2).mean(1)
            for penalty in PENALTIES
        ]
        best = min(candidates, key=lambda errors: float(errors[self.split.choose].mean()))
        return np.asarray(best)


def unit_range(targets: Targets, split: Split) -> Targets:
    """Each output scaled so that the fitting rows span [0, 1]; what lies outside is clipped."""
    low, high = targets[split.fit].min(0), targets[split.fit].max(0)
    scaled = (targets - low) / np.where(high > low, high - low, 1.0)
    return np.asarray(np.clip(scaled, 0.0, 1.0))


def partial_r2(baseline: Float[np.ndarray, " batch"], full: Float[np.ndarray, " batch"]) -> float:
    """Share of the baseline's squared error that the further features remove."""
    total = float(baseline.sum())
    return 1.0 - float(full.sum()) / total if total > 0 else 0.0


def bootstrap(
    baseline: Float[np.ndarray, " batch"],
    full: Float[np.ndarray, " batch"],
    rng: np.random.Generator,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of `partial_r2` over resampled instances."""
    weights = rng.multinomial(len(full), np.full(len(full), 1 / len(full)), size=RESAMPLES)
    shares = 1.0 - (weights @ full) / np.maximum(weights @ baseline, 1e-300)
    low, high = np.quantile(shares, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bounded_gains(
    baseline: Float[np.ndarray, " batch"],
    full: Float[np.ndarray, " batch"],
    cut: float,
    threshold: float,
) -> Float[np.ndarray, " batch"]:
    """Scores in [-1, 1] that average above 0 where the partial R² exceeds ``threshold``.

    ``(1 - threshold) * baseline - full``, of squared errors in units of ``cut`` and cut off
    there: without that, a bound on their mean would have to allow for errors as large as the
    whole range, hundreds of times those made.
    """
    unit = max(cut, 1e-300)
    small = np.minimum(baseline / unit, 1.0), np.minimum(full / unit, 1.0)
    return np.asarray((1.0 - threshold) * small[0] - small[1])


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """One target, read at the layer that was best on the choosing split.

    All numbers are of the measuring split. ``control`` is the partial R² of a control task
    (Hewitt & Liang 2019) at the same layer; ``gains`` are `bounded_gains`.
    """

    layer: int
    baseline_r2: float
    full_r2: float
    partial_r2: float
    interval: tuple[float, float]
    control: float
    threshold: float
    gains: Float[np.ndarray, " batch"]

    @property
    def selectivity(self) -> float:
        """Partial R² beyond that of the control task."""
        return self.partial_r2 - self.control


def probe_layers(
    layers: Sequence[Features],
    baseline: Features,
    targets: Mapping[str, Targets],
    control: Targets,
    split: Split,
    margin: float,
    rng: np.random.Generator,
) -> dict[str, ProbeScore]:
    """Probe every target at every layer, beyond the baseline features.

    A target's layer is chosen on one split and measured on another. ``margin`` is the least
    partial R² that counts; where the control task reaches more, that is the threshold.

    Raises:
        ProbeError: features that are not finite.
    """
    scaled = {name: unit_range(values, split) for name, values in targets.items()}
    scaled_control = unit_range(control, split)
    plain = Ridge(baseline, split)
    fits = [Ridge(np.concatenate([baseline, layer], axis=1), split) for layer in layers]
    before = {name: plain.squared_errors(y) for name, y in (*scaled.items(), ("", scaled_control))}
    after = {
        name: [fit.squared_errors(y) for fit in fits]
        for name, y in (*scaled.items(), ("", scaled_control))
    }

    def share(name: str, layer: int, rows: slice) -> float:
        return partial_r2(before[name][rows], after[name][layer][rows])

    scores = {}
    for name, values in scaled.items():
        layer = max(range(len(fits)), key=lambda at: share(name, at, split.choose))
        base, full = before[name][split.measure], after[name][layer][split.measure]
        threshold = max(margin, share("", layer, split.choose))
        cut = float(np.quantile(before[name][split.choose], OUTLIER))
        spread = float(((values[split.measure] - values[split.fit].mean(0)) ** 2).mean())
        scores[name] = ProbeScore(
            layer=layer,
            baseline_r2=1.0 - float(base.mean()) / spread if spread > 0 else 0.0,
            full_r2=1.0 - float(full.mean()) / spread if spread > 0 else 0.0,
            partial_r2=partial_r2(base, full),
            interval=bootstrap(base, full, rng),
            control=share("", layer, split.measure),
            threshold=threshold,
            gains=bounded_gains(base, full, cut, threshold),
        )
    return scores
