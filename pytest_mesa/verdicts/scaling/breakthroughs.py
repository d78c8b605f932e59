"""Single seeds: does each net jump, though their mean does not?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.verdicts.scaling.ladder import Ladder

if TYPE_CHECKING:
    from jaxtyping import Float

INNER = (0.1, 0.9)  # a rung in between: one seed of five has left the start, or is yet to arrive
SPLIT = 0.25  # a quarter of the spread that nets have which are all at one end or the other


@dataclass(frozen=True, slots=True)
class Breakthroughs:
    """How far seeds part at rungs in between.

    ``split`` is the seeds' variance as a share of what it would be if every seed sat at one
    end of the ladder's change or at the other: near 1 where seeds break through one by one,
    near 0 where they go together. ``ends`` and ``centre`` are how far, on average, a seed is
    from the nearer end and from its rung's mean, in shares of the change; ``rungs`` counts the
    rungs in between.
    """

    split: float
    ends: float
    centre: float
    rungs: int

    @property
    def seen(self) -> bool:
        """Whether seeds part as nets do that jump: widely, and towards the ends.

        That is, three times nearer to an end than to their mean. Nets that are merely noisy
        lie near their mean or, where nothing grows, beyond both ends.
        """
        return self.rungs > 0 and self.split > SPLIT and self.ends < self.centre / 3


def breakthroughs(ladder: Ladder) -> Breakthroughs:
    """Compare the spread of seeds with that of an all-or-nothing outcome of the same mean."""
    # Medians of rungs: where few seeds of the last one have arrived, others show the end.
    medians = np.median(ladder.scores, axis=1)
    start, end = medians.min(), medians.max()
    place: Float[np.ndarray, "rung seed"] = (ladder.scores - start) / ((end - start) or np.inf)
    means = place.mean(axis=1)
    inner = (means > INNER[0]) & (means < INNER[1])
    if not inner.any():
        return Breakthroughs(0.0, 0.0, 0.0, 0)
    place, means = place[inner], means[inner]
    # The sample variance of n coin throws has mean p (1 - p), so the ratio needs no correction.
    split = place.var(axis=1, ddof=1).sum() / (means * (1 - means)).sum()
    ends = np.minimum(np.abs(place), np.abs(place - 1)).mean()
    centre = np.abs(place - means[:, None]).mean()
    return Breakthroughs(float(split), float(ends), float(centre), int(inner.sum()))
