"""How often does the three-way decision err, with a look after every ten scores?

Simulates studies whose true means lie exactly where a conclusion would be false but is
hardest to avoid, stops each at its first conclusion, and prints the rates of false passes and
false fails with their upper Clopper-Pearson bounds. A deliberately wrong rule, a normal
interval looked at after every batch, goes through the same harness and must be caught. A
sample of studies, and all false conclusions up to a limit, is decided again by `decide`
itself. A second table shows how many scores a true effect takes.

    python benchmarks/calibration.py [--studies 10000]

Exit status 1 if a bound is above alpha, if the wrong rule is not caught, or if the vectorised
harness and `decide` differ.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import NormalDist

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: threads only get in the way

import numpy as np
from null_shapes import ALPHA, SHAPES, Shape, bernoulli, beta
from numpy import ndarray
from scipy import stats

from pytest_mesa.registry.models import Competence, Region
from pytest_mesa.verdicts.bounds import edge
from pytest_mesa.verdicts.confidence import log_capital, look_sizes
from pytest_mesa.verdicts.decision import decide, required
from pytest_mesa.verdicts.evidence import Evidence, Measurement, Stratum
from pytest_mesa.verdicts.reasons import Outcome

BATCH = 10
SCORES = 1000
CONFIDENCE = 0.99  # of each Clopper-Pearson bound, one-sided
REPLAYED = 40  # studies a shape that `decide` judges again, and as many false conclusions
CHUNK = 500  # studies held in memory at a time


def log_e_paths(scores: ndarray, region: Region, low: float = 0.0) -> ndarray:
    """Log capital against the complement of the region at each look: [..., look].

    ``scores`` lie in [low, 1]; last axis: the draws, in order.
    """
    unit, m = (scores - low) / (1 - low), (edge(region) - low) / (1 - low)
    if region.below is not None:
        unit, m = 1 - unit, 1 - m
    stops = np.array(look_sizes(unit.shape[-1], BATCH))
    values, which = np.unique(unit, return_inverse=True)
    if len(values) <= 16:
        seen = which.reshape(unit.shape)[..., None] == np.arange(len(values))
        counts = seen.cumsum(axis=-2)[..., stops - 1, :].astype(float)
        return log_capital(values, counts, m)
    known = (np.arange(unit.shape[-1]) < stops[:, None]).astype(float)
    flat = unit.reshape(-1, unit.shape[-1])
    paths = np.stack([log_capital(study, known, m) for study in flat])
    return paths.reshape(*unit.shape[:-1], len(stops))


def naive_inside(scores: ndarray, region: Region, alpha: float) -> ndarray:
    """The wrong rule: a normal interval at each look from 30 scores on, as if the only one."""
    stops = np.array(look_sizes(scores.shape[-1], BATCH))
    mean = scores.cumsum(axis=-1)[..., stops - 1] / stops
    square = (scores**2).cumsum(axis=-1)[..., stops - 1] / stops
    error = np.sqrt((square - mean**2).clip(0) / stops)
    radius = NormalDist().inv_cdf(1 - alpha / 2) * error
    beyond = (
        mean + radius < edge(region) if region.below is not None else (mean - radius > edge(region))
    )
    return beyond & (stops >= 30)


def inside(shape: Shape, scores: ndarray, region: Region, naive: bool) -> ndarray:
    """Which subjects lie in the region at each look: [study, subject, look]."""
    share = ALPHA / (shape.subjects * shape.strata)
    rivals = None
    if shape.rival:
        scores, rivals = scores[..., 0, :], scores[..., 1, :]
    if naive:
        reached = naive_inside(scores, region, share)
    else:
        reached = log_e_paths(scores, region) >= np.log(2 / share)
    reached = np.logical_or.accumulate(reached, axis=-1)
    if rivals is not None and region == shape.verdict_rule.refuted:
        margin = scores - rivals
        if naive:
            beaten = naive_inside(margin, Region(above=0.0), share)
        else:
            beaten = log_e_paths(margin, Region(above=0.0), low=-1.0) >= np.log(1 / share)
        reached &= np.logical_or.accumulate(beaten, axis=-1)
    one_suffices = (
        region.below is not None
        if shape.combine == "least"
        else (shape.combine == "greatest" and region.above is not None)
    )
    return reached.any(axis=2) if one_suffices else reached.all(axis=2)


def conclusions(shape: Shape, scores: ndarray, naive: bool = False) -> Iterator[tuple[str, int]]:
    """Per study: the first conclusion (or ``inconclusive``), and the number of scores then."""
    rule = shape.verdict_rule
    needed = required(rule, shape.subjects)
    passes = inside(shape, scores, rule.predicted, naive).sum(axis=1) >= needed
    fails = inside(shape, scores, rule.refuted, naive).sum(axis=1) >= shape.subjects - needed + 1
    stops = look_sizes(scores.shape[-1], BATCH)
    for passed, failed in zip(passes, fails, strict=True):
        concluded = passed | failed
        look = int(concluded.argmax()) if concluded.any() else -1
        outcome = Outcome.PASS if passed[look] else Outcome.FAIL
        yield (outcome if concluded.any() else Outcome.INCONCLUSIVE), stops[look]


def replay(shape: Shape, scores: ndarray, n: int) -> Outcome:
    """What `decide` makes of one study, [subject, stratum, (rival,) draw], after n scores."""
    rule = shape.verdict_rule

    def subject(label: str, strata: ndarray) -> Measurement:
        ours = strata[:, 0] if shape.rival else strata
        return Measurement(
            label,
            tuple(Stratum(f"s{j}", tuple(row[:n])) for j, row in enumerate(ours)),
            combine=shape.combine,
            competence=(1.0,) * 100,
            rivals=tuple(
                Stratum(f"rival/s{j}", tuple(row[:n])) for j, row in enumerate(strata[:, -1])
            )
            if shape.rival
            else (),
        )

    def control(region: Region) -> Measurement:
        score = 0.0 if region.below is not None else 1.0
        return Measurement("control", (Stratum("s0", (score,) * 1000),))

    evidence = Evidence(
        tuple(subject(f"seed {k}", strata) for k, strata in enumerate(scores)),
        (control(rule.refuted),),
        (control(rule.predicted),),
    )
    return decide(rule, Competence(at_least=0.5), evidence).outcome


@dataclass
class Tally:
    """What became of a shape's studies."""

    shape: Shape
    studies: int = 0
    wrong: dict[Outcome, int] = field(default_factory=lambda: {Outcome.PASS: 0, Outcome.FAIL: 0})
    naive_wrong: int = 0
    replays: int = 0
    differences: int = 0

    def upper(self, outcome: Outcome) -> float:
        """Upper Clopper-Pearson bound of a false conclusion's rate."""
        k = self.wrong[outcome]
        return (
            1.0 if k == self.studies else float(stats.beta.ppf(CONFIDENCE, k + 1, self.studies - k))
        )

    @property
    def naive_lower(self) -> float:
        """Lower Clopper-Pearson bound of the wrong rule's rate of false conclusions."""
        k = self.naive_wrong
        return float(stats.beta.ppf(1 - CONFIDENCE, k, self.studies - k + 1)) if k else 0.0

    @property
    def ok(self) -> bool:
        """Whether the decision keeps its level and the harness caught the wrong rule."""
        kept = all(self.upper(outcome) <= ALPHA for outcome in self.wrong)
        caught = self.naive_lower > ALPHA or not self.shape.naive_is_caught
        return kept and caught and not self.differences


def simulate(shape: Shape, studies: int, seed: int) -> Tally:
    """Run the studies of one shape, in chunks."""
    rng = np.random.default_rng([seed, SHAPES.index(shape)])
    tally = Tally(shape)
    replayed = dict.fromkeys(Outcome, 0)
    while tally.studies < studies:
        count = min(CHUNK, studies - tally.studies)
        scores = shape.draw(rng, (count, shape.subjects, shape.strata, SCORES))
        for study, (outcome, n) in zip(scores, conclusions(shape, scores), strict=True):
            if outcome in tally.wrong:
                tally.wrong[Outcome(outcome)] += 1
            if replayed[Outcome(outcome)] < REPLAYED:
                replayed[Outcome(outcome)] += 1
                tally.replays += 1
                tally.differences += replay(shape, study, n) is not outcome
        naive = conclusions(shape, scores, naive=True)
        tally.naive_wrong += sum(outcome is not Outcome.INCONCLUSIVE for outcome, _ in naive)
        tally.studies += count
    return tally


def hoeffding_upper(scores: ndarray, optimised_for: int) -> ndarray:
    """Upper ends of Robbins' normal-mixture sequence for sub-Gaussian scores, at each look."""
    stops = np.array(look_sizes(scores.shape[-1], BATCH))
    mean = scores.cumsum(axis=-1)[..., stops - 1] / stops
    v = stops / 4
    rho = optimised_for / 4 / (2 * np.log(1 / ALPHA) + np.log(1 + 2 * np.log(1 / ALPHA)))
    return mean + np.sqrt((v + rho) * np.log((v + rho) / (rho * ALPHA**2))) / stops


def ville_upper(scores: ndarray) -> ndarray | None:
    """Upper ends of the plug-in betting sequence of the package ``ville``, where installed."""
    try:
        from ville import BettingCS
    except ImportError:
        return None
    stops = np.array(look_sizes(scores.shape[-1], BATCH))
    return np.stack(
        [BettingCS(alpha=ALPHA, grid=1000).fit(study).upper_[stops - 1] for study in scores]
    )


def first(hits: ndarray) -> str:
    """Median and 90th percentile of the scores until the first hit, over all studies."""
    stops = np.array([*look_sizes(hits.shape[-1] * BATCH, BATCH), 10**9])
    when = stops[np.where(hits.any(axis=-1), hits.argmax(axis=-1), -1)]
    median, late = np.quantile(when, [0.5, 0.9], method="higher")
    return " / ".join(f"{n}" if n < 10**9 else f"> {stops[-2]}" for n in (median, late))


def power_table(rng: np.random.Generator) -> None:
    """Scores until a mean below 0.25 is concluded: median / 90th percentile."""
    region = Region(below=0.25)
    laws = {
        "Bernoulli(0.05)": bernoulli(0.05),
        "Bernoulli(0.15), effect 0.1": bernoulli(0.15),
        "beta of mean 0.15, variance 0.013": beta(1.35, 7.65),
    }
    print("\nScores until 'below 0.25' is concluded, median / 90th percentile of 300 studies")
    print(f"{'law':36} {'this package':>14} {'Hoeffding':>14} {'ville betting':>14}")
    for name, draw in laws.items():
        scores = draw(rng, (300, 1500))
        ours = first(log_e_paths(scores, region) >= np.log(2 / ALPHA))
        hoeffding = first(hoeffding_upper(scores, optimised_for=300) < 0.25)
        theirs = ville_upper(scores)
        ville = "not installed" if theirs is None else first(theirs < 0.25)
        print(f"{name:36} {ours:>14} {hoeffding:>14} {ville:>14}")


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=10_000, help="studies a shape")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.perf_counter()
    print(
        f"alpha {ALPHA}, {arguments.studies} studies a shape, up to {SCORES} scores a stratum, "
        f"a look after every {BATCH}; bounds at {CONFIDENCE:.0%}"
    )
    header = ("false pass", "upper", "false fail", "upper", "naive", "lower", "replays")
    print(f"{'shape':34}" + "".join(f"{h:>11}" for h in header))
    ok = True
    for shape in SHAPES:
        tally = simulate(shape, arguments.studies, arguments.seed)
        ok &= tally.ok
        rates = [
            figure
            for outcome in (Outcome.PASS, Outcome.FAIL)
            for figure in (tally.wrong[outcome] / tally.studies, tally.upper(outcome))
        ] + [tally.naive_wrong / tally.studies, tally.naive_lower]
        agreed = f"{tally.replays - tally.differences}/{tally.replays}"
        print(
            f"{shape.name:34}"
            + "".join(f"{rate:11.4f}" for rate in rates)
            + f"{agreed:>11}  {'ok' if tally.ok else 'NOT OK'}",
            flush=True,
        )
    power_table(np.random.default_rng(arguments.seed))
    print(f"\n{'all bounds hold' if ok else 'BOUNDS BROKEN'}; {time.perf_counter() - start:.0f} s")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
