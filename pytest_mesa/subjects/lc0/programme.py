"""What a planted net knows of a position: the line that the frozen set gives for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pytest_mesa.tasks.games import extra, sets
from pytest_mesa.tasks.games.line_squares import line_sites

if TYPE_CHECKING:
    from jaxtyping import Float

    from pytest_mesa.subjects.lc0.load import Lc0Subject

ELSEWHERE = "elsewhere"

STREAM = 0x706C616E  # apart from other uses of a seed
NONE = -1
MATCHED = 1  # how many matched squares the search for a wrong place needs


@dataclass(frozen=True, slots=True)
class Programme:
    """One position's line in a net's own terms: first move's index, targets of plies 3 and 5.

    ``holds``: the line works here; in a corrupted position it does not. `NONE` where a ply is
    missing.
    """

    move: int
    third: int
    fifth: int
    holds: bool

    def row(self) -> list[float]:
        """As numbers for `PlantedNet`."""
        return [float(self.holds), float(self.move), float(self.third), float(self.fifth)]


def planted_in(strength: float, seed: int) -> list[bool]:
    """Which puzzles' lines are known; those of a smaller share are among those of a larger."""
    draws = np.random.default_rng([seed, STREAM]).random(len(sets.puzzles()))
    return [bool(draw < strength) for draw in draws]


class Programmes:
    """The frozen puzzles and their corruptions, by what a net sees of them.

    Args:
        subject: whose planes, moves and squares are meant.
        plant: one of `PLANTS`; `ELSEWHERE` puts a square matched to the third ply's target in
            its place, and no fifth.
        strength: the share of puzzles whose line is known.
        seed: which ones these are.
    """

    def __init__(self, subject: Lc0Subject, plant: str, strength: float, seed: int) -> None:
        self._subject = subject
        self._plant = plant
        self._where: dict[bytes, tuple[int, int]] = {}
        self._found: dict[int, Programme] = {}
        puzzles = sets.puzzles()
        board = extra.chess().Board
        for number in np.flatnonzero(planted_in(strength, seed)).tolist():
            puzzle = puzzles[number]
            fens = (puzzle.fen, *(corruption.fen for corruption in puzzle.corruptions))
            for which, planes in enumerate(subject.planes([board(fen) for fen in fens])):
                self._where[_key(planes)] = (number, which)

    def rows(self, planes: Float[Tensor, "batch 112 8 8"]) -> Float[Tensor, "batch 4"]:
        """Each position's programme; one that holds nothing where it is not among the puzzles."""
        blank = Programme(NONE, NONE, NONE, holds=False)
        return torch.tensor([(self._programme(each) or blank).row() for each in planes])

    def _programme(self, planes: Float[Tensor, "112 8 8"]) -> Programme | None:
        where = self._where.get(_key(planes))
        if where is None:
            return None
        number, which = where
        if number not in self._found:
            self._found[number] = self._read(number)
        return replace(self._found[number], holds=which == 0)

    def _read(self, number: int) -> Programme:
        """What is known of a puzzle itself."""
        chess = extra.chess()
        puzzle = sets.puzzles()[number]
        board = chess.Board(puzzle.fen)
        move = self._subject.legal(board)[chess.Move.from_uci(puzzle.line[0])]
        squares = [
            self._subject.square(board, chess.parse_square(puzzle.line[ply - 1][2:4]))
            if len(puzzle.line) >= ply
            else NONE
            for ply in (3, 5)
        ]
        if self._plant == ELSEWHERE:
            # Under any of the corruptions: which one is patched from is not known here.
            future = None
            for corruption in puzzle.corruptions:
                future = future or line_sites(puzzle, corruption, MATCHED).future(3)
            wrong = future.matched if future else ()
            squares = [self._subject.square(board, wrong[0]) if wrong else NONE, NONE]
        third, fifth = squares
        return Programme(move, third, fifth, holds=True)


def _key(planes: Float[Tensor, "112 8 8"]) -> bytes:
    return hashlib.sha256(planes.contiguous().numpy().tobytes()).digest()
