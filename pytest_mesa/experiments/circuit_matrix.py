"""The whole matrix of cross-ablations of one subject, over sizes and kinds of ablation, to be read.

Rows are settings; columns are what is left of the net's margin, as a share, where only a circuit
is kept, where it is cut, and where only those of its edges are cut that the other does not have.
A double dissociation shows in the last two columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mesa.experiments.circuit_ablations import SOURCE, TESTED, Trial
from pytest_mesa.experiments.circuit_cells import SCORES, batches_of, player_of, setting_names
from pytest_mesa.experiments.circuit_scores import alike, circuit, shuffled
from pytest_mesa.experiments.circuit_tasks import Task, playing
from pytest_mesa.instruments.circuit_ablate import Ablation, Resample, mean_ablation
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.games_players import Player

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

STREAM = 0x6D617478  # of random circuits, apart from other uses of the seed
BATCHES = 3  # whose tested halves are run: enough to read two digits


def matrix(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """A table as text; nothing of a model that does not play."""
    own, choose = params["own"], params["choose"]
    drawn, attributed = batches_of(inputs[own]), inputs[own + 1]
    if not attributed.payload["able"]:
        return {}
    player = player_of(params, inputs)
    with np.load(attributed.file(SCORES), allow_pickle=False) as saved:
        pooled = saved["scores"][:choose, SOURCE].mean(0)
    rng = np.random.default_rng([params["seed"], STREAM])
    names = setting_names(params)
    tested = [
        [playing(player, s, TESTED, [batch]) for batch in drawn[choose : choose + BATCHES]]
        for s in range(len(names))
    ]
    width = max(map(len, names))
    lines = [_head(names, width)]
    for ablation in ("resample", "mean"):
        asked = [
            [Trial(player, task, _ablation(player, task, ablation)) for task in tasks]
            for tasks in tested
        ]
        for size in params["sizes"]:
            one, other = (circuit(player.wiring.graph, row, size) for row in pooled)
            chance = shuffled(other, alike(player.wiring.graph), rng)
            for s, name in enumerate(names):
                left = _left(asked[s], _cuts(one, other, chance))
                numbers = " ".join(f"{share:10.2f}" for share in left)
                lines.append(f"{ablation:<9}{size:>5.0%}  {name:<{width}}{numbers}")
    title = "What is left of the margin of the best move with circuits kept and cut"
    return {"title": f"{title}, {params['label']}", "text": "\n".join(lines)}


def _head(names: Sequence[str], width: int) -> str:
    short = [name[:4] for name in names] if names[0][:4] != names[1][:4] else ["1st", "2nd"]
    columns = [f"{verb} {what}" for verb in ("keep", "cut") for what in (*short, "rand")]
    columns += [f"{what} only" for what in short]
    return f"{'ablation':<9}{'size':>5}  {'':<{width}}" + " ".join(f"{c:>10}" for c in columns)


def _cuts(
    one: Bool[np.ndarray, " edge"],
    other: Bool[np.ndarray, " edge"],
    chance: Bool[np.ndarray, " edge"],
) -> list[Bool[np.ndarray, " edge"]]:
    """What is kept in each column."""
    return [one, other, chance, ~one, ~other, ~chance, ~(one & ~other), ~(other & ~one)]


def _left(asked: Sequence[Trial], edges: Sequence[np.ndarray]) -> Float[np.ndarray, " column"]:
    return np.asarray(np.mean([trial.kept(edges)[:, 0] for trial in asked], axis=0))


def _ablation(player: Player, task: Task, name: str) -> Ablation:
    if name == "resample":
        return Resample()
    return mean_ablation(player.wiring, task.pairs.clean, task.pairs.mask)
