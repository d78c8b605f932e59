"""Which columns of which linear map are a head's query, key or value: found by what they do.

No names and no layouts: with two tokens, the outputs of a block's linear maps are replaced by
random numbers, and gradients of each head's output at either position tell the roles apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pytest_mesa.instruments.attribution_graph import Port
from pytest_mesa.instruments.runner import Runner
from pytest_mesa.instruments.stream import SiteError

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

    from pytest_mesa.instruments.anatomy import Block, Heads

_NOISE = 1e-6  # of a map's largest gradient: softmax sums to one only up to rounding
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


def find_columns(
    run: Runner,
    ids: Int[Tensor, "1 2"],
    blocks: Sequence[Block],
    candidates: Mapping[str, Sequence[nn.Module]],
) -> dict[str, list[Columns]]:
    """Each block's ports, by block name. ``candidates``: linear maps that may be involved.

    Raises:
        SiteError: columns that heads share in part, or a head without query, key or value.
    """
    leaves: dict[nn.Module, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(0)

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
        return {
            block.name: _ports(block, outputs[block.name], leaves, candidates[block.name])
            for block in blocks
        }


def _ports(
    block: Block,
    output: Tensor,
    leaves: Mapping[nn.Module, Tensor],
    candidates: Sequence[nn.Module],
) -> list[Columns]:
    """One block's ports."""
    heads = _heads(block)
    modules = [module for module in candidates if module in leaves]
    tensors = [leaves[module] for module in modules]
    found: dict[tuple[int, Port], dict[tuple[int, ...], list[int]]] = {}
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
            for port, mask in _roles(leaf, early[place], late[place]).items():
                chosen = tuple(mask.nonzero().flatten().tolist())
                if chosen:
                    found.setdefault((place, port), {}).setdefault(chosen, []).append(head)
    _check(block, found)
    return [
        Columns(
            modules[place],
            port,
            torch.tensor(list(readers), device=output.device),
            tuple(tuple(served) for served in readers.values()),
        )
        for (place, port), readers in sorted(found.items(), key=lambda item: item[0])
    ]


def _roles(
    leaf: Tensor, early: Tensor | None, late: Tensor | None
) -> dict[Port, Bool[Tensor, " column"]]:
    """What a map's columns are to one head, by where they reach its output.

    At the first position a head sees itself alone, so only its value (and a gate) counts
    there. At the second, the first position's key and value count, and its own query.
    """
    zero = torch.zeros_like(leaf)
    found = [(zero if g is None else g).reshape(2, -1).abs() for g in (early, late)]
    first, second = (gradient > _NOISE * found[1].max() for gradient in found)
    alone, earlier, own = first[0], second[0], second[1]
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
