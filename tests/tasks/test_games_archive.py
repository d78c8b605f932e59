"""Games in files and in tokens: nothing is lost, unseen games are unseen, damage is named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from games_strategies import lines_of_play
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa._paths import shipped
from pytest_mesa.tasks.games import notation, rules, tokens
from pytest_mesa.tasks.games.archive import (
    FURTHER,
    Archive,
    frozen,
    frozen_path,
    frozen_with_further,
    pack,
    read,
    write,
)
from pytest_mesa.tasks.games.errors import GamesError
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.symmetry import board_maps, turned_points
from pytest_mesa.tasks.games.tokens import Tag

GAMES = [[1, 2, 3], [4], [5, 6], [1, 2, 3]]
FILES = ["chess", "go", "tic-tac-toe"]


def test_an_archive_survives_its_file(tmp_path: Path) -> None:
    archive = pack(GAMES, np.uint16)
    first, again = (write(archive, tmp_path / name) for name in ("a.npz", "b.npz"))
    assert first == again == hashlib.sha256((tmp_path / "a.npz").read_bytes()).hexdigest()
    back = read(tmp_path / "a.npz")
    assert [game.tolist() for game in back] == GAMES
    assert (back.moves.dtype, len(back)) == (np.uint16, 4)


def test_no_unseen_game_is_among_the_others() -> None:
    games = [[n % 7, n % 3] for n in range(60)]
    seen, unseen = pack(games, np.uint8).split()
    assert len(seen) == 54
    known = {game.tobytes() for game in seen}
    assert not any(game.tobytes() in known for game in unseen)
    fresh = pack([[n, n + 1] for n in range(60)], np.uint8).split()[1]
    assert [game.tolist()[0] for game in fresh] == [9, 19, 29, 39, 49, 59]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "chess.npz"
    with pytest.raises(GamesError, match=r"chess\.npz can't be read as games \(FileNotFoundError"):
        read(path)
    path.write_bytes(b"no archive at all")
    with pytest.raises(GamesError, match="make it anew with 'mesa fixtures games'"):
        read(path)
    np.savez(path, moves=np.array([object()]), lengths=np.array([1]))
    with pytest.raises(GamesError, match="allow_pickle"):
        read(path)
    with pytest.raises(GamesError, match="lengths add up to 3, its moves number 2"):
        Archive(np.arange(2), np.array([3]))


@pytest.mark.parametrize("name", FILES)
def test_what_ships_is_what_its_manifest_says(name: str) -> None:
    folder = shipped("fixtures") / "games"
    manifest = json.loads((folder / "manifest.json").read_text())
    path = folder / f"{name}.npz"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest["files"][path.name]
    archive, about = frozen(name), manifest["sets"][path.name]
    assert (len(archive), len(archive.moves)) == (about["games"], about["moves"])
    assert about["engine"] and about["options"]["seed"] == 1
    assert about["different"] > 0.8 * about["games"]


@pytest.mark.parametrize(("name", "file"), FURTHER.items())
def test_further_games_are_others_of_the_same_kind(name: str, file: str) -> None:
    body = json.loads((shipped("fixtures") / "games" / "manifest.json").read_text())
    digest = hashlib.sha256(frozen_path(file).read_bytes()).hexdigest()
    assert digest == body["files"][f"{file}.npz"]
    first, further = (body["sets"][f"{each}.npz"]["options"] for each in (name, file))
    assert first.keys() == further.keys() and first["seed"] != further["seed"]
    both = frozen_with_further(name)
    assert len(both) == len(frozen(name)) + len(frozen(file))
    numbers = [len(frozen(name)) - 1, len(frozen(name)), len(both) - 1]
    for game in both.select(np.array(numbers)):
        state = rules.game(Name(name)).initial()
        for move in game:
            state = state.apply(notation.text(Name(name), int(move)))
        assert not state.legal


@pytest.mark.parametrize("name", FILES)
def test_games_that_ship_follow_the_rules(name: str) -> None:
    archive = frozen(name)
    sample = np.random.default_rng(0).choice(len(archive), 25, replace=False)
    for game in archive.select(np.sort(sample)):
        state = rules.game(name).initial()
        for code in game.tolist():
            move = notation.text(Name(name), code)
            assert move in state.legal
            state = state.apply(move)


@given(st.data(), st.sampled_from(list(Tag)))
@settings(max_examples=60, deadline=None)
def test_tokens_say_the_game(data: st.DataObject, tag: Tag) -> None:
    """Decoding the tokens at each move's start gives the moves back."""
    name = Name[tag.name]
    lines = data.draw(st.lists(lines_of_play(name).filter(bool), min_size=1, max_size=3))
    codes = [[notation.code(name, move) for move in line] for line in lines]
    archive = pack(codes, np.uint16)
    plies = data.draw(st.integers(1, 60))
    ids = tokens.encode(tag, archive, plies)
    starts = tokens.move_starts(tag, archive, plies)
    assert set(ids[:, 0]) == {tag}
    padded = np.pad(ids, ((0, 0), (0, 3)))
    for row, begins, line in zip(padded, starts, lines, strict=True):
        told = [tokens.decode(tag, row[at : at + 3].tolist()) for at in begins[begins > 0]]
        assert told == list(line[:plies])


def test_each_game_has_tokens_of_its_own() -> None:
    samples = {
        Tag.CHESS: notation.code(Name.CHESS, "a7b8q"),
        Tag.GO: notation.code(Name.GO, "pass"),
        Tag.TIC_TAC_TOE: notation.code(Name.TIC_TAC_TOE, "c1"),
        Tag.FIFTEEN: notation.code(Name.FIFTEEN, "8"),
    }
    said = [tokens.encode(tag, pack([[code]], np.uint16), 9) for tag, code in samples.items()]
    used = [set(ids[0].tolist()) for ids in said]
    assert len(set.union(*used)) == sum(map(len, used))
    assert max(set.union(*used)) < tokens.VOCABULARY
    assert said[0][0].tolist() == [1, tokens.SQUARE + 48, tokens.SQUARE + 57, tokens.PROMOTION + 3]


@pytest.mark.parametrize("said", [[0, 0, 0], [tokens.SQUARE, tokens.POINT, 0], [1, 2, 3]])
def test_tokens_that_say_no_move_say_none(said: list[int]) -> None:
    assert tokens.decode(Tag.CHESS, said) is None
    assert tokens.decode(Tag.FIFTEEN, said) is None


def test_symmetries_of_a_board() -> None:
    maps = board_maps(9)
    assert maps.shape == (8, 81)
    assert len({row.tobytes() for row in maps}) == 8
    assert (maps[0] == np.arange(81)).all()
    for row in maps:
        assert sorted(row) == list(range(81))
        # Neighbours stay neighbours.
        x, y = np.divmod(row.reshape(9, 9), 9)
        assert (abs(np.diff(x, axis=1)) + abs(np.diff(y, axis=1)) == 1).all()


def test_turned_go_games_are_the_same_game() -> None:
    archive = frozen("go").select(np.arange(8))
    ids = tokens.encode(Tag.GO, archive, 20)
    turned = turned_points(ids, np.arange(8))
    assert (turned[0] == ids[0]).all() and (turned[1:] != ids[1:]).any(axis=1).all()
    assert (turned[:, 0] == Tag.GO).all() and ((turned == 0) == (ids == 0)).all()
    for row, other in zip(ids, turned, strict=True):
        told = [tokens.decode(Tag.GO, [token]) for token in other[1:] if token]
        original = [tokens.decode(Tag.GO, [token]) for token in row[1:] if token]
        scores = [
            rules.game("go").after([move for move in moves if move]).returns
            for moves in ([*told, "pass", "pass"], [*original, "pass", "pass"])
        ]
        assert scores[0] == scores[1]
