"""How often simulated ladders of nets come out as they were planted.

    python benchmarks/ladders.py [--ladders N]

Eight sizes over two decades, five seeds each. `planted` ladders are the controls of the kind
``scaling``: they have to come out as planted in at least 95 % of cases. The other shapes ask
for what must not happen: a narrow transition that lies half on either side of a rung is no
gradual growth, and a line or noise alone is no jump. ``false`` counts conclusions that
contradict the planted truth.

Last come pairs, two measures of the same nets, judged as `behaviour-may-jump` is: a step
beside smooth growth and twins are its controls. In the others one stride takes a known share of
each measure's change, and a difference between the regions must end in neither.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable

import numpy as np

from pytest_mesa.verdicts.scaling.ladder import Ladder
from pytest_mesa.verdicts.scaling.names import BIMODAL, SMOOTH, STEP, THRESHOLD
from pytest_mesa.verdicts.scaling.paired import sharper_by
from pytest_mesa.verdicts.scaling.planted import DECADES, SEEDS, plant
from pytest_mesa.verdicts.scaling.reading import read_growth

WINDOW, PREDICTED, REFUTED, ALPHA = 0.29, 0.6, 0.8, 0.05
SHARPER, LIKE = 0.35, 0.25
WORDS = ("pass", "fail", "breakthroughs", "inconclusive")
Draw = Callable[[np.random.Generator], np.ndarray]
DrawPair = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


def planted(curve: str) -> Draw:
    """A control's scores."""
    return lambda rng: plant(curve, ["score"], "score", rng)["score"]


def curve(share: Callable[[np.random.Generator], np.ndarray], noise: float = 0.02) -> Draw:
    """Scores around a curve that is drawn anew for each ladder."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        deviations = rng.standard_normal((len(DECADES), SEEDS))
        return 0.1 + 0.8 * share(rng)[:, None] + noise * deviations

    return draw


def logistic(width: float, at_rung: bool) -> Callable[[np.random.Generator], np.ndarray]:
    """Transitions of one width, on a rung or anywhere."""

    def share(rng: np.random.Generator) -> np.ndarray:
        rung = DECADES[rng.integers(2, len(DECADES) - 2)]
        place = rung if at_rung else rng.uniform(DECADES[2], DECADES[-3])
        return 1 / (1 + np.exp(-(DECADES - place) * 2 * np.log(3.0) / width))

    return share


# What a ladder is, how it is drawn, how it has to come out (if it must), and what is false.
SHAPES: tuple[tuple[str, Draw, str, str], ...] = (
    ("planted step", planted(STEP), "fail", "pass"),
    ("planted smooth", planted(SMOOTH), "pass", "fail"),
    ("planted bimodal", planted(BIMODAL), "breakthroughs", "pass fail"),
    ("line", curve(lambda _: np.linspace(0, 1, len(DECADES))), "", "fail"),
    ("line, noisy", curve(lambda _: np.linspace(0, 1, len(DECADES)), 0.1), "", "fail"),
    ("levelling off", curve(lambda _: 1 - 0.05 ** np.linspace(0, 1, len(DECADES))), "", "fail"),
    ("noise alone", curve(lambda _: np.zeros(len(DECADES)), 0.1), "", "pass fail"),
    ("0.1 decades on a rung", curve(logistic(0.1, at_rung=True)), "", "pass"),
    ("0.2 decades on a rung", curve(logistic(0.2, at_rung=True)), "", "pass"),
    ("0.3 decades on a rung", curve(logistic(0.3, at_rung=True)), "", "pass fail"),
    ("0.1 decades anywhere", curve(logistic(0.1, at_rung=False)), "", "pass"),
    ("0.5 decades anywhere", curve(logistic(0.5, at_rung=False)), "", "fail"),
)


def planted_pair(kind: str) -> DrawPair:
    """A control's measure and the one beside it."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        both = plant(kind, ["sharp", "beside"], "sharp", rng)
        return both["sharp"], both["beside"]

    return draw


def strides(one: float, other: float, together: float = 0.0, noise: float = 0.05) -> DrawPair:
    """Even growth but for one stride, anywhere, that takes such a share of each measure's."""

    def curve(share: float, rng: np.random.Generator) -> np.ndarray:
        rungs = len(DECADES) - 1
        rises = np.full(rungs, (1 - share) / (rungs - 1))
        rises[rng.integers(rungs)] = share
        return np.concatenate([[0.0], np.cumsum(rises)])

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        own, apart = rng.standard_normal((2, len(DECADES), SEEDS))
        apart = together * own + np.sqrt(1 - together**2) * apart
        return (
            curve(one, rng)[:, None] + noise * own,
            curve(other, rng)[:, None] + noise * apart,
        )

    return draw


PAIRS: tuple[tuple[str, DrawPair, str, str], ...] = (
    ("planted threshold", planted_pair(THRESHOLD), "pass", "fail"),
    ("planted twins", planted_pair(SMOOTH), "fail", "pass"),
    ("strides alike", strides(0.5, 0.5), "", "pass"),
    ("alike, noise shared", strides(0.5, 0.5, together=0.9), "", "pass"),
    ("alike, noise opposed", strides(0.5, 0.5, together=-0.9), "", "pass"),
    ("sharper by 0.3", strides(0.5, 0.2), "", "pass fail"),
    ("sharper by 0.5", strides(0.7, 0.2, noise=0.1), "", "fail"),
    ("the other is sharper", strides(0.2, 0.5, noise=0.1), "", "pass"),
)


def paired_outcome(scores: np.ndarray, beside: np.ndarray) -> str:
    """What the kind ``scaling`` makes of two measures of the same nets."""
    ladders = Ladder(DECADES, scores), Ladder(DECADES, beside)
    _, lower, upper = sharper_by(*ladders, WINDOW, ALPHA)
    if lower > SHARPER:
        return "pass"
    return "fail" if upper < LIKE else "inconclusive"


def outcome(scores: np.ndarray) -> str:
    """What the kind ``scaling`` makes of one measure on one ladder."""
    growth = read_growth(Ladder(DECADES, scores), WINDOW, ALPHA)
    if growth.breakthroughs.seen:
        return "breakthroughs"
    if growth.window.lower > REFUTED and growth.held_out.step_wins:
        return "fail"
    return "pass" if growth.window.upper < PREDICTED else "inconclusive"


def count(
    name: str, draw_outcome: Callable[[np.random.Generator], str], ladders: int, seed: int
) -> Counter[str]:
    """How often ladders of one shape come out in each way; prints the row."""
    found = Counter(draw_outcome(np.random.default_rng([each, seed])) for each in range(ladders))
    print(f"{name:<24}" + "".join(f"{found[word]:>15}" for word in WORDS), end="")
    return found


def main() -> int:
    """Simulate, print the table, and fail where a control does not come out as planted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ladders", type=int, default=200)
    options = parser.parse_args()
    print(f"{'ladder':<24}" + "".join(f"{word:>15}" for word in WORDS) + f"{'false':>8}")
    rows = [
        (name, lambda rng, draw=draw: outcome(draw(rng)), expected, false)
        for name, draw, expected, false in SHAPES
    ] + [
        (name, lambda rng, draw=draw: paired_outcome(*draw(rng)), expected, false)
        for name, draw, expected, false in PAIRS
    ]
    short = 0
    for index, (name, drawn, expected, false) in enumerate(rows):
        found = count(name, drawn, options.ladders, index)
        wrong = sum(found[word] for word in false.split())
        print(f"{wrong / options.ladders:>8.1%}", flush=True)
        short += bool(expected) and found[expected] < 0.95 * options.ladders
        short += wrong > ALPHA * options.ladders + 3 * (ALPHA * options.ladders) ** 0.5
    return int(short > 0)


if __name__ == "__main__":
    raise SystemExit(main())
