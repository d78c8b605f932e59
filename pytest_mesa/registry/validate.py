"""From a spec's plain values to a `Prediction`, by the model of its experiment's kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from pytest_mesa.registry.canonical import canonical
from pytest_mesa.registry.discovery import KindError, described, find_kind, kind_names
from pytest_mesa.registry.errors import SpecError, SpecErrors, did_you_mean
from pytest_mesa.registry.models import Prediction
from pytest_mesa.registry.nodes import Node, Value
from pytest_mesa.registry.source import Source
from pytest_mesa.registry.wording import spec_errors


def validated(data: Mapping[str, Value], root: Node, source: Source) -> Prediction:
    """The prediction that a mapping describes; its experiment is the kind's own model.

    Raises:
        SpecErrors: every key and value that does not fit.
    """
    experiment, errors = _experiment(data, root, source)
    whole = {**data, "experiment": experiment}
    prediction, more = _checked(Prediction, whole, root, source)
    if "experiment" not in data:
        more.append(source.error("the key 'experiment' is missing", *root.name))
    if errors or more:
        raise SpecErrors(errors + more)
    if not isinstance(prediction, Prediction):
        raise TypeError("a spec without errors is a Prediction")
    return prediction


def _experiment(
    data: Mapping[str, Value], root: Node, source: Source
) -> tuple[BaseModel | None, list[SpecError]]:
    """The parameters of the spec's experiment, by the model of its kind."""
    if "experiment" not in data:
        return None, []
    params, node = data["experiment"], root.children["experiment"]
    if not isinstance(params, dict):
        message = "expected a mapping with the key 'kind'"
        return None, [source.error(message, node.line, node.col, _known(kind_names()))]
    if "kind" not in params:
        message = "the experiment's key 'kind' is missing"
        return None, [source.error(message, *node.name, _known(kind_names()))]
    name, at = params["kind"], node.children["kind"]
    if not isinstance(name, str):
        message = "expected the name of an experiment kind"
        return None, [source.error(message, at.line, at.col, _known(kind_names()))]
    try:
        kind = find_kind(name)
    except KindError as error:
        hint = _known(error.known) if error.unknown else "reinstall or remove that package"
        if nearest := did_you_mean(name, error.known):
            hint = f"{nearest} ({hint})" if error.unknown else hint
        return None, [source.error(str(error), at.line, at.col, hint)]
    return _checked(kind.params, params, node, source, as_json=True)


def _checked(
    model: type[Any], data: Value, node: Node, source: Source, *, as_json: bool = False
) -> tuple[Any, list[SpecError]]:
    """Validate strictly: YAML's own types decide, so that "no" is never False and "5" never 5.

    ``as_json`` lets a sequence be whatever the model says, a list, a tuple or a set: the models
    of other packages can't be expected to use tuples only. It also sorts the keys of mappings,
    so that an order that the spec's hash does not see can't change the experiment.
    """
    try:
        if as_json:
            return model.model_validate_json(canonical(data), strict=True), []
        return model.model_validate(data, strict=True), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, spec_errors(details, model, data, node, source)
    except Exception as error:  # an installed package's own checks may fail in any way
        message = f"its check failed with {described(error)}"
        return None, [source.error(message, *node.name)]


def _known(names: tuple[str, ...]) -> str:
    return f"known kinds: {', '.join(names)}"
