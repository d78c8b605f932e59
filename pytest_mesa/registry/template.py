"""The text that a new prediction starts from."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from pytest_mesa.registry.models import Slug
from pytest_mesa.registry.scalars import ScalarError, plain

_TEXT = """\
prediction: {id}
title: Say the claim in one line                                # edit
claim: Say what is claimed, of which models, and on which task  # edit

subjects:
  - recipe: knapsack-decoder  # or compiled: NAME, ref: MODEL, released: true
    seeds: 5
competence: {{at_least: 0.9}}

experiment:
  kind: causal-state
  task: {{kind: knapsack}}
  algorithm: prefix-dp        # edit: whose state is looked for

controls:
  must_detect:
    - compiled: prefix-dp
  must_not_detect:
    - {{recipe: knapsack-decoder, untrained: true}}

verdict:
  estimand: interchange-accuracy
  predicted: {{below: 0.25}}    # edit: where the estimate lies if the claim holds
  refuted: {{above: 0.5}}       # edit: where it lies if the claim is wrong
"""


def new_prediction(name: str, schema: str | None = None) -> str:
    """A complete, loadable spec of that id, its five lines to edit marked.

    ``schema`` is the path or URL of the JSON Schema, for editors.

    Raises:
        ValueError: the id is not one; the message says what one looks like.
    """
    try:
        TypeAdapter(Slug).validate_python(name)
    except ValidationError:
        raise ValueError(
            f"'{name}' is no id: use a-z, 0-9 and single hyphens, at most 80 characters, "
            "as in knapsack-no-dp"
        ) from None
    head = f"# yaml-language-server: $schema={schema}\n" if schema else ""
    return head + _TEXT.format(id=name if _is_text(name) else f'"{name}"')


def _is_text(name: str) -> bool:
    try:
        return isinstance(plain(name), str)
    except ScalarError:
        return False
