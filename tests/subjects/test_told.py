"""A chess net in words says what it says from boards, and refuses what is no listing."""

from __future__ import annotations

from typing import Any

import chess
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_mesa.instruments.stream import SiteError
from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects.bundled import installed, locate
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.load import Lc0Subject, load_net
from pytest_mesa.subjects.listed import Lister
from pytest_mesa.subjects.schemes import handles, scheme
from pytest_mesa.subjects.told import TOKEN, ToldModel, ToldNet, seated
from pytest_mesa.subjects.told_tokens import VOCABULARY, ToldTokenizer
from pytest_mesa.tasks.games.listings import LISTINGS, move_in

torch.set_num_threads(1)
needs_maia = pytest.mark.skipif(not installed("maia-1900"), reason="the extra models")
FENS = (
    "r1bqkbnr/pppp1ppp/2n5/4p3/2B1P3/5Q2/PPPP1PPP/RNB1K1NR b KQkq - 3 3",
    "4k3/P7/8/8/3pP3/8/8/4K2R b K e3 0 30",  # black to move: en passant
    "4k3/P7/8/8/3p4/8/8/4K2R w K - 12 30",  # castling and promotions
)


@pytest.fixture(scope="module")
def net() -> Lc0Subject:
    return load_net(locate("maia-1900")[0])


@pytest.fixture(scope="module")
def told(net: Lc0Subject) -> ToldModel:
    return ToldModel(net)


@given(st.text(st.characters(min_codepoint=1, max_codepoint=127)))
def test_tokens_are_the_text_again(text: str) -> None:
    tokenizer = ToldTokenizer()
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_text_ends_at_its_end() -> None:
    tokenizer = ToldTokenizer()
    assert tokenizer.decode([*tokenizer(" ab")["input_ids"], 0, 65]) == " ab"
    assert tokenizer.decode(tokenizer("ä")["input_ids"]) != "ä"


@needs_maia
@pytest.mark.parametrize("listing", LISTINGS)
def test_it_says_each_legal_move_as_likely_as_from_the_board(
    net: Lc0Subject, told: ToldModel, listing: str
) -> None:
    for fen, shares in zip(FENS, net.policy([chess.Board(fen) for fen in FENS]), strict=True):
        moves = [f" {move.uci()}" for move in shares]
        found = told.option_logprobs([LISTINGS[listing].prompt(fen)], moves)[0]
        assert found.exp().tolist() == pytest.approx(list(shares.values()), abs=1e-5)


@needs_maia
def test_it_writes_a_legal_move_and_stops(told: ToldModel) -> None:
    texts = told.generate([LISTINGS["ranks"].prompt(fen) for fen in FENS], 9)
    for fen, text in zip(FENS, texts, strict=True):
        assert move_in(text) == text.strip()
        assert chess.Move.from_uci(text.strip()) in chess.Board(fen).legal_moves


@needs_maia
def test_an_answer_that_went_astray_leaves_all_tokens_alike(told: ToldModel) -> None:
    ids, mask, _ = told.encode([LISTINGS["ranks"].prompt(FENS[0]) + " h1"])
    logits = told.net(ids, mask)[0, -1]
    assert bool((logits == logits[0]).all())


@needs_maia
def test_the_squares_tokens_hold_the_chess_nets_stream(net: Lc0Subject, told: ToldModel) -> None:
    for fen in FENS[:2]:  # either side to move
        text, places = Lister.of(told, LISTINGS["diagram"]).prompt(fen)
        ids, mask, _ = told.encode([text])
        streams = told.stream.capture(ids, mask)
        board = chess.Board(fen)
        whole = net.stream.capture(net.planes([board]))
        for square in (chess.A1, chess.E4, chess.H8):
            own = whole[:, 0, net.square(board, square)]
            assert torch.equal(streams[:, 0, places[square, 1], :TOKEN], own)
            assert float(streams[:, 0, places[square, 0], :TOKEN].abs().max()) == 0.0
        _, at = seated(streams[0])
        assert sorted(at[0].tolist()) == sorted(places[:, 1].tolist())


@needs_maia
@pytest.mark.parametrize("damage", [(" q", ""), ("White to move", "White"), (" K", " k")])
def test_damaged_text_is_an_error_and_no_answer(told: ToldModel, damage: tuple[str, str]) -> None:
    text = LISTINGS["diagram"].prompt(chess.STARTING_FEN).replace(*damage, 1)
    with pytest.raises(SubjectError, match="reads whole listings of a position alone"):
        told.generate([text], 2)


class Peeking(ToldNet):
    """Takes what is written from the ids, where a patch does not reach."""

    def forward(self, input_ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self.peeked = input_ids / VOCABULARY
        return super().forward(input_ids, *args, **kwargs)

    def _say(self, stream: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        seen = stream.clone()
        seen[..., TOKEN] = self.peeked
        return super()._say(seen, kept)


@needs_maia
def test_a_net_that_knows_more_than_its_stream_is_found_out(net: Lc0Subject) -> None:
    peeking = ToldModel(net)
    peeking.model = Peeking(net)
    with pytest.raises(SiteError, match="does not give the donor's run"):
        _ = peeking.stream


class Merging(ToldTokenizer):
    """Takes two empty squares in a row for one token."""

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return super().__call__(text.replace(" . .", " ~"))


class Shifting(ToldTokenizer):
    """Has a word more where two rooks stand beside each other."""

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return super().__call__(text.replace(" R R", " R  R"))


def test_squares_that_are_no_tokens_of_their_own_are_refused() -> None:
    def lister(tokenizer: ToldTokenizer) -> Lister:
        return Lister("x", lambda text: tokenizer(text)["input_ids"], LISTINGS["diagram"])

    with pytest.raises(SubjectError, match=r"more than its own tokens.*another template"):
        lister(Merging()).prompt(FENS[0])
    shifting = lister(Shifting())
    shifting.prompt(FENS[0])
    with pytest.raises(SubjectError, match="not where those of other positions are"):
        shifting.prompt("4k3/8/8/8/8/8/8/R2RRK2 w - - 0 1")


@needs_maia
def test_line_ups_name_them_with_the_same_options() -> None:
    spec = SubjectSpec.model_validate(
        {"ref": "told:bundled:maia-1900", "untrained": True, "options": {"plant": "tree"}}
    )
    (handle,) = handles(spec)
    assert scheme(handle.params["scheme"]).reads == "listing"
    assert handle.label == "maia-1900, untrained with planted tree, in words"
    assert handle.params["scheme"] == "told"
    assert handle.params["net"]["plant"] == "tree"
    assert len(handles(SubjectSpec(released=True), "told:bundled:maia-1900")) == 1


@needs_maia
@pytest.mark.parametrize(
    ("ref", "options"),
    [
        ("told:bundled:smollm2-135m", {}),
        ("told:player:rules", {}),
        ("told:bundled:maia-1900", {"plant": "at-once"}),
        ("told:bundled:maia-1900", {"plant": "nothing"}),
        ("told:bundled:maia", {}),
        ("told:", {}),
    ],
)
def test_what_can_not_be_told_is_refused(ref: str, options: dict[str, str]) -> None:
    with pytest.raises(SubjectError):
        handles(SubjectSpec.model_validate({"ref": ref, "options": options}))
