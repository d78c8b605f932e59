"""Games as prompts for models that read text, and the answers read back.

A prompt tells a game up to the next move, which the model writes. A template says how moves
are written (PGN or UCI for chess; SGF, letters or coordinates for Go; cells or numbers for the
small games) and what stands around them; a `Variant` renames colours or squares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from pytest_mesa.tasks.games import rules
from pytest_mesa.tasks.games.notation import PATTERNS, Name
from pytest_mesa.tasks.games.records import WRITERS, Writer
from pytest_mesa.tasks.games.variants import Variant

PLAIN = Variant()


@dataclass(frozen=True, slots=True)
class Template:
    """One way to tell a game: what stands before the moves, and who writes them.

    ``opening`` may hold ``{setup}``, which a game told with its colours swapped fills in.
    """

    name: str
    game: Name
    writer: str
    opening: str

    @property
    def _writer(self) -> Writer:
        return WRITERS[self.writer]

    def prompt(self, moves: Sequence[str], variant: Variant = PLAIN) -> str:
        """The game after ``moves``, up to where the next one stands.

        Raises:
            MoveError: a move that the rules don't allow.
        """
        _state(self.game, tuple(moves))
        opening = self.opening.replace("{setup}", self._writer.setup(variant))
        return opening + self._writer.told(moves, variant)

    def options(self, moves: Sequence[str], variant: Variant = PLAIN) -> dict[str, str]:
        """Every legal move as it would stand right after the prompt, with what it means.

        No option begins another, so that their probabilities can be compared.
        """
        state = _state(self.game, tuple(moves))
        texts = {self._writer.next(moves, move, variant): move for move in state.legal}
        begun = {
            text
            for text in texts
            for other in texts
            if other != text and other[: len(text)] == text
        }
        # O-O begins O-O-O: a space ends it.
        return {text + " " if text in begun else text: move for text, move in texts.items()}

    def answer(self, moves: Sequence[str], text: str, variant: Variant = PLAIN) -> Answer:
        """What a model's text after the prompt says."""
        if not text.strip():
            return Answer(Outcome.EMPTY)
        written = self._writer.read(moves, text, variant)
        if written is None:
            return Answer(Outcome.NO_MOVE)
        legal = written in _state(self.game, tuple(moves)).actions
        known = PATTERNS[self.game].fullmatch(written) is not None
        if legal:
            return Answer(Outcome.LEGAL, written)
        return Answer(Outcome.ILLEGAL, written if known else None)


# A position is asked for its prompt, its options and each answer.
@lru_cache(maxsize=64)
def _state(game: Name, moves: tuple[str, ...]) -> rules.State:
    return rules.game(game).after(moves)


class Outcome(StrEnum):
    """What an answer turned out to be."""

    LEGAL = "legal"
    ILLEGAL = "illegal"  # a move of the game that the rules don't allow here
    NO_MOVE = "no move"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's outcome, and its move where it has one that can be told without a board."""

    outcome: Outcome
    move: str | None = None


def tally(answers: Iterable[Answer]) -> dict[Outcome, int]:
    """How many answers had each outcome, those with none included."""
    counts = Counter(answer.outcome for answer in answers)
    return {outcome: counts[outcome] for outcome in Outcome}


_PGN_TAGS = (
    '[Event "Candidates"]\n[Site "?"]\n[Date "2019.??.??"]\n[Round "3"]\n[White "?"]\n[Black "?"]\n'
    '[Result "*"]\n{setup}\n'
)

TEMPLATES: dict[str, Template] = {
    template.name: template
    for template in (
        Template("pgn-tags", Name.CHESS, "san", _PGN_TAGS),
        Template("pgn-bare", Name.CHESS, "san", "{setup}"),
        Template("pgn-story", Name.CHESS, "san", "{setup}Two grandmasters play chess:\n\n"),
        Template("uci-position", Name.CHESS, "uci", "position {setup} moves"),
        Template("uci-session", Name.CHESS, "uci", "ucinewgame\nposition {setup} moves"),
        Template("uci-story", Name.CHESS, "uci", "A chess game from {setup}, in UCI notation:"),
        Template("sgf-full", Name.GO, "sgf", "(;GM[1]FF[4]CA[UTF-8]SZ[9]KM[7.5]RU[Chinese]"),
        Template("sgf-short", Name.GO, "sgf", "(;FF[4]GM[1]SZ[9]"),
        Template("sgf-named", Name.GO, "sgf", "(;GM[1]FF[4]SZ[9]PB[Black]PW[White]KM[7.5]"),
        Template("go-gtp", Name.GO, "gtp", "boardsize 9\nclear_board\nkomi 7.5\n"),
        Template("go-numbered", Name.GO, "points", "A game of Go on a 9x9 board.\n\n"),
        Template("go-bare", Name.GO, "points", "9x9 Go: "),
        Template("cells-marks", Name.TIC_TAC_TOE, "cells", "Tic-tac-toe on the cells a1 to c3.\n"),
        Template("cells-log", Name.TIC_TAC_TOE, "cells", "Noughts and crosses, move by move: "),
        Template(
            "numbers-game",
            Name.FIFTEEN,
            "numbers",
            "Two players take turns to pick a number from 1 to 9. Whoever has three numbers "
            "that add up to 15 wins.\n",
        ),
        Template("numbers-log", Name.FIFTEEN, "numbers", "The game of fifteen, pick by pick: "),
    )
}


def templates(game: Name, writer: str | None = None) -> tuple[Template, ...]:
    """A game's templates, or those of one way of writing."""
    return tuple(
        template
        for template in TEMPLATES.values()
        if template.game is game and writer in (None, template.writer)
    )
