"""The work of the measure ``interchange``: a state exchanged in each net of a ladder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import log10
from pathlib import Path
from statistics import fmean
from typing import Any

from pytest_mesa.experiments import scaling_cells
from pytest_mesa.experiments.causal_cells import (
    SELECT_PAIRS,
    Setting,
    captured,
    ceiling_of,
    find,
    rival_scores,
)
from pytest_mesa.instruments.interchange import Runs, interchange_accuracy
from pytest_mesa.registry.kinds_scaling import STATE
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.knapsack.pairs import Pairs

WIDEST = 0.5  # of a net's stream: all of a narrow one is exchanged by a subspace of rank ten
LEFT = 0.25  # share of pairs that a rival has to leave open before the rest is read as a whole


@dataclass(frozen=True, slots=True)
class Carried:
    """One state of one net, exchanged: shares of fresh pairs answered as the algorithm would.

    ``accuracy`` is that of the best site and subspace, ``rival`` that of the best rival there,
    and ``ceiling`` the net's own where the counterfactual is the true answer.
    """

    accuracy: float
    rival: float
    ceiling: float

    @property
    def beyond_rival(self) -> float:
        """The share of what the rival leaves open that the state drives; at most 1.

        A rival may do much of it: a linear map from raw items meets half of a compiled
        table's counterfactuals. So its accuracy is not only taken off (the state then could
        not reach 1) but taken as the level of chance, as Cohen's kappa does: 0 where the state
        gives no more than its best rival, 1 where it gives every answer. Where a rival leaves
        almost nothing open, that is not stretched to the whole.

        It isn't floored at 0, so that noise about nothing averages to nothing. Nor is it a share
        of the ceiling, which is noise over noise in a net that solves little: such a net can't
        score above its ceiling, and a ladder's growth in this measure is of what states drive,
        not of how much of what a net is able to do goes through them.
        """
        return (self.accuracy - self.rival) / max(1.0 - self.rival, LEFT)


def net(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> dict[str, Any]:
    """The mean over states of what a net's answers owe to them, and what it is made of."""
    subject = load(params["subject"], inputs, Subject)
    states = [Setting.of({**params, "stage": stage}) for stage in params["states"]]
    found = [carried(subject, setting, params["pairs"]) for setting in states]
    return {
        "measures": {STATE: fmean(each.beyond_rival for each in found)},
        "exchanged": [asdict(each) for each in found],
        "weights_sha": subject.weights_sha,
    }


def carried(subject: Subject, setting: Setting, pairs: int) -> Carried:
    """Search a net for one state, and exchange it on fresh pairs.

    Subspaces span at most half of the stream. Of the rivals, the one counts that does best on
    the pairs that sites are chosen on: the better of two on the fresh ones would be the luckier,
    too, and where nothing is carried the score would lie below 0.
    """
    stream = subject.stream
    found = find(stream, setting, WIDEST)

    def rivals(split: str, runs: Runs, drawn: Pairs) -> dict[str, float]:
        generator = setting.generator(split)
        scores = rival_scores(stream, setting, found, runs, drawn, generator)
        return {name: float(score.mean()) for name, score in scores.items()}

    choose, fresh = setting.pairs("select", SELECT_PAIRS), setting.pairs("measure", pairs)
    chosen_on, runs = captured(stream, choose), captured(stream, fresh)
    best = found.best
    before = rivals("select", chosen_on, choose)
    strongest = max(before, key=lambda name: before[name])
    return Carried(
        accuracy=float(interchange_accuracy(stream, runs, best.site, best.subspace).mean()),
        rival=rivals("measure", runs, fresh)[strongest],
        ceiling=ceiling_of(subject, fresh),
    )


def gather(params: Mapping[str, Json], inputs: tuple[Result, ...], folder: Path) -> dict[str, Any]:
    """A ladder's table with ``interchange`` beside the other measures.

    Inputs are the nets' measures, then as many nets' states in the same order.
    """
    nets, states = inputs[: len(inputs) // 2], inputs[len(inputs) // 2 :]
    both = tuple(
        replace(one, payload={**one.payload, "measures": one.payload["measures"] | more})
        for one, more in zip(nets, (each.payload["measures"] for each in states), strict=True)
    )
    whole = scaling_cells.gather(params, both, folder)
    return whole | {"detail": whole["detail"] | {STATE: exchanged(params["seeds"], states)}}


def gather_states(
    params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path
) -> dict[str, Any]:
    """The table of a ladder of compiled nets, of which nothing is measured but ``interchange``."""
    seeds = params["seeds"]
    scores = [state.payload["measures"][STATE] for state in inputs]
    rows = range(0, len(scores), seeds)
    table = {STATE: [[round(score, 5) for score in scores[row : row + seeds]] for row in rows]}
    decades = [round(log10(size), 4) for size in params["sizes"]]
    return {
        "detail": {
            "ladder": {"decades": decades, "measures": table},
            STATE: exchanged(seeds, inputs),
        },
        "budget": len(inputs),
        "weights_sha": hashlib.sha256(
            "".join(state.payload["weights_sha"] for state in inputs).encode()
        ).hexdigest(),
    }


def exchanged(seeds: int, states: tuple[Result, ...]) -> dict[str, list[list[float]]]:
    """What the measure is made of, by rung and seed."""

    def table(name: str) -> list[list[float]]:
        means = [fmean(each[name] for each in state.payload["exchanged"]) for state in states]
        rows = range(0, len(means), seeds)
        return [[round(mean, 4) for mean in means[row : row + seeds]] for row in rows]

    return {name: table(name) for name in Carried.__annotations__}
