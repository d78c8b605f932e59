"""The calibration benchmark in small: the decision keeps its level, peeking does not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from pytest_mesa.verdicts.reasons import Outcome

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SHAPES = [
    "Bernoulli at the predicted edge",
    "Bernoulli at the refuted edge",
    "nearly constant, 0.249 or 0.251",
    "heavy skew, 1 in 50",
    "three levels 0, 0.5, 1",
    "exchangeable mixture of laws",
    "spread that wanders",
    "regions the other way round",
    "three strata, greatest",
    "a rival that reaches as far",
]


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import calibration

        yield calibration
        for name in ("calibration", "null_shapes"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize("name", SHAPES)
def test_no_more_false_conclusions_than_alpha(calibration: ModuleType, name: str) -> None:
    shape = next(shape for shape in calibration.SHAPES if shape.name == name)
    tally = calibration.simulate(shape, 500, seed=1)
    assert tally.upper(Outcome.PASS) <= 0.05
    assert tally.upper(Outcome.FAIL) <= 0.05
    assert tally.naive_lower > 0.05 or not shape.naive_is_caught
    assert tally.replays >= 40
    assert tally.differences == 0
