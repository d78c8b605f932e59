"""Rungs of a ladder of skill, compared pair by pair on the same positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mesa.experiments.lineup import stratum
from pytest_mesa.experiments.lookahead_cells import rounded
from pytest_mesa.experiments.narrowing_cells import by_unit
from pytest_mesa.instruments.narrowing import CUT
from pytest_mesa.runs.cells import Json, Result

if TYPE_CHECKING:
    from jaxtyping import Float

Read = Mapping[str, Any]


def scores(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> dict[str, Any]:
    """How far bad mass and the depth of commitment fall with skill; inputs are weakest first."""
    rungs = [result.payload["read"] for result in inputs]
    strata, about = [], {}
    for name in rungs[0]:
        reads = [rung[name] for rung in rungs]
        prunes, sooner = pruning(reads), settling(reads)
        if name in params["judged"]:
            strata.append(stratum(f"{name}-prunes-more", prunes, -1.0))
            if len(sooner):
                strata.append(stratum(f"{name}-settles-sooner", sooner, -1.0))
        about[name] = {
            "n": len(prunes),
            "prunes_more": rounded(prunes.tolist()),
            "compared": len(sooner),
            **({"settles_sooner": rounded(sooner.tolist())} if len(sooner) else {}),
            "left": [rounded([row[-1] for row in read["mass"]]) for read in reads],
            "commits": [rounded(read["commit"]) for read in reads],
            "mass": [np.mean(read["mass"], axis=0).round(4).tolist() for read in reads],
        }
    return {
        "strata": strata,
        "weights_sha": inputs[-1].payload["weights_sha"],
        "detail": {"ladder": about},
    }


def pruning(reads: Sequence[Read]) -> Float[np.ndarray, " unit"]:
    """Of all pairs of rungs, the share in which the stronger leaves less, less the others'.

    Compared is the bad mass at the last depth, unit by unit; less is by a fiftieth or more.
    """
    left = np.stack([by_unit(read["mass"], read["units"])[:, -1] for read in reads])
    signs = [
        (strong < (1 - CUT) * weak) * 1.0 - (weak < (1 - CUT) * strong)
        for weak, strong in combinations(left, 2)
    ]
    return np.asarray(np.mean(signs, axis=0))


def settling(reads: Sequence[Read]) -> Float[np.ndarray, " unit"]:
    """The same for how soon a choice is settled, over positions in which both choose alike.

    Rungs that choose differently have decided different things, and a net that knows little
    has little to decide. Units without such a position are left out.
    """
    units = np.array(reads[0]["units"])
    total, compared = np.zeros(units.max() + 1), np.zeros(units.max() + 1)
    for weak, strong in combinations(reads, 2):
        alike = np.array(weak["choice"]) == np.array(strong["choice"])
        later = np.sign(np.array(weak["commit"]) - np.array(strong["commit"]))
        np.add.at(total, units[alike], later[alike])
        np.add.at(compared, units[alike], 1.0)
    seen = compared > 0
    return np.asarray(total[seen] / compared[seen])
