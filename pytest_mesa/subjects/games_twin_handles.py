"""Twins of the two-game decoder as line-ups name them; what builds them is `games_twins`."""

from __future__ import annotations

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_recipes import GamesRecipe
from pytest_mesa.subjects.handles import Handle, Scheme


def _handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    """``twins:RECIPE`` with the options ``shared`` (layers, all by default) and ``seed`` (0)."""
    # Imported here: recipes belong to schemes that look this one up.
    from pytest_mesa.subjects.recipes import recipe, training_cell

    name = str(spec.ref).partition(":")[2]
    named = recipe(name)
    if not isinstance(named, GamesRecipe):
        raise SubjectError(f"{spec.ref}: {name} plays no games; twins are made of one that does")
    options = {"seed": 0, "shared": named.layers} | spec.options
    for key, value in options.items():
        if key not in ("seed", "shared"):
            raise SubjectError(f"unknown subject option {key!r}; twins have seed, shared")
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise SubjectError(f"{spec.ref}: the option {key!r} is a whole number from 0 on")
    seed, shared = int(options["seed"]), int(options["shared"])
    if shared > named.layers:
        raise SubjectError(f"{spec.ref}: {name} has {named.layers} layers to share")
    if spec.untrained or spec.seeds > 1:
        raise SubjectError(f"{spec.ref}: give the option seed, and neither seeds nor untrained")
    label = f"{name} seed {seed}, twins sharing {shared} of {named.layers} layers"
    params = {"scheme": "twins", "shared": shared}
    return (Handle(label, params, (training_cell(named, seed),)),)


TWINS = Scheme("twins", _handles, "pytest_mesa.subjects.games_twins:load")
