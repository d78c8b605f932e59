"""By how much a measure changes along a ladder, from the smallest size to the largest."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from pytest_mesa.verdicts.scaling.ladder import Ladder

# In the measure's own unit: a twentieth of a share's whole range, or of a nat, which is what
# five per cent more probability for the right answer make. Which sites and subspaces a search
# happens to find moves a score by a few hundredths from width to width, whatever is carried.
TRIFLE = 0.05


@dataclass(frozen=True, slots=True)
class Change:
    """The last rung's mean less the first's, with its bounds over seeds."""

    estimate: float
    lower: float
    upper: float

    @property
    def trifling(self) -> bool:
        """Whether the change is conclusively next to nothing, whichever way it goes.

        Not whether it can't be told from nothing: where seeds scatter too widely to say, more
        of them would. Shares of a trifle mean nothing, however well its sign is known.
        """
        return max(abs(self.lower), abs(self.upper)) < TRIFLE


def whole_change(ladder: Ladder, alpha: float) -> Change:
    """Bound the whole change at level ``alpha``, half of it on each side."""
    estimate = float(ladder.means[-1] - ladder.means[0])
    half = ladder.reach(alpha, 1) * sqrt(ladder.variances[0] + ladder.variances[-1])
    return Change(estimate, estimate - half, estimate + half)
