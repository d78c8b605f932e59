"""Games as flat arrays of moves, a few bits each: how `fixtures/` keeps them.

A chess move is ``from + 64 * to + 4096 * promotion`` (squares a1 = 0, b1 = 1, … h8 = 63;
promotion 0 none, 1 knight, 2 bishop, 3 rook, 4 queen). A Go move is ``9 * row + column`` from
a1, 81 a pass. A tic-tac-toe move is a cell, 0 to 8 from the top left, row by row.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mesa._paths import shipped
from pytest_mesa.tasks.games.errors import GamesError

if TYPE_CHECKING:
    from jaxtyping import Int

FOLDER = "games"
HELD_OUT_EVERY = 10  # each tenth game is never trained on
FURTHER = {"tic-tac-toe": "tic-tac-toe-further"}  # more games, which nothing is trained on


@dataclass(frozen=True, slots=True)
class Archive:
    """Games of one kind: all moves in a row, and how many belong to each game."""

    moves: Int[np.ndarray, " moves"]
    lengths: Int[np.ndarray, " games"]

    def __post_init__(self) -> None:
        if int(self.lengths.sum()) != len(self.moves):
            raise GamesError(
                f"an archive's lengths add up to {int(self.lengths.sum())}, its moves number "
                f"{len(self.moves)}"
            )

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Int[np.ndarray, " moves"]]:
        ends = np.cumsum(self.lengths, dtype=np.int64)
        return iter(np.split(self.moves, ends[:-1]))

    def select(self, chosen: Sequence[bool] | Int[np.ndarray, " games"]) -> Archive:
        """The chosen games, by mask or index, in that order."""
        games = list(self)
        index = np.arange(len(self))[np.asarray(chosen)]
        picked = [games[i] for i in index]
        moves = np.concatenate(picked) if picked else self.moves[:0]
        return Archive(moves, self.lengths[index])

    def split(self) -> tuple[Archive, Archive]:
        """Games to train on, and unseen ones.

        The unseen are every tenth, without those that also stand among the others: short games
        occur twice.
        """
        held = np.arange(len(self)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        seen = {game.tobytes() for game, out in zip(self, held, strict=True) if not out}
        fresh = [out and game.tobytes() not in seen for game, out in zip(self, held, strict=True)]
        return self.select(~held), self.select(np.array(fresh))


def pack(games: Sequence[Sequence[int]], dtype: type[np.unsignedinteger[Any]]) -> Archive:
    """Games given move by move, as an archive."""
    lengths = np.array([len(game) for game in games], dtype=np.uint8)
    moves = np.array([move for game in games for move in game], dtype=dtype)
    return Archive(moves, lengths)


def write(archive: Archive, path: Path) -> str:
    """Write an archive; returns the file's SHA-256. The same games give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bundle:
        for name in ("moves", "lengths"):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, getattr(archive, name), allow_pickle=False)
            # A fixed date, the earliest that the format has, so that bytes depend on games alone.
            bundle.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)),
                buffer.getvalue(),
                zipfile.ZIP_DEFLATED,
                9,
            )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(path: Path) -> Archive:
    """Read an archive.

    Raises:
        GamesError: the file is missing or no archive.
    """
    try:
        with np.load(path, allow_pickle=False) as bundle:
            return Archive(bundle["moves"], bundle["lengths"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise GamesError(
            f"{path} can't be read as games ({type(error).__name__}: {error}); restore it, or "
            "make it anew with 'mesa fixtures games'"
        ) from error


@lru_cache(maxsize=8)
def frozen(name: str) -> Archive:
    """The games that ship under ``name`` (chess, go, tic-tac-toe).

    Raises:
        GamesError: there are none.
    """
    return read(frozen_path(name))


@lru_cache(maxsize=8)
def frozen_with_further(name: str) -> Archive:
    """The games of that name, and further ones behind them where there are any.

    Raises:
        GamesError: there are none of that name, or files are missing.
    """
    parts = [frozen(each) for each in files_of(name)]
    return Archive(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("moves", "lengths")))


def files_of(name: str) -> tuple[str, ...]:
    """The names of all files with games of that name."""
    return (name, *([FURTHER[name]] if name in FURTHER else []))


def frozen_path(name: str) -> Path:
    """Where the games of that name ship."""
    return shipped("fixtures") / FOLDER / f"{name}.npz"
