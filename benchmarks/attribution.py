"""Node and edge attribution on SmolLM2, side by side with TransformerLens, nnsight and EAP-IG.

One set of weights, the same prompts, integrated gradients with 5 steps. Outputs agree to 1e-4 of
the largest score before anything is timed. Edges are compared with their authors' own code
(Hanna et al. 2024, on TransformerLens 3), which is on no package index: name the directories
that it and its TransformerLens are imported from; without them, that row says so. Further rows
leave out one of this package's tricks each, so the table says what each contributes.

    python benchmarks/attribution.py [--reference DIR ...] [--only edges|nodes] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
from _attribution_rivals import (
    PATHS,
    STEPS,
    lens_nodes,
    nnsight_nodes,
    prompts,
    reference_edges,
    wired,
)
from _side_by_side import (
    Contender,
    arguments,
    by_name,
    fastest,
    heading,
    measure,
    report_alone,
    smollm2,
    table,
)
from torch import Tensor, nn

from pytest_mesa.instruments import attribution, attribution_edges, attribution_writes
from pytest_mesa.instruments.attribution_edges import by_step, collect_edges
from pytest_mesa.instruments.attribution_paths import Path, path
from pytest_mesa.instruments.attribution_prefix import shares
from pytest_mesa.instruments.attribution_runs import answered, for_inputs_only, on_output

OURS = "pytest-mesa"
EAP = "EAP-IG, its authors' code"


def our_edges(tokens: int, model: nn.Module) -> Callable[[], Tensor]:
    """This package's edge scores, so many tokens in a pass."""
    wiring, (pairs, metric) = wired(model), prompts()

    def run() -> Tensor:
        along = path(STEPS, "left")
        found = attribution.edge_attribution(wiring, pairs, metric, along, tokens)
        return torch.from_numpy(found.scores)

    return run


def without(
    change: Callable[[], Any],
    model: nn.Module,
    of: Callable[[nn.Module], Callable[[], Tensor]] | None = None,
) -> Callable[[], Tensor]:
    """This package's scores (edges' but for ``of``) with one trick taken away by ``change``."""
    run = of(model) if of else our_edges(attribution.TOKENS, model)

    def changed() -> Tensor:
        with change():
            return run()

    return changed


@contextmanager
def from_the_start() -> Iterator[None]:
    """Every run starts at the first position, whether prompts differ there or not."""
    with mock.patch.object(attribution, "shares", partial(shares, prefix=False)):
        yield


@contextmanager
def all_logits() -> Iterator[None]:
    """Logits are computed at all positions, of which the answers' are taken."""

    def at_answers(module: nn.Module, answers: Tensor) -> Callable[[], None]:
        return on_output(module, lambda logits: answered(logits, answers)[:, None])

    with (
        mock.patch.object(attribution, "at_answers", at_answers),
        mock.patch.object(attribution_writes, "at_answers", at_answers),
    ):
        yield


@contextmanager
def weights_too() -> Iterator[None]:
    """Backward passes give the weights' gradients as well, as a plain ``backward`` does."""
    plain = torch.autograd.backward

    @contextmanager
    def for_all(module: nn.Module) -> Iterator[None]:
        module.requires_grad_(True)
        try:
            yield
        finally:
            module.requires_grad_(False).zero_grad()

    with (
        mock.patch.object(attribution, "for_inputs_only", for_all),
        mock.patch.object(torch.autograd, "backward", lambda total, inputs: plain(total)),  # noqa: ARG005
    ):
        yield


@contextmanager
def vectors_first() -> Iterator[None]:
    """Every reader's gradient is spelled out at every step before the steps are summed."""

    def before_norm(
        self: Any, read: Any, _output: Tensor, gradient: Tensor, normed: tuple[Tensor, Tensor]
    ) -> Tensor:
        matrix, _ = read.matrix()
        hat, scale = normed
        got = by_step(gradient, self.steps)[..., read.columns.columns]
        behind = torch.einsum("snrk,rkd->srnd", got, matrix) * self.part.norm.gain
        hat, scale = hat[:, None], scale[:, None]
        along = (behind * hat).mean(-1, keepdim=True)
        total: Tensor = ((behind - hat * along) * scale).sum(0)
        return total

    with mock.patch.object(attribution_edges._AttentionTap, "_before_norm", before_norm):
        yield


def step_by_step(model: nn.Module) -> Callable[[], Tensor]:
    """One pass a step, whose gradients meet the writers at once: no sum over steps before."""
    wiring, (pairs, metric) = wired(model), prompts()

    def run() -> Tensor:
        along, graph = path(STEPS, "left"), wiring.graph
        total = torch.zeros(len(graph.writers), len(graph.readers))
        with for_inputs_only(model):
            for share in shares(wiring, pairs, 1, attribution.TOKENS):
                change, both = attribution_writes.differences(wiring, share.pairs, share.run)
                spelled = attribution_writes.spelled_out(wiring, change)
                for point, weight in zip(along.points, along.weights, strict=True):
                    taps = collect_edges(wiring, spelled, share.pairs.answers, 1, total)
                    one = Path((point,), (weight,))
                    attribution._backward(wiring, share, metric, both, one, taps)
        return total / len(pairs)

    return run


def our_nodes(model: nn.Module) -> Callable[[], Tensor]:
    """This package's node scores."""
    wiring, (pairs, metric) = wired(model), prompts()

    def run() -> Tensor:
        found = attribution.node_attribution(wiring, pairs, metric, path(STEPS, "left"))
        return torch.from_numpy(found.scores)

    return run


CONTENDERS = {
    "edges": [
        Contender(OURS, partial(our_edges, attribution.TOKENS), ours=True),
        Contender(EAP, reference_edges),
        Contender("ours, the whole batch in one pass", partial(our_edges, 1 << 30)),
        Contender("ours, every run from the first token", partial(without, from_the_start)),
        Contender("ours, one pass a step", step_by_step),
        Contender(
            "ours, readers' vectors before the sum over steps",
            partial(without, vectors_first),
        ),
        Contender("ours, logits at all positions", partial(without, all_logits)),
        Contender("ours, weights' gradients too", partial(without, weights_too)),
    ],
    "nodes": [
        Contender(OURS, our_nodes, ours=True),
        Contender(
            "ours, every run from the first token",
            partial(without, from_the_start, of=our_nodes),
        ),
        Contender("TransformerLens", lens_nodes),
        Contender("nnsight", nnsight_nodes),
    ],
}


def training_step(model: nn.Module) -> Callable[[], Tensor]:
    """Forward and backward of the clean prompts with all weights' gradients, for memory."""
    pairs, metric = prompts()

    def run() -> Tensor:
        model.requires_grad_(True)
        logits = model(input_ids=pairs.clean, use_cache=False).logits[:, -1]
        metric(logits, torch.arange(len(pairs))).sum().backward()
        return logits

    return run


MEMORY_ONLY = Contender("a training step on the same batch", training_step)


def one_op(op: str, options: argparse.Namespace) -> None:
    """Measure one operation and print its table."""
    model, _ = smollm2()
    pairs, _ = prompts()
    results = measure(
        CONTENDERS[op],
        model,
        options.rounds,
        script="" if options.no_memory else __file__,
        op=op,
    )
    batch = " × ".join(map(str, pairs.clean.shape))
    print(f"\n### {op}: SmolLM2-135M in float32, {batch} tokens, {STEPS} steps")
    print(heading(("torch", "transformers", "transformer-lens", "nnsight")))
    print(table(results, OURS))
    rivals = [c.name for c in CONTENDERS[op] if not c.name.startswith(("ours", OURS))]
    if any(r.seconds for r in results if r.name in rivals):
        best, own = fastest(results, rivals), results[0]
        print(f"\n{best.name} takes {best.median / own.median:.1f} times as long", end="")
        if best.memory and own.memory:
            print(f" and {best.memory / own.memory:.1f} times the memory", end="")
        print(".")
    if op == "edges" and not options.no_memory:
        done = subprocess.run(
            [sys.executable, __file__, "--alone", op, MEMORY_ONLY.name],
            capture_output=True,
            text=True,
            check=True,
        )
        print(
            f"{MEMORY_ONLY.name.capitalize()}: {json.loads(done.stdout.splitlines()[-1]):.0f} MiB."
        )


def take_reference() -> None:
    """Take ``--reference DIR ...`` out of the arguments, for this process and those it starts."""
    if "--reference" in sys.argv:
        start = sys.argv.index("--reference")
        stop = start + 1
        while stop < len(sys.argv) and not sys.argv[stop].startswith("--"):
            stop += 1
        os.environ[PATHS] = os.pathsep.join(sys.argv[start + 1 : stop])
        del sys.argv[start:stop]


def main() -> None:
    """Print the tables, each operation's from a process of its own.

    Apart, since edges' and nodes' rivals are two versions of TransformerLens.
    """
    take_reference()
    options = arguments(__doc__.splitlines()[0], rounds=5)
    if options.alone:
        op, name = options.alone
        model, _ = smollm2()
        contender = MEMORY_ONLY if name == MEMORY_ONLY.name else by_name(CONTENDERS, op, name)
        report_alone(contender.make(model))
    elif options.only and len(options.only) == 1:
        one_op(options.only[0], options)
    else:
        for op in options.only or CONTENDERS:
            more = ["--no-memory"] if options.no_memory else []
            command = [sys.executable, __file__, "--only", op, "--rounds", str(options.rounds)]
            subprocess.run([*command, *more], check=True)


if __name__ == "__main__":
    main()
