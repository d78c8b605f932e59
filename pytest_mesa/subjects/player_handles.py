"""Players of known mind as line-ups name them: ``player:rules`` and ``player:book``."""

from __future__ import annotations

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle, Scheme

PLAYERS = ("rules", "book")  # described in `move_players`


def _handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    name = str(spec.ref).partition(":")[2]
    if name not in PLAYERS:
        raise SubjectError(f"no player is called {name!r}; there are {', '.join(PLAYERS)}")
    if spec.options or spec.seeds > 1 or spec.untrained:
        raise SubjectError(f"{spec.ref}: a player takes no options, seeds or untrained")
    return (Handle(f"a player by the {name}", {"scheme": "player", "name": name}),)


PLAYER = Scheme("player", _handles, "pytest_mesa.subjects.move_players:player")
