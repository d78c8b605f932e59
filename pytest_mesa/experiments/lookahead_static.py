"""The rival of look-ahead: squares that matter for what is plain to see, and nothing else.

How strong a matched square's effect is in this very net is fitted from static features, on
squares of no move. Where that fit, put to the future squares, ranks them above their matched
ones as often as the effects themselves do, matching left the difference and not look-ahead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pytest_mesa.experiments.lookahead_cells import overall, parts_of, rounded, share_beaten
from pytest_mesa.experiments.lookahead_operation import required
from pytest_mesa.experiments.lookahead_probe import static_features
from pytest_mesa.experiments.lookahead_sites import chosen_sites
from pytest_mesa.instruments.subspace import ridge
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.tasks.games.line_squares import LineSites, distances
from pytest_mesa.verdicts.confidence import confidence_sequence

if TYPE_CHECKING:
    from jaxtyping import Float

FOLDS = 2  # every position is predicted by a fit that has not seen it
QUIET = 1e-4  # nats; effects below this are alike


def rival(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """The static rival's score on the positions of a profile, and by how much it is beaten."""
    chosen, profiled = inputs
    rows = profiled.payload["rows"]
    used, sites = [], []
    for name, part in chosen_sites(params, chosen).items():
        for row, together in zip(rows[name], part, strict=True):
            if len(row["runs"]) == len(together) and parts_of(row, "3"):
                used.append(row)
                sites.append(together)
    if len(used) < 2 * FOLDS:
        return {"detail": {"static_rival": {"n": len(used)}}}
    scores = predicted(used, sites)
    lead = [overall(row, "3") - score for row, score in zip(used, scores, strict=True)]
    bounds = confidence_sequence(lead, params["alpha"], -1.0, 1.0).final
    about: dict[str, Any] = {"n": len(used), "mean": rounded(scores), "lead": rounded(lead)}
    about["bounds"] = [round(bounds.lower, 4), round(bounds.upper, 4)]
    return {"detail": {"static_rival": about}}


def predicted(
    rows: Sequence[Mapping[str, Any]], sites: Sequence[tuple[LineSites, ...]]
) -> list[float]:
    """Per position, the share of matched squares that the future square should outdo."""
    features = [[seen(each) for each in together] for together in sites]
    scores = [0.0] * len(rows)
    for fold in range(FOLDS):
        fit = [number for number in range(len(rows)) if number % FOLDS != fold]
        known = torch.cat([x[1:] for number in fit for x in features[number]])
        strengths = [
            matched.mean(1) for number in fit for _, matched in parts_of(rows[number], "3")
        ]
        target = torch.from_numpy(np.log(np.concatenate(strengths) + QUIET)).float()
        slope, bias = ridge(known, target[:, None])
        for number in range(fold, len(rows), FOLDS):
            told = [(x @ slope + bias)[:, 0].double().numpy() for x in features[number]]
            scores[number] = float(np.mean([share_beaten(t[0], t[1:]) for t in told]))
    return scores


def seen(sites: LineSites) -> Float[Tensor, "square feature"]:
    """Static features of the third ply's square and its matched ones, and how far they lie off.

    Distances are from the first move, from what changed and from the enemy king.
    """
    third = required(sites, 3)
    at = [third.square, *third.matched]
    plain = static_features([sites])[0, at]
    off = torch.tensor([distances(sites.puzzle, sites.corruption, square) for square in at])
    return torch.cat([plain, off.float()], dim=1)
