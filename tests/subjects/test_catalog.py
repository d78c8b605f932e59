"""Training, freezing and replaying through the catalogue, with a recipe that takes seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_mesa.runs.store import Store
from pytest_mesa.subjects import catalog, recipes
from pytest_mesa.subjects.catalog import first_difference, frozen, listing, reproduce, train
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.recipes import Recipe, training_cell

TINY = Recipe("tiny", d_model=16, layers=1, heads=2, d_mlp=16, steps=60, batch=32)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fixtures of one's own, and a recipe that trains in a second."""
    monkeypatch.setitem(recipes.RECIPES, "tiny", TINY)
    monkeypatch.setattr(catalog, "shipped", lambda name: tmp_path / name)
    return tmp_path


@pytest.fixture
def net(home: Path) -> Path:
    """A frozen net's folder."""
    train("tiny", 0, Store(home / "cache"), home / "fixtures")
    return home / "fixtures" / "tiny-seed0"


def test_a_trained_net_is_stored_and_frozen_for_the_same_cell(home: Path) -> None:
    store, lines = Store(home / "cache"), []
    result = train("tiny", 0, store, home / "fixtures", lines.append)
    cell = training_cell(TINY, 0)
    layered = Store(home / "empty", (home / "fixtures",))
    found = layered.get(cell)
    assert found is not None and found.payload == result.payload
    assert found.folder == home / "fixtures" / "tiny-seed0"
    assert layered.get(training_cell(TINY, 1)) is None
    train("tiny", 0, store, on_line=lines.append)
    assert sum("trained before" in line for line in lines) == 1


def test_the_list_names_recipes_programs_and_frozen_nets(net: Path) -> None:
    rows = {(row.source, row.name): row for row in listing()}
    assert ("recipe", "knapsack-decoder") in rows
    assert ("compiled", "prefix-dp") in rows
    # A ladder's many recipes are one line.
    assert "knapsack-fixed-steps-4 to knapsack-fixed-steps-63, 5 seeds each, 0 frozen" in (
        rows["ladder", "knapsack-fixed-steps"].about
    )
    assert ("recipe", "knapsack-fixed-steps-4") not in rows
    row = rows["frozen", "tiny-seed0"]
    manifest = json.loads((net / "manifest.json").read_text())
    assert row.accuracy == manifest["payload"]["accuracy"]
    assert row.sha == manifest["files"]["model.safetensors"][:12]


def test_a_frozen_net_replays(net: Path) -> None:
    lines: list[str] = []
    assert reproduce("tiny-seed0", on_line=lines.append)
    assert lines == ["tiny-seed0: the first 50 losses are the same"]
    assert reproduce(None, full=True, on_line=lines.append)
    assert lines[-1] == "tiny-seed0: the same weights, bit for bit"


def test_another_seed_or_one_changed_loss_does_not_replay(net: Path) -> None:
    path = net / "manifest.json"
    body = json.loads(path.read_text())
    body["payload"]["losses"][7] *= 1.01
    path.write_text(json.dumps(body))
    (changed,) = frozen()
    assert first_difference(changed) == 7
    lines: list[str] = []
    assert not reproduce(on_line=lines.append)
    assert lines == ["tiny-seed0: losses differ at step 8"]
    body["payload"]["losses"][7] /= 1.01
    body["params"]["seed"] = 1
    path.write_text(json.dumps(body))
    assert first_difference(frozen()[0]) == 0


def test_a_changed_recipe_is_told(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not frozen()[0].stale
    monkeypatch.delitem(recipes.RECIPES, "tiny")
    assert frozen()[0].stale
    lines: list[str] = []
    assert reproduce(on_line=lines.append)
    assert "its recipe has changed" in lines[0]


def test_mistakes_are_named(home: Path) -> None:
    with pytest.raises(SubjectError, match="no net is frozen in"):
        reproduce()
    with pytest.raises(SubjectError, match="no recipe is called 'oracle'"):
        train("oracle", 0, Store(home / "cache"))
    train("tiny", 0, Store(home / "cache"), home / "fixtures")
    with pytest.raises(SubjectError, match="no frozen net is called 'x'; there are tiny-seed0"):
        reproduce("x")
    path = home / "fixtures" / "tiny-seed0" / "manifest.json"
    body = json.loads(path.read_text())
    del body["params"]["steps"], body["params"]["seed"]
    path.write_text(json.dumps(body))
    with pytest.raises(SubjectError, match="is no manifest of a frozen net"):
        frozen()
