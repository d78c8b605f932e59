"""The JSON Schema: current, valid, and as strict as a schema can be."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.kinds import Kind
from pytest_mesa.registry.loader import load_text
from pytest_mesa.registry.nodes import parse
from pytest_mesa.registry.schema import prediction_schema, schema_text, shipped_schema
from pytest_mesa.registry.source import screened


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = prediction_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def as_json(text: str) -> Any:
    return json.loads(json.dumps(parse(screened(text, "x"))[0]))


def test_the_file_is_current() -> None:
    assert shipped_schema() == schema_text(), (
        "mesa schema > pytest_mesa/registry/prediction.schema.json"
    )


def test_the_dialect_is_named() -> None:
    assert prediction_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_good_specs_validate(
    validator: jsonschema.Draft202012Validator,
    spec: str,
    benchmark_module: Callable[[str], ModuleType],
) -> None:
    for text in (spec, *benchmark_module("yaml_mutants").CORPUS):
        validator.validate(as_json(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *[("title:", "titel:"), ("alpha: 0.05", "alpha: 0.5"), ("seeds: 5", "seeds: '5'")],
        *[("kind: causal-state", "kind: zzz"), ("kind: knapsack,", ""), ("[2, 3]", "[]")],
        *[("weights: [1, 5]", "weights: [1]"), ("untrained: true", "untrained: no")],
        *[("{compiled: prefix-dp}", "{}"), ("{compiled: prefix-dp}", "{compiled: a, recipe: b}")],
        *[("{below: 0.25}", "{}"), ("{below: 0.25}", "{below: 0.1, above: 0.2}")],
        *[("prediction: knapsack-no-dp", "prediction: No DP"), ("every", "most")],
    ],
)
def test_bad_specs_do_not(
    validator: jsonschema.Draft202012Validator, spec: str, old: str, new: str
) -> None:
    assert old in spec
    assert not validator.is_valid(as_json(spec.replace(old, new, 1)))


def test_whatever_loads_validates(
    validator: jsonschema.Draft202012Validator, benchmark_module: Callable[[str], ModuleType]
) -> None:
    mutants = benchmark_module("yaml_mutants")
    loaded = 0
    for number in range(600):
        text = mutants.structured(random.Random(number))
        try:
            load_text(text)
        except SpecErrors:
            continue
        loaded += 1
        validator.validate(as_json(text))
    assert loaded > 30


def test_another_packages_kind_joins(spec: str) -> None:
    class Params(BaseModel):
        kind: Literal["mine"]

    kind = Kind("mine", Params, "mine:STUDY")
    tree = yaml.safe_load(spec) | {"experiment": {"kind": "mine"}}
    jsonschema.validate(tree, prediction_schema([kind]))
    assert not jsonschema.Draft202012Validator(prediction_schema()).is_valid(tree)
