"""Ladders of released models: lists of references, and what is known before any is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects import ladders, model_ladders
from pytest_mesa.subjects.errors import SubjectError, UnsuitedError
from pytest_mesa.subjects.listed_references import called, can_be_listed, listed, members
from pytest_mesa.subjects.references import parse, revision_of, short_name, with_options
from pytest_mesa.subjects.schemes import handles

NAMES = st.sets(st.text("abc/@.-", min_size=1).filter(str.strip), min_size=1)
HUB = tuple(f"org/m{index}" for index in range(18))


def folder(path: Path, text: str = "{}") -> str:
    """A directory that passes for a saved model until it is loaded; ``text`` is its weights."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"n_embd": 4}))
    (path / "model.safetensors").write_text(text)
    return str(path)


@pytest.fixture
def saved(tmp_path: Path) -> list[str]:
    """As many directories as the smallest ladder takes, each with other weights."""
    return [folder(tmp_path / f"net-{index:02}", str(index)) for index in range(18)]


@given(NAMES)
def test_a_list_holds_what_was_put_into_it(names: set[str]) -> None:
    assert set(members(listed(names))) == names


@given(NAMES, NAMES, st.randoms())
def test_two_sets_share_no_name_and_one_set_has_one(
    one: set[str], other: set[str], random: st.DrawFn
) -> None:
    mixed = list(one)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert listed(mixed) == listed(one)
    assert short_name("ladder: " + " ; ".join([*mixed, ""])) == short_name(listed(one))
    assert (short_name(listed(one)) == short_name(listed(other))) == (one == other)
    assert called(listed(one)).startswith(f"{len(one)}-models-")


@pytest.mark.parametrize(
    "text", ["ladder:knapsack-fixed-steps", "ladder:./nets", "a;b", "ladder:;"]
)
def test_what_is_no_list_is_left_alone(text: str) -> None:
    assert members(text) == ()
    assert called(text) == text
    assert with_options("ladder:./nets", dtype="bfloat16") == "ladder:./nets"


def test_what_would_be_torn_or_nested_is_not_listed() -> None:
    told = {
        text: can_be_listed(text) for text in ("org/m", "./a;b", "ladder:./nets", "gguf:a.gguf")
    }
    assert told == {"org/m": True, "./a;b": False, "ladder:./nets": False, "gguf:a.gguf": True}


def test_options_of_the_command_line_reach_each_model_of_a_list() -> None:
    text = with_options("ladder:b/m?dtype=float16;knapsack:./n;a/m@v1", dtype="bfloat16")
    assert text == "ladder:a/m@v1?dtype=bfloat16;b/m?dtype=float16;knapsack:./n"
    assert with_options(text, dtype="float32") == text
    with pytest.raises(SubjectError, match="dtype 'int8' is none of"):
        with_options("ladder:a/m?dtype=int8;b/m")


def test_a_list_has_the_revision_that_all_of_it_has() -> None:
    assert revision_of("ladder:a/m@v1;b/m@v1?dtype=bfloat16") == "v1"
    assert revision_of("ladder:a/m@v1;b/m@v2") == revision_of("ladder:a/m@v1;b/m") == ""


def test_one_model_that_brings_code_makes_a_list_that_does() -> None:
    text = "ladder:a/m;b/m?trust-remote-code"
    assert parse(text).remote_code and not parse("ladder:a/m;b/m").remote_code
    with pytest.raises(SubjectError, match="no spec can have a model's own code run"):
        handles(SubjectSpec(ref=text))


def test_a_ladder_of_saved_nets_knows_each_by_its_bytes(saved: list[str]) -> None:
    reference = listed(f"knapsack:{each}" for each in reversed(saved))
    (handle,) = handles(SubjectSpec(released=True), reference)
    assert handle.label == f"ladder {short_name(reference)}"
    nets = model_ladders.models(handle)
    assert [net.label for net in nets] == [f"net-{index:02}" for index in range(18)]
    assert len({net.inputs[0].key for net in nets}) == 18
    assert all(
        net == handles(SubjectSpec(ref=f"knapsack:{path}"))[0]
        for net, path in zip(nets, saved, strict=True)
    )
    assert model_ladders.is_of_models(handle) and not model_ladders.reads_text(handle)
    with pytest.raises(SubjectError, match="many nets, not one"):
        ladders.no_net(handle.params, ())


def test_a_ladder_of_language_models_reads_text(saved: list[str]) -> None:
    (handle,) = handles(SubjectSpec(ref=listed(saved)))
    assert model_ladders.reads_text(handle)
    assert {net.params["scheme"] for net in model_ladders.models(handle)} == {"hf"}


def fewer() -> Iterator[tuple[tuple[str, ...], str]]:
    """Lists that can't be a ladder, and what is said of them."""
    for count, said in (
        (2, r"there are 2 models \(org/m0, org/m1\); a ladder takes 6 sizes and 3 models of each"),
        (17, r"org/m5 and 11 more\); a ladder takes 6 sizes"),
    ):
        yield HUB[:count], said
    yield (*HUB, "org/more", "org/most"), r"there are 20 models .* which so many can't be"
    yield (*HUB[1:], "ladder:./nets"), "ladder:./nets is a ladder itself"
    yield (*HUB[1:], "bundled:maia-1900"), "bundled:maia-1900 reads boards"
    yield (*HUB[1:], "lc0:./net.pb.gz"), "reads boards"
    yield (*HUB[1:], "scripted:exact"), "scripted:exact is no model that a ladder could hold"
    yield (*HUB[1:], "recipe:knapsack-decoder"), "hub ids, directories, .gguf files, bundled:NAME"
    yield (
        (*HUB[1:], "knapsack:./net"),
        "knapsack:./net reads the knapsack's own tokens, and org/m1, .* and 11 more read text",
    )


@pytest.mark.parametrize(("texts", "said"), list(fewer()))
def test_what_is_no_ladder_is_told_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pb.gz").write_bytes(b"")
    # The list as it is, since sorting would put some of them first.
    with pytest.raises(UnsuitedError, match=said):
        model_ladders.check("ladder:" + ";".join(texts))


@pytest.mark.parametrize("count", range(1, 61))
def test_as_many_models_are_taken_as_can_be_of_equal_sizes(count: int) -> None:
    """By trying every ladder that there could be."""
    could_be = any(sizes * seeds == count for sizes in range(6, 61) for seeds in range(3, 61))
    try:
        model_ladders.refuse_count([str(index) for index in range(count)])
    except UnsuitedError:
        taken = False
    else:
        taken = True
    assert taken is could_be


def test_a_model_stands_in_a_ladder_once(saved: list[str], tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match="names org/m3 more than once") as error:
        model_ladders.check("ladder:" + ";".join([*HUB, "org/m3"]))
    assert not isinstance(error.value, UnsuitedError)
    (tmp_path / "again").symlink_to(saved[4])
    twice = [*saved[1:], f"{tmp_path / 'again'}?dtype=bfloat16"]
    with pytest.raises(
        SubjectError, match=r"again\?dtype=bfloat16 and .*net-04 are the same model"
    ):
        handles(SubjectSpec(released=True), listed(twice))


def test_faults_of_a_list_are_told_as_those_of_one_model(saved: list[str]) -> None:
    with pytest.raises(SubjectError, match=r"there is no directory .*nowhere"):
        handles(SubjectSpec(released=True), listed([*saved[1:], "./nowhere"]))
    for more in ({"seeds": 2}, {"options": {"first-seed": 1}}):
        with pytest.raises(SubjectError, match="takes neither seeds nor options"):
            handles(SubjectSpec(ref=listed(saved), **more))
    with pytest.raises(SubjectError, match="a ladder is not untrained"):
        handles(SubjectSpec(ref=listed(saved), untrained=True))
