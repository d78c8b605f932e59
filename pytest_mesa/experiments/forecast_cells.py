"""The work of the kind ``forecast`` that is not another kind's: planted sequences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.verdicts.forecast import LEAST, Scale
from pytest_mesa.verdicts.sequences import JUMP, LEAPS_AT, distances, planted

STREAM = 0x666F7265  # separates these draws from every other use of the spec's seed


def sequence(
    params: Mapping[str, Json], _inputs: tuple[Result, ...], _folder: Path
) -> dict[str, Any]:
    """The distance that tells whether a planted sequence is read right.

    At the leap, where there is one and no earlier release raised an alarm; else the greatest.
    """
    rng = np.random.default_rng([*params["seed"], STREAM])
    values = [float(value) for value in planted(params["planted"], rng)]
    found = distances(values, Scale(), params["alpha"])
    before = found[: LEAPS_AT - LEAST]
    leap = params["planted"] == JUMP
    early = leap and max(before, default=0.0) > 1
    told = 0.0 if early else found[LEAPS_AT - LEAST] if leap else max(found)
    return {
        "distance": told,
        "values": [round(value, 4) for value in values],
        "distances": [round(distance, 4) for distance in found],
    }
