"""Positions of two settings in disjoint batches of games, each batch in two halves.

The halves of a batch share no opening: what one setting's halves have in common is then more
than moves learned together. Within a half every game is asked at the same plies, so that each
position has others of its ply to be corrupted by.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mesa.tasks.games import notation, rules
from pytest_mesa.tasks.games.archive import (
    Archive,
    files_of,
    frozen,
    frozen_path,
    frozen_with_further,
)
from pytest_mesa.tasks.games.errors import GamesError
from pytest_mesa.tasks.games.notation import Name

if TYPE_CHECKING:
    from jaxtyping import Int

ARCHIVES = {Name.FIFTEEN: "tic-tac-toe"}  # where a game's moves are another's under new names
OPENING = {Name.CHESS: 2}  # plies that make an opening; elsewhere one
HALVES = 2


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a game's course that positions come from: plies ``first`` to ``last``."""

    game: Name
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Position:
    """A position of a frozen game: the moves so far, the game's own next one, the legal ones.

    ``slot`` numbers the part of the stretch that its ply lies in.
    """

    number: int
    slot: int
    moves: tuple[str, ...]
    next: str
    legal: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As a cell returns it."""
        return {
            "number": self.number,
            "slot": self.slot,
            "moves": " ".join(self.moves),
            "next": self.next,
            "legal": " ".join(self.legal),
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Position:
        """The inverse of `to_json`."""
        moves, legal = (tuple(told[name].split()) for name in ("moves", "legal"))
        return cls(told["number"], told["slot"], moves, told["next"], legal)


Half = tuple[tuple[Position, ...], ...]  # one row of positions a setting
Batch = tuple[Half, ...]


def draw(
    stretches: Sequence[Stretch],
    batches: int,
    games: int,
    slots: int,
    rng: np.random.Generator,
    *,
    twins: bool = False,
) -> list[Batch]:
    """Batches of ``games`` games a half and setting, asked at one ply of each of ``slots`` parts.

    No game stands in two batches, halves or settings; with ``twins``, settings that are one game
    under several notations are told the same games.

    Raises:
        GamesError: too few frozen games that last long enough, twins of different games, or
            fewer plies than slots.
    """
    names = [_archive_name(each.game) for each in stretches]
    if twins and len(set(names)) > 1:
        told = " and ".join(each.game for each in stretches)
        raise GamesError(f"{told} are no twins: they are not one game under two notations")
    least = {
        name: max(s.last for s in stretches if _archive_name(s.game) == name) for name in names
    }
    dealers = {name: _Dealer(name, last, rng) for name, last in least.items()}
    found = []
    for _ in range(batches):
        halves = []
        for half in range(HALVES):
            dealt = dealers[names[0]].deal(half, games) if twins else None
            seed = int(rng.integers(2**31)) if twins else None
            rows = []
            for name, stretch in zip(names, stretches, strict=True):
                own = rng if seed is None else np.random.default_rng(seed)
                numbers = dealers[name].deal(half, games) if dealt is None else dealt
                rows.append(_positions(stretch, name, numbers, slots, own))
            halves.append(tuple(rows))
        found.append(tuple(halves))
    return found


def archive_sha(game: Name) -> str:
    """Which frozen games a setting is drawn from, so that other ones make other cells.

    Raises:
        GamesError: their file can't be read.
    """
    found = []
    for path in map(frozen_path, files_of(_archive_name(game))):
        try:
            found.append(hashlib.sha256(path.read_bytes()).hexdigest()[:16])
        except OSError as error:
            raise GamesError(
                f"{path} can't be read; restore it, or make it anew with 'mesa fixtures games'"
            ) from error
    return "-".join(found)


class _Dealer:
    """Hands out an archive's games, each once: those of one set of openings to each half.

    Further games come when these are spent, so that having them changes no batch before.
    """

    def __init__(self, name: str, last: int, rng: np.random.Generator) -> None:
        self.name = name
        archive = frozen_with_further(name)
        plies = OPENING.get(Name(name), 1)
        openings = [game[:plies].tobytes() for game in archive]
        first = len(frozen(name))
        side = _parted(Counter(openings[:first]))
        long = np.flatnonzero(archive.lengths > last)
        (own,) = rng.spawn(1)
        further = own.permutation([g for g in long[long >= first] if openings[g] in side])
        order = [*rng.permutation(long[long < first]).tolist(), *further.tolist()]
        self.stacks = [[g for g in order if side[openings[g]] == half] for half in range(HALVES)]

    def deal(self, half: int, games: int) -> list[int]:
        """The next games of a half.

        Raises:
            GamesError: there are none left.
        """
        stack = self.stacks[half]
        if len(stack) < games:
            raise GamesError(
                f"there are too few frozen games of {self.name} that last long enough: ask for "
                "fewer batches, fewer games in each, or earlier plies"
            )
        self.stacks[half], dealt = stack[games:], stack[:games]
        return dealt


def _parted(openings: Counter[bytes]) -> dict[bytes, int]:
    """Which half each opening belongs to, so that both have about as many games."""
    weights = [0] * HALVES
    sides = {}
    for opening, count in sorted(openings.items(), key=lambda item: (-item[1], item[0])):
        sides[opening] = int(np.argmin(weights))
        weights[sides[opening]] += count
    return sides


def _archive_name(game: Name) -> str:
    return ARCHIVES.get(game, str(game))


def _positions(
    stretch: Stretch,
    archive_name: str,
    numbers: Sequence[int],
    slots: int,
    rng: np.random.Generator,
) -> tuple[Position, ...]:
    """Each game at one ply of every slot, the same for all of them."""
    parts = np.array_split(np.arange(stretch.first, stretch.last + 1), slots)
    if any(not len(part) for part in parts):
        raise GamesError(
            f"plies {stretch.first} to {stretch.last} of {stretch.game} can't be parted in {slots}"
        )
    plies = [int(rng.choice(part)) for part in parts]
    return tuple(
        position
        for number in numbers
        for position in _along(stretch.game, frozen_with_further(archive_name), number, plies)
    )


def _along(game: Name, archive: Archive, number: int, plies: Sequence[int]) -> list[Position]:
    """One game's positions before its moves number ``plies`` (from 0)."""
    told = tuple(notation.text(game, int(move)) for move in _game(archive, number))
    state = rules.game(game).initial()
    found = []
    for ply, move in enumerate(told[: max(plies) + 1]):
        if ply in plies:
            found.append(Position(number, plies.index(ply), told[:ply], move, state.legal))
        state = state.apply(move)
    return found


def _game(archive: Archive, number: int) -> Int[np.ndarray, " moves"]:
    end = int(archive.lengths[: number + 1].sum(dtype=np.int64))
    return archive.moves[end - int(archive.lengths[number]) : end]
