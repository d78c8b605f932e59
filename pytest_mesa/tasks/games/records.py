"""How games are written down: SAN, UCI, SGF, GTP, points, cells and numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_mesa.tasks.games import chess_text
from pytest_mesa.tasks.games.notation import GO_COLUMNS, PASS, PATTERNS, Name
from pytest_mesa.tasks.games.variants import Variant

SGF_LETTERS = "abcdefghi"


class Writer(Protocol):
    """One way to write a game; moves are given, and read back, in the rules' text."""

    def setup(self, variant: Variant) -> str:
        """What an opening says of the start."""

    def told(self, moves: Sequence[str], variant: Variant) -> str:
        """The moves so far, and whatever stands before the next."""

    def next(self, moves: Sequence[str], move: str, variant: Variant) -> str:
        """A legal next move as it stands after `told`."""

    def read(self, moves: Sequence[str], text: str, variant: Variant) -> str | None:
        """The move that a text after `told` starts with; None where it starts with none.

        SAN alone does not tell where an illegal move starts: it comes back as it was written.
        """


def _start(variant: Variant) -> str:
    """The first position in FEN: colours swapped, black begins."""
    return chess_text.mirrored_fen(chess_text.START) if variant.swapped else chess_text.START


class San:
    """Chess in PGN's movetext. Colours swapped, the game starts with black to move."""

    SHAPE = re.compile(r"O-O(-O)?|[KQRBN]?[a-h]?[1-8]?x?[a-h][1-8](=?[QRBN])?")

    def setup(self, variant: Variant) -> str:
        """Tags that PGN asks for where a game starts elsewhere."""
        return f'[FEN "{_start(variant)}"]\n[SetUp "1"]\n' if variant.swapped else ""

    def told(self, moves: Sequence[str], variant: Variant) -> str:
        """``1. e4 e5 2. Nf3`` or ``1... e5 2. e4``, and the number of a move by white."""
        words = []
        for ply, text in enumerate([*self._texts(moves, variant), ""]):
            half = ply + variant.swapped
            if half % 2 == 0:
                words.append(f"{half // 2 + 1}.")
            elif ply == 0:
                words.append("1...")
            words.append(text)
        return " ".join(words).rstrip()

    def next(self, moves: Sequence[str], move: str, variant: Variant) -> str:
        """A space and the move, its check or mate included."""
        if variant.swapped:
            told, turned = chess_text.mirrored(moves), chess_text.mirrored([move])[0]
            return f" {chess_text.san_of(told, turned, _start(variant))}"
        return f" {chess_text.san_of(moves, move).translate(variant.forth(Name.CHESS))}"

    def read(self, moves: Sequence[str], text: str, variant: Variant) -> str | None:
        """The first word, after a move's number if there is one."""
        found = re.match(r"\s*(?:\d+\.+\s*)?(\S+)", text)
        word = found[1].rstrip(".,;:)").rstrip("+#!?") if found else ""
        if not self.SHAPE.fullmatch(word):
            return None
        if not variant.swapped:
            word = word.translate(variant.back(Name.CHESS))
        told = chess_text.mirrored(moves) if variant.swapped else list(moves)
        move = chess_text.uci(word, chess_text.board(told, _start(variant)))
        if move is None:
            return word
        return chess_text.mirrored([move])[0] if variant.swapped else move

    def _texts(self, moves: Sequence[str], variant: Variant) -> list[str]:
        if variant.swapped:
            return chess_text.san(chess_text.mirrored(moves), _start(variant))
        # Pieces are capitals, so that only squares are renamed.
        return [text.translate(variant.forth(Name.CHESS)) for text in chess_text.san(moves)]


class Uci:
    """Chess in UCI's moves."""

    def setup(self, variant: Variant) -> str:
        """``startpos``, or a FEN."""
        return f"fen {_start(variant)}" if variant.swapped else "startpos"

    def told(self, moves: Sequence[str], variant: Variant) -> str:
        """Each move after a space."""
        return "".join(self.next((), move, variant) for move in moves)

    def next(self, moves: Sequence[str], move: str, variant: Variant) -> str:
        """A space and the move."""
        del moves
        return f" {variant.says(Name.CHESS, move)}"

    def read(self, moves: Sequence[str], text: str, variant: Variant) -> str | None:
        """The first word."""
        del moves
        found = re.match(r"\s*([a-h][1-8][a-h][1-8][nbrq]?)(?![a-z0-9])", text.lower())
        return variant.means(Name.CHESS, found[1]) if found else None


class Sgf:
    """Go as an SGF's nodes: columns and rows in letters, rows from the top."""

    def setup(self, variant: Variant) -> str:
        """Nothing: the nodes say who begins."""
        del variant
        return ""

    def told(self, moves: Sequence[str], variant: Variant) -> str:
        """``;B[ee];W[cg]``, and the next node's start."""
        nodes = [f";{_colour('BW', ply, variant)}[" for ply in range(len(moves) + 1)]
        written = [self.next((), move, variant) for move in moves]
        return "".join(node + move for node, move in zip(nodes, [*written, ""], strict=True))

    def next(self, moves: Sequence[str], move: str, variant: Variant) -> str:
        """The point and the bracket that closes it; a pass is no point."""
        del moves
        if move == PASS:
            return "]"
        point = variant.says(Name.GO, move)
        row = SGF_LETTERS[9 - int(point[1])]
        return f"{SGF_LETTERS[GO_COLUMNS.index(point[0])]}{row}]"

    def read(self, moves: Sequence[str], text: str, variant: Variant) -> str | None:
        """What stands before the bracket; a text without one may end after the point."""
        del moves
        found = re.match(r"\s*(?:(tt)?\]|([a-i])([a-i])(?![a-z]))", text)
        if not found:
            return None
        if not found[2]:
            return PASS
        point = f"{GO_COLUMNS[SGF_LETTERS.index(found[2])]}{9 - SGF_LETTERS.index(found[3])}"
        return variant.means(Name.GO, point)


@dataclass(frozen=True, slots=True)
class Words:
    """Moves in words: each with its number or player before it, whatever the game.

    ``lead`` is formatted with ``number`` and ``player``; ``players`` are named first player
    first; ``case`` writes the move.
    """

    game: Name
    lead: str
    players: tuple[str, str]
    between: str
    case: Callable[[str], str] = str

    def setup(self, variant: Variant) -> str:
        """Nothing: the moves say who begins."""
        del variant
        return ""

    def told(self, moves: Sequence[str], variant: Variant) -> str:
        """The moves with their leads, and the next move's lead."""
        leads = [
            self.lead.format(number=ply + 1, player=_colour(self.players, ply, variant))
            for ply in range(len(moves) + 1)
        ]
        written = [self.next((), move, variant) for move in moves]
        parts = [lead + move for lead, move in zip(leads, [*written, ""], strict=True)]
        return self.between.join(parts)

    def next(self, moves: Sequence[str], move: str, variant: Variant) -> str:
        """A space and the move."""
        del moves
        return f" {self.case(variant.says(self.game, move))}"

    def read(self, moves: Sequence[str], text: str, variant: Variant) -> str | None:
        """The first word, in capitals or not."""
        del moves
        found = re.match(r"\s*([a-z0-9]+)", text.lower())
        if not found or not PATTERNS[self.game].fullmatch(found[1]):
            return None
        return variant.means(self.game, found[1])


def _colour(players: Sequence[str], ply: int, variant: Variant) -> str:
    return players[(ply + variant.swapped) % 2]


WRITERS: dict[str, Writer] = {
    "san": San(),
    "uci": Uci(),
    "sgf": Sgf(),
    "gtp": Words(Name.GO, "play {player}", ("black", "white"), "\n", str.upper),
    "points": Words(Name.GO, "{number}. {player}", ("Black", "White"), " ", str.upper),
    "cells": Words(Name.TIC_TAC_TOE, "{number}. {player}", ("X", "O"), " "),
    "numbers": Words(Name.FIFTEEN, "{player} takes", ("Ann", "Bob"), ", "),
}
