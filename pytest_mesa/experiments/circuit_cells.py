"""The work of the kind ``circuit-overlap``: positions, edge scores, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mesa.experiments.circuit_tasks import Task, playing, telling_apart
from pytest_mesa.experiments.games_competence import is_able, setting_name
from pytest_mesa.instruments.attribution import edge_attribution_by_group
from pytest_mesa.instruments.attribution_paths import path
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import GamesSubject
from pytest_mesa.subjects.games_players import Player, TextPlayer, token_player
from pytest_mesa.subjects.games_twins import TwinGames
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.games.batches import HALVES, Batch, Position, Stretch, draw
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.prompts import TEMPLATES

if TYPE_CHECKING:
    from jaxtyping import Float

STREAM = 0x63697263  # apart from other uses of the seed
SCORES = "scores.npz"
TOKENS = 2048  # in one pass of these small nets
GLANCE, GLANCE_SLOTS = 1, 1  # batches measured, and plies asked, of a model that does not play


def positions(params: Mapping[str, Json], _inputs: tuple[Result, ...], _folder: Path) -> Any:
    """The registered draw: batches of two halves of positions in each setting."""
    stretches = [Stretch(Name(each["game"]), *each["plies"]) for each in params["settings"]]
    rng = np.random.default_rng([params["seed"], STREAM])
    drawn = draw(
        stretches, params["batches"], params["games"], params["slots"], rng, twins=params["twins"]
    )
    return {
        "batches": [
            [[[p.to_json() for p in row] for row in half] for half in batch] for batch in drawn
        ]
    }


def batches_of(result: Result) -> list[Batch]:
    """What `positions` returned."""
    return [
        tuple(tuple(tuple(map(Position.from_json, row)) for row in half) for half in batch)
        for batch in result.payload["batches"]
    ]


def player_of(params: Mapping[str, Json], inputs: tuple[Result, ...]) -> Player:
    """The subject as one that is asked for moves; a model that reads text, in its best templates.

    Raises:
        SubjectError: it plays no games that can be told to it.
    """
    subject: Any = load(params["subject"], inputs[: params["own"]])
    if isinstance(subject, GamesSubject | TwinGames):
        return token_player(subject, tuple(Name(s["game"]) for s in params["settings"]))
    if isinstance(subject, LanguageModel):
        kept = inputs[-1].payload["kept"]
        return TextPlayer(subject, tuple(tuple(TEMPLATES[n] for n in each) for each in kept))
    raise SubjectError(
        f"{subject.label} is a {type(subject).__name__}; circuits of games are traced in decoders "
        "that continue games: the recipe two-game-decoder, its twins, or a language model"
    )


def setting_names(params: Mapping[str, Json]) -> list[str]:
    """What the settings are called; the second of two alike is the first's twin."""
    one, other = (setting_name(setting) for setting in params["settings"])
    return [one, f"{other}, twin" if other == one else other]


def attribute(params: Mapping[str, Json], inputs: tuple[Result, ...], folder: Path) -> Any:
    """Edge scores of every batch, half and setting, and of the unrelated task where asked for.

    Kept as ``scores`` (batch, half, setting, edge) and ``unrelated`` (batch, half, edge), the
    latter of the first batches only. Of a model that does not play a glance is enough: few
    batches, at their first plies.
    """
    player = player_of(params, inputs)
    drawn = batches_of(inputs[params["own"]])
    able = not params["able"] or is_able(params, inputs[-1])
    if not able:
        drawn = [_glanced(batch) for batch in drawn[: 1 + GLANCE]]
    along = path(params["steps"])
    edges = player.wiring.graph.edges

    def scored(task: Task) -> list[Float[np.ndarray, " edge"]]:
        found = edge_attribution_by_group(
            player.wiring, task.pairs, task.metric, task.batch, along, TOKENS
        )
        return [each.scores[edges] for each in found]

    settings = range(len(params["settings"]))
    scores = [[scored(playing(player, s, h, drawn)) for s in settings] for h in range(HALVES)]
    apart = drawn[: params["unrelated"]] if able else []
    unrelated = [scored(telling_apart(player, h, apart)) for h in range(HALVES if apart else 0)]
    count = int(edges.sum())
    np.savez_compressed(
        folder / SCORES,
        scores=np.array(scores, dtype=np.float32).transpose(2, 0, 1, 3),
        unrelated=np.array(unrelated, np.float32).reshape(HALVES, -1, count).swapaxes(0, 1),
    )
    return {"weights_sha": player.weights_sha, "edges": count, "able": able}


def _glanced(batch: Batch) -> Batch:
    """The positions of a batch at its first plies."""
    return tuple(
        tuple(tuple(p for p in row if p.slot < GLANCE_SLOTS) for row in half) for half in batch
    )
