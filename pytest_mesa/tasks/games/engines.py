"""Drivers for the two engines that made the instance sets: Stockfish (UCI), GNU Go (GTP).

Only `mesa fixtures` uses them; whoever runs predictions needs no engine. Both are driven with
one thread, a fixed number of nodes or a fixed level, and a fresh state for each game, so that
a seed determines what they answer.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

PLACES = (Path("/usr/games"), Path("/usr/local/games"))
MATE = 100_000  # centipawns of a mate, less one for each move that it takes


class EngineError(Exception):
    """An engine that is not there, or that stopped answering."""


def find(name: str) -> Path:
    """The path of an engine: on ``PATH``, or where Debian keeps games.

    Raises:
        EngineError: it is not installed.
    """
    found = shutil.which(name)
    if found:
        return Path(found)
    for place in PLACES:
        if (place / name).is_file():
            return place / name
    raise EngineError(f"{name} is not installed; on Debian: apt-get install {name}")


class _Pipe:
    """A program that answers lines with lines."""

    def __init__(self, command: list[str]) -> None:
        self._name = Path(command[0]).name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the program."""
        if self._process.stdin:
            self._process.stdin.close()
        if self._process.stdout:
            self._process.stdout.close()
        self._process.kill()
        self._process.wait()

    def send(self, line: str) -> None:
        """Write one line.

        Raises:
            EngineError: the program has ended.
        """
        stream = self._process.stdin
        if stream is None or self._process.poll() is not None:
            raise EngineError(f"{self._name} has ended (status {self._process.poll()})")
        stream.write(line + "\n")

    def line(self) -> str:
        """Read one line, without its end.

        Raises:
            EngineError: the program has ended.
        """
        text = self._process.stdout.readline() if self._process.stdout else ""
        if not text:
            raise EngineError(f"{self._name} stopped answering")
        return text.rstrip("\n")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a search: its score for the side to move, in centipawns, and its moves."""

    score: int
    moves: tuple[str, ...]


class Stockfish(_Pipe):
    """Stockfish through UCI, one thread."""

    def __init__(self, hash_mb: int = 4) -> None:
        super().__init__([str(find("stockfish"))])
        self._lines = 1
        self.send("uci")
        self.version = ""
        while (text := self.line()) != "uciok":
            if text.startswith("id name "):
                self.version = text.removeprefix("id name ")
        self.send("setoption name Threads value 1")
        self.send(f"setoption name Hash value {hash_mb}")
        self.new_game()

    def new_game(self) -> None:
        """Forget every position seen, so that answers depend on nothing before."""
        self.send("ucinewgame")
        self.send("isready")
        while self.line() != "readyok":
            pass

    def lines(
        self, position: str, limit: str, count: int, among: tuple[str, ...] = ()
    ) -> tuple[Line, ...]:
        """The best ``count`` lines, best first; none where the game is over.

        ``position`` is UCI's (``startpos moves e2e4`` or ``fen …``), ``limit`` too
        (``nodes 300``, ``depth 8``). Lines come from the last depth that was completed for
        all of them. ``among`` searches these moves alone.
        """
        if count != self._lines:
            self.send(f"setoption name MultiPV value {count}")
            self._lines = count
        self.send(f"position {position}")
        only = f" searchmoves {' '.join(among)}" if among else ""
        self.send(f"go {limit}{only}")
        found: dict[int, Line] = {}
        while not (text := self.line()).startswith("bestmove"):
            if " multipv " in text and " pv " in text and "bound" not in text:
                rank, line = _parse_info(text)
                found[rank] = line
        return tuple(sorted(found.values(), key=lambda line: -line.score))


def _parse_info(text: str) -> tuple[int, Line]:
    words = text.split()
    rank = int(words[words.index("multipv") + 1])
    kind, value = words[words.index("score") + 1 : words.index("score") + 3]
    score = int(value)
    if kind == "mate":
        score = (MATE if score > 0 else -MATE) - score
    return rank, Line(score, tuple(words[words.index("pv") + 1 :]))


class GnuGo(_Pipe):
    """GNU Go through GTP."""

    def __init__(self, level: int = 1, size: int = 9) -> None:
        super().__init__([str(find("gnugo")), "--mode", "gtp", "--level", str(level)])
        self.version = self.ask("version")
        self.size = size

    def ask(self, command: str) -> str:
        """One command's answer.

        Raises:
            EngineError: GNU Go refuses it.
        """
        self.send(command)
        text = self.line()
        while self.line():
            pass
        if not text.startswith("="):
            raise EngineError(f"gnugo refuses {command!r}: {text}")
        return text[1:].strip()

    def new_game(self, seed: int, komi: float) -> None:
        """Clear the board, and start GNU Go's own random numbers at ``seed``."""
        self.ask(f"boardsize {self.size}")
        self.ask("clear_board")
        self.ask(f"komi {komi}")
        self.ask(f"set_random_seed {seed}")
