"""Where a language model's tokens have the squares of a listed chess position.

A tokenizer is not asked how it works: places are found by changing one square at a time, and
every prompt is then checked against them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import torch

from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.tasks.games.listings import EMPTY, PIECES, SIDES, TELLINGS, Listing, unrolled

if TYPE_CHECKING:
    from jaxtyping import Int

_STATE = "{board} {side} - - 0 1"
_BARE = "8/8/8/8/8/8/8/8"


@dataclass(frozen=True)
class Layout:
    """The squares' tokens of all listings of one kind with one side to move.

    ``places`` has each square's token in each telling (0 = a1 … 63 = h8), ``tokens`` the token
    of each content.
    """

    length: int
    places: Int[torch.Tensor, "64 telling"]
    tokens: Mapping[str, int]


@dataclass(frozen=True)
class Lister:
    """Positions as one tokenizer's tokens under one kind of listing.

    ``ids`` maps a text to all of its tokens, and ``label`` says whose they are.

    Raises:
        SubjectError: when first used, where a square is not one token at a place of its own.
    """

    label: str
    ids: Callable[[str], Sequence[int]]
    listing: Listing

    @classmethod
    def of(cls, model: LanguageModel, listing: Listing) -> Self:
        """For a language model's own tokens."""

        def ids(text: str) -> Sequence[int]:
            found: list[int] = model.encode([text])[0][0].tolist()
            return found

        return cls(model.label, ids, listing)

    def prompt(self, fen: str) -> tuple[str, Int[torch.Tensor, "64 telling"]]:
        """A position's listing, and where the squares' tokens are.

        Raises:
            SubjectError: a square of this listing is not the token that it should be.
        """
        text, layout = self.listing.prompt(fen), self._layouts[fen.split()[1]]
        ids = torch.tensor(self.ids(text))
        board = unrolled(fen.split()[0])
        wanted = torch.tensor([[layout.tokens[content]] for content in board])
        if len(ids) != layout.length or not bool((ids[layout.places] == wanted).all()):
            raise SubjectError(
                f"{self.label}: the tokens of the listing {self.listing.name!r} of {fen} "
                "are not where those of other positions are: squares can't be patched in it"
            )
        return text, layout.places

    @cached_property
    def _layouts(self) -> dict[str, Layout]:
        return {side: self._layout(side) for side in SIDES}

    def _layout(self, side: str) -> Layout:
        changed = [_with(square, PIECES[0]) for square in range(64)]
        contents = [_with(0, content) for content in PIECES]
        boards = [_BARE, *changed, *contents]
        told = [self.listing.prompt(_STATE.format(board=b, side=side)) for b in boards]
        bare, *others = (torch.tensor(self.ids(text)) for text in told)
        places = torch.stack([self._changed(bare, ids) for ids in others[:64]])
        if places.unique().numel() != places.numel():
            raise self._refusal("two squares share a token")
        for ids in others[64:]:
            if not torch.equal(self._changed(bare, ids), places[0]):
                raise self._refusal("a square's place depends on what stands there")
        at = int(places[0, 0])
        found = {content: int(ids[at]) for content, ids in zip(PIECES, others[64:], strict=True)}
        return Layout(len(bare), places, {EMPTY: int(bare[at]), **found})

    def _changed(
        self, bare: Int[torch.Tensor, " pos"], ids: Int[torch.Tensor, " pos"]
    ) -> Int[torch.Tensor, " telling"]:
        """The places of the tokens that one changed square changes."""
        if len(ids) == len(bare):
            (places,) = (ids != bare).nonzero(as_tuple=True)
            if len(places) == TELLINGS:
                return places
        raise self._refusal("a changed square changes more than its own tokens")

    def _refusal(self, what: str) -> SubjectError:
        return SubjectError(
            f"{self.label}: its tokenizer does not have each square of the listing "
            f"{self.listing.name!r} as one token of its own ({what}): take another template"
        )


def _with(square: int, content: str) -> str:
    """An otherwise empty board as a FEN's first field, its runs of empty squares unrolled."""
    board = [EMPTY] * 64
    board[square] = content
    return "/".join("".join(board[start : start + 8]) for start in range(56, -1, -8))
