"""Knapsacks as token sequences: ``BOS item … item capacity``, answered at the capacity.

One token an item (a weight and a value together), one a capacity, one an answer. The tables
are larger than the default task, so that instances outside training need no new token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pytest_mesa.tasks.knapsack.instances import Instances
from pytest_mesa.tasks.knapsack.limits import TOP_ANSWER as TOP_ANSWER
from pytest_mesa.tasks.knapsack.limits import TOP_CAPACITY as TOP_CAPACITY
from pytest_mesa.tasks.knapsack.limits import TOP_VALUE as TOP_VALUE
from pytest_mesa.tasks.knapsack.limits import TOP_WEIGHT as TOP_WEIGHT

if TYPE_CHECKING:
    from jaxtyping import Int

BOS = 0
FIRST_ITEM = 1
FIRST_CAPACITY = FIRST_ITEM + TOP_WEIGHT * TOP_VALUE
FIRST_ANSWER = FIRST_CAPACITY + TOP_CAPACITY + 1
VOCABULARY = FIRST_ANSWER + TOP_ANSWER + 1


class EncodingError(ValueError):
    """An instance that the token tables cannot express."""


def encode(instances: Instances) -> Int[Tensor, "batch pos"]:
    """Token ids; item ``i`` (from 1) stands at position ``i``, the capacity last.

    Raises:
        EncodingError: a weight, value or capacity beyond the tables.
    """
    inside = (
        instances.weights.min(initial=1) >= 1
        and instances.weights.max(initial=1) <= TOP_WEIGHT
        and instances.values.min(initial=1) >= 1
        and instances.values.max(initial=1) <= TOP_VALUE
        and instances.capacity.min(initial=0) >= 0
        and instances.capacity.max(initial=0) <= TOP_CAPACITY
    )
    if not inside:
        raise EncodingError(
            f"the token tables hold weights 1..{TOP_WEIGHT}, values 1..{TOP_VALUE} and "
            f"capacities 0..{TOP_CAPACITY}"
        )
    item = FIRST_ITEM + (instances.weights - 1) * TOP_VALUE + (instances.values - 1)
    bos = np.full((len(instances), 1), BOS)
    capacity = (FIRST_CAPACITY + instances.capacity)[:, None]
    return torch.from_numpy(np.concatenate([bos, item, capacity], axis=1).astype(np.int64))


def answer_position(instances: Instances) -> int:
    """The position whose prediction is the answer."""
    return instances.items + 1
