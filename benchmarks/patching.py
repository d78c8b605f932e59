"""Patching sweeps on SmolLM2, side by side with TransformerLens, nnsight and pyvene.

Each rival takes part with every mode we know of; its fastest goes into the table, after all
their outputs have been found equal to ours. Three pairs of prompts: one differs from its first
token on, where sharing a prefix gains nothing; one in the middle; one late, as pairs do that
change the second mention of a name. Then what each trick contributes, by turning it off alone.

    OMP_NUM_THREADS=2 python benchmarks/patching.py [--rounds 5] [--stride 1] [--only residual …]

A rival that is not installed is a row that says so. Exit status 1 where a sweep is not three
times as fast as the fastest rival, or takes more memory than it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "2")

import torch
from _patching_rivals import CAPTURE, HEADS, RESIDUAL, Operation, Pair, Sweep
from _side_by_side import (
    Contender,
    Measured,
    UnavailableError,
    fastest,
    heading,
    measure,
    report_alone,
    smollm2,
    table,
)
from torch import Tensor, nn

from pytest_mesa.instruments import patching
from pytest_mesa.instruments.dissect import dissect
from pytest_mesa.instruments.patching_rows import EVERY_TRICK, Tricks

BAR = 3.0
OURS = "pytest-mesa"
PACKAGES = ("torch", "transformers", "transformer-lens", "nnsight", "pyvene")

# The last word is not in the prompt: the net is asked for it.
EARLY = (
    " Mary and John went to the old market near the river, where the people of the town sell "
    "fresh fruit and bread, and there John gave a big basket of apples to",
    " Anna and Paul went to the old market near the river, where the people of the town sell "
    "fresh fruit and bread, and there John gave a big basket of apples to",
)
MIDDLE = (EARLY[0], EARLY[0].replace("people", "women"))
LATE = (EARLY[0], EARLY[0].replace("there John gave", "there Mary gave"))
PAIRS = {"early": EARLY, "middle": MIDDLE, "late": LATE}

ABLATED = {
    "all": EVERY_TRICK,
    "without starting at the layer": Tricks(start_at_layer=False),
    "without leaving earlier positions out": Tricks(later_positions=False),
    "without skipping shared prefixes": Tricks(shared_prefix=False),
    "unembedding all positions": Tricks(read_only=False),
    "all positions in the last MLP": Tricks(last_mlp=False),
    "one run at a time": Tricks(batched=False),
    "none": Tricks(*[False] * 6),
}


def make_pair(texts: tuple[str, str], tokenizer: object) -> Pair:
    """Two prompts token by token.

    Raises:
        RuntimeError: they differ in length, so nothing can be patched.
    """
    clean, corrupted = (
        torch.tensor([tokenizer(text)["input_ids"]])  # type: ignore[operator]
        for text in texts
    )
    if clean.shape != corrupted.shape:
        raise RuntimeError(f"{clean.shape[1]} and {corrupted.shape[1]} tokens")
    right, wrong = (tokenizer(name)["input_ids"][0] for name in (" Mary", " John"))  # type: ignore[operator]
    return Pair(clean, corrupted, right, wrong, tokenizer)


def our_residual(
    model: nn.Module, pair: Pair, layers: Sequence[int], tricks: Tricks = EVERY_TRICK
) -> Operation:
    net = dissect(model, torch.cat([pair.clean, pair.corrupted]))
    return lambda: patching.sweep_residual(
        net, pair.clean, pair.corrupted, pair.metric, layers=layers, tricks=tricks
    )[0]


def our_heads(
    model: nn.Module, pair: Pair, layers: Sequence[int], tricks: Tricks = EVERY_TRICK
) -> Operation:
    net = dissect(model, torch.cat([pair.clean, pair.corrupted]))
    return lambda: patching.sweep_heads(
        net, pair.clean, pair.corrupted, pair.metric, layers=layers, tricks=tricks
    )[0]


def our_capture(model: nn.Module, pair: Pair, layers: Sequence[int]) -> Operation:
    net = dissect(model, torch.cat([pair.clean, pair.clean.flip(1)]))

    def run() -> Tensor:
        streams = patching.capture_residuals(net, pair.clean)
        return torch.stack([streams[layer][0] for layer in layers])

    return run


OPERATIONS: dict[str, tuple[Sweep, Mapping[str, Mapping[str, Sweep]], str]] = {
    "capture": (our_capture, CAPTURE, "early"),
    "residual-early": (our_residual, RESIDUAL, "early"),
    "residual-middle": (our_residual, RESIDUAL, "middle"),
    "residual-late": (our_residual, RESIDUAL, "late"),
    "heads-early": (our_heads, HEADS, "early"),
    "heads-middle": (our_heads, HEADS, "middle"),
    "heads-late": (our_heads, HEADS, "late"),
}


def swept(model: nn.Module, stride: int) -> range:
    """Every so many layers; their mean depth is that of all."""
    return range(stride // 2, len(model.model.layers), stride)  # type: ignore[union-attr, arg-type]


def contender(name: str, sweep: Sweep, pair: Pair, layers: Sequence[int]) -> Contender:
    return Contender(name, partial(_made, sweep=sweep, pair=pair, layers=layers))


def _made(model: nn.Module, sweep: Sweep, pair: Pair, layers: Sequence[int]) -> Operation:
    return sweep(model, pair, layers)


def named(op: str, pair: Pair, layers: Sequence[int]) -> list[Contender]:
    """Us, and every rival in every mode."""
    ours, rivals, _ = OPERATIONS[op]
    modes = [
        contender(f"{tool}: {mode}", sweep, pair, layers)
        for tool, ways in rivals.items()
        for mode, sweep in ways.items()
    ]
    return [contender(OURS, ours, pair, layers), *modes]


def choose_modes(model: nn.Module, op: str, pair: Pair) -> list[str]:
    """Each rival's fastest mode on the middle layer; prints how the others did."""
    middle = len(model.model.layers) // 2  # type: ignore[union-attr, arg-type]
    results = measure(named(op, pair, [middle]), model, rounds=1)
    print(f"\nModes, on layer {middle} alone:")
    best = []
    for tool in OPERATIONS[op][1]:
        modes = [result for result in results if result.name.startswith(f"{tool}: ")]
        print(
            "- " + "; ".join(f"{m.name} {m.missing or f'{m.cpu[0]:.2f} s of CPU'}" for m in modes)
        )
        ran = [mode for mode in modes if mode.cpu]
        best.append(min(ran, key=lambda mode: mode.cpu[0]).name if ran else modes[0].name)
    return best


def compare(
    model: nn.Module, op: str, pair: Pair, modes: Sequence[str], options: argparse.Namespace
) -> bool:
    """Print one operation's table; whether the bars are met."""
    layers = swept(model, options.stride)
    print(f"\n## {op}: {len(layers)} layers, {pair.length} tokens\n")
    contenders = [c for c in named(op, pair, layers) if c.name in (OURS, *modes)]
    script = "" if options.no_memory else __file__
    results = measure(contenders, model, options.rounds, script=script, op=f"{op}@{options.stride}")
    print(table(results, OURS), flush=True)
    if op == "capture":
        return True
    return judge(results, modes)


def judge(results: Sequence[Measured], modes: Sequence[str]) -> bool:
    """Whether we are three times as fast as the fastest rival, at no more memory."""
    ours = next(result for result in results if result.name == OURS)
    try:
        rival = fastest(results, modes)
    except ValueError:
        print("\nNo rival took part.")
        return False
    times = rival.median / ours.median
    print(f"\n{times:.1f} times as fast as the fastest rival, {rival.name} (bar: {BAR:.0f})")
    lean = ours.memory is None or rival.memory is None or ours.memory <= rival.memory
    if not lean:
        print(f"It takes {ours.memory:.0f} MiB, the fastest rival {rival.memory:.0f}.")
    return times >= BAR and lean


def ablate(model: nn.Module, pair: Pair, name: str, options: argparse.Namespace) -> None:
    """Print what each trick contributes: ours without it."""
    layers = swept(model, max(5, options.stride))
    for kind, sweep in (("residual", our_residual), ("heads", our_heads)):
        contenders = [
            contender(label, partial(sweep, tricks=tricks), pair, layers)
            for label, tricks in ABLATED.items()
        ]
        rounds = min(2, options.rounds)
        print(f"\n## What each trick contributes, {kind}-{name}, {len(layers)} layers\n")
        print(table(measure(contenders, model, rounds), "all"))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stride", type=int, default=1, help="every how many layers are swept")
    parser.add_argument("--only", nargs="*", default=[*OPERATIONS, "tricks"])
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--alone", nargs=2, metavar=("OP", "NAME"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Measure; the exit status is 1 where a bar is missed."""
    given = options()
    try:
        model, tokenizer = smollm2()
    except UnavailableError as error:
        print(error)
        return 2
    pairs = {name: make_pair(texts, tokenizer) for name, texts in PAIRS.items()}
    if given.alone:
        op, stride = given.alone[0].split("@")
        pair = pairs[OPERATIONS[op][2]]
        layers = swept(model, int(stride))
        chosen = next(c for c in named(op, pair, layers) if c.name == given.alone[1])
        report_alone(chosen.make(model))
        return 0
    print(heading(PACKAGES))
    met, chosen_modes = [], dict[str, list[str]]()
    for op in (op for op in OPERATIONS if op in given.only):
        pair, kind = pairs[OPERATIONS[op][2]], op.partition("-")[0]
        if kind not in chosen_modes:
            chosen_modes[kind] = choose_modes(model, op, pair)
        met.append(compare(model, op, pair, chosen_modes[kind], given))
    if "tricks" in given.only:
        for name, pair in pairs.items():
            ablate(model, pair, name, given)
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
