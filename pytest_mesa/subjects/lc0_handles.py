"""Chess nets of known mind as line-ups name them: untrained twins, and planted look-ahead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects import plants
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle

PLANTS = ("tree", "look-ahead", "unlike", "elsewhere")  # described in `lc0.planted`
CODES = (
    "shared-code",
    "codes-apart",
    "codes-opposed",
)  # described in `experiments.transfer_reader`
OPTIONS = ("plant", "strength")


def altered(handle: Handle, spec: SubjectSpec) -> tuple[Handle, ...]:
    """The net as it is, or its twins of shuffled weights, one a seed; with what is planted.

    Raises:
        SubjectError: seeds for one trained net, or an option that is not known.
    """
    if spec.seeds > 1 and not spec.untrained:
        raise SubjectError(f"{spec.ref}: one net has no seeds; only its untrained twins do")
    if unknown := [key for key in spec.options if key not in OPTIONS]:
        raise SubjectError(
            f"unknown subject option {unknown[0]!r}; a chess net has {', '.join(OPTIONS)}"
        )
    found = [handle]
    if spec.untrained:
        found = [
            replace(
                handle,
                label=f"{handle.label}, untrained" + (f" seed {seed}" if spec.seeds > 1 else ""),
                params={**handle.params, "untrained": seed},
            )
            for seed in range(spec.seeds)
        ]
    return tuple(_planted(each, spec.options) for each in found)


def _planted(handle: Handle, options: dict[str, Any]) -> Handle:
    plant, strength = options.get("plant"), options.get("strength", 1.0)
    if plant is None:
        if "strength" in options:
            raise SubjectError("subject option 'strength' needs a 'plant'")
        return handle
    if plant in CODES:
        return with_code(handle, plant, strength)
    if plant in (*plants.NARROWING, *plants.LADDERS):
        return plants.planted(handle, options)
    if plant not in PLANTS:
        known = ", ".join((*PLANTS, *CODES, *plants.NARROWING))
        raise SubjectError(f"nothing called {plant!r} is planted; there are {known}")
    if isinstance(strength, bool | str) or not 0 < strength <= 1:
        raise SubjectError("subject option 'strength' is a share above 0 and at most 1")
    return with_plant(handle, plant, strength)


def untrained_twin(handle: Handle) -> Handle | None:
    """The net with shuffled weights; None for one that is such a twin itself."""
    if "untrained" in handle.params:
        return None
    label = f"{handle.label}, untrained"
    return replace(handle, label=label, params={**handle.params, "untrained": 0})


def with_plant(handle: Handle, plant: str, strength: float) -> Handle:
    """The subject with look-ahead of a kind planted in a share of the frozen positions."""
    share = "" if strength == 1 else f" in {strength:g} of positions"
    return replace(
        handle,
        label=f"{handle.label} with planted {plant}{share}",
        params={**handle.params, "plant": plant, "strength": float(strength), "plant_seed": 0},
    )


def with_code(handle: Handle, code: str, strength: float) -> Handle:
    """The subject with a code for what can be won, planted where the kind ``transfer`` reads it.

    Raises:
        SubjectError: a strength that is no positive number.
    """
    if isinstance(strength, bool | str) or not 0 < strength <= 100:
        raise SubjectError("subject option 'strength' of a code is above 0 and at most 100")
    told = {"code": code, "strength": float(strength), "code_seed": 0}
    label = f"{handle.label} with {code} ({strength:g})"
    return replace(handle, label=label, params={**handle.params, **told})
