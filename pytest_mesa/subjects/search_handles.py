"""A plain search as line-ups name it: ``search:NODES``."""

from __future__ import annotations

from dataclasses import replace

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle, Scheme


def _handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    """``search:128`` looks at 128 nodes for a move.

    With the option ``gifts`` whoever plays against it makes any move at that share of turns, so
    that it is the stronger side by construction.
    """
    rest = str(spec.ref).partition(":")[2]
    if not rest.isdecimal() or int(rest) < 2:
        raise SubjectError(f"{spec.ref}: a search is named by its nodes for a move, as search:128")
    if spec.seeds > 1 or spec.untrained:
        raise SubjectError(f"{spec.ref}: a search takes neither seeds nor untrained")
    if unknown := [key for key in spec.options if key != "gifts"]:
        raise SubjectError(f"unknown subject option {unknown[0]!r}; a search has gifts")
    handle = Handle(f"search of {int(rest)} nodes", {"scheme": "search", "nodes": int(rest)})
    if "gifts" not in spec.options:
        return (handle,)
    gifts = spec.options["gifts"]
    if isinstance(gifts, bool | str) or not 0 < gifts <= 1:
        raise SubjectError("subject option 'gifts' is a share above 0 and at most 1")
    return (with_gifts(handle, float(gifts)),)


def with_gifts(handle: Handle, share: float) -> Handle:
    """A search whose opponents give that share of their moves away."""
    label = f"{handle.label}, given {share:g} of the other side's moves"
    return replace(handle, label=label, params={**handle.params, "gifts": share})


def without_gifts(handle: Handle) -> tuple[Handle, float]:
    """The search alone, and the share it is given."""
    params = dict(handle.params)
    share = float(params.pop("gifts", 0.0))
    return replace(handle, params=params), share


SEARCH = Scheme("search", _handles, "pytest_mesa.subjects.chess_players:searching", "board")
