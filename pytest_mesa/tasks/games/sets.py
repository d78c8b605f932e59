"""The frozen sets of chess positions, as typed records that are checked when they are read.

Scores are the engine's, in centipawns for the side to move. A mate in ``n`` moves scores
`MATE` less ``n``, and being mated the same below zero.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, TypeVar

from pytest_mesa._paths import shipped
from pytest_mesa.tasks.games.engines import MATE as MATE
from pytest_mesa.tasks.games.errors import GamesError
from pytest_mesa.tasks.games.notation import PATTERNS, Name

FOLDER = "positions"
REFUTED = 200  # centipawns behind the best move, from which on a move counts as refuted

Record = TypeVar("Record", bound="Position")


@dataclass(frozen=True, slots=True)
class Position:
    """A chess position with the moves that led to it.

    ``before`` is the position some plies earlier and ``history`` the moves from there to
    ``fen``: nets that read several past positions get them from these.
    """

    fen: str
    before: str
    history: tuple[str, ...]

    def __post_init__(self) -> None:
        for fen in (self.fen, self.before):
            if len(fen.split()) != 6:
                raise ValueError(f"{fen!r} has not the six fields of a FEN")
        _check_moves(self.history)

    @property
    def to_move(self) -> str:
        """``w`` or ``b``."""
        return self.fen.split()[1]


@dataclass(frozen=True, slots=True)
class Corruption:
    """A position with one piece changed, in which the line's first move is legal, not best.

    ``changed`` are the squares whose content differs (one or two), ``best`` what is best
    there, and ``loss`` how many centipawns worse the line's first move is.
    """

    fen: str
    changed: tuple[str, ...]
    best: str
    loss: int


@dataclass(frozen=True, slots=True)
class Puzzle(Position):
    """A position with one clearly best line.

    ``line`` is the principal variation, ``gaps`` how many centipawns better each of its first
    plies is than the second-best move there (for the side to move; a missing second move or
    one that allows mate counts as `MATE`), ``mate`` the distance to mate in moves, None where
    the line wins otherwise.
    """

    line: tuple[str, ...]
    score: int
    gaps: tuple[int, ...]
    mate: int | None
    corruptions: tuple[Corruption, ...]

    def __post_init__(self) -> None:
        # `super()` finds no cell in a slotted dataclass.
        Position.__post_init__(self)
        _check_moves(self.line)
        if not self.line or not self.gaps or len(self.gaps) > len(self.line):
            raise ValueError("a puzzle has a line, and a gap for each of its first plies")
        if self.mate is not None and self.score != MATE - self.mate:
            raise ValueError(f"mate in {self.mate} does not score {self.score}")

    @property
    def stratum(self) -> str:
        """``mate-1`` to ``mate-4``, or ``other``."""
        return "other" if self.mate is None else f"mate-{self.mate}"

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """From a line of a file."""
        return cls(
            **_common(body),
            line=tuple(body["line"]),
            score=int(body["score"]),
            gaps=tuple(map(int, body["gaps"])),
            mate=None if body["mate"] is None else int(body["mate"]),
            corruptions=tuple(
                Corruption(c["fen"], tuple(c["changed"]), c["best"], int(c["loss"]))
                for c in body["corruptions"]
            ),
        )


@dataclass(frozen=True, slots=True)
class Judged(Position):
    """A position taken as games bring it, with the engine's score of every legal move."""

    scores: Mapping[str, int]

    def __post_init__(self) -> None:
        Position.__post_init__(self)
        _check_moves(tuple(self.scores))
        if not self.scores:
            raise ValueError("a judged position has at least one legal move")

    @property
    def best(self) -> str:
        """The move with the highest score."""
        return max(self.scores, key=lambda move: self.scores[move])

    def refuted(self, margin: int = REFUTED) -> frozenset[str]:
        """The moves that score at least ``margin`` centipawns less than the best one."""
        top = self.scores[self.best]
        return frozenset(move for move, score in self.scores.items() if top - score >= margin)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """From a line of a file."""
        return cls(**_common(body), scores={m: int(s) for m, s in body["scores"].items()})


def _common(body: Mapping[str, Any]) -> dict[str, Any]:
    return {k: body[k] for k in ("fen", "before")} | {"history": tuple(body["history"])}


def _check_moves(moves: tuple[str, ...]) -> None:
    for move in moves:
        if not PATTERNS[Name.CHESS].fullmatch(move):
            raise ValueError(f"{move!r} is no move in UCI notation")


@lru_cache(maxsize=1)
def puzzles() -> tuple[Puzzle, ...]:
    """Positions with a clearly best line, each with corruptions.

    Raises:
        GamesError: the set is missing, damaged or not what its manifest says.
    """
    return read("puzzles", Puzzle.read)


@lru_cache(maxsize=1)
def unfiltered() -> tuple[Judged, ...]:
    """Positions as games bring them, with every move's score.

    Raises:
        GamesError: the set is missing, damaged or not what its manifest says.
    """
    return read("unfiltered", Judged.read)


def read(
    name: str, record: Callable[[Mapping[str, Any]], Record], folder: Path | None = None
) -> tuple[Record, ...]:
    """A set of positions, one record a line.

    Raises:
        GamesError: the file is missing, damaged or not what its manifest says; the message
            names the line.
    """
    folder = folder or shipped("fixtures") / FOLDER
    path = folder / f"{name}.jsonl.gz"
    try:
        data = path.read_bytes()
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        recorded = manifest["files"][path.name]
        if hashlib.sha256(data).hexdigest() != recorded:
            raise GamesError(
                f"{path} differs from its recorded SHA-256; restore it, or make it anew with "
                "'mesa fixtures positions'"
            )
        lines = gzip.decompress(data).decode("utf-8").splitlines()
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise GamesError(f"{path} can't be read ({type(error).__name__}: {error})") from error
    return tuple(_records(path, lines, record))


def _records(
    path: Path, lines: list[str], record: Callable[[Mapping[str, Any]], Record]
) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        try:
            yield record(json.loads(line))
        except (KeyError, TypeError, ValueError) as error:
            raise GamesError(f"{path}, line {number}: {type(error).__name__}: {error}") from error


def write(records: tuple[Puzzle, ...] | tuple[Judged, ...], path: Path) -> str:
    """Write a set; returns the file's SHA-256. The same records give the same bytes."""
    lines = (json.dumps(asdict(r), separators=(",", ":"), ensure_ascii=False) for r in records)
    data = gzip.compress("".join(f"{line}\n" for line in lines).encode(), 9, mtime=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
