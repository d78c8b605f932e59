"""From a spec's subject line to subjects: what each needs, without loading anything.

A scheme turns one `SubjectSpec` into handles; a handle becomes part of a cell's parameters and
inputs, and `load` turns it into a net where the cell runs. Other packages add schemes through
the entry-point group ``pytest_mesa.subjects``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.cells import Cell
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.recipes import recipe, training_cell

# Named here too, since whoever plans should not import what builds them.
PROGRAMS = ("prefix-dp", "suffix-recursion", "greedy-ratio", "brute-force", "truncated-dp")


@dataclass(frozen=True, slots=True)
class Handle:
    """One subject: its label, its part of a cell's parameters, and the cells it needs."""

    label: str
    params: dict[str, Any]
    inputs: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class Scheme:
    """A source of subjects.

    ``loader`` names the function (``module:function``) that maps a handle's parameters and
    its inputs' results to a subject; it is imported only where a cell runs. ``reads`` says what
    its subjects are asked in: a task's own tokens, or text.
    """

    name: str
    handles: Callable[[SubjectSpec], tuple[Handle, ...]]
    loader: str
    reads: Literal["tokens", "text"] = "tokens"


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
    _options(spec, {})
    handles = []
    for seed in range(spec.seeds):
        if spec.untrained:
            params = {"scheme": "recipe", "untrained": named.params(seed)}
            handles.append(Handle(f"{named.name} seed {seed}, untrained", params))
        else:
            params = {"scheme": "recipe"}
            cell = training_cell(named, seed)
            handles.append(Handle(f"{named.name} seed {seed}", params, (cell,)))
    return tuple(handles)


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


def scheme(name: str) -> Scheme:
    """Find a scheme, built in or from another package.

    Raises:
        SubjectError: there is none of that name.
    """
    built_in = {"recipe": RECIPE, "compiled": COMPILED, "scripted": SCRIPTED}
    if name in built_in:
        return built_in[name]
    for point in entry_points(group="pytest_mesa.subjects"):
        if point.name == name:
            found = point.load()
            if isinstance(found, Scheme):
                return found
    raise SubjectError(f"no subject scheme {name!r}; there are {', '.join(built_in)}")


def reads_text(handle: Handle) -> bool:
    """Whether a subject is asked in words, not in a task's own tokens."""
    return scheme(str(handle.params["scheme"])).reads == "text"


def parse_reference(reference: str) -> SubjectSpec:
    """Read ``recipe:NAME`` or ``compiled:NAME``, as ``--mesa-model`` takes them.

    Raises:
        SubjectError: a scheme that this version can't load.
    """
    head, _, rest = reference.partition(":")
    if head in ("recipe", "compiled") and rest:
        return SubjectSpec.model_validate({head: rest})
    raise SubjectError(
        f"cannot load model {reference!r}: this version takes recipe:NAME and compiled:NAME"
    )


def _referred(reference: str) -> tuple[Handle, ...]:
    """The subjects of a reference; another package's scheme gets it whole, as ``ref``."""
    head, colon, _ = reference.partition(":")
    others = {point.name for point in entry_points(group="pytest_mesa.subjects")} | {"scripted"}
    if colon and head in others - {"recipe", "compiled"}:
        return scheme(head).handles(SubjectSpec(ref=reference))
    return handles(parse_reference(reference))


def handles(spec: SubjectSpec, released: str | None = None) -> tuple[Handle, ...]:
    """The subjects of one line of a line-up; none where a released slot has no model.

    Raises:
        SubjectError: a recipe, compiled net, option or reference that does not exist.
    """
    if spec.released:
        return _referred(released) if released else ()
    if spec.ref:
        return _referred(spec.ref)
    name = "recipe" if spec.recipe else "compiled"
    return scheme(name).handles(spec)
