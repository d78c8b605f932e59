"""By how much a measure changes along a ladder, from the smallest size to the largest."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from pytest_mesa.verdicts.scaling.ladder import Ladder

# In the measure's own unit: a twentieth of a share's whole range, or of a nat, which is what
# five per cent more probability for the right answer make. Which sites and subspaces a search
# happens to find moves a score by a few hundredths from width to width, whatever is carried.
TRIFLE = 0.05


@dataclass(frozen=True, slots=True)
class Change:
    """The last rung's mean less the first's, with its bounds over seeds.

    ``highest`` bounds from above how far any rung rises over the first.
    """

    estimate: float
    lower: float
    upper: float
    highest: float

    @property
    def none(self) -> bool:
        """Whether next to nothing grew, conclusively and at every rung; a fall is no growth.

        Not whether growth can't be told from nothing: where seeds scatter too widely to say,
        more of them would. Shares of a trifle mean nothing, however well its sign is known.
        """
        return self.highest < TRIFLE


def whole_change(ladder: Ladder, alpha: float) -> Change:
    """Bound the whole change at level ``alpha``, half of it on each side.

    The rises of single rungs are bounded all at once, at half of ``alpha``, too.
    """
    estimate = float(ladder.means[-1] - ladder.means[0])
    half = ladder.reach(alpha, 1) * sqrt(ladder.variances[0] + ladder.variances[-1])
    rises = ladder.means[1:] - ladder.means[0]
    reach = ladder.reach(alpha, len(rises))
    highest = rises + reach * np.sqrt(ladder.variances[1:] + ladder.variances[0])
    return Change(estimate, estimate - half, estimate + half, float(highest.max()))
