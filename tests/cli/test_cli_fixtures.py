"""``mesa fixtures`` makes small sets through the command, and names what stops it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pytest_mesa.cli import main
from pytest_mesa.experiments import scaling_cells
from pytest_mesa.experiments.scaling_frozen import gathered
from pytest_mesa.registry.loader import load
from pytest_mesa.runs.cells import Result
from pytest_mesa.runs.execute import LocalExecutor, pending
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects.recipes import LADDERS, Recipe
from pytest_mesa.tasks.games import engines, making
from pytest_mesa.tasks.games.archive import read
from pytest_mesa.tasks.games.making import Maker
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.playing import SmallPlay


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty games of tic-tac-toe instead of thousands."""
    few = Maker("tic-tac-toe", Name.TIC_TAC_TOE, SmallPlay(games=30), lambda: "none", np.uint8)
    monkeypatch.setitem(making.MAKERS, few.file, few)


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


TINY = """\
prediction: tiny
title: Tiny
claim: Measures grow without a jump.
subjects: [{ref: "ladder:tiny", options: {seeds-per-size: 3}}]
competence: {at_least: 0.01}
experiment: {kind: scaling, measures: [accuracy]}
controls:
  must_detect: [{ref: "ladder:planted-step"}]
  must_not_detect: [{ref: "ladder:planted-smooth"}]
verdict: {estimand: sharpest-window, predicted: {below: 0.6}, refuted: {above: 0.8}}
"""


def test_a_ladder_is_kept_as_it_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept serves in place of the nets, and is not given out before they are measured."""
    recipes = tuple(
        Recipe(f"tiny-{d}", anchors=None, d_model=d, layers=1, heads=1, d_mlp=d, steps=1, batch=8)
        for d in (4, 6, 9, 14, 21, 31)
    )
    monkeypatch.setitem(LADDERS, "tiny", recipes)
    monkeypatch.setattr(scaling_cells, "ANSWERED", 100)
    for name in ("FIT", "CHOOSE", "MEASURE"):
        monkeypatch.setattr(scaling_cells, name, 100)
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "tiny.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    assert main(["fixtures", "ladders", "other"]) == 2
    assert "no prediction 'other' follows a ladder; there are tiny" in _said(capsys)
    assert main(["fixtures", "ladders"]) == 1
    assert "gather · ladder tiny: not measured yet" in _said(capsys)
    (cell,) = gathered(load(tmp_path / "predictions" / "tiny.yaml").prediction)
    with LocalExecutor(Store(tmp_path / ".mesa-cache"), workers=0) as executor:
        measured = executor.run([cell])[cell]
    assert isinstance(measured, Result)
    assert main(["fixtures", "ladders", "tiny"]) == 0
    kept = tmp_path / "fixtures/measured-ladder-tiny-seeds-0-to-2"
    manifest = json.loads((kept / "manifest.json").read_text())
    assert len(manifest["nets"]) == 18 and manifest["nets"][0]["net"] == "tiny-4 seed 0"
    elsewhere = Store(tmp_path / "empty", (tmp_path / "fixtures",))
    again = elsewhere.get(cell)
    assert again is not None and again.payload == measured.payload
    assert not pending([cell], elsewhere), "no net has to be trained"


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err
