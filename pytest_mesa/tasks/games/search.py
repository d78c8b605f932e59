"""Clean search over any of the games: alpha-beta and Monte-Carlo tree search, by OpenSpiel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_mesa.tasks.games import extra
from pytest_mesa.tasks.games.errors import GamesError
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.rules import State

# The usual worth of pieces in pawns, and the lead that counts as nearly won.
WORTH = {"p": 1, "n": 3, "b": 3, "r": 5, "q": 9}
LEAD = 8.0

# A position's worth to the player who moved first in the game, between -1 and 1.
Worth = Callable[[State], float]


@dataclass(frozen=True, slots=True)
class Found:
    """A search's move, and what it is worth to whoever makes it, between -1 and 1."""

    move: str
    worth: float


def even(_state: State) -> float:
    """No opinion: an unfinished game counts as drawn."""
    return 0.0


def material(state: State) -> float:
    """The chess pieces counted, squashed to between -1 and 1.

    Raises:
        GamesError: not a chess position.
    """
    if state.game.name is not Name.CHESS:
        raise GamesError(f"{state.game.name} has no pieces to count")
    board = str(state.spiel).split()[0]
    lead = sum(WORTH.get(letter.lower(), 0) * (1 if letter.isupper() else -1) for letter in board)
    return math.tanh(lead / LEAD)


def alpha_beta(state: State, depth: int, worth: Worth | None = None) -> Found:
    """Exact to ``depth`` plies; ``worth`` judges what lies beyond (`material` for chess).

    Among equal moves the first in OpenSpiel's order is found.

    Raises:
        GamesError: the game is over, or the depth is none.
    """
    _playable(state)
    if depth < 1:
        raise GamesError(f"a search needs a depth of at least 1, not {depth}")
    judge = worth or (material if state.game.name is Name.CHESS else even)
    player = int(state.spiel.current_player())
    sign = 1.0 if state.player == 0 else -1.0

    def value(spiel: Any) -> float:
        return sign * judge(State(state.game, spiel))

    minimax = extra.minimax()
    score, action = minimax.alpha_beta_search(
        state.game.spiel,
        state=state.spiel,
        value_function=value,
        maximum_depth=depth,
        maximizing_player_id=player,
    )
    (move,) = state.game.texts(state.spiel, [action])
    return Found(move, float(score))


def tree_search(
    state: State, simulations: int, seed: int, rollouts: int = 1, exploration: float = 2.0
) -> Found:
    """UCT with random play-outs; proven wins and losses are backed up exactly.

    Raises:
        GamesError: the game is over.
    """
    _playable(state)
    pyspiel = extra.pyspiel()
    bot = pyspiel.MCTSBot(
        state.game.spiel,
        pyspiel.RandomRolloutEvaluator(rollouts, seed),
        exploration,
        simulations,
        64,  # MiB
        True,
        seed,
        False,
    )
    child = bot.mcts_search(state.spiel).best_child()
    worth = child.total_reward / child.explore_count if child.explore_count else 0.0
    if child.outcome:
        worth = child.outcome[int(state.spiel.current_player())]
    (move,) = state.game.texts(state.spiel, [child.action])
    return Found(move, float(worth))


def _playable(state: State) -> None:
    if state.terminal:
        raise GamesError(f"the game is over, so there is nothing to search: {state}")
