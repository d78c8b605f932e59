"""Finding experiment and task kinds: the built-in ones, then those of installed packages.

Installed packages are looked through only when a name is not built in, and once a process.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from textwrap import shorten
from typing import Literal

from pydantic import BaseModel

from pytest_mesa.registry import kinds
from pytest_mesa.registry.kinds import Kind

Group = Literal["experiments", "tasks"]

_BUILT_IN: dict[Group, dict[str, Kind]] = {
    "experiments": {kind.name: kind for kind in kinds.EXPERIMENTS},
    "tasks": {kind.name: kind for kind in kinds.TASKS},
}


class KindError(LookupError):
    """A kind that is unknown, or whose package does not work. ``known`` are all names there are."""

    def __init__(self, message: str, known: tuple[str, ...], *, unknown: bool) -> None:
        super().__init__(message)
        self.known = known
        self.unknown = unknown


def find_kind(name: str, group: Group = "experiments") -> Kind:
    """The kind of that name.

    Raises:
        KindError: no such kind, or the package that offers it does not import.
    """
    if (kind := _BUILT_IN[group].get(name)) is not None:
        return kind
    point = _installed(group).get(name)
    if point is None:
        noun = group.removesuffix("s")
        raise KindError(f"unknown {noun} kind '{name}'", kind_names(group), unknown=True)
    return _loaded(point)


def kind_names(group: Group = "experiments") -> tuple[str, ...]:
    """All names that a spec may use, sorted."""
    return tuple(sorted({*_BUILT_IN[group], *_installed(group)}))


def built_in(group: Group = "experiments") -> tuple[Kind, ...]:
    """The kinds of this package."""
    return tuple(_BUILT_IN[group].values())


def installed(group: Group = "experiments") -> tuple[Kind, ...]:
    """The kinds of this and all installed packages, without those that do not import."""
    found = []
    for name in kind_names(group):
        try:
            found.append(find_kind(name, group))
        except KindError as error:
            if error.unknown:
                raise
    return tuple(found)


@cache
def _installed(group: Group) -> dict[str, EntryPoint]:
    return {
        point.name: point
        for point in entry_points(group=f"pytest_mesa.{group}")
        if point.name not in _BUILT_IN[group]
    }


@cache
def _loaded(point: EntryPoint) -> Kind:
    origin = f"the kind '{point.name}' comes from {_package(point)}, which"
    known = (point.name,)
    try:
        kind = point.load()
    except Exception as error:  # another package's import may fail in any way
        why = f"{origin} fails to import: {described(error)}"
        raise KindError(why, known, unknown=False) from error
    if not isinstance(kind, Kind):
        why = f"{origin} offers {type(kind).__name__} '{point.value}' where a Kind is expected"
        raise KindError(why, known, unknown=False)
    if not (isinstance(kind.params, type) and issubclass(kind.params, BaseModel)):
        raise KindError(f"{origin} gives it no pydantic model", known, unknown=False)
    return kind


def described(error: Exception) -> str:
    """Another package's exception in one short line."""
    return shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …")


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
