"""The JSON Schema of a spec, for editors that complete and check while one types."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import reduce
from importlib.resources import files
from operator import or_
from typing import Any

from pydantic import Field, create_model
from pydantic.json_schema import GenerateJsonSchema

from pytest_mesa.registry.discovery import built_in
from pytest_mesa.registry.kinds import Kind
from pytest_mesa.registry.models import Prediction

FILE = "prediction.schema.json"
DIALECT = GenerateJsonSchema.schema_dialect


def prediction_schema(kinds: Iterable[Kind] | None = None) -> dict[str, Any]:
    """The schema (draft 2020-12) of a spec whose experiment is of one of the given kinds.

    Without kinds, those of this package. Rules between fields are the loader's alone.
    """
    params = tuple(kind.params for kind in (built_in() if kinds is None else kinds))
    info = Field(
        description=Prediction.model_fields["experiment"].description,
        discriminator="kind" if len(params) > 1 else None,
    )
    model = create_model(
        Prediction.__name__,
        __base__=Prediction,
        __doc__=Prediction.__doc__,
        experiment=(reduce(or_, params), info),
    )
    return {"$schema": DIALECT, **model.model_json_schema(schema_generator=_Generator)}


class _Generator(GenerateJsonSchema):
    """Without a title a field that only repeats its name, and with keys closed by pattern."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  (the base class names it)
        return False

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        out = super().dict_schema(schema)
        if "patternProperties" in out:
            out["additionalProperties"] = False
        return out


def schema_text(kinds: Iterable[Kind] | None = None) -> str:
    """The schema as the text of its file."""
    return json.dumps(prediction_schema(kinds), indent=2, ensure_ascii=False) + "\n"


def shipped_schema() -> str:
    """The text of the schema file that this package ships."""
    return files("pytest_mesa.registry").joinpath(FILE).read_text(encoding="utf-8")
