"""Run all patches of a sweep within a memory budget, and score what they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_mesa.instruments.anatomy import Anatomy
from pytest_mesa.instruments.patching_leg import Base
from pytest_mesa.instruments.patching_parts import Donor, Part
from pytest_mesa.instruments.patching_relay import Relay
from pytest_mesa.instruments.patching_rows import (
    EVERY_TRICK,
    EVERYWHERE,
    Locations,
    Rows,
    Tricks,
    batches,
)
from pytest_mesa.instruments.stream import SiteError, tolerance

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Metric = Callable[["Float[Tensor, 'batch vocabulary']"], "Float[Tensor, ' batch']"]

DEFAULT_MEMORY = 256 * 2**20
# How many tokens a block computes in the time that calling it and reading its weights takes.
STEP = {"cpu": 24, "cuda": 2048, "mps": 1024}


@dataclass(frozen=True, slots=True)
class Task:
    """One sweep: what is patched where, from which run into which."""

    net: Anatomy
    base: Int[Tensor, "batch pos"]
    donor: Int[Tensor, "batch pos"]
    mask: Int[Tensor, "batch pos"]
    part: Part
    locations: Locations
    memory: int = DEFAULT_MEMORY
    tricks: Tricks = EVERY_TRICK


def run(task: Task, metric: Metric) -> Float[Tensor, "batch location"]:
    """Patch each location in turn into each prompt; the metric of each patched run.

    Raises:
        SiteError: the net can't be run from the middle, or the metric does not give a number
            for each prompt.
    """
    relay = Relay(task.net)
    with torch.no_grad():
        finals, plain, touched = [], [], torch.zeros(len(task.locations), dtype=torch.bool)
        for part in _prompt_groups(task):
            group = replace(
                task, base=task.base[part], donor=task.donor[part], mask=task.mask[part]
            )
            final, patched, slots = _patched(relay, group)
            touched[slots] = True
            finals.append(final)
            plain.append(patched)
        together = torch.cat(finals)
        patched_finals = torch.cat(plain, dim=1)
        return _scores(relay, task, metric, together, patched_finals, touched)


def _prompt_groups(task: Task) -> list[slice]:
    """Prompts whose base and donor runs fit together into half of the budget."""
    length = task.base.shape[1]
    kept = len(task.net.blocks) * length * task.net.d_model * _itemsize(task.net)
    size = max(1, task.memory // 2 // (4 * kept))
    return [slice(at, at + size) for at in range(0, len(task.base), size)]


def _patched(relay: Relay, task: Task) -> tuple[Tensor, Tensor, Tensor]:
    """What is read behind the last block: unpatched, ``(batch, d_model)``, and by location.

    The third is the slots of the locations at which anything was run.
    """
    base, tricks = prepared(relay, task)
    donor = relay.donate(task.donor, task.mask, task.part, sorted(set(task.locations.layers)))
    if task.part is Part.HEADS:
        heads = task.net.blocks[task.locations.layers[0]].heads
        donor = replace(donor, heads=heads.count if heads else 1)
    final = base.final[None].repeat(len(task.locations), 1, 1)
    rows = needed(task, base, donor, tricks)
    for batch in batches(
        rows,
        task.base.shape[1],
        relay.layers,
        _tokens(task),
        STEP.get(task.base.device.type, STEP["cuda"]),
        tricks,
    ):
        out = relay.run(base, batch, donor, tricks)
        slot, prompt = batch.rows.slot.to(final.device), batch.rows.prompt.to(final.device)
        final[slot, prompt] = out.to(final.device)
    return base.final, final, rows.slot


def prepared(relay: Relay, task: Task) -> tuple[Base, Tricks]:
    """The base run, and those of the tricks with which this net stays exact.

    Each is tried on patches of the base run with itself, which must change nothing.

    Raises:
        SiteError: not even whole runs can be patched.
    """
    tricks = task.tricks
    mixes = any(block.mixer is not None for block in task.net.blocks)
    if not task.net.causal:
        tricks = replace(tricks, later_positions=False, shared_prefix=False)
    if mixes or not relay.caches:
        tricks = replace(tricks, later_positions=False)
    base = relay.record(task.base, task.mask, cached=tricks.later_positions)
    _check_tail(relay, base)
    if base.cache is None:
        tricks = replace(tricks, later_positions=False)
    choices = [tricks, replace(tricks, last_mlp=False)]
    choices += [replace(choice, later_positions=False) for choice in choices]
    choices += [replace(choices[-1], start_at_layer=False)]
    wrong = ""
    for choice in dict.fromkeys(choices):
        fitting = base if choice.later_positions else replace(base, cache=None)
        wrong = _wrong(relay, fitting, choice)
        if not wrong:
            return fitting, choice
    raise SiteError(wrong)


def _wrong(relay: Relay, base: Base, tricks: Tricks) -> str:
    """What is wrong with patching the base run with itself; nothing if it stays as it is."""
    prompt = int(base.read.argmax())
    layers = sorted({0, relay.layers // 2, relay.layers - 1})
    position = int(base.read[prompt]) // 2
    rows = replace(
        Locations(layers, positions=[position]).rows(1),
        prompt=torch.full((len(layers),), prompt),
    )
    donor = Donor(Part.RESIDUAL, dict(enumerate(base.streams)))
    try:
        relay.learn(base)
        out = [
            relay.run(base, batch, donor, tricks)
            for batch in batches(rows, base.ids.shape[1], relay.layers, 2**20, 2**20, tricks)
        ]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # Whatever a module raises when it is run in a way that its authors did not foresee.
        return f"the net can't be run from the middle: {type(error).__name__}: {error}"
    final = base.final[prompt]
    gap = float((torch.cat(out) - final).abs().max() / (final.abs().max() + 1e-30))
    if gap <= tolerance(final):
        return ""
    return f"patching a run with itself changes it (by {gap:.1e} of the stream)"


def _check_tail(relay: Relay, base: Base) -> None:
    """What follows the blocks works position by position, so that one can be read alone.

    Raises:
        SiteError: it doesn't.
    """
    whole = relay.logits(base.streams[-1][0])[base.read[0]]
    alone = relay.logits(base.final[:1])[0]
    gap = float((whole - alone).abs().max() / (whole.abs().max() + 1e-30))
    if not gap <= tolerance(alone):
        raise SiteError(f"the logits at a position depend on other positions (by {gap:.1e})")


def needed(task: Task, base: Base, donor: Donor, tricks: Tricks) -> Rows:
    """The patched runs that can differ from the base run, and from which position on."""
    rows = task.locations.rows(len(task.base))
    everywhere = rows.position == EVERYWHERE
    read = base.read.cpu()
    differ = ((task.base != task.donor) & task.mask.bool()).cpu()
    length = task.base.shape[1]
    first = torch.where(differ.any(1), differ.int().argmax(1), length)
    keep = torch.ones(len(rows), dtype=torch.bool)
    if tricks.shared_prefix:
        rows = replace(rows, first=torch.where(everywhere, first[rows.prompt], rows.first))
        keep &= rows.first >= first[rows.prompt]
    if tricks.later_positions or tricks.shared_prefix:
        keep &= rows.first <= read[rows.prompt]
    if task.part is Part.RESIDUAL and tricks.shared_prefix:
        same = {
            layer: (values == base.streams[layer]).all(-1).cpu()
            for layer, values in donor.values.items()
        }
        table = torch.stack([same[layer] for layer in sorted(same)])
        index = torch.searchsorted(torch.tensor(sorted(same)), rows.layer.contiguous())
        keep &= ~table[index, rows.prompt, rows.position]
    return rows.take(keep.nonzero()[:, 0])


def _scores(
    relay: Relay,
    task: Task,
    metric: Metric,
    plain: Float[Tensor, "batch d_model"],
    finals: Float[Tensor, "location batch d_model"],
    touched: Tensor,
) -> Float[Tensor, "batch location"]:
    """The metric at each location: the unpatched run's where nothing was run."""
    logits = relay.logits(plain)
    prompts = len(plain)
    unpatched = _measured(metric, logits, prompts)
    scores = unpatched[:, None].repeat(1, len(finals))
    slots = touched.nonzero()[:, 0]
    if not len(slots):
        return scores
    per_location = prompts * logits.shape[-1] * logits.element_size()
    size = max(1, task.memory // 4 // per_location)
    for some in slots.split(size):
        patched = relay.logits(finals[some.to(finals.device)].flatten(0, 1))
        for slot, of_location in zip(some.tolist(), patched.split(prompts), strict=True):
            scores[:, slot] = _measured(metric, of_location, prompts)
    return scores


def _measured(metric: Metric, logits: Tensor, prompts: int) -> Tensor:
    value = metric(logits)
    if not isinstance(value, Tensor) or value.shape != (prompts,):
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise SiteError(
            f"the metric must map logits ({prompts}, vocabulary) to ({prompts},), not {shape}"
        )
    return value


def _itemsize(net: Anatomy) -> int:
    parameter = next(net.module.parameters(), None)
    return 4 if parameter is None else parameter.element_size()


def _tokens(task: Task) -> int:
    """How many tokens' intermediate results fit into half of the budget.

    A block's widths are at most its weights' numbers over the stream's width; the stream
    itself is held a few times.
    """
    weights = max(
        sum(p.numel() for p in block.module.parameters() if p.ndim > 1) for block in task.net.blocks
    )
    width = weights // task.net.d_model + 8 * task.net.d_model
    return max(1, task.memory // 2 // (width * _itemsize(task.net)))


def checked_mask(clean: Tensor, corrupted: Tensor, mask: Tensor | None) -> Tensor:
    """The mask, all ones where none is given.

    Raises:
        SiteError: prompts of different shapes, or one without a token.
    """
    if clean.ndim != 2 or clean.shape != corrupted.shape or not clean.numel():
        raise SiteError(
            "clean and corrupted prompts must be (batch, pos) of the same shape, not "
            f"{tuple(clean.shape)} and {tuple(corrupted.shape)}"
        )
    if mask is None:
        return torch.ones_like(clean)
    if mask.shape != clean.shape:
        raise SiteError(f"the mask is {tuple(mask.shape)}, the prompts {tuple(clean.shape)}")
    if not bool(mask.any(1).all()):
        raise SiteError("a prompt has no token that its mask keeps")
    return mask.to(clean)


def chosen(what: str, wanted: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """The layers, positions or heads to sweep: all of ``count``, or those wanted.

    Raises:
        SiteError: one of them does not exist.
    """
    if wanted is None:
        return tuple(range(count))
    for number in wanted:
        if not 0 <= number < count:
            raise SiteError(f"{what} {number} is outside 0..{count - 1}")
    return tuple(wanted)
