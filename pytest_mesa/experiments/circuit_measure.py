"""Are circuits faithful, how much do they share, and does cutting one hurt both settings alike?

Circuits come from one half of a batch, and what they do is measured on the other. Three things
are set on batches apart: the circuits' size, the least at which both settings' are faithful; their
cores, which are cut; and how long the scales are, from random circuits to those of one setting.

Cores are smaller than circuits, since a net loses everything with the strongest edges of any large
set, and come from all of those batches together: what noise has put into only one of two cores
would look like a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mesa.experiments.circuit_ablations import (
    SOURCE,
    Lost,
    LostAtRandom,
    faithfulness,
    lost,
    lost_at_random,
    trials,
)
from pytest_mesa.experiments.circuit_cells import SCORES, batches_of, player_of, setting_names
from pytest_mesa.experiments.circuit_scores import Shared, alike, circuit, planted, shared
from pytest_mesa.experiments.lineup import stratum
from pytest_mesa.instruments.attribution_graph import Graph
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.verdicts.confidence import confidence_sequence

if TYPE_CHECKING:
    from jaxtyping import Float

STREAM = 0x666C6F6F  # of random circuits, apart from other uses of the seed
SLACK = 0.1  # by which scores may leave 0..1, so that the ends of the scale pull little
LOW, HIGH = -SLACK, 1 + SLACK
MARGIN = 0.05  # of faithfulness, where a size is chosen: other batches may show a little less
LEAST_SPAN = 0.02  # of a scale; a shorter one tells nothing


@dataclass(frozen=True, slots=True)
class Scale:
    """From a batch's numbers to scores: what 0 and 1 are apart, as means over choosing batches."""

    overlap: float
    ablation: float

    @classmethod
    def of(cls, compared: Sequence[Shared], at_random: Sequence[Sequence[LostAtRandom]]) -> Scale:
        """The spans on batches that are not measured."""
        return cls(
            span(compared),
            float(np.mean([part.against_random for both in at_random for part in both])),
        )

    @property
    def usable(self) -> bool:
        """Whether both spans are there."""
        return min(self.overlap, self.ablation) >= LEAST_SPAN

    def shares(self, value: float, floor: float) -> float:
        """An overlap's score."""
        return clipped((value - floor) / max(self.overlap, LEAST_SPAN))

    def hurts(self, both: Sequence[Lost]) -> float:
        """The score of what is lost: 1 where either circuit's own edges hurt alike."""
        apart = float(np.mean([part.against_other for part in both]))
        return clipped(1 - apart / max(self.ablation, LEAST_SPAN))


def span(compared: Sequence[Shared]) -> float:
    """How much more halves of one setting share than random circuits do."""
    return float(np.mean([each.within - each.chance for each in compared]))


def clipped(score: float) -> float:
    """Within the range that is stated with the scores."""
    return float(np.clip(score, LOW, HIGH))


def measure(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """Scores of both kinds, batch by batch, and what they rest on.

    Of a model that does not play, the overlap at a glance, to describe it.
    """
    own = params["own"]
    drawn, attributed = batches_of(inputs[own]), inputs[own + 1]
    player = player_of(params, inputs)
    graph = player.wiring.graph
    if not attributed.payload["able"]:
        return _glance(params, graph, attributed)
    with np.load(attributed.file(SCORES), allow_pickle=False) as kept:
        scores, unrelated = kept["scores"], kept["unrelated"]
    rng = np.random.default_rng([params["seed"], STREAM])
    choose, names, kinds = params["choose"], setting_names(params), alike(graph)
    tried, measured = trials(player, drawn[:choose]), trials(player, drawn[choose:])
    sizes = faithfulness(tried, scores[:choose], params["sizes"])
    size = _chosen(sizes, params["faithful"])
    compared = [
        shared(graph, kinds, row, size, rng, unrelated[b] if b < len(unrelated) else None)
        for b, row in enumerate(scores)
    ]
    cores = [circuit(graph, row, params["core"]) for row in scores[:choose, SOURCE].mean(0)]
    at_random = lost_at_random(tried, cores, rng)
    without = lost(measured, scores[choose:], size, cores)
    scale = Scale.of(compared[:choose], at_random)
    part = compared[choose:]
    found = {
        "overlap": [scale.shares(each.across, each.chance) for each in part],
        "ablation": [scale.hurts(both) for both in without],
    }
    about = {
        "edges": attributed.payload["edges"],
        "size": size,
        "tried": {f"{share:g}": dict(zip(names, row, strict=True)) for share, row in sizes.items()},
        "faithfulness": {
            name: round(float(np.mean([both[s].alone for both in without])), 4)
            for s, name in enumerate(names)
        },
        "usable": scale.usable,
        "anchors": _anchors(part, scale, params["alpha"]),
        "shared": _shares(part, compared[:choose], scale),
        "lost": {
            name: _means([both[s] for both in without], ("own_only", "other_only"))
            | _means([both[s] for both in at_random], ("beside_random", "random_only"))
            for s, name in enumerate(names)
        },
    }
    spiked = _planted(params, graph, scores, size)
    return {
        "strata": [stratum(name, values, LOW, HIGH) for name, values in found.items()],
        "budget": len(found) * len(part),
        "weights_sha": attributed.payload["weights_sha"],
        "detection_limit": next((row["strength"] for row in spiked if row["seen"]), None),
        "detail": {"circuits": about, "spike_in": {"edge": params["edge"], "tried": spiked}},
    }


def _glance(params: Mapping[str, Json], graph: Graph, attributed: Result) -> dict[str, Any]:
    """The overlap of the smallest circuits, on a scale that one batch sets."""
    with np.load(attributed.file(SCORES), allow_pickle=False) as kept:
        rows = kept["scores"]
    rng = np.random.default_rng([params["seed"], STREAM])
    kinds = alike(graph)
    first, *part = [shared(graph, kinds, row, params["sizes"][0], rng) for row in rows]
    scale = Scale(span([first]), 1.0)
    values = [scale.shares(each.across, each.chance) for each in part]
    about = {"edges": attributed.payload["edges"], "glance": _shares(part, [], scale)}
    return {
        "strata": [stratum("overlap", values, LOW, HIGH)],
        "budget": len(values),
        "weights_sha": attributed.payload["weights_sha"],
        "detail": {"circuits": about},
    }


def _chosen(sizes: Mapping[float, Sequence[float]], faithful: float) -> float:
    """The least size at which both circuits are faithful; the largest where none is."""
    good = [size for size, found in sizes.items() if min(found) >= faithful + MARGIN]
    return good[0] if good else max(sizes)


def _anchors(part: Sequence[Shared], scale: Scale, alpha: float) -> dict[str, Any]:
    """Where one setting's halves, and random circuits, land on the scale."""
    return {
        "halves": _bounded([scale.shares(each.within, each.chance) for each in part], alpha),
        "random": _bounded([scale.shares(each.again, each.chance) for each in part], alpha),
    }


def _bounded(values: Sequence[float], alpha: float) -> dict[str, Any]:
    bounds = confidence_sequence(list(values), alpha, LOW, HIGH).final
    return {
        "mean": round(float(np.mean(values)), 4),
        "bounds": [round(bounds.lower, 4), round(bounds.upper, 4)],
    }


def _shares(part: Sequence[Shared], chosen: Sequence[Shared], scale: Scale) -> dict[str, Any]:
    """Mean overlaps; the unrelated task's, where there is one, on batches that sizes are set on."""
    found: dict[str, Any] = {
        name: round(float(np.mean([getattr(each, name) for each in part])), 4)
        for name in ("across", "within", "chance")
    }
    tasks = [each for each in chosen if each.unrelated is not None]
    if tasks:
        related = [scale.shares(each.across, each.chance) for each in tasks]
        other = [scale.shares(each.unrelated or 0.0, each.chance) for each in tasks]
        found["unrelated_task"] = {
            "n": len(tasks),
            "score": round(float(np.mean(other)), 4),
            "settings_score": round(float(np.mean(related)), 4),
        }
    return found


def _means(rows: Sequence[Lost | LostAtRandom], names: Sequence[str]) -> dict[str, float]:
    """Mean shares of the metric that are lost without parts of circuits."""
    return {n: round(float(np.mean([getattr(row, n) for row in rows])), 4) for n in names}


def _planted(
    params: Mapping[str, Json],
    graph: Graph,
    scores: Float[np.ndarray, "batch half setting edge"],
    size: float,
) -> list[dict[str, Any]]:
    """The overlap's score with sharing planted at growing strengths.

    Some of the second setting's positions are replaced by other games of the first, also where
    the scale is set. Seen is what lifts the lower bound over the edge of the predicted region: the
    claim is then not upheld.
    """
    tried: list[dict[str, Any]] = []
    choose, kinds = params["choose"], alike(graph)
    for strength in params["strengths"]:
        rng = np.random.default_rng([params["seed"], STREAM, 1])
        compared = [shared(graph, kinds, row, size, rng) for row in planted(scores, strength)]
        scale = Scale(span(compared[:choose]), 1.0)
        values = [scale.shares(each.across, each.chance) for each in compared[choose:]]
        found = _bounded(values, params["alpha"])
        tried.append({"strength": strength, **found, "seen": found["bounds"][0] > params["edge"]})
    return tried
