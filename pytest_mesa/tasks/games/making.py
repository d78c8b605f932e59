"""The files that ``mesa fixtures`` makes, and the manifests of how they were made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mesa.tasks.games import notation, rules, sets
from pytest_mesa.tasks.games.archive import FURTHER, pack, write
from pytest_mesa.tasks.games.engines import GnuGo, Stockfish
from pytest_mesa.tasks.games.errors import GamesError, MoveError
from pytest_mesa.tasks.games.mining import PUZZLES, UNFILTERED, PuzzleMine, UnfilteredMine
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.playing import ChessPlay, GoPlay, SmallPlay
from pytest_mesa.tasks.games.sets import Judged, Puzzle

MANIFEST = "manifest.json"
OnLine = Callable[[str], None]
Play = ChessPlay | GoPlay | SmallPlay
PROGRESS_EVERY = 250


@dataclass(frozen=True, slots=True)
class Maker:
    """How one file of games is made: who plays what, which engine, and how wide a move is.

    ``file`` is the file's name, without an ending.
    """

    file: str
    name: Name
    play: Play
    engine: Callable[[], str]
    dtype: type[np.unsignedinteger[Any]]

    def games(self) -> Iterator[tuple[int, ...]]:
        """The games as moves' numbers, each cut before what these rules forbid."""
        for game in self.play.make():
            yield legal_part(self.name, game)


def _stockfish() -> str:
    with Stockfish() as engine:
        return engine.version


def _gnugo() -> str:
    with GnuGo() as engine:
        return f"GNU Go {engine.version}"


MAKERS: dict[str, Maker] = {
    maker.file: maker
    for maker in (
        Maker("chess", Name.CHESS, ChessPlay(), _stockfish, np.uint16),
        Maker("go", Name.GO, GoPlay(), _gnugo, np.uint8),
        Maker("tic-tac-toe", Name.TIC_TAC_TOE, SmallPlay(), lambda: "none", np.uint8),
        # Decoders are trained on the others; changing those would make new nets.
        Maker(
            FURTHER["tic-tac-toe"],
            Name.TIC_TAC_TOE,
            SmallPlay(seed=2, games=12_000),
            lambda: "none",
            np.uint8,
        ),
    )
}


def legal_part(name: Name, game: Sequence[str] | Sequence[int]) -> tuple[int, ...]:
    """The game up to its first move that these rules forbid, in numbers.

    Engines and OpenSpiel differ on repetitions in Go, and on when a drawn chess game is over.
    """
    state = rules.game(name).initial()
    numbers: list[int] = []
    for given in game:
        move = notation.text(name, given) if isinstance(given, int) else given.lower()
        try:
            state = state.apply(move)
        except MoveError:
            break
        numbers.append(notation.code(name, move))
    return tuple(numbers)


def make(
    maker: Maker,
    folder: Path,
    on_line: OnLine,
    games: Iterable[tuple[int, ...]] | None = None,
) -> Path:
    """Make one file of games in ``folder`` and enter it in the manifest there.

    Raises:
        EngineError: the engine is missing or stops.
        ExtraError: the rules' libraries are missing.
        GamesError: the manifest can't be read.
    """
    made: list[tuple[int, ...]] = []
    for game in maker.games() if games is None else games:
        made.append(game)
        if len(made) % PROGRESS_EVERY == 0:
            on_line(f"{maker.file}: {len(made)} of {maker.play.games} games")
    archive = pack(made, maker.dtype)
    path = folder / f"{maker.file}.npz"
    sha = write(archive, path)
    about = {
        "engine": maker.engine(),
        "options": asdict(maker.play),
        "games": len(archive),
        "moves": len(archive.moves),
        "different": len(set(made)),
    }
    enter(folder, path.name, sha, about)
    on_line(f"{path}: {len(archive)} games, {path.stat().st_size} bytes, SHA-256 {sha[:12]}")
    return path


MINES: dict[str, tuple[PuzzleMine | UnfilteredMine, ...]] = {
    "puzzles": PUZZLES,
    "unfiltered": (UNFILTERED,),
}


def make_positions(
    name: str,
    folder: Path,
    on_line: OnLine,
    records: Iterable[Puzzle] | Iterable[Judged] | None = None,
) -> Path:
    """Mine one set of positions into ``folder`` and enter it in the manifest there.

    Raises:
        EngineError: the engine is missing or stops.
        ExtraError: the rules' libraries are missing.
        GamesError: the manifest can't be read, or the frozen games are missing.
    """
    found: dict[str, Any] = {}
    with Stockfish() as engine:
        for record in _mined(name, engine) if records is None else records:
            # Two mines may meet in one position; its clocks don't matter.
            found.setdefault(" ".join(record.fen.split()[:4]), record)
            if len(found) % PROGRESS_EVERY == 0:
                on_line(f"{name}: {len(found)} positions")
        version = engine.version
    path = folder / f"{name}.jsonl.gz"
    sha = sets.write(tuple(found.values()), path)
    strata = Counter(record.stratum for record in found.values() if isinstance(record, Puzzle))
    about: dict[str, Any] = {
        "engine": version,
        "options": [asdict(mine) for mine in MINES[name]],
        "positions": len(found),
    }
    if strata:
        about["strata"] = dict(sorted(strata.items()))
    enter(folder, path.name, sha, about)
    on_line(f"{path}: {len(found)} positions, {path.stat().st_size} bytes, SHA-256 {sha[:12]}")
    return path


def _mined(name: str, engine: Stockfish) -> Iterator[Puzzle | Judged]:
    for mine in MINES[name]:
        yield from mine.mine(engine)


def enter(folder: Path, file: str, sha: str, about: dict[str, Any]) -> None:
    """Enter a file in the manifest of its folder.

    Raises:
        GamesError: there is a manifest that can't be read.
    """
    path = folder / MANIFEST
    body: dict[str, Any] = {"kind": folder.name, "made_by": f"mesa fixtures {folder.name}"}
    if path.exists():
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise GamesError(f"{path} can't be read ({error}); delete it to start anew") from error
    body["files"] = dict(sorted((body.get("files", {}) | {file: sha}).items()))
    body["sets"] = dict(sorted((body.get("sets", {}) | {file: about}).items()))
    path.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
