"""The hash of a spec: what it says counts, how it is written does not."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.registry.canonical import canonical, spec_sha
from pytest_mesa.registry.loader import load_text


def sha(text: str) -> str:
    return load_text(text).sha


def test_the_hash_is_of_every_field_in_canonical_form(spec: str) -> None:
    loaded = load_text(spec)
    dump = loaded.prediction.model_dump(mode="json")
    assert dump["seed"] == 0  # a default that the spec does not write
    assert dump["experiment"]["search"]["rank"] == 10
    encoded = json.dumps(dump, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert loaded.sha == hashlib.sha256(encoded.encode()).hexdigest()


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_style_and_comments_do_not_count(rng: random.Random) -> None:
    from sound_spec import SPEC

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: shuffled(value[k]) for k in rng.sample(list(value), len(value))}
        return [shuffled(part) for part in value] if isinstance(value, list) else value

    tree = shuffled(yaml.safe_load(SPEC))
    style = rng.choice((True, False, None))
    text = "# a comment\n" + yaml.safe_dump(tree, sort_keys=False, default_flow_style=style)
    assert sha(text) == sha(SPEC)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *[("alpha: 0.05", "alpha: 5e-2"), ("budget: 4000", "budget: 0xfa0")],
        *[("  quantifier: every\n", ""), ("below: 0.25", "below: .25")],
        *[("seeds: 5", "seeds: 0o5"), ("untrained: true", "untrained: TRUE")],
        ("tags: [knapsack]", "tags: [knapsack]\nseed: 0"),
    ],
)
def test_spelling_and_written_defaults_do_not_count(spec: str, old: str, new: str) -> None:
    assert sha(spec.replace(old, new)) == sha(spec)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *[("alpha: 0.05", "alpha: 0.051"), ("seeds: 5", "seeds: 6"), ("items: 5", "items: 6")],
        *[("width: 64", "width: 64.0"), ("width: 64", "width: '64'"), ("[2, 3]", "[3, 2]")],
        *[("do not rediscover", "don't rediscover"), ("below: 0.25", "below: 0.2500001")],
        *[
            ("untrained: true", "untrained: false"),
            ("tags: [knapsack]", "tags: [knapsack]\nseed: 1"),
        ],
    ],
)
def test_every_change_of_meaning_counts(spec: str, old: str, new: str) -> None:
    assert sha(spec.replace(old, new)) != sha(spec)


def test_the_hash_is_of_the_prediction_alone(spec: str) -> None:
    loaded = load_text(spec, "anywhere.yaml")
    assert spec_sha(loaded.prediction) == loaded.sha


def test_an_order_that_the_hash_does_not_see_cannot_matter(
    benchmark_module: Callable[[str], ModuleType],
) -> None:
    text = benchmark_module("yaml_mutants").GENERALISATION
    lines = text.splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.startswith("    items:"))
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    one, other = load_text(text), load_text("".join(lines))
    assert one.sha == other.sha
    assert list(one.prediction.experiment.axes) == list(other.prediction.experiment.axes)


def test_canonical_form() -> None:
    assert (
        canonical({"b": [1, 2.5, None, True], "a": "é"})
        == '{"a":"é","b":[1,2.5,null,true]}'.encode()
    )


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": -float("inf")}])
def test_canonical_form_has_no_nan(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(value)
