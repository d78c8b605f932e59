"""Which columns of which linear map are a head's query, key or value: found by what they do.

No names and no layouts: with two tokens, the outputs of a block's linear maps are replaced by
random numbers, and gradients of each head's output at either position tell the roles apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from pytest_mesa.instruments.attribution_graph import Port
from pytest_mesa.instruments.runner import Runner
from pytest_mesa.instruments.stream import SiteError

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

    from pytest_mesa.instruments.anatomy import Block, Heads

_NOISE = 1e-6  # of a map's largest gradient: softmax sums to one only up to rounding
# What attention scores are divided by, until every head shows all of its ports.
HEATS = (1.0, 1e2, 1e3, 1e4)
_SOFTMAX = (torch.softmax, functional.softmax, Tensor.softmax)
PORTS: tuple[Port, ...] = ("q", "k", "v", "gate")


@dataclass(frozen=True, slots=True)
class Columns:
    """One linear map's output columns that are one kind of port, reader by reader.

    ``heads[i]`` are the query heads that reader ``i`` serves.
    """

    module: nn.Module
    port: Port
    columns: Int[Tensor, "reader width"]
    heads: tuple[tuple[int, ...], ...]


Masks = dict[tuple[str, int, int], "Bool[Tensor, '2 2 column']"]


def find_columns(
    run: Runner,
    ids: Int[Tensor, "1 2"],
    blocks: Sequence[Block],
    candidates: Mapping[str, Sequence[nn.Module]],
) -> dict[str, list[Columns]]:
    """Each block's ports, by block name. ``candidates``: linear maps that may be involved.

    A saturated softmax hides queries and keys, as where norms of both make scores large. So
    scores are divided where some port is missing, with numbers drawn anew; where columns reach
    does not depend on how far, and what one draw has shown holds for all.

    Raises:
        SiteError: columns that heads share in part, or a head without query, key or value.
    """
    generator = torch.Generator().manual_seed(0)
    seen: Masks = {}

    def at(heat: float) -> dict[str, list[Columns]]:
        with _Heated(heat):
            modules = _look(run, ids, blocks, candidates, generator, seen)
        return {block.name: _ports(block, modules[block.name], seen) for block in blocks}

    *first, last = HEATS
    for heat in first:
        with suppress(SiteError):
            return at(heat)
    return at(last)


class _Heated(TorchFunctionMode):
    """Divides whatever a softmax is taken of."""

    def __init__(self, heat: float) -> None:
        super().__init__()
        self.heat = heat

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run a function of torch, a softmax or attention on divided scores."""
        del types
        given = dict(kwargs or {})
        if func in _SOFTMAX:
            args = (args[0] / self.heat, *args[1:]) if args else args
            if "input" in given:
                given["input"] = given["input"] / self.heat
        elif func is functional.scaled_dot_product_attention:
            query = args[0] if args else given["query"]
            scale = given.get("scale")
            given["scale"] = (query.shape[-1] ** -0.5 if scale is None else scale) / self.heat
        return func(*args, **given)


def _look(
    run: Runner,
    ids: Int[Tensor, "1 2"],
    blocks: Sequence[Block],
    candidates: Mapping[str, Sequence[nn.Module]],
    generator: torch.Generator,
    seen: Masks,
) -> dict[str, list[nn.Module]]:
    """Add what one draw shows to ``seen``; the maps that the run went through, block by block."""
    leaves: dict[nn.Module, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def replace(module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        drawn = torch.randn(output.shape, generator=generator).to(output).reshape(2, -1)
        # Far from zero and of opposite signs: the gradient of a query is the difference of two
        # keys, that of a key the query, and neither may vanish by chance.
        apart = (drawn.abs() + 1) / 4 * drawn[0].sign() * torch.tensor([[1.0], [-1.0]]).to(drawn)
        leaves[module] = apart.reshape(output.shape).requires_grad_()
        return leaves[module]

    def keep(name: str) -> Any:
        def record(_module: nn.Module, args: tuple[Any, ...]) -> None:
            outputs[name] = args[0].reshape(2, -1)

        return record

    # Fused kernels recompute the softmax and leave rounding where the gradient is zero.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), ExitStack() as stack:
        for block in blocks:
            for module in candidates[block.name]:
                stack.callback(module.register_forward_hook(replace).remove)
            hook = _heads(block).projection.register_forward_pre_hook(keep(block.name))
            stack.callback(hook.remove)
        run(ids)
        modules = {
            block.name: [module for module in candidates[block.name] if module in leaves]
            for block in blocks
        }
        for block in blocks:
            tensors = [leaves[module] for module in modules[block.name]]
            _reach(block, outputs[block.name], tensors, seen)
    return modules


def _reach(block: Block, output: Tensor, tensors: Sequence[Tensor], seen: Masks) -> None:
    """Where each map's columns reach each head's output: (output's, column's position)."""
    heads = _heads(block)
    for head in range(heads.count):
        columns = slice(head * heads.width, (head + 1) * heads.width)
        # A random weight to each coordinate, so that no two effects cancel.
        weights = torch.linspace(0.5, 1.5, heads.width).to(output)
        early, late = (
            torch.autograd.grad(
                (output[position, columns] * weights).sum(),
                tensors,
                retain_graph=True,
                allow_unused=True,
            )
            for position in (0, 1)
        )
        for place, leaf in enumerate(tensors):
            zero = torch.zeros_like(leaf)
            found = torch.stack(
                [
                    (zero if g is None else g).reshape(2, -1).abs()
                    for g in (early[place], late[place])
                ]
            )
            reached = found > _NOISE * found[1].max()
            key = (block.name, place, head)
            seen[key] = seen[key] | reached if key in seen else reached


def _ports(block: Block, modules: Sequence[nn.Module], seen: Masks) -> list[Columns]:
    """One block's ports."""
    found: dict[tuple[int, Port], dict[tuple[int, ...], list[int]]] = {}
    for head in range(_heads(block).count):
        for place in range(len(modules)):
            for port, mask in _roles(seen[block.name, place, head]).items():
                chosen = tuple(mask.nonzero().flatten().tolist())
                if chosen:
                    found.setdefault((place, port), {}).setdefault(chosen, []).append(head)
    _check(block, found)
    return [
        Columns(
            modules[place],
            port,
            torch.tensor(list(readers), device=_device(modules[place])),
            tuple(tuple(served) for served in readers.values()),
        )
        for (place, port), readers in sorted(found.items(), key=lambda item: item[0])
    ]


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _roles(reached: Bool[Tensor, "2 2 column"]) -> dict[Port, Bool[Tensor, " column"]]:
    """What a map's columns are to one head, by where they reach its output.

    At the first position a head sees itself alone, so only its value (and a gate) counts
    there. At the second, the first position's key and value count, and its own query.
    """
    alone, earlier, own = reached[0, 0], reached[1, 0], reached[1, 1]
    return {
        "q": ~alone & ~earlier & own,
        "k": ~alone & earlier,
        "v": alone & earlier,
        "gate": alone & ~earlier,
    }


def _check(
    block: Block, found: Mapping[tuple[int, Port], Mapping[tuple[int, ...], list[int]]]
) -> None:
    """Refuse what cannot be split into readers of equal width."""
    present = {port for _, port in found}
    for port in ("q", "k", "v"):
        served = sorted(
            h for (_, p), r in found.items() if p == port for hs in r.values() for h in hs
        )
        if served != list(range(_heads(block).count)):
            raise SiteError(
                f"{block.name}: found no linear map that is the {port} of every head "
                f"(found {', '.join(sorted(present)) or 'none'})"
            )
    for (_, port), readers in found.items():
        columns = [column for chosen in readers for column in chosen]
        if len(set(columns)) != len(columns) or len({len(chosen) for chosen in readers}) != 1:
            raise SiteError(f"{block.name}: heads share a part of their {port}")


def _heads(block: Block) -> Heads:
    if block.heads is None:
        raise SiteError(f"{block.name} has no known heads")
    return block.heads
