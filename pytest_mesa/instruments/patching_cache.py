"""Keys and values of a base run, kept so that patched runs can start in the middle of a text.

Every block keeps all positions, those with a sliding window too: transformers then lays the
window over the full length, so continuing from any position equals the whole run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class RecordedLayer(CacheLayerMixin):
    """One block's keys and values, as the base run computes them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # transformers leaves it untyped

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[Float[Tensor, "batch head pos width"], Float[Tensor, "batch head pos width"]]:
        """Keep a block's keys and values; hand them back unchanged."""
        self.keys, self.values = key_states, value_states
        return key_states, value_states

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to prepare."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Number of keys, and the position of the first."""
        return query_length, 0

    def get_seq_length(self) -> int:
        """Number of positions before the run's own: none."""
        return 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1


class ContinuedLayer(RecordedLayer):
    """One block's keys and values before ``start`` from the base run, the rest from this run."""

    def __init__(self, base: RecordedLayer, start: int, prompts: Int[Tensor, " row"]) -> None:
        super().__init__()
        self.base, self.start, self.prompts = base, start, prompts

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[Float[Tensor, "row head pos width"], Float[Tensor, "row head pos width"]]:
        """The base run's keys and values of these rows' prompts, then the rows' own."""
        if self.base.keys is None or self.base.values is None:
            raise RuntimeError("a block reads keys that the base run did not write")
        return self._after(self.base.keys, key_states), self._after(self.base.values, value_states)

    def _after(self, base: Tensor, own: Tensor) -> Tensor:
        if not self.start:
            return own
        rows = len(own)
        past = base[:, :, : self.start]
        if len(base) == 1:
            past = past.expand(rows, -1, -1, -1)
        else:
            past = past.index_select(0, self.prompts[:rows].to(base.device))
        return torch.cat([past, own], dim=-2)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Number of keys, and the position of the first."""
        return self.start + query_length, 0

    def get_seq_length(self) -> int:
        """Number of positions before the run's own."""
        return self.start


class RecordingCache(Cache):
    """A cache that keeps what a run writes, for `continued` to build on."""

    def __init__(self, layers: int) -> None:
        self.recorded = [RecordedLayer() for _ in range(layers)]
        super().__init__(layers=list(self.recorded))

    @property
    def complete(self) -> bool:
        """Whether every block wrote keys."""
        return all(layer.keys is not None for layer in self.recorded)

    def continued(self, start: int, prompts: Int[Tensor, " row"]) -> Cache:
        """A cache for runs of ``prompts`` whose first own position is ``start``."""
        return Cache(layers=[ContinuedLayer(layer, start, prompts) for layer in self.recorded])
