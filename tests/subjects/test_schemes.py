"""From a spec's line to handles, and from handles to nets."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects import compiled
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.recipes import recipe, training_cell
from pytest_mesa.subjects.schemes import PROGRAMS, handles, scheme, untrained_twin


def spec(**fields: Any) -> SubjectSpec:
    return SubjectSpec.model_validate(fields)


def test_seeds_are_subjects_of_their_own() -> None:
    given = handles(spec(recipe="knapsack-decoder", seeds=3))
    assert [h.label for h in given] == [f"knapsack-decoder seed {k}" for k in range(3)]
    assert [h.inputs[0] for h in given] == [
        training_cell(recipe("knapsack-decoder"), k) for k in range(3)
    ]
    written = handles(spec(compiled="prefix-dp", seeds=2, options={"items": 6}))
    assert [h.params["seed"] for h in written] == [0, 1]
    assert all(h.params["items"] == 6 and not h.inputs for h in written)


def test_an_untrained_net_needs_no_training() -> None:
    (given,) = handles(spec(recipe="knapsack-decoder", untrained=True))
    assert given.inputs == ()
    assert load(given.params, ()).label == "untrained"


def test_the_twin_of_a_trained_net_is_where_its_training_began() -> None:
    trained = handles(spec(recipe="knapsack-decoder", seeds=2))[1]
    twin = untrained_twin(trained)
    assert twin is not None
    assert twin.params["untrained"]["seed"] == 1
    same = handles(spec(recipe="knapsack-decoder", seeds=2, untrained=True))[1]
    assert load(twin.params, ()).weights_sha == load(same.params, ()).weights_sha
    assert untrained_twin(same) is None
    assert untrained_twin(handles(spec(compiled="prefix-dp"))[0]) is None


def test_a_released_slot_takes_the_reference_or_nothing() -> None:
    slot = spec(released=True)
    assert handles(slot) == ()
    (filled,) = handles(slot, "compiled:greedy-ratio")
    assert filled.params["name"] == "greedy-ratio"
    (named,) = handles(spec(ref="recipe:knapsack-greedy"))
    assert named.label == "knapsack-greedy seed 0"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"recipe": "oracle"}, "no recipe is called 'oracle'"),
        ({"recipe": "knapsack-decoder", "options": {"width": 3}}, "unknown subject option 'width'"),
        ({"compiled": "bellman"}, "no compiled net is called 'bellman'; there are prefix-dp"),
        ({"compiled": "prefix-dp", "options": {"items": "x"}}, "'items' must be int"),
        ({"compiled": "prefix-dp", "options": {"item": 6}}, "'item'; there are items"),
        ({"ref": "gpt2"}, "cannot load model 'gpt2': .* is written hf:NAME"),
        ({"ref": "recipe:"}, "cannot load model 'recipe:': nothing follows 'recipe:'"),
        ({"ref": "recipe:a b"}, "'a b' is no name of a recipe"),
        ({"ref": "bundled:smollm2-135m", "seeds": 2}, "takes neither seeds nor options"),
        ({"ref": "bundled:smollm2-135m", "options": {"x": 1}}, "takes neither seeds nor options"),
        ({"ref": "x/y?trust-remote-code"}, "no spec can have a model's own code run"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_runs(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SubjectError, match=message):
        handles(spec(**fields))


def test_the_names_known_to_plans_are_those_that_can_be_built() -> None:
    assert tuple(compiled.PROGRAMS) == PROGRAMS


def test_unknown_schemes_and_references() -> None:
    with pytest.raises(SubjectError, match="no subject scheme 'magic'; there are hf, gguf, lc0"):
        scheme("magic")
    with pytest.raises(SubjectError, match="no subject scheme 'bundle'; did you mean 'bundled'"):
        handles(spec(released=True), "bundle:x")


def test_planning_imports_no_torch() -> None:
    code = (
        "import sys, pytest_mesa.subjects.schemes, pytest_mesa.subjects.catalog\n"
        "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_another_packages_scheme_gets_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from pytest_mesa.subjects import schemes

    def theirs(spec: SubjectSpec) -> tuple[schemes.Handle, ...]:
        return (schemes.Handle(str(spec.ref), {"scheme": "zoo"}),)

    monkeypatch.setattr(
        EntryPoint, "load", lambda _self: schemes.Scheme("zoo", theirs, "zoo.nets:load")
    )
    point = EntryPoint("zoo", "zoo.nets:SCHEME", "pytest_mesa.subjects")
    monkeypatch.setattr(schemes, "entry_points", lambda group: [point])
    (by_ref,) = schemes.handles(SubjectSpec(ref="zoo:okapi"))
    (by_slot,) = schemes.handles(SubjectSpec(released=True), "zoo:okapi")
    assert by_ref.label == by_slot.label == "zoo:okapi"
