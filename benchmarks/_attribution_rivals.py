"""The rivals of the attribution benchmark: the same scores by other tools, in one order."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from _side_by_side import COUNTED, UnavailableError, smollm2, version
from torch import Tensor, nn

from pytest_mesa.instruments.attribution_parts import Wiring
from pytest_mesa.instruments.attribution_paths import path
from pytest_mesa.instruments.attribution_runs import Metric, Pairs, logit_difference
from pytest_mesa.instruments.attribution_wiring import wire
from pytest_mesa.instruments.dissect import dissect

PATHS = "MESA_EAP_REFERENCE"  # where processes find what --reference named
STEPS = 5
NAMES = ("Mary", "John", "Tom", "James", "Anna", "Paul", "Mark", "David", "Sarah", "Robert")
TEXT = "Then, on the way home from work, {a} and {b} went to the store. {s} gave a drink to"


@cache
def prompts() -> tuple[Pairs, Metric]:
    """Eight sentences in which one name, two thirds of the way, says who is given something."""
    _, tokenizer = smollm2()
    clean, corrupt, right, wrong = [], [], [], []
    for a, b in zip(NAMES[:8], NAMES[2:], strict=True):
        clean.append(tokenizer(TEXT.format(a=a, b=b, s=a)).input_ids)
        corrupt.append(tokenizer(TEXT.format(a=a, b=b, s=b)).input_ids)
        right.append(tokenizer(f" {b}").input_ids[0])
        wrong.append(tokenizer(f" {a}").input_ids[0])
    pairs = Pairs(torch.tensor(clean), torch.tensor(corrupt))
    return pairs, logit_difference(torch.tensor(right), torch.tensor(wrong))


def wired(model: nn.Module) -> Wiring:
    """The model taken apart."""
    example = prompts()[0].clean[:2]
    return wire(dissect(model, example), example)


def reference_edges(model: nn.Module) -> Callable[[], Tensor]:
    """The authors' EAP-IG, brought into this package's order of writers and readers."""
    paths = [path for path in os.environ.get(PATHS, "").split(os.pathsep) if path]
    if not paths:
        raise UnavailableError("not given: --reference DIR ...")
    sys.path[:0] = paths  # before a newer TransformerLens
    try:
        from eap import attribute as eap
        from eap.graph import Graph
        from transformer_lens import HookedTransformer, HookedTransformerConfig
        from transformer_lens.pretrained.weight_conversions import convert_llama_weights
    except ImportError as error:
        raise UnavailableError(f"not importable: {error}") from None
    wiring, (pairs, metric) = wired(model), prompts()
    c: Any = model.config
    config = HookedTransformerConfig(
        d_model=c.hidden_size,
        d_head=c.head_dim,
        n_heads=c.num_attention_heads,
        n_key_value_heads=c.num_key_value_heads,
        d_mlp=c.intermediate_size,
        n_layers=c.num_hidden_layers,
        n_ctx=256,
        d_vocab=c.vocab_size,
        eps=c.rms_norm_eps,
        act_fn=c.hidden_act,
        normalization_type="RMS",
        final_rms=True,
        gated_mlp=True,
        positional_embedding_type="rotary",
        rotary_adjacent_pairs=False,
        rotary_dim=c.head_dim,
        rotary_base=c.rope_parameters["rope_theta"],
        device="cpu",
        use_attn_result=True,
        use_split_qkv_input=True,
        use_hook_mlp_in=True,
        ungroup_grouped_query_attention=True,
    )
    net = HookedTransformer(config)
    net.load_state_dict(convert_llama_weights(model, config), strict=False)
    COUNTED.extend(block.mlp for block in net.blocks)
    eap.tokenize_plus = _ready_made

    def value(logits: Tensor, *_unused: object) -> Tensor:
        return metric(logits[:, -1], torch.arange(len(logits))).sum()

    def run() -> Tensor:
        graph = Graph.from_model(net)
        data = [(pairs.clean, pairs.corrupt, None)]
        eap.attribute(net, graph, data, value, "EAP-IG-inputs", ig_steps=STEPS, quiet=True)
        return _in_our_order(graph.scores, wiring, c.num_attention_heads)

    return run


def _ready_made(_model: object, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
    """In place of the reference's tokenisation: ids without padding."""
    return ids, torch.ones_like(ids), torch.full((len(ids),), ids.shape[1]), ids.shape[1]


def _in_our_order(scores: Tensor, wiring: Wiring, heads: int) -> Tensor:
    """The reference counts keys and values once a query head: they are summed over groups."""
    block, columns = 3 * heads + 1, []
    for reader in wiring.graph.readers:
        first = reader.layer * block
        if reader.port == "logits":
            places = [scores.shape[1] - 1]
        elif reader.port == "mlp":
            places = [first + 3 * heads]
        else:
            own = [wiring.graph.writers[writer].head for writer in reader.feeds]
            places = [first + "qkv".index(reader.port) * heads + head for head in own]
        columns.append(scores[:, places].sum(1))
    return torch.stack(columns, dim=1)


def _node_scores(
    run: Callable[[Tensor, Tensor | None], tuple[Tensor, list[Tensor]]], heads: int
) -> Tensor:
    """Node attribution by a tool whose ``run`` gives last logits, and the stream and writes.

    The best that a user can write: no gradients of weights, and all steps in one batch.
    """
    pairs, metric = prompts()
    count = len(pairs)
    with torch.no_grad():
        _, both = run(torch.cat([pairs.clean, pairs.corrupt]), None)
    clean, corrupt = both[0][:count], both[0][count:]
    points = torch.tensor(path(STEPS, "left").points)[:, None, None, None]
    start = (corrupt + points * (clean - corrupt)).flatten(0, 1).requires_grad_()
    logits, writes = run(pairs.clean.repeat(STEPS, 1), start)
    total = metric(logits, torch.arange(count).repeat(STEPS)).sum() / STEPS / count
    gradients = torch.autograd.grad(total, [start, *writes[1:]])
    scores: list[Tensor] = []
    for write, gradient in zip(both, gradients, strict=True):
        summed = gradient.reshape(STEPS, count, *write.shape[1:2], -1).sum(0)
        change = (write[count:] - write[:count]).reshape(summed.shape)
        product = (summed * change).sum((0, 1))
        scores.append(
            product.sum()[None] if len(scores) % 2 == 0 else product.reshape(heads, -1).sum(1)
        )
    return torch.cat(scores)


def lens_nodes(model: nn.Module) -> Callable[[], Tensor]:
    """TransformerLens' hooks, around a copy of the model: it changes what it is given."""
    version("transformer-lens")
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    c: Any = model.config
    own = copy.deepcopy(model)
    net = build_bridge_from_module(own, "LlamaForCausalLM", hf_config=c)
    net.requires_grad_(False)
    COUNTED.extend(net.blocks[layer].mlp for layer in range(c.num_hidden_layers))
    names = ["blocks.0.hook_in"]
    for layer in range(c.num_hidden_layers):
        names += [f"blocks.{layer}.attn.o.hook_in", f"blocks.{layer}.mlp.hook_out"]

    def run(ids: Tensor, start: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        seen: dict[str, Tensor] = {}

        def keep(value: Tensor, hook: Any) -> Tensor:
            seen[hook.name] = value if start is None or hook.name != names[0] else start
            return seen[hook.name]

        logits = net.run_with_hooks(ids, fwd_hooks=[(name, keep) for name in names])
        return logits[:, -1], [seen[name] for name in names]

    return lambda: _node_scores(run, c.num_attention_heads)


def nnsight_nodes(model: nn.Module) -> Callable[[], Tensor]:
    """nnsight's tracing of the model itself."""
    version("nnsight")
    from nnsight import NNsight

    net: Any = NNsight(model)
    layers, heads = len(net.model.layers), model.config.num_attention_heads

    def run(ids: Tensor, start: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        with net.trace(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False):
            if start is not None:
                net.model.layers[0].input = start
            kept = [net.model.layers[0].input.save()]
            for layer in range(layers):
                kept.append(net.model.layers[layer].self_attn.o_proj.input.save())
                kept.append(net.model.layers[layer].mlp.output.save())
            logits = net.lm_head.output[:, -1].save()
            kept = kept.save()
        return logits, kept

    return lambda: _node_scores(run, heads)
