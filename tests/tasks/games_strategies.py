"""Positions reached by random legal moves, for property tests of the games."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.variants import Kind, Variant, random_moves

LONGEST = {Name.CHESS: 60, Name.GO: 60, Name.TIC_TAC_TOE: 9, Name.FIFTEEN: 9}
names = st.sampled_from(list(Name))


@st.composite
def lines_of_play(draw: st.DrawFn, game: Name) -> tuple[str, ...]:
    """Legal moves from the start of a game."""
    plies = draw(st.integers(0, LONGEST[game]))
    return random_moves(game, plies, np.random.default_rng(draw(st.integers(0, 10_000))))


@st.composite
def variants(draw: st.DrawFn, game: Name) -> Variant:
    """A way to tell the game that it has."""
    kinds = [kind for kind in Kind if kind is not Kind.RELABELLED or game is not Name.FIFTEEN]
    return Variant(draw(st.sampled_from(kinds)), draw(st.integers(0, 50)))
