"""Activation patching: what becomes of a metric if one activation comes from another run?

Every sweep patches one location at a time from a donor run into a base run and gives the
metric of each patched run. Results equal one forward a location; how little is computed for
them, `patching_rows.Tricks` lists. Source of the method: Vig et al. 2020; Meng et al. 2022,
section 2 (causal traces); Wang et al. 2022, section 3 (heads).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from pytest_mesa.instruments.anatomy import Anatomy
from pytest_mesa.instruments.patching_parts import Part
from pytest_mesa.instruments.patching_relay import Relay
from pytest_mesa.instruments.patching_rows import EVERY_TRICK, Locations, Tricks
from pytest_mesa.instruments.patching_sweep import (
    DEFAULT_MEMORY,
    Metric,
    Task,
    checked_mask,
    chosen,
    run,
)
from pytest_mesa.instruments.stream import SiteError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Direction = Literal["denoise", "noise"]  # clean into corrupted, or corrupted into clean


def sweep_residual(
    net: Anatomy,
    clean: Int[Tensor, "batch pos"],
    corrupted: Int[Tensor, "batch pos"],
    metric: Metric,
    *,
    mask: Int[Tensor, "batch pos"] | None = None,
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    direction: Direction = "denoise",
    memory: int = DEFAULT_MEMORY,
    tricks: Tricks = EVERY_TRICK,
) -> Float[Tensor, "batch layer pos"]:
    """Patch the residual stream as it enters each block, at each position.

    Args:
        net: a decoder taken apart.
        clean: prompts.
        corrupted: their counterparts, token by token.
        metric: maps the logits at each prompt's last token to one number a prompt.
        mask: 0 where prompts are padded, the same for both.
        layers: which blocks' entries (all); the number of blocks stands for what leaves the last.
        positions: which positions (all).
        direction: which of the two runs is patched into the other.
        memory: bytes that a sweep may use beside the net; one run is the least.
        tricks: what may be left out.

    Raises:
        SiteError: no such layer or position, or the net can't be run from the middle.
    """
    places = tuple(range(len(net.blocks))) if layers is None else layers
    locations = Locations(
        chosen("layer", places, len(net.blocks) + 1),
        positions=chosen("position", positions, clean.shape[1]),
    )
    task = _task(net, clean, corrupted, mask, direction, Part.RESIDUAL, locations)
    scores = run(replace(task, memory=memory, tricks=tricks), metric)
    return scores.view(len(clean), len(locations.layers), len(locations.positions))


def sweep_attention(
    net: Anatomy,
    clean: Int[Tensor, "batch pos"],
    corrupted: Int[Tensor, "batch pos"],
    metric: Metric,
    *,
    mask: Int[Tensor, "batch pos"] | None = None,
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    direction: Direction = "denoise",
    memory: int = DEFAULT_MEMORY,
    tricks: Tricks = EVERY_TRICK,
) -> Float[Tensor, "batch layer pos"]:
    """Patch what each block's attention writes to the stream, at each position.

    Arguments as in `sweep_residual`; ``layers``: by default those with attention.

    Raises:
        SiteError: no such layer, position or attention, or the net can't be run from the middle.
    """
    locations = _write_locations(net, Part.ATTENTION, layers, positions, clean.shape[1])
    task = _task(net, clean, corrupted, mask, direction, Part.ATTENTION, locations)
    scores = run(replace(task, memory=memory, tricks=tricks), metric)
    return scores.view(len(clean), len(locations.layers), len(locations.positions))


def sweep_mlp(
    net: Anatomy,
    clean: Int[Tensor, "batch pos"],
    corrupted: Int[Tensor, "batch pos"],
    metric: Metric,
    *,
    mask: Int[Tensor, "batch pos"] | None = None,
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    direction: Direction = "denoise",
    memory: int = DEFAULT_MEMORY,
    tricks: Tricks = EVERY_TRICK,
) -> Float[Tensor, "batch layer pos"]:
    """Patch what each block's MLP writes to the stream, at each position.

    Arguments as in `sweep_residual`; ``layers``: by default those with an MLP.

    Raises:
        SiteError: no such layer, position or MLP, or the net can't be run from the middle.
    """
    locations = _write_locations(net, Part.MLP, layers, positions, clean.shape[1])
    task = _task(net, clean, corrupted, mask, direction, Part.MLP, locations)
    scores = run(replace(task, memory=memory, tricks=tricks), metric)
    return scores.view(len(clean), len(locations.layers), len(locations.positions))


def sweep_heads(
    net: Anatomy,
    clean: Int[Tensor, "batch pos"],
    corrupted: Int[Tensor, "batch pos"],
    metric: Metric,
    *,
    mask: Int[Tensor, "batch pos"] | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    direction: Direction = "denoise",
    memory: int = DEFAULT_MEMORY,
    tricks: Tricks = EVERY_TRICK,
) -> Float[Tensor, "batch layer head"]:
    """Patch the output of each head, before the output projection, at all positions together.

    Arguments as in `sweep_residual`; ``layers``: by default those with heads.

    Raises:
        SiteError: no such layer or head, or the net can't be run from the middle.
    """
    places = _with_part(net, Part.HEADS, layers)
    locations = Locations(places, chosen("head", heads, _head_count(net, places)))
    task = _task(net, clean, corrupted, mask, direction, Part.HEADS, locations)
    scores = run(replace(task, memory=memory, tricks=tricks), metric)
    return scores.view(len(clean), len(places), len(locations.heads))


def sweep_heads_by_position(
    net: Anatomy,
    clean: Int[Tensor, "batch pos"],
    corrupted: Int[Tensor, "batch pos"],
    metric: Metric,
    *,
    mask: Int[Tensor, "batch pos"] | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    direction: Direction = "denoise",
    memory: int = DEFAULT_MEMORY,
    tricks: Tricks = EVERY_TRICK,
) -> Float[Tensor, "batch layer head pos"]:
    """Patch the output of each head, before the output projection, at each position.

    Arguments as in `sweep_residual`; ``layers``: by default those with heads.

    Raises:
        SiteError: no such layer, head or position, or the net can't be run from the middle.
    """
    places = _with_part(net, Part.HEADS, layers)
    locations = Locations(
        places,
        chosen("head", heads, _head_count(net, places)),
        chosen("position", positions, clean.shape[1]),
    )
    task = _task(net, clean, corrupted, mask, direction, Part.HEADS, locations)
    scores = run(replace(task, memory=memory, tricks=tricks), metric)
    return scores.view(len(clean), len(places), len(locations.heads), len(locations.positions))


def capture_residuals(
    net: Anatomy, ids: Int[Tensor, "batch pos"], mask: Int[Tensor, "batch pos"] | None = None
) -> list[Float[Tensor, "batch pos d_model"]]:
    """What enters each block, and what leaves the last; nothing is unembedded.

    Raises:
        SiteError: a prompt has no token.
    """
    relay = Relay(net)
    return list(relay.record(ids, checked_mask(ids, ids, mask), cached=False).streams)


def _task(
    net: Anatomy,
    clean: Tensor,
    corrupted: Tensor,
    mask: Tensor | None,
    direction: Direction,
    part: Part,
    locations: Locations,
) -> Task:
    real = checked_mask(clean, corrupted, mask)
    if net.module.training:
        raise SiteError("the net is in training mode; call its eval() first")
    base, donor = (corrupted, clean) if direction == "denoise" else (clean, corrupted)
    return Task(net, base, donor, real, part, locations)


def _write_locations(
    net: Anatomy,
    part: Part,
    layers: Sequence[int] | None,
    positions: Sequence[int] | None,
    length: int,
) -> Locations:
    return Locations(_with_part(net, part, layers), positions=chosen("position", positions, length))


def _with_part(net: Anatomy, part: Part, layers: Sequence[int] | None) -> tuple[int, ...]:
    """The layers wanted, all with this part; by default every layer that has it."""
    having = [layer for layer, block in enumerate(net.blocks) if part.module(block) is not None]
    wanted = chosen("layer", layers if layers is not None else having, len(net.blocks))
    missing = sorted(set(wanted) - set(having))
    if missing or not wanted:
        where = f"layer {missing[0]}" if missing else "this net"
        raise SiteError(f"no {part} was found in {where}; name the parts when taking it apart")
    return wanted


def _head_count(net: Anatomy, layers: Sequence[int]) -> int:
    counts = {heads.count for layer in layers if (heads := net.blocks[layer].heads)}
    if len(counts) != 1:
        raise SiteError(f"layers have different numbers of heads, {sorted(counts)}; sweep each")
    return counts.pop()
