"""Ladders of known truth: scores drawn around a step, a smooth curve, or nets that each jump."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.verdicts.scaling.names import BIMODAL, STEP, THRESHOLD

if TYPE_CHECKING:
    from jaxtyping import Float

# Eight sizes over two decades and five seeds each, as the trained ladders have.
DECADES = np.linspace(3.09, 5.11, 8)
SEEDS = 5
START, END = 0.1, 0.9  # the levels it grows between
NOISE = 0.02  # spread of its seeds
WIDTHS = (0.7, 1.2)  # decades from 25 % to 75 % of smooth growth: over a third of the ladder


def plant(
    curve: str, measures: Sequence[str], sharp: str, rng: np.random.Generator
) -> dict[str, Float[np.ndarray, "rung seed"]]:
    """Each measure's scores: one curve for all of them, with noise of its own.

    ``planted-threshold`` is a step in the measure that is ``sharp``, and smooth in the others.
    In ``planted-bimodal`` every net is at one end or the other, with a chance that grows
    smoothly. A curve's middle lies anywhere between the third rung and the third last.
    """
    place = rng.uniform(DECADES[2], DECADES[-3])
    rise = 1 / (1 + np.exp(-(DECADES - place) * 2 * np.log(3.0) / rng.uniform(*WIDTHS)))
    smooth = np.repeat(rise[:, None], SEEDS, axis=1)
    jumped = rng.random(smooth.shape) < smooth
    step = np.repeat(place < DECADES[:, None], SEEDS, axis=1)
    scores = {}
    for name in measures:
        share = {STEP: step, BIMODAL: jumped}.get(curve, smooth)
        if curve == THRESHOLD and name == sharp:
            share = step
        noise = NOISE * rng.standard_normal(smooth.shape)
        scores[name] = np.asarray(START + (END - START) * share + noise)
    return scores
