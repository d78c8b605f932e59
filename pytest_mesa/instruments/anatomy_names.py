"""Naming parts by hand: what an override may say, and which modules a name can mean."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from torch import nn

from pytest_mesa.instruments.stream import SiteError

IN_NET = ("blocks", "embedding", "final_norm", "unembedding")
IN_BLOCK = ("attention", "projection", "mlp", "attention_write", "mlp_write")
COUNTS = ("heads", "groups")
SHOWN = 12  # candidates in a message: a screenful


def checked(overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """The overrides, if each has a known key and a value of the right type.

    Raises:
        SiteError: otherwise, with what was expected.
    """
    given = dict(overrides or {})
    known = (*IN_NET, *IN_BLOCK, *COUNTS)
    for key, value in given.items():
        if key not in known:
            raise SiteError(f"anatomy: no part is called {key!r}{_hint(key, known)}")
        if key in COUNTS:
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise SiteError(f"anatomy: {key} is {value!r}; expected a count of 1 or more")
        elif not isinstance(value, str) or not value:
            raise SiteError(f"anatomy: {key} is {value!r}; expected a module's name")
    return given


def named_in(root: nn.Module, name: str, what: str, where: str) -> tuple[str, nn.Module]:
    """The submodule of this name, or the only one whose name ends in it, with its full name.

    Raises:
        SiteError: there is none, or there are several; with the candidates.
    """
    modules = {n: m for n, m in root.named_modules(remove_duplicate=False) if n}
    if name in modules:
        return name, modules[name]
    fits = [n for n in modules if n.endswith("." + name)]
    if len(fits) == 1:
        return fits[0], modules[fits[0]]
    if fits:
        raise SiteError(f"anatomy: {what} {name!r} is ambiguous in {where}: {_some(fits)}")
    raise SiteError(
        f"anatomy: {what} {name!r} is not in {where}{_hint(name, tuple(modules))}; "
        f"it has {_some(list(modules))}"
    )


def _hint(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f" (known: {_some(list(known))})"


def _some(names: list[str]) -> str:
    """The least nested names first, a screenful."""
    ordered = sorted(names, key=lambda name: name.count("."))
    more = len(ordered) - SHOWN
    return ", ".join(ordered[:SHOWN]) + (f" and {more} more" if more > 0 else "")
