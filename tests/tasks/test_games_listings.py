"""A listing tells a position whole, square by square, and anything less is refused."""

from __future__ import annotations

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.tasks.games.listings import (
    EMPTY,
    LISTINGS,
    PIECES,
    Listing,
    ListingError,
    move_in,
    read,
    unrolled,
)

listings = pytest.mark.parametrize("listing", LISTINGS.values(), ids=list(LISTINGS))


@st.composite
def boards(draw: st.DrawFn) -> chess.Board:
    """Positions of games of random moves."""
    board = chess.Board()
    for choice in draw(st.lists(st.integers(0, 10**6), max_size=60)):
        moves = list(board.legal_moves)
        if not moves:
            break
        board.push(moves[choice % len(moves)])
    return board


@listings
@given(board=boards(), written=st.sampled_from(["", " e2e4", " e2e4\nbestmove e7e5"]))
@settings(max_examples=60, deadline=None)
def test_a_listing_reads_back(listing: Listing, board: chess.Board, written: str) -> None:
    fen = board.fen(en_passant="fen")
    found, told, rest = read(listing.prompt(fen) + written)
    assert found is listing
    assert rest == written
    assert told.split()[:5] == fen.split()[:5]


@listings
def test_all_positions_are_told_in_as_many_words(listing: Listing) -> None:
    fens = [
        chess.STARTING_FEN,
        "8/8/8/2k5/8/5K2/8/7Q w - - 101 90",
        "8/8/8/2k5/8/5K2/8/7Q b - - 0 1",
    ]
    assert len({len(listing.prompt(fen).split(" ")) for fen in fens}) == 1


@listings
def test_each_square_is_told_where_its_order_says(listing: Listing) -> None:
    bare = listing.prompt("8/8/8/8/8/8/8/8 w - - 0 1")
    places = []
    for square in listing.order:
        board = chess.Board(None)
        board.set_piece_at(square, chess.Piece.from_symbol("Q"))
        text = listing.prompt(f"{board.board_fen()} w - - 0 1")
        (first, second) = [at for at, (a, b) in enumerate(zip(bare, text, strict=True)) if a != b]
        places.append((first, second))
    assert places == sorted(places)
    assert places[-1][0] < places[0][1]  # one telling after the other


@listings
def test_damaged_text_is_refused(listing: Listing) -> None:
    text = listing.prompt(chess.STARTING_FEN)
    for damaged in (
        text.replace(" q", "", 1),  # a square is missing
        text.replace(" q", " n", 1),  # in one telling only
        text.replace("White to move", "to move"),
        text[: len(text) // 2],
        "Once upon a time",
        "",
    ):
        with pytest.raises(ListingError):
            read(damaged)


@pytest.mark.parametrize(
    "fen",
    [
        "",
        "8/8/8/8/8/8/8 w - - 0 1",
        "9/8/8/8/8/8/8/8 w - - 0 1",
        "8/8/8/8/8/8/8/8 x - - 0 1",
        "8/8/8/8/8/8/8/8 w qK - 0 1",
        "8/8/8/8/8/8/8/8 w - - 1000 1",
        "8/8/8/8/8/8/8/8 w - e9 0 1",
    ],
)
def test_what_is_no_position_is_not_listed(fen: str) -> None:
    with pytest.raises(ListingError, match=r"FEN|no position"):
        LISTINGS["diagram"].prompt(fen)


def test_a_board_is_unrolled_from_its_first_square() -> None:
    board = unrolled("k7/8/8/8/8/8/8/R6Q")
    assert board[0] == "R"
    assert board[7] == "Q"
    assert board[56] == "k"
    assert set(board) <= {*PIECES, EMPTY}


@pytest.mark.parametrize(
    ("text", "move"),
    [
        (" e2e4\nbestmove", "e2e4"),
        (" A7A8Q.", "a7a8q"),
        ("e2e4e5", None),
        (" Nf3", None),
        ("", None),
        (" to e2e4", None),
    ],
)
def test_a_move_is_what_a_text_begins_with(text: str, move: str | None) -> None:
    assert move_in(text) == move
