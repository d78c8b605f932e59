"""Releases by their names, verdicts that belong together, and a claim's history."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ledger_bodies import verdict

from pytest_mesa.ledger.append import append
from pytest_mesa.ledger.compare import Change
from pytest_mesa.ledger.history import HistoryError, history
from pytest_mesa.ledger.index import scan
from pytest_mesa.ledger.sides import Side, SideError, family, newest_pairs, pairs, select
from pytest_mesa.subjects.references import short_name

Told = tuple[str, str, float]


def put(path: Path, prediction: str, lineup: str, estimate: float, **more: Any) -> None:
    revision = lineup.partition("@")[2]
    weights = hashlib.sha256(lineup.encode()).hexdigest()
    model = {"ref": lineup or "recipe:net", "revision": revision, "weights_sha": weights}
    body = verdict(prediction, lineup=lineup, estimate=estimate, bounds=[estimate, estimate])
    append(path, body | {"model": model} | more)


def told(records: Any) -> list[Told]:
    return [(r["prediction"], r["lineup"], r["estimate"]) for r in records]


def told_pairs(found: Any) -> list[tuple[Told | None, Told | None]]:
    return [
        (told([a])[0] if a is not None else None, told([b])[0] if b is not None else None)
        for a, b in found
    ]


def side(path: Path, name: str) -> Side:
    return select(scan(path), name, path.parent)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two releases of one model, one of another, and a claim about a net of its own."""
    path = tmp_path / "ledger.jsonl"
    git = {"commit": "c" * 40}
    put(path, "a", "hf:org/m@v1", 0.1)
    put(path, "b", "hf:org/m@v1", 0.2)
    put(path, "own", "", 0.3, git=git)
    put(path, "a", "hf:org/m@v2", 0.4)
    put(path, "a", "./runs/other.gguf", 0.5, git=git)
    put(path, "a", "hf:org/m@v1", 0.6)
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hf:org/m@v1", [("b", "hf:org/m@v1", 0.2), ("a", "hf:org/m@v1", 0.6)]),
        ("m@v2", [("a", "hf:org/m@v2", 0.4)]),
        # Without a revision, the newest verdict at any.
        ("org/m", [("b", "hf:org/m@v1", 0.2), ("a", "hf:org/m@v1", 0.6)]),
        ("@v1", [("b", "hf:org/m@v1", 0.2), ("a", "hf:org/m@v1", 0.6)]),
        ("other", [("a", "./runs/other.gguf", 0.5)]),
        ("./runs/other.gguf", [("a", "./runs/other.gguf", 0.5)]),
        ("recipe:net", [("own", "", 0.3)]),
        ("ccccccc", [("own", "", 0.3), ("a", "./runs/other.gguf", 0.5)]),
    ],
)
def test_a_release_goes_by_model_revision_subject_or_commit(
    path: Path, name: str, expected: list[Told]
) -> None:
    assert told(side(path, name).records.values()) == expected


def test_a_release_may_be_another_ledger(path: Path) -> None:
    other = path.with_name("released.jsonl")
    put(other, "a", "hf:org/m@v1", 0.9)
    put(other, "a", "hf:org/m@v1", 0.8)
    assert told(side(path, "released.jsonl").records.values()) == [("a", "hf:org/m@v1", 0.8)]
    assert told(side(path, str(other)).records.values()) == [("a", "hf:org/m@v1", 0.8)]


def test_a_tag_is_the_commit_that_git_knows_by_it(path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        command = ["git", "-C", str(path.parent), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    git("tag", "v-first")
    put(path, "own", "", 0.7, git={"commit": git("rev-parse", "HEAD"), "dirty": False})
    put(path, "own", "", 0.8)
    assert told(side(path, "v-first").records.values()) == [("own", "", 0.7)]


@pytest.mark.parametrize("name", ["m@v3", "@v", "deadbeef", "--help", "", "\0", "missing.jsonl"])
def test_an_unknown_release_is_refused_with_those_there_are(path: Path, name: str) -> None:
    with pytest.raises(SideError, match=r"line-ups there: hf:org/m@v1, ./runs/other\.gguf"):
        side(path, name)


def test_a_misspelt_release_gets_a_hint(path: Path, tmp_path: Path) -> None:
    with pytest.raises(SideError, match=r"did you mean 'hf:org/m@v2'\?"):
        side(path, "hf:orgg/m@v2")
    with pytest.raises(SideError, match="holds no verdict yet"):
        side(tmp_path / "none.jsonl", "m")


def test_verdicts_pair_by_lineup_then_by_prediction(path: Path) -> None:
    put(path, "c", "hf:org/m@v2", 0.7)
    assert told_pairs(pairs(side(path, "@v1"), side(path, "@v2"))) == [
        (("a", "hf:org/m@v1", 0.6), ("a", "hf:org/m@v2", 0.4)),
        (("b", "hf:org/m@v1", 0.2), None),
        (None, ("c", "hf:org/m@v2", 0.7)),
    ]
    # Two line-ups on one side: nothing says which of them the other side's belongs to.
    both = path.with_name("both.jsonl")
    for lineup in ("x", "y", "hf:org/m@v2"):
        put(both, "a", lineup, 0.5)
    found = told_pairs(pairs(side(path, "@v2"), side(path, "both.jsonl")))
    assert (("a", "hf:org/m@v2", 0.4), ("a", "hf:org/m@v2", 0.5)) in found
    assert (None, ("a", "x", 0.5)) in found
    alone = side(path, "other")
    assert len([pair for pair in pairs(alone, side(path, "both.jsonl")) if None in pair]) == 4


def test_two_models_of_a_release_are_each_paired_with_their_own(path: Path) -> None:
    for name, revision in (("big", "v1"), ("small", "v1"), ("small", "v2"), ("big", "v2")):
        put(path, "both", f"org/{name}@{revision}", 0.5)
    before, after = side(path, "@v1"), side(path, "@v2")
    together = [(a["lineup"], b["lineup"]) for a, b in pairs(before, after) if a and b]
    assert ("org/big@v1", "org/big@v2") in together
    assert ("org/small@v1", "org/small@v2") in together
    matched = before.match({"prediction": "both", "lineup": "org/big@v9"})
    assert matched is not None
    assert matched["lineup"] == "org/big@v1"


def test_a_sides_match_is_the_lineups_own_or_the_only_one(path: Path) -> None:
    v1, everything = side(path, "@v1"), side(path, str(path))
    assert told([v1.match({"prediction": "a", "lineup": "hf:org/m@v2"})]) == [
        ("a", "hf:org/m@v1", 0.6)
    ]
    assert everything.match({"prediction": "a", "lineup": "hf:org/m@v9"}) is None
    assert told([everything.match({"prediction": "a", "lineup": "hf:org/m@v2"})]) == [
        ("a", "hf:org/m@v2", 0.4)
    ]
    assert v1.match({"prediction": "own", "lineup": ""}) is None


def test_the_newest_verdict_of_a_model_goes_with_its_release_before(path: Path) -> None:
    put(path, "own", "", 0.7)
    assert told_pairs(newest_pairs(scan(path))) == [
        (("a", "hf:org/m@v2", 0.4), ("a", "hf:org/m@v1", 0.6)),
        (None, ("b", "hf:org/m@v1", 0.2)),
        (("own", "", 0.3), ("own", "", 0.7)),
    ]
    # A model seen once is compared with the last other one while it is the newest.
    put(path, "a", "./release-3", 0.8)
    assert (("a", "hf:org/m@v1", 0.6), ("a", "./release-3", 0.8)) in told_pairs(
        newest_pairs(scan(path))
    )


def test_a_history_is_in_time_order_and_says_what_each_step_follows(path: Path) -> None:
    append(path, {"kind": "amend", "reason": "a slip", "prediction": "a"})
    append(path, {"kind": "amend", "reason": "elsewhere", "prediction": "b"})
    found = history(scan(path), "a")
    assert told(step.record for step in found.steps) == [
        ("a", "hf:org/m@v1", 0.1),
        ("a", "hf:org/m@v2", 0.4),
        ("a", "./runs/other.gguf", 0.5),
        ("a", "hf:org/m@v1", 0.6),
    ]
    assert [step.line for step in found.steps] == [1, 4, 5, 6]
    before = [step.since.before for step in found.steps]
    assert before[0] is None
    assert told(before[1:]) == [
        ("a", "hf:org/m@v1", 0.1),
        ("a", "hf:org/m@v2", 0.4),
        ("a", "hf:org/m@v2", 0.4),
    ]
    assert [step.since.change for step in found.steps][1:] == [Change.MOVED] * 3
    assert [(line, record["reason"]) for line, record in found.amendments] == [(7, "a slip")]
    assert (found.earlier, found.lineup) == (0, None)


def test_the_last_steps_are_those_of_the_whole_history(path: Path) -> None:
    index = scan(path)
    whole = history(index, "a").steps
    for last in range(1, 6):
        found = history(index, "a", last=last)
        assert found.steps == whole[-last:]
        assert found.earlier == max(0, 4 - last)


def test_a_history_may_be_of_one_lineup(path: Path) -> None:
    found = history(scan(path), "a", "hf:org/m@v1")
    assert [step.record["estimate"] for step in found.steps] == [0.1, 0.6]
    with pytest.raises(HistoryError, match=r"no verdict on 'a' with 'x'; line-ups: hf:org/m@v1"):
        history(scan(path), "a", "x")
    with pytest.raises(HistoryError, match="did you mean 'own'"):
        history(scan(path), "owned")


@pytest.mark.parametrize(
    ("lineup", "model"),
    [
        ("", ""),
        ("org/m@v1", "org/m"),
        ("hf:org/m@v1?dtype=bfloat16", "hf:org/m"),
        ("hf:org/m?trust-remote-code", "hf:org/m"),
        # Only a hub id has revisions.
        ("./runs/m@v1", "./runs/m@v1"),
        ("bundled:maia-1900", "bundled:maia-1900"),
    ],
)
def test_a_model_is_its_reference_without_revision_and_options(lineup: str, model: str) -> None:
    assert family(lineup) == model


def test_options_do_not_hide_a_model(path: Path) -> None:
    put(path, "a", "hf:org/m@v1?dtype=bfloat16", 0.9)
    expected = [("b", "hf:org/m@v1", 0.2), ("a", "hf:org/m@v1?dtype=bfloat16", 0.9)]
    for name in ("@v1", "m@v1", "org/m", "m"):
        assert told(side(path, name).records.values()) == expected
    assert told(side(path, "hf:org/m@v1?dtype=bfloat16").records.values()) == expected[1:]


def test_a_list_of_models_is_one_model_at_its_members_revisions(path: Path) -> None:
    old, new = "ladder:org/a@v1?dtype=bfloat16;org/b@v1", "ladder:org/a@v2;org/b@v2"
    assert family(old) == family(new) == "ladder:org/a;org/b"
    assert family("ladder:org/a@v1;org/c@v1") != family(old)
    put(path, "grown", old, 0.1)
    put(path, "grown", new, 0.2)
    found = told_pairs(newest_pairs(scan(path)))
    assert (("grown", old, 0.1), ("grown", new, 0.2)) in found
    assert told(side(path, short_name(old)).records.values()) == [("grown", old, 0.1)]
    assert ("grown", new, 0.2) in told(side(path, "@v2").records.values())
    with pytest.raises(SideError, match=f"line-ups there: {short_name(new)}, {short_name(old)}, "):
        side(path, "nobody-by-that-name")
