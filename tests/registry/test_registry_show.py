"""The template and the card."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.registry.loader import load_text
from pytest_mesa.registry.lock import LockStatus
from pytest_mesa.registry.models import Prediction
from pytest_mesa.registry.show import WIDTH, describe
from pytest_mesa.registry.template import new_prediction


@settings(deadline=None)
@given(st.from_regex(r"[a-z0-9]{1,6}(-[a-z0-9]{1,6}){0,4}", fullmatch=True))
def test_a_template_of_any_id_loads(name: str) -> None:
    assert load_text(new_prediction(name)).id == name


@pytest.mark.parametrize("name", ["1e5", "123", "null", "true", "0x1f", "0o7", "9" * 50])
def test_an_id_that_yaml_reads_otherwise_is_quoted(name: str) -> None:
    assert load_text(new_prediction(name)).id == name


@pytest.mark.parametrize("name", ["", "A", "a_b", "a--b", "-a", "a b", "a\n", "a" * 81, "../x"])
def test_what_is_no_id_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no id: use a-z"):
        new_prediction(name)


def test_the_template_marks_five_lines() -> None:
    text = new_prediction("x", schema="prediction.schema.json")
    assert text.count("# edit") == 5
    assert text.splitlines()[0] == "# yaml-language-server: $schema=prediction.schema.json"
    assert load_text(text).line == 2


def test_a_card(spec: str) -> None:
    loaded = load_text(spec, "p/a.yaml")
    card = describe(loaded, LockStatus.LOCKED)
    assert card.startswith(
        "knapsack-no-dp\nKnapsack solvers do not rediscover dynamic programming\n"
        f"p/a.yaml:1  sha {loaded.sha[:12]}  locked\n\nClaim\n  A decoder trained"
    )
    for line in (
        "  recipe knapsack-decoder, 5 seeds, width = 64",
        "  accuracy of at least 0.9 on 2000 fresh instances",
        "  algorithm: prefix-dp",
        "  rivals: greedy-ratio, raw-items",
        "  must detect: compiled prefix-dp",
        "  must not detect: recipe knapsack-decoder, untrained",
        "  estimand: interchange-accuracy, of every subject",
        "  pass: its bound lies below 0.25",
        "  fail: its bound lies above 0.5",
        "  alpha 0.05, at most 4000 observations a subject, seed 0",
    ):
        assert line in card.splitlines()


def test_a_title_in_a_block_stays_one_line(spec: str) -> None:
    text = spec.replace("title: Knapsack", "title: |\n  Knapsack")
    assert describe(load_text(text)).splitlines()[2].startswith("<text>:1  sha")


@pytest.mark.parametrize(
    ("locked", "words"),
    [
        *[(LockStatus.DIFFERS, "differs from its lock"), (LockStatus.UNLOCKED, "not locked")],
        (None, "sha"),
    ],
)
def test_a_card_says_whether_it_is_locked(spec: str, locked: LockStatus | None, words: str) -> None:
    assert words in describe(load_text(spec), locked).splitlines()[2]


def test_cards_of_all_kinds_name_every_section(
    benchmark_module: Callable[[str], ModuleType],
) -> None:
    agreement, generalisation, _ = benchmark_module("yaml_mutants").CORPUS
    card = describe(load_text(agreement))
    assert "a fraction of 0.8 of the subjects" in card
    assert "\nNotes\n  quoted: text\n  it's\n  plain\n" in card
    assert "\nTags\n  knapsack, slow\n" in card
    card = describe(load_text(generalisation))
    assert "the model given with --mesa-model" in card
    assert "axes: capacity (kind knapsack, items 5" in card
    assert all(len(line) <= WIDTH for line in card.splitlines())


def test_every_field_of_a_prediction_is_on_its_card(spec: str) -> None:
    shown = {"prediction", "title", "claim", "notes", "tags", "subjects", "competence"}
    shown |= {"experiment", "controls", "verdict", "seed"}
    assert set(Prediction.model_fields) == shown, "show.py must show the new field"
