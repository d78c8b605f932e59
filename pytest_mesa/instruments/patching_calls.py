"""How a decoder calls its blocks: what goes in, what comes out, what grows with the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from pytest_mesa.instruments.stream import SiteError, entering, stream_name, with_entering

if TYPE_CHECKING:
    from jaxtyping import Float

BlockForward = Callable[..., Any]
Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]


class Finished(Exception):  # noqa: N818
    """Raised behind the last block: what is read there is kept, nothing need be unembedded."""


class Calls:
    """What has been seen of the calls of each block."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        self._names = [stream_name(block) for block in blocks]
        self._forms: list[int | None] = [None] * len(blocks)  # a returned tuple's length
        self._times: list[list[int]] = [[] for _ in blocks]

    def stream(self, layer: int, args: Args, kwargs: Kwargs) -> Float[Tensor, "row pos d_model"]:
        """What enters this block."""
        return entering(args, kwargs, self._names[layer])

    def with_stream(
        self, layer: int, args: Args, kwargs: Kwargs, stream: Float[Tensor, "row pos d_model"]
    ) -> tuple[Args, dict[str, Any]]:
        """The block's arguments with another stream."""
        return with_entering(args, kwargs, stream, self._names[layer])

    def saw(self, layer: int, output: Any) -> None:
        """Keep in what form a block returns its stream."""
        self._forms[layer] = len(output) if isinstance(output, tuple | list) else None

    def output(self, layer: int, stream: Float[Tensor, "row pos d_model"]) -> Any:
        """A stream in the form in which this block returns it."""
        form = self._forms[layer]
        return stream if form is None else (stream, *[None] * (form - 1))

    def learn(self, layer: int, lengths: Sequence[Sequence[int]], rows: Sequence[int]) -> None:
        """Tell which arguments grow with the rows, from their `lengths` at two numbers of rows."""
        (few, many), (small, large) = lengths, rows
        self._times[layer] = [
            first // small if first % small == 0 and first * large == second * small else 0
            for first, second in zip(few, many, strict=True)
        ]

    def cut(self, layer: int, args: Args, kwargs: Kwargs, rows: int) -> tuple[Args, Kwargs]:
        """A block's arguments for the first ``rows`` rows.

        Raises:
            SiteError: it is called in another way than when it was learned.
        """
        leaves, spec = tree_flatten((args, kwargs))
        if len(leaves) != len(self._times[layer]):
            raise SiteError(f"block {layer} is called in different ways")
        cut = [
            leaf[: rows * times] if times and isinstance(leaf, Tensor) else leaf
            for leaf, times in zip(leaves, self._times[layer], strict=True)
        ]
        out: tuple[Args, Kwargs] = tree_unflatten(cut, spec)
        return out


def lengths(args: Args, kwargs: Kwargs) -> list[int]:
    """The first dimension of every tensor in a call's arguments; 0 for all else."""
    leaves, _ = tree_flatten((args, kwargs))
    return [len(leaf) if isinstance(leaf, Tensor) and leaf.ndim else 0 for leaf in leaves]


@contextmanager
def replaced(block: nn.Module, forward: BlockForward) -> Iterator[None]:
    """Another forward for a block, in place of its own or of what has wrapped it before."""
    own = block.__dict__.get("forward")
    block.forward = forward
    try:
        yield
    finally:
        if own is None:
            del block.forward
        else:
            block.forward = own
