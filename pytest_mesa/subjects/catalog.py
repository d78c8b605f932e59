"""The nets that specs can name: listed, trained, frozen, and trained again to compare."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pytest_mesa._paths import shipped
from pytest_mesa.runs.cells import Result
from pytest_mesa.runs.entries import MANIFEST, load
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects.bundled import BUNDLES, installed
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.recipes import (
    LADDER_SEEDS,
    LADDERS,
    RECIPES,
    AnyRecipe,
    Recipe,
    from_params,
    recipe,
    training_cell,
)

# Threads and CPUs sum floats in other orders, which moves these losses by a few millionths;
# another seed or recipe moves the first one by about 1e-2 and every one of the next by 1e-3.
LOSS_TOLERANCE = 1e-3
ACCURACY_TOLERANCE = 0.01  # rounding differences grow to other weights, not to another skill

OnLine = Callable[[str], None]


def _silent(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list of subjects."""

    source: str
    name: str
    about: str
    accuracy: float | None = None
    sha: str | None = None


@dataclass(frozen=True, slots=True)
class Frozen:
    """A net kept in ``fixtures/``, by its manifest."""

    name: str
    folder: Path
    recipe: AnyRecipe
    seed: int
    key: str
    payload: Mapping[str, Any]
    weights_file_sha: str

    @property
    def stale(self) -> bool:
        """Whether the recipe of that name makes another net by now."""
        known = RECIPES.get(self.recipe.name)
        return known is None or training_cell(known, self.seed).key != self.key


def frozen(folder: Path | None = None) -> tuple[Frozen, ...]:
    """The frozen nets of a folder (of the fixtures that ship, by default).

    Raises:
        StoreError: a manifest that can't be read.
        SubjectError: one that is no net's.
    """
    return tuple(_frozen(folder or shipped("fixtures")))


def _frozen(root: Path) -> Iterator[Frozen]:
    for path in sorted(root.glob(f"*/{MANIFEST}")):
        body = load(path)
        if body.get("kind") != "train":
            continue  # an instance set, say
        try:
            made, seed = from_params(body["params"], body["recipe"])
            yield Frozen(
                name=path.parent.name,
                folder=path.parent,
                recipe=made,
                seed=seed,
                key=body["key"],
                payload=body["payload"],
                weights_file_sha=body["files"]["model.safetensors"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SubjectError(
                f"{path} is no manifest of a frozen net ({type(error).__name__}: {error}); "
                "restore it, or freeze the net again with 'mesa train RECIPE --freeze'"
            ) from error


def listing() -> tuple[Row, ...]:
    """Recipes, compiled, bundled and frozen nets. ``sha`` is the start of the weight file's."""
    from pytest_mesa.subjects.compiled import PROGRAMS

    stepped = {made.name for ladder in LADDERS.values() for made in ladder}
    rows = [
        Row("recipe", name, made.about) for name, made in RECIPES.items() if name not in stepped
    ]
    nets = frozen()
    rows += [_ladder(name, ladder, nets) for name, ladder in LADDERS.items()]
    rows += [Row("compiled", name, _first_line(program)) for name, program in PROGRAMS.items()]
    for name, bundle in BUNDLES.items():
        missing = "" if installed(name) else f"; not installed: {bundle.install}"
        rows.append(Row("bundled", name, bundle.about + missing, sha=bundle.sha[:12]))
    for net in nets:
        if net.recipe.name in stepped:
            continue
        about = f"{net.recipe.name}, seed {net.seed}" + (", recipe changed" if net.stale else "")
        accuracy = float(net.payload["accuracy"])
        rows.append(Row("frozen", net.name, about, accuracy, net.weights_file_sha[:12]))
    return tuple(rows)


def _ladder(name: str, rungs: tuple[Recipe, ...], nets: tuple[Frozen, ...]) -> Row:
    """A ladder in one line: its nets are many, and alike but for their size."""
    keys = {training_cell(rung, seed).key for rung in rungs for seed in range(LADDER_SEEDS)}
    kept = sum(net.key in keys for net in nets)
    about = f"{rungs[0].name} to {rungs[-1].name}, {LADDER_SEEDS} seeds each, {kept} frozen"
    return Row("ladder", name, about)


def _first_line(documented: object) -> str:
    return (documented.__doc__ or "").partition("\n")[0].replace("``", "")


def train(
    name: str, seed: int, store: Store, freeze_to: Path | None = None, on_line: OnLine = _silent
) -> Result:
    """Train a recipe's net, or find it trained in ``store``, and keep a copy where asked.

    Raises:
        SubjectError: no such recipe.
        StoreError: the store or ``freeze_to`` can't be written.
    """
    made = recipe(name)
    cell = training_cell(made, seed)
    with store.claim(cell) as claim:
        result = store.get(cell)
        if result is None:
            payload = _training(made).train(cell.params, (), claim.folder, on_line)
            result = claim.commit(payload)
        else:
            on_line(f"{cell.label}: trained before, in {result.folder}")
    on_line(f"{cell.label}: accuracy {result.payload['accuracy']:.4f}")
    if freeze_to is not None:
        about = {
            "kind": "train",
            "recipe": made.name,
            "seed": seed,
            "params": dict(cell.params),
            "made_by": f"mesa train {made.name} --seed {seed} --freeze",
        }
        manifest = store.freeze(cell, freeze_to / f"{made.name}-seed{seed}", about)
        on_line(f"frozen in {manifest.parent}")
    return result


def _training(made: AnyRecipe) -> Any:
    """The module that trains such recipes: its ``train``, and a ``Trainer`` for replays."""
    return import_module(made.impl.partition(":")[0])


def reproduce(name: str | None = None, full: bool = False, on_line: OnLine = _silent) -> bool:
    """Replay the first losses of frozen nets, or train them to the end, and compare.

    Raises:
        SubjectError: no such net, or none at all.
    """
    nets = frozen()
    if not nets:
        raise SubjectError(f"no net is frozen in {shipped('fixtures')}: 'mesa train --freeze'")
    chosen = [net for net in nets if name in (None, net.name)]
    if not chosen:
        raise SubjectError(
            f"no frozen net is called {name!r}; there are {', '.join(n.name for n in nets)}"
        )
    same = [_compare(net, full, on_line) for net in chosen]
    return all(same)


def _compare(net: Frozen, full: bool, on_line: OnLine) -> bool:
    if net.stale:
        on_line(f"{net.name}: its recipe has changed since; what is replayed is the old one")
    step = first_difference(net)
    if step is not None:
        on_line(f"{net.name}: losses differ at step {step + 1}")
        return False
    on_line(f"{net.name}: the first {len(net.payload['losses'])} losses are the same")
    return _trains_alike(net, on_line) if full else True


def first_difference(net: Frozen, steps: int | None = None) -> int | None:
    """The first step (from 0) whose replayed loss is not the recorded one; None where all are.

    ``steps`` replays no more than so many.
    """
    trainer = _training(net.recipe).Trainer(net.recipe, net.seed)
    for step, recorded in enumerate(net.payload["losses"][:steps]):
        if not abs(trainer.step() - recorded) <= LOSS_TOLERANCE * abs(recorded):
            return step
    return None


def _trains_alike(net: Frozen, on_line: OnLine) -> bool:
    """Train to the end: the same weights, or other ones that solve the task as well."""
    from pytest_mesa.runs.entries import hashes

    with tempfile.TemporaryDirectory() as name:
        payload = _training(net.recipe).train(net.recipe.params(net.seed), (), Path(name), on_line)
        same = hashes(Path(name))["model.safetensors"] == net.weights_file_sha
    gap = abs(payload["accuracy"] - net.payload["accuracy"])
    if same:
        on_line(f"{net.name}: the same weights, bit for bit")
    else:
        on_line(
            f"{net.name}: other weights, as another processor or thread count makes; accuracy "
            f"{payload['accuracy']:.4f} against {net.payload['accuracy']:.4f}"
        )
    return same or gap <= ACCURACY_TOLERANCE
