"""How often forecasts of simulated releases raise an alarm: at a leap, and over smooth courses.

    python benchmarks/releases.py [--sequences N]

Twelve releases each. With a leap at the ninth the alarm has to fire there; over a whole smooth
sequence it may fire with probability alpha at most.
"""

from __future__ import annotations

import argparse
from collections import Counter
from math import sqrt

import numpy as np

from pytest_mesa.verdicts.forecast import Scale
from pytest_mesa.verdicts.sequences import JUMP, LEAPS_AT, SMOOTH, first_alarm, planted

ALPHA = 0.05


def main() -> int:
    """Simulate, print the table, and fail where either promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=1000)
    count = parser.parse_args().sequences
    found = {}
    for course in (JUMP, SMOOTH):
        drawn = (planted(course, np.random.default_rng([seed, 41])) for seed in range(count))
        found[course] = Counter(
            first_alarm([float(value) for value in values], Scale(), ALPHA) for values in drawn
        )
        alarms = {at + 1: n for at, n in sorted(found[course].items(), key=str) if at is not None}
        print(f"{course:<16} {count} sequences, alarms by release: {alarms or 'none'}")
    at_leap = found[JUMP][LEAPS_AT] / count
    false = 1 - found[SMOOTH][None] / count
    print(f"at the leap      {at_leap:.1%}")
    print(f"false alarms     {false:.1%} of smooth sequences, alpha {ALPHA:.0%}")
    return int(at_leap < 0.95 or false > ALPHA + 3 * sqrt(ALPHA * (1 - ALPHA) / count))


if __name__ == "__main__":
    raise SystemExit(main())
