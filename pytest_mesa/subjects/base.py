"""A subject: a net, how to ask it, and the hash of its weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pytest_mesa.instruments.stream import Stream
from pytest_mesa.tasks.knapsack import tokens
from pytest_mesa.tasks.knapsack.instances import Instances

if TYPE_CHECKING:
    from jaxtyping import Float, Int

CHUNK = 2048


def weights_sha(module: nn.Module) -> str:
    """Hex SHA-256 over the parameters' names, shapes and bytes, in name order."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Answerer(Protocol):
    """Whatever answers knapsacks, however they are put to it: a net here, a model in words."""

    @property
    def weights_sha(self) -> str:
        """Hash of the weights."""

    def answer_logits(self, instances: Instances) -> Float[Tensor, "batch answer"]:
        """Logits of the answers 0, 1, …."""

    def answers(self, instances: Instances) -> Int[np.ndarray, " batch"]:
        """The most likely answer of each instance."""


@dataclass(eq=False)
class Subject:
    """A net that maps knapsack tokens to answers."""

    label: str
    module: nn.Module

    def __post_init__(self) -> None:
        self.module.eval()
        self.module.requires_grad_(False)

    @cached_property
    def stream(self) -> Stream:
        """The net's residual stream, checked on two instances.

        Raises:
            SiteError: reading or writing it does not mean what it should.
        """
        stream = Stream(self.module)
        probe = Instances(
            np.array([[1, 2, 3], [3, 1, 2]]), np.array([[2, 1, 3], [1, 3, 2]]), np.array([4, 5])
        )
        stream.check(tokens.encode(probe))
        return stream

    @cached_property
    def weights_sha(self) -> str:
        """Hash of the weights."""
        return weights_sha(self.module)

    def answer_logits(self, instances: Instances) -> Float[Tensor, "batch answer"]:
        """Logits of the answers 0, 1, … at the capacity token."""
        ids = tokens.encode(instances)
        with torch.no_grad():
            parts = [self.module(part)[:, -1, tokens.FIRST_ANSWER :] for part in ids.split(CHUNK)]
        return torch.cat(parts)

    def answers(self, instances: Instances) -> Int[np.ndarray, " batch"]:
        """The most likely answer of each instance."""
        return np.asarray(self.answer_logits(instances).argmax(-1).numpy())
