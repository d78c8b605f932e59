"""``mesa fixtures`` makes small sets through the command, and names what stops it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pytest_mesa.cli import main
from pytest_mesa.tasks.games import engines, making
from pytest_mesa.tasks.games.archive import read
from pytest_mesa.tasks.games.making import Maker
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.playing import SmallPlay


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty games of tic-tac-toe instead of thousands."""
    few = Maker(Name.TIC_TAC_TOE, SmallPlay(games=30), lambda: "none", np.uint8)
    monkeypatch.setitem(making.MAKERS, Name.TIC_TAC_TOE, few)


def test_games_are_made_and_entered(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fixtures", "games", "tic-tac-toe", "--output", str(tmp_path)]
    assert main(command) == 0
    archive = read(tmp_path / "games" / "tic-tac-toe.npz")
    manifest = json.loads((tmp_path / "games" / "manifest.json").read_text())
    assert len(archive) == 30 == manifest["sets"]["tic-tac-toe.npz"]["games"]
    assert manifest["sets"]["tic-tac-toe.npz"]["options"] == {"seed": 1, "games": 30}
    assert "30 games" in capsys.readouterr().out
    first = manifest["files"]["tic-tac-toe.npz"]
    assert main(command) == 0, "made anew, it is the same file"
    again = json.loads((tmp_path / "games" / "manifest.json").read_text())
    assert again["files"]["tic-tac-toe.npz"] == first


def test_what_stops_it_is_said(
    small: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["fixtures", "games", "checkers", "--output", str(tmp_path)]) == 2
    assert "games has no file 'checkers'; there are chess, go, tic-tac-toe" in _said(capsys)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(engines, "PLACES", ())
    for kind, name, engine in (("games", "go", "gnugo"), ("positions", "puzzles", "stockfish")):
        assert main(["fixtures", kind, name, "--output", str(tmp_path)]) == 1
        assert f"{engine} is not installed; on Debian: apt-get install {engine}" in _said(capsys)
    (tmp_path / "games" / "manifest.json").write_text("{")
    assert main(["fixtures", "games", "tic-tac-toe", "--output", str(tmp_path)]) == 1
    assert "manifest.json can't be read" in _said(capsys)
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["fixtures", "games", "tic-tac-toe", "--output", str(blocked)]) == 1
    assert "can't be written" in _said(capsys)


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err
