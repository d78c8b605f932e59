"""Tokens: every instance has its own sequence, and what has no token is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from knapsack_strategies import batches

from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.tasks.knapsack import tokens
from pytest_mesa.tasks.knapsack.instances import Instances, draw
from pytest_mesa.tasks.knapsack.limits import beyond_tokens


def decode(ids: np.ndarray) -> Instances:
    """The instance that a token sequence stands for."""
    item = ids[:, 1:-1] - tokens.FIRST_ITEM
    return Instances(
        item // tokens.TOP_VALUE + 1,
        item % tokens.TOP_VALUE + 1,
        ids[:, -1] - tokens.FIRST_CAPACITY,
    )


@given(batches())
def test_tokens_say_all_of_an_instance(instances: Instances) -> None:
    ids = tokens.encode(instances).numpy()
    back = decode(ids)
    assert (back.weights == instances.weights).all()
    assert (back.values == instances.values).all()
    assert (back.capacity == instances.capacity).all()
    assert (ids[:, 0] == tokens.BOS).all()
    assert ids.shape[1] == tokens.answer_position(instances) + 1


def test_kinds_of_tokens_do_not_overlap() -> None:
    full = KnapsackTask(kind="knapsack", weights=(1, 7), values=(1, 7), capacity=(1, 15))
    ids = tokens.encode(draw(full, 5000, np.random.default_rng(0))).numpy()
    assert set(ids[:, 1:-1].ravel()) == set(range(tokens.FIRST_ITEM, tokens.FIRST_CAPACITY))
    assert ids[:, -1].max() == tokens.FIRST_ANSWER - 1
    assert tokens.VOCABULARY == tokens.FIRST_ANSWER + tokens.TOP_ANSWER + 1


@pytest.mark.parametrize(
    ("weight", "value", "capacity"), [(8, 1, 3), (0, 1, 3), (1, 8, 3), (1, 0, 3), (1, 1, 16)]
)
def test_numbers_without_a_token_are_refused(weight: int, value: int, capacity: int) -> None:
    instance = Instances(np.array([[1, weight]]), np.array([[value, 1]]), np.array([capacity]))
    with pytest.raises(tokens.EncodingError, match=r"weights 1\.\.7, values 1\.\.7"):
        tokens.encode(instance)


@pytest.mark.parametrize("field", ["weights", "values", "capacity"])
def test_a_task_without_tokens_is_known_before_it_is_drawn(field: str) -> None:
    top = {"weights": 7, "values": 7, "capacity": 15}[field]
    inside = KnapsackTask.model_validate({"kind": "knapsack", field: [1, top]})
    beyond = KnapsackTask.model_validate({"kind": "knapsack", field: [1, top + 1]})
    assert beyond_tokens(inside) is None
    assert (
        beyond_tokens(beyond) == f"{field} up to {top + 1}, but there are tokens only up to {top}"
    )
    tokens.encode(draw(inside, 200, np.random.default_rng(0)))
    with pytest.raises(tokens.EncodingError):
        tokens.encode(draw(beyond, 200, np.random.default_rng(0)))
