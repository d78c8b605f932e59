"""The rules of the four games, through OpenSpiel, behind one interface.

A `State` is a value: `apply` makes a new one. Scores are each player's return, first player
first: 1 a win, -1 a loss, 0 a draw (of 9×9 Go under Tromp-Taylor rules, which have no draws
at half-integer komi).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from pytest_mesa.tasks.games import extra, notation
from pytest_mesa.tasks.games.errors import MoveError, PositionError
from pytest_mesa.tasks.games.notation import Name

SPIEL = {
    Name.CHESS: "chess",
    Name.GO: "go(board_size=9,komi=7.5)",
    Name.TIC_TAC_TOE: "tic_tac_toe",
    Name.FIFTEEN: "tic_tac_toe",
}


@dataclass(frozen=True, eq=False)
class State:
    """One position, its history included where the rules need it. ``spiel`` is never changed."""

    game: Game
    spiel: Any

    @cached_property
    def actions(self) -> dict[str, int]:
        """Legal moves, in the game's text, to OpenSpiel's action numbers."""
        if self.spiel.is_terminal():
            return {}
        actions = self.spiel.legal_actions()
        return dict(zip(self.game.texts(self.spiel, actions), actions, strict=True))

    @property
    def legal(self) -> tuple[str, ...]:
        """The legal moves; none where the game is over."""
        return tuple(self.actions)

    @property
    def terminal(self) -> bool:
        """Whether the game is over."""
        return bool(self.spiel.is_terminal())

    @property
    def player(self) -> int | None:
        """Whose turn it is: 0 moved first in the game (white, black in Go); None at the end."""
        if self.terminal:
            return None
        to_move = int(self.spiel.current_player())
        # OpenSpiel's chess numbers black 0 and white 1.
        return 1 - to_move if self.game.name is Name.CHESS else to_move

    @property
    def returns(self) -> tuple[float, float]:
        """Both players' returns so far, first player first: zeros until the game is over."""
        first, second = self.spiel.returns()
        pair = (second, first) if self.game.name is Name.CHESS else (first, second)
        return (float(pair[0]), float(pair[1]))

    def apply(self, move: str) -> State:
        """The position after a move.

        Raises:
            MoveError: the rules don't allow it here.
        """
        action = self.actions.get(move)
        if action is None:
            notation.code(self.game.name, move)  # says so where it is no move at all
            why = "the game is over" if self.terminal else f"{len(self.actions)} moves are legal"
            raise MoveError(f"{move} is not legal in {self}: {why}")
        child = self.spiel.clone()
        child.apply_action(action)
        return State(self.game, child)

    def __str__(self) -> str:
        return " / ".join(line for line in str(self.spiel).splitlines() if line.strip())


@dataclass(frozen=True, eq=False)
class Game:
    """The rules of one game."""

    name: Name
    spiel: Any

    def texts(self, spiel: Any, actions: Iterable[int]) -> list[str]:
        """Actions of one position in the game's text."""
        if self.name is not Name.CHESS:
            return [notation.text(self.name, action) for action in actions]
        move_of, board = extra.pyspiel().chess.action_to_move, spiel.board()
        return [str(move_of(action, board).to_lan()) for action in actions]

    def initial(self) -> State:
        """The start of the game."""
        return State(self, self.spiel.new_initial_state())

    def after(self, moves: Iterable[str], start: State | None = None) -> State:
        """The position after moves from the start of the game, or from ``start``.

        Raises:
            MoveError: a move that the rules don't allow; the message says which.
        """
        state = start or self.initial()
        for ply, move in enumerate(moves):
            try:
                state = state.apply(move)
            except MoveError as error:
                raise MoveError(f"move {ply + 1}: {error}") from error
        return state

    def position(self, fen: str) -> State:
        """A chess position from its FEN.

        Raises:
            PositionError: no FEN, an impossible position, or not chess.
        """
        if self.name is not Name.CHESS:
            raise PositionError(f"{self.name} has no FEN; give the moves that lead there")
        return State(self, self.spiel.new_initial_state(checked_fen(fen)))


def checked_fen(fen: str) -> str:
    """The FEN itself, with its six fields, where a game could hold that position.

    Raises:
        PositionError: it can't be read, or breaks the rules; the message says how.
    """
    chess = extra.chess()
    try:
        board = chess.Board(fen)
    except ValueError as error:
        raise PositionError(f"{fen!r} is no FEN: {error}") from error
    status = board.status()
    if status != chess.STATUS_VALID:
        faults = [flag.name for flag in chess.Status if flag and flag in status]
        names = ", ".join(str(name).lower().replace("_", " ") for name in faults)
        raise PositionError(f"{fen!r} is no possible position: {names}")
    return str(board.fen())


@lru_cache(maxsize=len(Name))
def game(name: Name | str) -> Game:
    """The rules of the game of that name.

    Raises:
        ExtraError: OpenSpiel isn't installed.
        ValueError: no such game.
    """
    known = Name(name)
    return Game(known, extra.pyspiel().load_game(SPIEL[known]))
