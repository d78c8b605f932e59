"""A chess net in a language model's clothes, a control of everything that is asked in words.

It reads a listing back from token ids. At the squares' tokens of the second telling its stream
is the chess net's, and its blocks are the chess net's; every token's stream also holds which
token it is. The next token after a listing is a move's, letter by letter, as likely as the chess
net's policy makes the legal moves that begin with what is written.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from pytest_mesa.instruments.stream import Stream
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.lc0.load import Lc0Subject
from pytest_mesa.subjects.listed import Lister
from pytest_mesa.subjects.provenance import Provenance
from pytest_mesa.subjects.told_script import Script
from pytest_mesa.subjects.told_tokens import VOCABULARY, ToldTokenizer
from pytest_mesa.tasks.games import extra, listings
from pytest_mesa.tasks.games.listings import LISTINGS, Listing, ListingError

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from transformers import PreTrainedTokenizerBase

Key = TypeVar("Key")
Value = TypeVar("Value")

TOKEN, SEAT = -2, -1  # channels: which token this is, which square of the net's (0 for none)
OWN = 2  # channels beside the chess net's
SEATS = 64
KEPT = 1024  # positions whose entry into the net is remembered
KEPT_STREAMS = 256  # texts of which all tokens' is, some 200 KB each
PROBES = (
    "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
    "rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR w KQkq e6 0 2",
)


class _Reader:
    """Texts in, boards and what can be said of them out; remembers the last ones."""

    def __init__(self, subject: Lc0Subject) -> None:
        self.subject = subject
        self.tokenizer = ToldTokenizer()
        self._listers = {
            name: Lister(subject.label, self._ids, listing) for name, listing in LISTINGS.items()
        }
        # A position is run many times over, and a text by each patch.
        self._entered: OrderedDict[str, Float[Tensor, "64 wide"]] = OrderedDict()
        self._scripts: OrderedDict[bytes, Script] = OrderedDict()
        self._streams: OrderedDict[bytes, Float[Tensor, "pos wide"]] = OrderedDict()

    def entry(self, ids: Int[Tensor, " pos"]) -> Float[Tensor, "pos wide"]:
        """The stream that enters the first block."""
        return _kept(
            self._streams, ids.numpy().tobytes(), lambda _key: self._stream(ids), KEPT_STREAMS
        )

    def _stream(self, ids: Int[Tensor, " pos"]) -> Float[Tensor, "pos wide"]:
        fen, places = self._place(ids)
        squares = _kept(self._entered, fen, self._enter)
        stream = torch.zeros(len(ids), squares.shape[1])
        stream[places] = squares
        stream[:, TOKEN] = ids / VOCABULARY
        return stream

    def script(self, ids: Int[Tensor, " pos"]) -> Script:
        """What can be said after a listing whose tokens these are, and whatever follows."""
        return _kept(self._scripts, ids.numpy().tobytes(), lambda _key: self._script(ids))

    def _place(self, ids: Int[Tensor, " pos"]) -> tuple[str, Int[Tensor, " 64"]]:
        """The position of a text, and its squares' tokens in the second telling."""
        listing, fen, _ = self._read(ids)
        return fen, self._listers[listing.name].prompt(fen)[1][:, -1]

    def _enter(self, fen: str) -> Float[Tensor, "64 wide"]:
        """The chess net's squares in the board's order, and which ones of the net's they are."""
        board = extra.chess().Board(fen)
        with torch.no_grad():
            inner = self.subject.module.entry(self.subject.planes([board]))[0]
        seats = torch.tensor([self.subject.square(board, square) for square in range(SEATS)])
        blank = torch.zeros(SEATS, 1)  # for `TOKEN`
        return torch.cat([inner[seats], blank, (seats[:, None] + 1) / SEATS], dim=1)

    def _script(self, ids: Int[Tensor, " pos"]) -> Script:
        _, fen, written = self._read(ids)
        text = self.tokenizer.decode(ids.tolist())
        legal = self.subject.legal(extra.chess().Board(fen))
        return Script.of(
            len(self._ids(text.removesuffix(written))),
            {index: self._ids(f" {move.uci()}") for move, index in legal.items()},
            self._ids(written),
        )

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text)["input_ids"]

    def _read(self, ids: Int[Tensor, " pos"]) -> tuple[Listing, str, str]:
        try:
            return listings.read(self.tokenizer.decode(ids.tolist()))
        except ListingError as error:
            raise SubjectError(
                f"{self.subject.label} in words reads whole listings of a position alone: {error}"
            ) from error


def _kept(
    store: OrderedDict[Key, Value], key: Key, make: Callable[[Key], Value], most: int = KEPT
) -> Value:
    """From the store, or made and put there; the oldest goes where there are too many."""
    if key not in store:
        store[key] = make(key)
        if len(store) > most:
            store.popitem(last=False)
    return store[key]


class ToldBlock(nn.Module):
    """A chess net's block, at the squares' tokens."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, stream: Float[Tensor, "batch pos wide"]) -> Float[Tensor, "batch pos wide"]:
        """The stream behind the block; other tokens stay as they are."""
        rows, at = seated(stream)
        moved = stream.clone()
        moved[rows, at, :-OWN] = once_for_twins(self.inner, stream[rows, at, :-OWN])
        return moved


def once_for_twins(
    module: nn.Module, squares: Float[Tensor, "batch 64 d_model"]
) -> Float[Tensor, "batch ..."]:
    """A module on all rows; where the second half repeats the first, that is run alone.

    Texts that only differ in the answer behind the listing come as two such halves.
    """
    one, two = squares[: len(squares) // 2], squares[len(squares) // 2 :]
    out: Tensor
    if len(one) and torch.equal(one, two):
        out = module(one)
        return torch.cat([out, out])
    out = module(squares)
    return out


def seated(
    stream: Float[Tensor, "batch pos wide"],
) -> tuple[Int[Tensor, "batch 1"], Int[Tensor, "batch 64"]]:
    """Index of the tokens that hold the chess net's squares, in its own order."""
    seats = stream[..., SEAT]
    found = torch.where(seats > 0, seats, torch.inf).topk(SEATS, dim=1, largest=False)
    return torch.arange(len(stream))[:, None], found.indices


class ToldNet(PreTrainedModel):
    """The net on token ids, called as any Hugging Face decoder without a cache is."""

    config_class = PretrainedConfig

    def __init__(self, subject: Lc0Subject) -> None:
        settings: dict[str, Any] = {"vocab_size": VOCABULARY}
        super().__init__(PretrainedConfig(**settings))
        self.blocks = nn.ModuleList(ToldBlock(block) for block in subject.module.blocks)
        self.policy = subject.module.policy
        self._reader = _Reader(subject)

    def forward(
        self,
        input_ids: Int[Tensor, "batch pos"],
        attention_mask: Int[Tensor, "batch pos"] | None = None,
        use_cache: bool = False,
        logits_to_keep: Int[Tensor, " kept"] | None = None,
    ) -> Any:
        """Next-token logits under ``logits``, at the positions kept.

        Raises:
            SubjectError: a text that is no whole listing and the beginning of an answer.
        """
        del attention_mask, use_cache  # the filling says itself where a text ends
        stream = torch.stack([self._reader.entry(row) for row in input_ids])
        for block in self.blocks:
            stream = block(stream)
        kept = torch.arange(stream.shape[1]) if logits_to_keep is None else logits_to_keep
        return SimpleNamespace(logits=self._say(stream, kept))

    def _say(
        self, stream: Float[Tensor, "batch pos wide"], kept: Int[Tensor, " kept"]
    ) -> Float[Tensor, "batch kept vocabulary"]:
        rows, at = seated(stream)
        policy = once_for_twins(self.policy, stream[rows, at, :-OWN])
        ids = (stream[..., TOKEN] * VOCABULARY).round().long()
        return torch.stack(
            [
                self._reader.script(text).said(logits, kept)
                for text, logits in zip(ids, policy, strict=True)
            ]
        )


class ToldModel(LanguageModel):
    """A chess net that is asked as language models are."""

    def __init__(self, subject: Lc0Subject) -> None:
        known = subject.provenance
        super().__init__(
            f"{subject.label}, in words",
            ToldNet(subject),
            cast("PreTrainedTokenizerBase", ToldTokenizer()),
            Provenance(
                ref=known.ref if known else subject.label,
                revision=known.revision if known else "",
                weights_sha=subject.weights_sha,
                device="cpu",
                dtype="float32",
                remote_code=False,
                parameters=subject.info.parameters,
            ),
        )

    @cached_property
    def stream(self) -> Stream:
        """The net's residual stream, checked on two listings: it reads nothing else.

        Raises:
            SiteError: reading or writing it does not mean what it should.
        """
        stream = Stream(self.net)
        listing = next(iter(LISTINGS.values()))
        stream.check(self.encode([listing.prompt(fen) for fen in PROBES])[0])
        return stream


def load(params: Mapping[str, Json], inputs: tuple[Result, ...]) -> ToldModel:
    """The net that a handle describes.

    Raises:
        SubjectError: the file is none, or is damaged.
    """
    from pytest_mesa.subjects.weights import chess_net

    return ToldModel(chess_net(params["net"], inputs))
