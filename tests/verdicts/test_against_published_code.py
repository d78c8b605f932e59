"""The capital against the reference implementation, the width against another package.

The golden numbers come from ``diversified_betting_mart`` of Waudby-Smith & Ramdas' package
``confseq`` (its bets set to γ/m and γ/(1-m), equal weights, no truncation), which needs a C++
build and so is no test dependency.
"""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mesa.verdicts.confidence import confidence_sequence, e_value

SAWTOOTH = [i % 7 / 6 for i in range(90)]
RARE = [float(i % 5 == 0) for i in range(300)]
OFTEN = [float(i % 10 > 0) for i in range(40)]
CONSTANT = [0.2] * 25


@pytest.mark.parametrize(
    ("scores", "m", "above", "below"),
    [
        (SAWTOOTH, 0.3, 1953983.8688420078, 0.11217654486064478),
        (SAWTOOTH, 0.62, 0.12992914353356938, 138.52616241451892),
        (RARE, 0.35, 0.04937395601228545, 1234018.2914867883),
        (OFTEN, 0.5, 467567.9994528362, 0.09908385550895453),
        (CONSTANT, 0.1, 5385061.58399641, 0.37806154586016005),
    ],
)
def test_the_capital_is_confseqs(scores: list[float], m: float, above: float, below: float) -> None:
    assert e_value(scores, m, "above") == pytest.approx(above, rel=1e-9)
    assert e_value(scores, m, "below") == pytest.approx(below, rel=1e-9)


@pytest.mark.parametrize("law", ["Bernoulli(0.15)", "Bernoulli(0.02)", "beta(2, 5)"])
def test_bounds_agree_with_villes_and_are_about_as_wide(law: str) -> None:
    ville = pytest.importorskip("ville")
    rng = np.random.default_rng(3)
    draw = {
        "Bernoulli(0.15)": lambda: (rng.random(1000) < 0.15).astype(float),
        "Bernoulli(0.02)": lambda: (rng.random(1000) < 0.02).astype(float),
        "beta(2, 5)": lambda: rng.beta(2, 5, 1000),
    }[law]
    ratios = []
    for _ in range(10):
        scores = draw()
        ours = confidence_sequence(scores, 0.05).final
        theirs = ville.BettingCS(alpha=0.05, grid=2000).fit(scores)
        lower, upper = float(theirs.lower_[-1]), float(theirs.upper_[-1])
        assert max(lower, ours.lower) < min(upper, ours.upper)
        ratios.append((ours.upper - ours.lower) / (upper - lower))
    assert 0.5 < np.mean(ratios) < 1.1
