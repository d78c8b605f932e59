"""Patching sweeps as users of TransformerLens, nnsight and pyvene would write them at their best.

Each sweep maps (model, pair, layers) to an operation whose result is ``(layer, pos)`` or
``(layer, head)``. *One by one* is each tool's documented way; *batched* makes every location of
a layer a row of one forward; further modes use what else the tool offers.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from _side_by_side import UnavailableError, version
from torch import Tensor, nn

Operation = Callable[[], Tensor]
Sweep = Callable[[nn.Module, "Pair", Sequence[int]], Operation]


@dataclass(frozen=True)
class Pair:
    """A prompt, its counterpart, and the two tokens between which the net decides.

    Attributes:
        clean: ``(1, pos)``, the donor.
        corrupted: the same shape, the base.
        right, wrong: the metric is the difference of their logits at the last token.
    """

    clean: Tensor
    corrupted: Tensor
    right: int
    wrong: int
    tokenizer: Any

    @property
    def length(self) -> int:
        return self.clean.shape[1]

    def metric(self, logits: Tensor) -> Tensor:
        """``(row, vocabulary)`` → ``(row,)``."""
        return logits[:, self.right] - logits[:, self.wrong]

    def rows(self, count: int) -> tuple[Tensor, Tensor]:
        """The base, repeated, and a mask."""
        ids = self.corrupted.repeat(count, 1)
        return ids, torch.ones_like(ids)


def twin(model: nn.Module) -> nn.Module:
    """Other modules around the same weights, for tools that change modules for good."""
    with torch.device("meta"):
        other = type(model)(model.config)
    other.load_state_dict(model.state_dict(), assign=True, strict=False)
    other.tie_weights()
    for (name, buffer), (_, empty) in zip(
        model.named_buffers(), other.named_buffers(), strict=True
    ):
        if empty.is_meta:
            owner, _, leaf = name.rpartition(".")
            other.get_submodule(owner).register_buffer(leaf, buffer, persistent=False)
    return other.eval().requires_grad_(False)


# TransformerLens


def lens_bridge(model: nn.Module, pair: Pair) -> Any:
    """TransformerLens around the same weights, none of them processed."""
    version("transformer-lens")
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformer_lens.model_bridge import TransformerBridge

        return TransformerBridge.boot_transformers(
            "HuggingFaceTB/SmolLM2-135M", hf_model=twin(model), tokenizer=pair.tokenizer
        )


def lens_residual(model: nn.Module, pair: Pair, layers: Sequence[int], *, mode: str) -> Operation:
    """``mode``: batched, or from-layer (batched, with ``start_at_layer``)."""
    bridge = lens_bridge(model, pair)
    names = [f"blocks.{layer}.hook_in" for layer in layers]

    def run() -> Tensor:
        with torch.inference_mode():
            kept = (*names, "hook_embed")
            _, clean = bridge.run_with_cache(pair.clean, names_filter=lambda name: name in kept)
            _, base = bridge.run_with_cache(pair.corrupted, names_filter=lambda name: name in kept)
            ids, _ = pair.rows(pair.length)
            places = torch.arange(pair.length)
            scores = []
            for name, layer in zip(names, layers, strict=True):

                def put(stream: Tensor, hook: Any, name: str = name) -> Tensor:  # noqa: ARG001
                    stream = stream.clone()
                    stream[places, places] = clean[name][0]
                    return stream

                if mode == "from-layer":
                    start = base[name].repeat(pair.length, 1, 1)
                    start[places, places] = clean[name][0]
                    logits = bridge(start, start_at_layer=layer, logits_to_keep=1)
                else:
                    logits = bridge.run_with_hooks(ids, fwd_hooks=[(name, put)], logits_to_keep=1)
                scores.append(pair.metric(logits[:, -1]))
            return torch.stack(scores)

    return run


def lens_residual_one_by_one(model: nn.Module, pair: Pair, layers: Sequence[int]) -> Operation:
    """Its own ``generic_activation_patch``."""
    bridge = lens_bridge(model, pair)
    import pandas
    from transformer_lens import patching

    index = pandas.DataFrame(
        [(layer, place) for layer in layers for place in range(pair.length)],
        columns=["layer", "pos"],
    )

    def run() -> Tensor:
        with torch.inference_mode(), contextlib.redirect_stderr(io.StringIO()):
            _, clean = bridge.run_with_cache(pair.clean)
            scores = patching.generic_activation_patch(
                bridge,
                pair.corrupted,
                clean,
                lambda logits: pair.metric(logits[:, -1])[0],
                patching.layer_pos_patch_setter,
                "resid_pre",
                index_df=index,
            )
        return scores.view(len(layers), -1)

    return run


def lens_heads(model: nn.Module, pair: Pair, layers: Sequence[int]) -> Operation:
    """Every head of a layer is a row."""
    bridge = lens_bridge(model, pair)
    names = [f"blocks.{layer}.attn.hook_z" for layer in layers]
    count = model.config.num_attention_heads

    def run() -> Tensor:
        with torch.inference_mode():
            _, clean = bridge.run_with_cache(pair.clean, names_filter=lambda name: name in names)
            ids, _ = pair.rows(count)
            heads = torch.arange(count)
            scores = []
            for name in names:

                def put(z: Tensor, hook: Any, name: str = name) -> Tensor:  # noqa: ARG001
                    z = z.clone()
                    held = z.view(*z.shape[:2], count, -1)
                    source = clean[name].reshape(*clean[name].shape[:2], count, -1)
                    held[heads, :, heads] = source[0].transpose(0, 1)
                    return z

                logits = bridge.run_with_hooks(ids, fwd_hooks=[(name, put)], logits_to_keep=1)
                scores.append(pair.metric(logits[:, -1]))
            return torch.stack(scores)

    return run


def lens_capture(model: nn.Module, pair: Pair, layers: Sequence[int]) -> Operation:
    bridge = lens_bridge(model, pair)
    names = [f"blocks.{layer}.hook_in" for layer in layers]

    def run() -> Tensor:
        with torch.inference_mode():
            _, held = bridge.run_with_cache(
                pair.clean, names_filter=lambda name: name in names, logits_to_keep=1
            )
            return torch.stack([held[name][0] for name in names])

    return run


# nnsight


def sight(model: nn.Module) -> tuple[Any, Callable[[Any], Any]]:
    """nnsight around the model, and its function that keeps values."""
    version("nnsight")
    import nnsight

    return nnsight.NNsight(model), nnsight.save


def sight_residual(model: nn.Module, pair: Pair, layers: Sequence[int], *, mode: str) -> Operation:
    """``mode``: one-by-one, batched, or skipping (batched, lower blocks not run)."""
    net, save = sight(model)
    rows = pair.length
    ids, mask = pair.rows(rows)
    places = torch.arange(rows)
    extra = {"use_cache": False, "logits_to_keep": 1}

    def kept(prompt: Tensor) -> list[Tensor]:
        one = {"attention_mask": torch.ones_like(prompt), **extra}
        with net.trace(prompt, **one):
            held = save([net.model.layers[layer].input for layer in layers])
        return held  # noqa: RET504 (nnsight hands out what a trace assigns)

    def batched(layer: int, clean: Tensor) -> Tensor:
        with net.trace(ids, attention_mask=mask, **extra):
            stream = net.model.layers[layer].input.clone()
            stream[places, places] = clean[0]
            net.model.layers[layer].input = stream
            out = net.lm_head.output[:, -1].save()
        return pair.metric(out)

    def skipping(layer: int, clean: Tensor, base: Tensor) -> Tensor:
        start = base.repeat(rows, 1, 1)
        start[places, places] = clean[0]
        with net.trace(ids, attention_mask=mask, **extra):
            for below in range(layer):
                net.model.layers[below].skip(start)
            net.model.layers[layer].input = start
            out = net.lm_head.output[:, -1].save()
        return pair.metric(out)

    def one_by_one(layer: int, clean: Tensor) -> Tensor:
        out = []
        for place in range(rows):
            with net.trace(pair.corrupted, attention_mask=mask[:1], **extra):
                stream = net.model.layers[layer].input.clone()
                stream[:, place] = clean[:, place]
                net.model.layers[layer].input = stream
                logits = net.lm_head.output[:, -1].save()
            out.append(pair.metric(logits))
        return torch.cat(out)

    def run() -> Tensor:
        with torch.inference_mode():
            clean = kept(pair.clean)
            base = kept(pair.corrupted) if mode == "skipping" else clean
            ways = {"batched": batched, "one-by-one": one_by_one}
            return torch.stack(
                [
                    skipping(layer, donor, own) if mode == "skipping" else ways[mode](layer, donor)
                    for layer, donor, own in zip(layers, clean, base, strict=True)
                ]
            )

    return run


def sight_heads(model: nn.Module, pair: Pair, layers: Sequence[int], *, mode: str) -> Operation:
    """``mode``: batched, or skipping."""
    net, save = sight(model)
    count = model.config.num_attention_heads
    ids, mask = pair.rows(count)
    heads = torch.arange(count)
    extra = {"use_cache": False, "logits_to_keep": 1}

    def run() -> Tensor:
        with torch.inference_mode():
            one = {"attention_mask": mask[:1], **extra}
            with net.trace(pair.clean, **one):
                clean = save([net.model.layers[i].self_attn.o_proj.input for i in layers])
            with net.trace(pair.corrupted, **one):
                base = save([net.model.layers[i].input for i in layers])
            scores = []
            for layer, donor, own in zip(layers, clean, base, strict=True):
                source = donor.view(pair.length, count, -1).transpose(0, 1)
                start = own.repeat(count, 1, 1)
                with net.trace(ids, attention_mask=mask, **extra):
                    if mode == "skipping":
                        for below in range(layer):
                            net.model.layers[below].skip(start)
                    z = net.model.layers[layer].self_attn.o_proj.input.clone()
                    z.view(count, pair.length, count, -1)[heads, :, heads] = source
                    net.model.layers[layer].self_attn.o_proj.input = z
                    out = net.lm_head.output[:, -1].save()
                scores.append(pair.metric(out))
            return torch.stack(scores)

    return run


def sight_capture(model: nn.Module, pair: Pair, layers: Sequence[int]) -> Operation:
    net, save = sight(model)
    mask = torch.ones_like(pair.clean)

    def run() -> Tensor:
        with torch.inference_mode():
            with net.trace(pair.clean, attention_mask=mask, use_cache=False, logits_to_keep=1):
                held = save([net.model.layers[layer].input for layer in layers])
            return torch.stack([stream[0] for stream in held])

    return run


# pyvene


def vene(model: nn.Module, layer: int, component: str, unit: str) -> Any:
    version("pyvene")
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyvene

        # Its tables know classes by identity: the model's own class is among them.
        return pyvene.IntervenableModel(
            pyvene.IntervenableConfig(
                [pyvene.RepresentationConfig(layer, component, unit)],
                intervention_types=pyvene.VanillaIntervention,
            ),
            model=model,
        )


def vene_residual(model: nn.Module, pair: Pair, layers: Sequence[int], *, mode: str) -> Operation:
    """``mode``: one-by-one, or batched."""
    nets = [vene(model, layer, "block_input", "pos") for layer in layers]
    rows = pair.length if mode == "batched" else 1
    ids, mask = pair.rows(rows)
    sources = pair.clean.repeat(rows, 1)

    def run() -> Tensor:
        scores = []
        with torch.inference_mode():
            for net in nets:
                for at in range(0, pair.length, rows):
                    places = [[[at + row] for row in range(rows)]]
                    _, out = net(
                        {"input_ids": ids, "attention_mask": mask},
                        [{"input_ids": sources, "attention_mask": mask}],
                        {"sources->base": (places, places)},
                    )
                    scores.append(pair.metric(out.logits[:, -1]))
        return torch.cat(scores).view(len(layers), -1)

    return run


def available(sweep: Callable[..., Operation], **options: str) -> Sweep:
    """A sweep whose tool, where it can't be imported, is reported as missing."""

    def prepare(model: nn.Module, pair: Pair, layers: Sequence[int]) -> Operation:
        try:
            return sweep(model, pair, layers, **options)
        except ImportError as error:
            where = sys.prefix
            raise UnavailableError(f"can't be imported in {where}: {error}") from error

    return prepare


RESIDUAL: dict[str, dict[str, Sweep]] = {
    "TransformerLens": {
        "one by one": available(lens_residual_one_by_one),
        "batched": available(partial(lens_residual, mode="batched")),
        "batched, start_at_layer": available(partial(lens_residual, mode="from-layer")),
    },
    "nnsight": {
        "one by one": available(partial(sight_residual, mode="one-by-one")),
        "batched": available(partial(sight_residual, mode="batched")),
        "batched, skipping": available(partial(sight_residual, mode="skipping")),
    },
    "pyvene": {
        "one by one": available(partial(vene_residual, mode="one-by-one")),
        "batched": available(partial(vene_residual, mode="batched")),
    },
}
HEADS: dict[str, dict[str, Sweep]] = {
    "TransformerLens": {"batched": available(lens_heads)},
    "nnsight": {
        "batched": available(partial(sight_heads, mode="batched")),
        "batched, skipping": available(partial(sight_heads, mode="skipping")),
    },
}
CAPTURE: dict[str, dict[str, Sweep]] = {
    "TransformerLens": {"names_filter": available(lens_capture)},
    "nnsight": {"one trace": available(sight_capture)},
}
