"""Nets that play games, as instruments on circuits take them: positions in, prompts out.

A game decoder is asked in its own tokens; of a chess move it is asked for the square to leave in
one half of the slots and for the square to go to in the other. A language model is asked in
words, under the templates of a setting.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from pytest_mesa.instruments.attribution_parts import Wiring
from pytest_mesa.instruments.attribution_prefix import shares
from pytest_mesa.instruments.attribution_runs import Pairs
from pytest_mesa.instruments.attribution_trunks import at_answers
from pytest_mesa.instruments.attribution_wiring import wire
from pytest_mesa.instruments.dissect import dissect
from pytest_mesa.subjects.games_decoder import GamesSubject
from pytest_mesa.subjects.games_twins import OPEN, SwitchedDecoder, TwinGames
from pytest_mesa.subjects.language import PROBES, LanguageModel
from pytest_mesa.subjects.scoring import split_options
from pytest_mesa.tasks.games import notation, tokens
from pytest_mesa.tasks.games.batches import Position
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.prompts import Template
from pytest_mesa.tasks.games.tokens import Tag

if TYPE_CHECKING:
    from jaxtyping import Float, Int

TOKENS = 4096  # in one pass without gradients
PLAYED = (12, 28, 52, 36)  # squares of an opening, to see a net's parts with


@dataclass(frozen=True)
class Posed:
    """Positions as prompts, padded on the right.

    ``legal`` holds the tokens that a legal move can start with; prompts with equal ``keys`` can
    be corrupted by one another.
    """

    ids: Int[Tensor, "position pos"]
    mask: Int[Tensor, "position pos"]
    legal: tuple[tuple[int, ...], ...]
    keys: tuple[Hashable, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Int[Tensor, " position"]:
        """Tokens in each prompt."""
        return self.mask.sum(1)


class Player(Protocol):
    """A net that continues games told in two settings."""

    @property
    def weights_sha(self) -> str:
        """Hash of the weights."""

    @property
    def wiring(self) -> Wiring:
        """How it is wired, for attribution and ablation."""

    @property
    def keeps(self) -> Literal["start", "end"]:
        """The part of a prompt that can stand alone, where it has to be shortened."""

    def posed(self, setting: int, half: int, positions: Sequence[Position]) -> Posed:
        """Positions of a setting's half as prompts."""


def legal_logits(player: Player, posed: Posed) -> list[Float[Tensor, " legal"]]:
    """The logits of each prompt's legal tokens behind it, in their order."""
    wiring = player.wiring
    found: dict[int, Tensor] = {}
    for share in shares(wiring, Pairs(posed.ids, mask=posed.mask), 1, TOKENS, prefix=False):
        with torch.no_grad(), ExitStack() as stack:
            stack.callback(at_answers(wiring.unembedding, share.answers))
            logits = share.run(share.pairs.clean, share.pairs.mask)[:, 0]
        for row, said in zip(share.rows.tolist(), logits, strict=True):
            found[row] = said[list(posed.legal[row])].float()
    return [found[row] for row in range(len(posed))]


def padded(rows: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Rows filled up on the right, and a mask that is 0 there."""
    width = max(map(len, rows), default=0)
    ids = torch.full((len(rows), width), padding)
    for row, given in zip(ids, rows, strict=True):
        row[: len(given)] = torch.tensor(given, dtype=torch.long)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(width) < lengths[:, None]).long()


@dataclass(eq=False)
class TokenPlayer:
    """A game decoder, or its twins, asked in tokens.

    ``notations`` says under which numbers the tokens of each setting go.
    """

    module: SwitchedDecoder
    weights_sha: str
    games: tuple[Name, ...]
    notations: tuple[int, ...]
    keeps: Literal["start", "end"] = "start"

    @cached_property
    def wiring(self) -> Wiring:
        """Seen with every switch open."""
        turns = torch.tensor([PLAYED, PLAYED[::-1]]) + tokens.SQUARE
        example = torch.cat([torch.full((2, 1), OPEN), turns], dim=1)
        return wire(dissect(self.module, example), example)

    def posed(self, setting: int, half: int, positions: Sequence[Position]) -> Posed:
        """Positions as rows of tokens."""
        del half
        game = self.games[setting]
        asked = [_asked(game, position) for position in positions]
        offset = self.notations[setting] * tokens.VOCABULARY
        ids, mask = padded([[token + offset for token in row] for row, _ in asked], tokens.PAD)
        return Posed(
            ids,
            mask,
            tuple(tuple(sorted(token + offset for token in legal)) for _, legal in asked),
            tuple((p.slot, len(row)) for p, (row, _) in zip(positions, asked, strict=True)),
        )


def _asked(game: Name, position: Position) -> tuple[list[int], set[int]]:
    """A position's prompt, and the tokens that are legal behind it."""
    row = [int(Tag[game.name])]
    for move in position.moves:
        row += _move(game, move)
    legal = [_move(game, move) for move in position.legal]
    if game is not Name.CHESS or position.slot % 2 == 0:
        return row, {move[0] for move in legal}
    start = _move(game, position.next)[0]
    return [*row, start], {move[1] for move in legal if move[0] == start}


@cache
def _move(game: Name, move: str) -> tuple[int, ...]:
    number = notation.code(game, move)
    if game is Name.CHESS:
        squares = (tokens.SQUARE + number % 64, tokens.SQUARE + number // 64 % 64)
        return squares + ((tokens.PROMOTION + number // 4096 - 1,) if number >= 4096 else ())
    if game is Name.FIFTEEN:
        return (tokens.NUMBER + int(move) - 1,)
    return (tokens.FIRST[Tag[game.name]] + number,)


@dataclass(eq=False)
class TextPlayer:
    """A language model asked in words; a half's slots go through its share of the templates."""

    model: LanguageModel
    templates: tuple[tuple[Template, ...], ...]
    keeps: Literal["start", "end"] = "end"

    @property
    def weights_sha(self) -> str:
        """Hash of the weights."""
        return self.model.weights_sha

    @cached_property
    def wiring(self) -> Wiring:
        """Seen on two sentences."""
        ids, _, lengths = self.model.encode(PROBES)
        example = ids[:, : int(lengths.min())]
        return wire(dissect(self.model.model, example), example)

    def posed(self, setting: int, half: int, positions: Sequence[Position]) -> Posed:
        """Positions as texts in tokens."""
        ways = self.templates[setting][half::2]
        rows, legal, keys = [], [], []
        for position in positions:
            way = ways[position.slot % len(ways)]
            row, options = self._question(way, position)
            rows.append(row)
            legal.append(options)
            keys.append((position.slot, way.name, len(row)))
        ids, mask = padded(rows, self.model.padding)
        device = self.model.model.device
        return Posed(ids.to(device), mask.to(device), tuple(legal), tuple(keys))

    def _question(self, way: Template, position: Position) -> tuple[list[int], tuple[int, ...]]:
        """A prompt's tokens, up to where its options part, and each option's first token there."""
        prompt = way.prompt(position.moves)
        options = list(way.options(position.moves))
        texts = [prompt, *(prompt + option for option in options)]
        ids, mask, _ = self.model.encode(texts)
        whole = [row[real].tolist() for row, real in zip(ids, mask, strict=True)]
        question = split_options(whole[0], whole[1:], prompt, options)
        common = _common(question.options)
        rest = {option[len(common)] for option in question.options if len(option) > len(common)}
        return [*question.context, *common], tuple(sorted(rest))


def _common(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The tokens that all rows begin with."""
    shared = 0
    for column in zip(*rows, strict=False):
        if len(set(column)) > 1:
            break
        shared += 1
    return rows[0][:shared]


def token_player(subject: GamesSubject | TwinGames, games: tuple[Name, ...]) -> TokenPlayer:
    """A decoder that is asked in its own tokens; twins know the second setting under others."""
    if isinstance(subject, TwinGames):
        return TokenPlayer(subject.module, subject.weights_sha, games, (0, 1))
    plain = SwitchedDecoder(subject.module.model)
    return TokenPlayer(plain, subject.weights_sha, games, (0, 0))
