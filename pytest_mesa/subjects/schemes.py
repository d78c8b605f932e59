"""From a spec's subject line to subjects: what each needs, without loading anything.

A scheme turns one `SubjectSpec` into handles; a handle becomes part of a cell's parameters and
inputs, and `load` turns it into a net where the cell runs. Other packages add schemes through
the entry-point group ``pytest_mesa.subjects``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from pytest_mesa.registry.errors import did_you_mean
from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_recipes import GamesRecipe
from pytest_mesa.subjects.handles import Handle, Scheme
from pytest_mesa.subjects.knapsack_nets import KNAPSACK_NET
from pytest_mesa.subjects.ladders import LADDER
from pytest_mesa.subjects.plants import planted
from pytest_mesa.subjects.player_handles import PLAYER
from pytest_mesa.subjects.recipes import AnyRecipe, recipe, training_cell
from pytest_mesa.subjects.references import Reference, known_schemes, parse
from pytest_mesa.subjects.released import BUNDLED, GGUF, HF, LC0
from pytest_mesa.subjects.search_handles import SEARCH
from pytest_mesa.subjects.sequences import SEQUENCE
from pytest_mesa.subjects.told_handles import TOLD

__all__ = ["Handle", "Scheme", "handles", "judged", "reads_text", "scheme", "untrained_twin"]

# Named here too, since whoever plans should not import what builds them.
PROGRAMS = ("prefix-dp", "suffix-recursion", "greedy-ratio", "brute-force", "truncated-dp")


def _options(spec: SubjectSpec, known: dict[str, type]) -> dict[str, Any]:
    for key, value in spec.options.items():
        if key not in known:
            raise SubjectError(
                f"unknown subject option {key!r}; there are {', '.join(known) or 'none here'}"
            )
        if not isinstance(value, known[key]):
            raise SubjectError(f"subject option {key!r} must be {known[key].__name__}")
    return dict(spec.options)


def _recipe_handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    named = recipe(str(spec.recipe))
    known = {"rung": int, "plant": str, "strength": float}
    options = _options(spec, known if isinstance(named, GamesRecipe) else {})
    if "rung" in options:
        return (planted(_rung_handle(named, options["rung"], spec), options),)
    handles = []
    for seed in range(spec.seeds):
        if spec.untrained:
            params = {"scheme": "recipe", "untrained": named.params(seed)}
            handles.append(Handle(f"{named.name} seed {seed}, untrained", params))
        else:
            params = {"scheme": "recipe"}
            cell = training_cell(named, seed)
            handles.append(Handle(f"{named.name} seed {seed}", params, (cell,)))
    return tuple(planted(handle, options) for handle in handles)


def _rung_handle(named: AnyRecipe, step: int, spec: SubjectSpec) -> Handle:
    """A net on its way: what the training cell of the ladder's seed kept at that step."""
    if not isinstance(named, GamesRecipe) or step not in named.rungs:
        kept = ", ".join(map(str, getattr(named, "rungs", ()))) or "none"
        raise SubjectError(f"{named.name} keeps no rung at step {step}; there are {kept}")
    if spec.untrained or spec.seeds > 1:
        raise SubjectError("a rung is one trained net: give it neither seeds nor untrained")
    cell = training_cell(named, named.ladder_seed)
    label = f"{named.name} seed {named.ladder_seed}, step {step}"
    return Handle(label, {"scheme": "recipe", "rung": step}, (cell,))


def untrained_twin(handle: Handle) -> Handle | None:
    """The recipe's net before its first step, from the same seed; None for other subjects."""
    if handle.params["scheme"] != "recipe" or not handle.inputs:
        return None
    (training,) = handle.inputs
    params = {"scheme": "recipe", "untrained": dict(training.params)}
    return Handle(f"{handle.label}, untrained", params)


def _compiled_handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    if spec.compiled not in PROGRAMS:
        raise SubjectError(
            f"no compiled net is called {spec.compiled!r}; there are {', '.join(PROGRAMS)}"
        )
    options = _options(spec, {"items": int})
    return tuple(
        Handle(
            f"compiled {spec.compiled}" + (f" seed {seed}" if spec.seeds > 1 else ""),
            {"scheme": "compiled", "name": str(spec.compiled), "seed": seed, **options},
        )
        for seed in range(spec.seeds)
    )


def _scripted_handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    from pytest_mesa.tasks.knapsack.heuristics import SOLVERS

    name = str(spec.ref).partition(":")[2]
    _options(spec, {})
    if name not in SOLVERS:
        raise SubjectError(f"no script is called {name!r}; there are {', '.join(SOLVERS)}")
    return (Handle(f"scripted {name}", {"scheme": "scripted", "name": name}),)


RECIPE = Scheme("recipe", _recipe_handles, "pytest_mesa.subjects.load:trained")
COMPILED = Scheme("compiled", _compiled_handles, "pytest_mesa.subjects.load:compiled")
SCRIPTED = Scheme("scripted", _scripted_handles, "pytest_mesa.subjects.scripted:load", "text")


BUILT_IN = {
    made.name: made
    for made in (
        *(RECIPE, COMPILED, SCRIPTED, HF, GGUF, LC0, BUNDLED),
        *(KNAPSACK_NET, LADDER, PLAYER, SEARCH, SEQUENCE, TOLD),
    )
}


def scheme(name: str) -> Scheme:
    """Find a scheme, built in or from another package.

    Raises:
        SubjectError: there is none of that name.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    for point in entry_points(group="pytest_mesa.subjects"):
        if point.name == name:
            found = point.load()
            if isinstance(found, Scheme):
                return found
            raise SubjectError(f"the subject scheme {name!r} ({point.value}) is no Scheme")
    there_are = f"there are {', '.join(known_schemes())}"
    raise SubjectError(
        f"no subject scheme {name!r}; {did_you_mean(name, known_schemes()) or there_are}"
    )


def reads_text(handle: Handle) -> bool:
    """Whether a subject is asked in words, not in a task's own tokens."""
    return scheme(str(handle.params["scheme"])).reads == "text"


def _referred(spec: SubjectSpec, reference: Reference) -> tuple[Handle, ...]:
    """The subjects of a reference; a scheme that is no field of specs gets it whole."""
    settings = {"seeds": spec.seeds, "options": spec.options}
    if reference.scheme not in ("recipe", "compiled"):
        found = scheme(reference.scheme)
        plain = {"ref": reference.text, "untrained": spec.untrained, **settings}
        return found.handles(SubjectSpec.model_validate(plain))
    try:
        named = SubjectSpec.model_validate({reference.scheme: reference.rest, **settings})
    except ValidationError as error:
        raise SubjectError(
            f"cannot load model {reference.text!r}: {reference.rest!r} is no name of a "
            f"{reference.scheme}"
        ) from error
    return handles(named)


def judged(specs: Sequence[SubjectSpec], released: str | None) -> tuple[SubjectSpec, ...]:
    """The part of a line-up that one run judges: its released slots, filled, or all the rest.

    A quantifier over nets trained here and a model given on the command line together would
    speak of neither.
    """
    slots = tuple(spec for spec in specs if spec.released)
    if released and slots:
        return slots
    return tuple(spec for spec in specs if not spec.released)


def handles(spec: SubjectSpec, released: str | None = None) -> tuple[Handle, ...]:
    """The subjects of one line of a line-up; none where a released slot has no model.

    Raises:
        SubjectError: a recipe, compiled net, option or reference that does not exist.
    """
    if spec.released:
        return _referred(spec, parse(released)) if released else ()
    if spec.ref:
        reference = parse(spec.ref)
        if reference.remote_code:
            raise SubjectError(
                f"{spec.ref}: no spec can have a model's own code run; that takes "
                "--mesa-trust-remote-code on the command line"
            )
        return _referred(spec, reference)
    name = "recipe" if spec.recipe else "compiled"
    return scheme(name).handles(spec)
