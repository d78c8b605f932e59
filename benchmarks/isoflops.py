"""Which size of net is best for so much compute, and how long it then trains.

    python benchmarks/isoflops.py [--budgets 4e6 4e7 2e8] [--cache DIR]

Compute is parameters times steps: batches are alike, and six times their tokens makes it
floating-point operations. For each budget nets of several widths are trained until it is spent,
one seed each, and a parabola through their log-likelihoods in log parameters gives the best
size (approach 2 of Hoffmann et al. 2022, arXiv:2203.15556). The line through the best sizes
says how steps go with size; the nets of the ladder ``knapsack-compute-optimal`` lie near it.
The default budgets take some 20 minutes on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from pytest_mesa.experiments.scaling_cells import behaviour
from pytest_mesa.runs.compute import compute
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.decoder import untrained
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.recipes import LADDERS, Recipe, training_cell

SEED, INSTANCES = 900, (12345,)  # apart from all ladders' seeds, and from what specs draw
SIZES = {recipe.d_model: recipe for recipe in LADDERS["knapsack-fixed-steps"]}
WIDTHS = {4e6: (4, 6, 10, 15), 4e7: (6, 10, 15, 21, 31), 2e8: (15, 21, 31, 44)}


def log_likelihood(recipe: Recipe, store: Store) -> float:
    """Of the optimum, in nats, after training; nets are kept in the store."""
    cell = training_cell(recipe, SEED)
    if store.get(cell) is None:
        compute(cell, store)
    result = store.get(cell)
    if result is None:
        raise SystemExit(f"{recipe.name} could not be trained")
    net = load({"scheme": "recipe"}, (result,), Subject)
    return behaviour(net, recipe.task, 20, INSTANCES)[0]["log-likelihood"]


def best_size(sizes: list[float], scores: list[float]) -> float:
    """Where a parabola through the scores is highest, in log10 of parameters.

    Held to the sizes that were tried: beyond them a parabola knows nothing.
    """
    square, line, _ = np.polyfit(sizes, scores, 2)
    if square >= 0:
        return sizes[int(np.argmax(scores))]
    return float(np.clip(-line / (2 * square), min(sizes), max(sizes)))


def main() -> int:
    """Train, print each net's score, and the sizes and steps that are best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--budgets", type=float, nargs="+", choices=list(WIDTHS), default=list(WIDTHS)
    )
    parser.add_argument("--cache", type=Path, default=Path(".mesa-cache"))
    options = parser.parse_args()
    store = Store(options.cache, ())
    best = []
    for budget in options.budgets:
        sizes, scores = [], []
        for width in WIDTHS[budget]:
            plain = SIZES[width]
            count = sum(each.numel() for each in untrained(plain, SEED).parameters())
            recipe = replace(plain, steps=int(budget / count))
            sizes.append(float(np.log10(count)))
            scores.append(log_likelihood(recipe, store))
            print(f"{budget:8.0e}  {count:>7} x {recipe.steps:>6} steps  {scores[-1]:8.4f} nats")
        best.append(best_size(sizes, scores))
        size = 10 ** best[-1]
        print(f"{budget:8.0e}  best: {size:>7.0f} parameters, {budget / size:.0f} steps")
    if len(best) > 1:
        slope, start = np.polyfit(best, np.log10(options.budgets) - np.array(best), 1)
        print(f"steps = {10**start:.3g} * parameters ** {slope:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
