"""Pairs of clean and corrupted prompts, metrics on them, and the hooks that attribution sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.stream import SiteError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Change = Callable[[Tensor], Tensor | None]


class Metric(Protocol):
    """What is attributed: a number for each run, from the logits at its answer's position.

    ``rows`` says which pair each run belongs to: runs come in parts, and several to a pair.
    """

    def __call__(
        self, logits: Float[Tensor, "run vocabulary"], rows: Int[Tensor, " run"]
    ) -> Float[Tensor, " run"]: ...


@dataclass(frozen=True)
class Pairs:
    """Prompts and their corruptions, token by token.

    Args:
        clean: token ids.
        corrupt: as many in the same places; None where nothing is corrupted.
        mask: 0 where a row is padded; None without padding.
        answer: the position whose logits the metric reads; None for the last real token.
    """

    clean: Int[Tensor, "pair pos"]
    corrupt: Int[Tensor, "pair pos"] | None = None
    mask: Int[Tensor, "pair pos"] | None = None
    answer: Int[Tensor, " pair"] | None = None

    def __post_init__(self) -> None:
        rows = tuple(self.clean.shape)
        if len(rows) != 2 or not all(rows):
            raise SiteError(f"pairs need ids of shape (pair, pos), not {rows}")
        for name, other in (("corrupted prompts", self.corrupt), ("a mask", self.mask)):
            if other is not None and tuple(other.shape) != rows:
                raise SiteError(
                    f"{name} of shape {tuple(other.shape)} do not fit clean prompts of shape {rows}"
                )
        if self.answer is not None and not bool(
            ((self.answer >= 0) & (self.answer < rows[1])).all()
        ):
            raise SiteError(f"an answer's position is outside 0..{rows[1] - 1}")

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def answers(self) -> Int[Tensor, " pair"]:
        """The positions whose logits count."""
        if self.answer is not None:
            return self.answer
        length = self.clean.shape[1]
        if self.mask is None:
            return torch.full((len(self),), length - 1, device=self.clean.device)
        places = torch.arange(length, device=self.clean.device)
        return (places * self.mask.to(places)).argmax(1)

    def take(self, rows: Int[Tensor, " row"]) -> Pairs:
        """Some of the pairs."""
        return Pairs(
            self.clean[rows],
            None if self.corrupt is None else self.corrupt[rows],
            None if self.mask is None else self.mask[rows],
            self.answers[rows],
        )


def logit_difference(right: Int[Tensor, " pair"], wrong: Int[Tensor, " pair"]) -> Metric:
    """The logit of the right token less that of the wrong one."""

    def metric(logits: Tensor, rows: Tensor) -> Tensor:
        runs = torch.arange(len(rows), device=rows.device)
        return logits[runs, right[rows]] - logits[runs, wrong[rows]]

    return metric


def log_probability(right: Int[Tensor, " pair"]) -> Metric:
    """The right token's log-probability, in nats."""

    def metric(logits: Tensor, rows: Tensor) -> Tensor:
        return logits.float().log_softmax(-1).gather(1, right[rows][:, None])[:, 0]

    return metric


def measured(
    metric: Metric, logits: Float[Tensor, "run vocabulary"], rows: Int[Tensor, " run"]
) -> Float[Tensor, " run"]:
    """The metric's values.

    Raises:
        SiteError: they are not one number for each run.
    """
    values = metric(logits, rows)
    if values.shape != rows.shape:
        raise SiteError(
            f"a metric gives one number for each run, not {tuple(values.shape)} for {len(rows)}"
        )
    return values.float()


def on_input(module: nn.Module, change: Change) -> Callable[[], None]:
    """Show a module's first tensor, and replace it by what comes back; the remover."""

    def hook(
        _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        for place, value in enumerate(args):
            if isinstance(value, Tensor):
                new = change(value)
                return None if new is None else ((*args[:place], new, *args[place + 1 :]), kwargs)
        for key, value in kwargs.items():
            if isinstance(value, Tensor):
                new = change(value)
                return None if new is None else (args, kwargs | {key: new})
        raise SiteError(f"{type(module).__name__} is called without a tensor")

    return module.register_forward_pre_hook(hook, with_kwargs=True).remove


def on_output(module: nn.Module, change: Change) -> Callable[[], None]:
    """Show a module's output, and replace it by what comes back; the remover."""

    def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) else output
        new = change(first)
        if new is None:
            return None
        return (new, *output[1:]) if isinstance(output, tuple) else new

    return module.register_forward_hook(hook).remove


def with_gradient(gather: Callable[[Tensor], None]) -> Change:
    """Show a value's gradient, as the value is before any change in place."""

    def change(value: Tensor) -> None:
        value.register_hook(gather)

    return change


def with_own_gradient(gather: Callable[[Tensor], None]) -> Change:
    """Show the gradient that comes back through one user of a value alone."""

    def change(value: Tensor) -> Tensor:
        own = value.view_as(value)
        own.register_hook(gather)
        return own

    return change


@contextmanager
def for_inputs_only(module: nn.Module) -> Iterator[None]:
    """No gradients of weights and no dropout, for as long as the context lasts."""
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    training = [part for part in module.modules() if part.training]
    for weight in weights:
        weight.requires_grad_(False)
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
        for part in training:
            part.training = True
