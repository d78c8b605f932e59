"""How an error looks."""

from __future__ import annotations

import pickle
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.registry.errors import CLIP, SpecError, SpecErrors, did_you_mean, printable


def test_place_source_caret_hint() -> None:
    error = SpecError(
        "unknown key 'sedes'", "p/a.yaml", 3, 5, "    sedes: 5", "did you mean 'seeds'?"
    )
    assert error.render() == (
        "p/a.yaml:3:5: unknown key 'sedes'\n        sedes: 5\n        ^\n  did you mean 'seeds'?"
    )


def test_wide_characters_keep_the_caret_in_place() -> None:
    shown, caret = SpecError("m", "f", 1, 5, "日本: x").render().splitlines()[1:]
    assert (shown, caret) == ("    日本: x", "    " + " " * 6 + "^")


LINES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=400)


@settings(deadline=None)
@given(LINES, st.integers(0, 400))
def test_the_caret_stands_under_its_character(line: str, offset: int) -> None:
    col = min(offset, len(line)) + 1
    out = SpecError("m", "f", 1, col, line).render().splitlines()
    if not line.strip():
        assert len(out) == 1
        return
    shown, caret = out[1][4:], out[2][4:].index("^")
    assert len(shown) <= CLIP + 2
    cells = 0
    for char in shown + " ":
        if cells == caret and not unicodedata.combining(char):
            wanted = printable(line[col - 1]) if col <= len(line) else " "
            assert char == wanted or unicodedata.combining(wanted)
            break
        if not unicodedata.combining(char):
            cells += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    else:
        pytest.fail("the caret is beyond the line")


@settings(deadline=None)
@given(st.text())
def test_nothing_reaches_the_terminal_but_text(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert shown.isprintable()


def test_long_lines_are_clipped_around_the_caret() -> None:
    line = "a" * 5000 + "X" + "b" * 5000
    shown, caret = SpecError("m", "f", 1, 5001, line).render().splitlines()[1:]
    assert shown[4] == shown[-1] == "…"
    assert shown[caret.index("^")] == "X"
    assert len(shown) < 110


def test_errors_are_sorted_and_survive_a_process_boundary() -> None:
    errors = SpecErrors([SpecError("b", "f", 2, 1), SpecError("a", "f", 1, 9)])
    assert [error.message for error in errors.errors] == ["a", "b"]
    assert errors.file == "f"
    again = pickle.loads(pickle.dumps(errors))  # noqa: S301  (xdist carries exceptions so)
    assert again.errors == errors.errors
    assert str(again) == errors.render()


def test_no_errors_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SpecErrors([])


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        *[("sedes", "did you mean 'seeds'?"), ("Seeds", "did you mean 'seeds'?")],
        *[("must-detect", "did you mean 'must_detect'?"), ("qqq", None), ("a" * 100_000, None)],
        *[(12, None), (None, None)],
    ],
)
def test_did_you_mean(word: object, hint: str | None) -> None:
    assert did_you_mean(word, ["seeds", "must_detect", "kind"]) == hint
