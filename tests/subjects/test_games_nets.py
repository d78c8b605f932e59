"""The two-game decoder: its recipe, its training, its optimiser, and how its moves are judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.cells import Result
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects import catalog, games_training, recipes
from pytest_mesa.subjects.base import weights_sha
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import GamesSubject, untrained
from pytest_mesa.subjects.games_legality import greedy_moves, legal_rate, walk
from pytest_mesa.subjects.games_optimiser import Muon, orthogonalised
from pytest_mesa.subjects.games_reading import Reading
from pytest_mesa.subjects.games_recipes import TWO_GAMES, GamesRecipe, Source, from_params
from pytest_mesa.subjects.games_training import Trainer, batches, token_losses
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.recipes import training_cell
from pytest_mesa.subjects.schemes import handles, untrained_twin
from pytest_mesa.tasks.games import notation, tokens
from pytest_mesa.tasks.games.archive import frozen, pack
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.tokens import Tag

CHESS, GO, SMALL, FIFTEEN = TWO_GAMES.sources
TINY = GamesRecipe(
    "tiny-games",
    (
        dataclasses.replace(CHESS, plies=4, batch=4),
        dataclasses.replace(GO, plies=6, batch=4),
        dataclasses.replace(FIFTEEN, batch=4),
    ),
    rungs=(2,),
    d_model=16,
    layers=1,
    heads=2,
    d_mlp=16,
    steps=6,
)


class Scripted(GamesSubject):
    """Says the archive's own next token everywhere: a net that is always right."""

    def __init__(self, slip: int | None = None) -> None:
        self.label, self.slip = "scripted", slip

    def read(self, ids: torch.Tensor) -> Iterator[Reading]:
        yield Recited(ids, self.slip)


class Recited(Reading):
    """Games whose next tokens are known; branches go on with the game that they leave."""

    def __init__(self, ids: torch.Tensor, slip: int | None) -> None:
        self.following = torch.cat([ids[:, 1:], torch.zeros_like(ids[:, :2])], dim=1)
        if slip is not None:
            self.following[:, slip] = tokens.VOCABULARY - 1
        self.places = torch.arange(ids.shape[1]).repeat(len(ids), 1)
        self.logits = self.at(self.places)

    def after(self, parents: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
        assert parents.shape == said.shape
        here = self.places.take_along_dim(parents, 1) + 1
        self.places = torch.cat([self.places, here], dim=1)
        return self.at(here)

    def at(self, places: torch.Tensor) -> torch.Tensor:
        following = self.following.take_along_dim(places, 1)
        return torch.nn.functional.one_hot(following, tokens.VOCABULARY).float()


def test_params_describe_the_recipe_in_full() -> None:
    for recipe in (TINY, TWO_GAMES):
        assert from_params(recipe.params(3), recipe.name) == (recipe, 3)
        assert recipes.from_params(recipe.params(3), recipe.name) == (recipe, 3)
        assert training_cell(recipe, 0).impl == "pytest_mesa.subjects.games_training:train"


def test_a_cell_is_named_by_every_field_but_the_name() -> None:
    key = training_cell(TINY, 0).key
    assert training_cell(dataclasses.replace(TINY, name="other"), 0).key == key
    other_games = (dataclasses.replace(TINY.sources[0], sha="0" * 64), *TINY.sources[1:])
    changed = {"steps": 7, "rungs": (), "matrix_rate": 0.1, "sources": other_games}
    keys = {training_cell(dataclasses.replace(TINY, **{k: v}), 0).key for k, v in changed.items()}
    assert len(keys | {key, training_cell(TINY, 1).key}) == 6


def test_training_repeats_keeps_its_rungs_and_loads(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    payloads = []
    for folder in folders:
        folder.mkdir()
        payloads.append(games_training.train(TINY.params(0), (), folder))
    first, again = payloads
    assert first["losses"] == again["losses"] and len(first["losses"]) == 6
    assert set(first["legal"]) == {"chess", "go", "fifteen"} == set(first["ladder"]["2"])
    assert first["accuracy"] == min(first["legal"].values())
    results = [Result("", p, f) for p, f in zip(payloads, folders, strict=True)]
    subjects = [load({"scheme": "recipe"}, (result,)) for result in results]
    assert subjects[0].weights_sha == subjects[1].weights_sha
    assert next(subjects[0].module.parameters()).dtype == torch.float32
    rung = load({"scheme": "recipe", "rung": 2}, (results[0],))
    start = load({"scheme": "recipe", "untrained": TINY.params(0)}, ())
    assert len({s.weights_sha for s in (subjects[0], rung, start)}) == 3
    rate = legal_rate(subjects[0], TINY.sources[2], 100)
    assert rate.overall == first["legal"]["fifteen"]
    assert subjects[0].stream is not None


def test_a_rung_changes_nothing_about_the_rest_of_the_training(tmp_path: Path) -> None:
    shas = []
    for name, rungs in (("with", (2,)), ("without", ())):
        recipe = dataclasses.replace(TINY, rungs=rungs)
        (tmp_path / name).mkdir()
        payload = games_training.train(recipe.params(0), (), tmp_path / name)
        shas.append(load({"scheme": "recipe"}, (Result(name, payload, tmp_path / name),)))
    assert shas[0].weights_sha == shas[1].weights_sha


def test_only_the_ladders_seed_keeps_rungs(tmp_path: Path) -> None:
    payload = games_training.train(TINY.params(1), (), tmp_path)
    assert payload["ladder"] == {} and not list(tmp_path.glob("step-*"))


def test_training_starts_below_chance_and_falls() -> None:
    recipe = dataclasses.replace(TINY, steps=60)
    trainer = Trainer(recipe, 0)
    losses = [trainer.step() for _ in range(60)]
    assert losses[0] == pytest.approx(np.log(tokens.VOCABULARY), abs=0.2)
    assert np.mean(losses[-10:]) < losses[0] - 1


def test_batches_hold_every_game_and_none_of_the_unseen() -> None:
    seen = [set(), set()]
    for parts in batches(dataclasses.replace(TINY, steps=20), 0):
        assert [int(ids[0, 0]) for ids in parts] == [Tag.CHESS, Tag.GO, Tag.FIFTEEN]
        assert all(len(ids) == 4 for ids in parts)
        seen[0].update(tuple(row.tolist()) for row in parts[2])
    _, unseen = frozen("tic-tac-toe").split()
    for row in tokens.encode(Tag.FIFTEEN, unseen, 9).tolist():
        seen[1].add(tuple(token for token in row if token))
    assert len(seen[0]) > 60
    assert not {tuple(t for t in row if t) for row in seen[0]} & seen[1]


def test_padding_is_no_part_of_the_loss() -> None:
    net = untrained(TINY, 0)
    ids = torch.tensor([[1, 17, 33, 57, 41]])
    padded = torch.nn.functional.pad(ids, (0, 3))
    with torch.no_grad():
        assert token_losses(net, padded)[1] == 4
        torch.testing.assert_close(token_losses(net, padded)[0], token_losses(net, ids)[0])


def test_other_games_than_the_recipes_are_refused() -> None:
    source = Source("chess", "chess", "0" * 64, 4, 4, 4)
    with pytest.raises(SubjectError, match=r"chess\.npz is not the file that the recipe names"):
        Trainer(dataclasses.replace(TINY, sources=(source,)), 0).step()


@pytest.mark.parametrize("shape", [(8, 8), (8, 32), (32, 8)])
def test_orthogonalised_keeps_directions_and_levels_strengths(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    made = orthogonalised(matrix)
    strengths = torch.diagonal(u.T @ made @ v.T)
    # Newton-Schulz leaves the weakest direction of a square Gaussian below the band.
    assert float(strengths.quantile(0.2)) > 0.6 and float(strengths.max()) < 1.3
    torch.testing.assert_close(u @ torch.diag(strengths) @ v, made, atol=1e-4, rtol=1e-3)


def test_muon_finds_a_matrix_and_treats_parts_apart() -> None:
    goal = torch.randn(8, 24, generator=torch.Generator().manual_seed(1))
    goal[:, :8] *= 100  # the gradient of one part must not drown the others
    losses = []
    for parts in (1, 3):
        matrix = torch.nn.Parameter(torch.zeros(8, 24))
        optimiser = Muon([(matrix, parts)], lr=0.1, weight_decay=0.0)
        for _ in range(20):
            loss = ((matrix - goal) ** 2)[:, 8:].sum() + ((matrix - goal) ** 2)[:, :8].sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        losses.append(float(((matrix - goal) ** 2)[:, 8:].sum()))
    assert losses[1] < 0.8 * losses[0]


@pytest.mark.parametrize("source", TWO_GAMES.sources, ids=lambda source: source.game)
def test_a_net_that_says_the_games_own_moves_is_always_legal(source: Source) -> None:
    rate = legal_rate(Scripted(), source, games=6)
    assert rate.overall == 1.0 and rate.positions > 30


def test_a_slip_is_counted_at_its_ply() -> None:
    """At position 3 stands the second chess move's from-square, said after position 2."""
    rate = legal_rate(Scripted(slip=2), CHESS, games=6)
    assert rate.by_ply[:3] == (1.0, 0.0, 1.0)
    assert rate.overall == pytest.approx(1 - 6 / rate.positions, abs=1e-4)


def test_promotions_are_said_with_their_piece() -> None:
    line = ["a2a4", "b7b5", "a4b5", "a7a6", "b5a6", "c8b7", "a6b7", "h7h6", "b7a8q", "h6h5"]
    archive = pack([[notation.code(Name.CHESS, move) for move in line]], np.uint16)
    positions = walk(Name.CHESS, archive, 20)
    said = greedy_moves(
        Scripted(),
        Tag.CHESS,
        archive,
        [(reached.game, reached.ply) for reached in positions],
    )
    assert said == line


def test_specs_name_nets_seeds_and_rungs() -> None:
    name = "two-game-decoder"
    three = handles(SubjectSpec.model_validate({"recipe": name, "seeds": 3}))
    assert [h.label for h in three] == [f"{name} seed {seed}" for seed in range(3)]
    (rung,) = handles(SubjectSpec.model_validate({"recipe": name, "options": {"rung": 200}}))
    assert rung.params == {"scheme": "recipe", "rung": 200}
    assert rung.inputs == three[0].inputs
    twin = untrained_twin(rung)
    assert twin is not None and "untrained" in twin.params
    for options, complaint in (
        ({"rung": 201}, "keeps no rung at step 201; there are 60, 200, 500, 1200"),
        ({"step": 3}, "unknown subject option 'step'"),
    ):
        with pytest.raises(SubjectError, match=complaint):
            handles(SubjectSpec.model_validate({"recipe": name, "options": options}))
    with pytest.raises(SubjectError, match="neither seeds nor untrained"):
        handles(SubjectSpec.model_validate({"recipe": name, "options": {"rung": 60}, "seeds": 2}))
    with pytest.raises(SubjectError, match="unknown subject option 'rung'; there are none here"):
        handles(SubjectSpec.model_validate({"recipe": "knapsack-decoder", "options": {"rung": 60}}))


def test_it_is_trained_frozen_and_replayed_like_any_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recipes.RECIPES, TINY.name, TINY)
    catalog.train(TINY.name, 0, Store(tmp_path / "cache"), tmp_path / "fixtures")
    (net,) = catalog.frozen(tmp_path / "fixtures")
    assert (net.recipe, net.seed, net.stale) == (TINY, 0, False)
    assert (net.folder / "step-00002" / "model.safetensors").is_file()
    assert catalog.first_difference(net) is None
    stored = Store(tmp_path / "empty", (tmp_path / "fixtures",)).get(training_cell(TINY, 0))
    assert stored is not None
    assert weights_sha(load({"scheme": "recipe", "rung": 2}, (stored,)).module)
    changed = dataclasses.replace(net, seed=1)
    assert catalog.first_difference(changed) == 0
