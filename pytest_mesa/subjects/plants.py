"""Narrowing planted in a net, as line-ups name it; the experiment ``narrowing`` plants it.

It stands in a handle's parameters until the experiment takes it out, since it is planted where
a net is read and not in its weights: whatever else loads such a handle is told so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_mesa.runs.cells import Json
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle

# Described in `instruments.narrowing_plants`.
NARROWING = ("stage-by-stage", "at-once", "from-start", "any")
# Ladders of one net: what each rung rules out grows from rung to rung, or stays level.
LADDERS = ("growing", "level")
STRENGTH = 0.5  # each stage halves what is left: of six, a 64th
GAIN = 5.0  # of ladders' nets: the logits of an untrained one are a quarter of a nat apart
KEYS = ("plant", "strength", "plant_seed", "plant_gain")


def planted(handle: Handle, options: Mapping[str, Any]) -> Handle:
    """The subject with the narrowing that its spec's options name, if they name any.

    Raises:
        SubjectError: no such plant, or a strength that is no share.
    """
    plant, strength = options.get("plant"), options.get("strength", STRENGTH)
    if plant is None:
        if "strength" in options:
            raise SubjectError("subject option 'strength' needs a 'plant'")
        return handle
    if plant not in (*NARROWING, *LADDERS):
        known = ", ".join((*NARROWING, *LADDERS))
        raise SubjectError(f"nothing called {plant!r} is planted; there are {known}")
    if isinstance(strength, bool | str) or not 0 < strength <= 1:
        raise SubjectError("subject option 'strength' is a share above 0 and at most 1")
    return with_narrowing(handle, plant, strength)


def with_narrowing(
    handle: Handle, plant: str, strength: float, seed: int = 0, gain: float = 1.0
) -> Handle:
    """The subject with narrowing of a kind planted where it is read."""
    told = dict(zip(KEYS, (plant, float(strength), seed, gain), strict=True))
    label = f"{handle.label} with planted narrowing ({plant}, {strength:g})"
    return replace(handle, label=label, params={**handle.params, **told})


def unplanted(handle: Handle) -> tuple[Handle, dict[str, Json] | None]:
    """The subject without narrowing planted in it, and what was planted."""
    name, strength, seed, gain = (handle.params.get(key) for key in KEYS)
    if name not in (*NARROWING, *LADDERS):
        return handle, None
    bare = {key: value for key, value in handle.params.items() if key not in KEYS}
    plant = {"name": name, "strength": strength, "seed": seed, "gain": gain}
    return replace(handle, params=bare), plant


def refuse(params: Mapping[str, Json]) -> None:
    """Stop where a net is loaded without what its handle says is planted.

    Raises:
        SubjectError: narrowing is planted, and nobody took it out.
    """
    if params.get("plant") in (*NARROWING, *LADDERS):
        raise SubjectError(
            f"{params['plant']!r} is planted where a net is read by depth: only the experiment "
            "'narrowing' does"
        )
