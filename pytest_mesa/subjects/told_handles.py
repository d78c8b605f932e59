"""Chess nets that read listings, as line-ups name them: ``told:bundled:maia-1900``."""

from __future__ import annotations

from dataclasses import replace

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects import plants
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle, Scheme
from pytest_mesa.subjects.references import parse
from pytest_mesa.subjects.released import BUNDLED, LC0

PREFIX = "told:"


def _handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    """What stands behind ``told:`` names the net, with the same options as from boards."""
    rest = str(spec.ref).removeprefix(PREFIX)
    inner = spec.model_copy(update={"ref": rest})
    found = {"bundled": BUNDLED, "lc0": LC0}.get(parse(rest).scheme)
    nets = found.handles(inner) if found else ()
    if not nets or any(each.params["scheme"] != "lc0" for each in nets):
        raise SubjectError(
            f"{spec.ref}: only a chess net is told boards in words: name it as "
            f"{PREFIX}bundled:maia-1900 or {PREFIX}net.pb.gz"
        )
    for each in nets:
        plants.refuse(each.params)
    return tuple(_told(each) for each in nets)


def _told(net: Handle) -> Handle:
    return replace(
        net, label=f"{net.label}, in words", params={"scheme": "told", "net": net.params}
    )


TOLD = Scheme("told", _handles, "pytest_mesa.subjects.told:load", "listing")
