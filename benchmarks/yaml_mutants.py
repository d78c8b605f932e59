"""Specs, spoiled: the corpus and the mutators of ``fuzz_yaml.py``."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import yaml

from pytest_mesa.registry.template import new_prediction

AGREEMENT = """\
prediction: knapsack-heuristics
title: What it uses has aspects of the optimiser
claim: >-
  On instances where the algorithms disagree, no exact algorithm explains
  the choices better than every heuristic.
notes: ["quoted: text", 'it''s', plain]
tags: [knapsack, slow]
subjects: [{recipe: knapsack-decoder, seeds: 5, options: {width: 64, rate: 1e-3, tied: true}}]
competence: {metric: accuracy, at_least: 0.9}
experiment:
  kind: agreement
  task: {kind: knapsack, items: 5, weights: [1, 5], values: [1, 5], capacity: [3, 10]}
  rivals: [greedy-ratio, greedy-value]
controls:
  must_detect: [{compiled: prefix-dp}]
  must_not_detect:
  - recipe: knapsack-greedy
verdict:
  estimand: exact-agreement
  quantifier: {fraction: 0.8}
  predicted: {below: 0.25}
  refuted: {above: 0.5}
seed: 0x7f
"""
GENERALISATION = """\
# a comment with "quotes" and [brackets
prediction: knapsack-no-size-transfer
title: "A stack of heuristics does not carry over \\u2014 nor does 日本"
claim: |
  A clean algorithm would carry over.

  Two paragraphs.
subjects:
  - released: true
competence: {at_least: 9.5e-1, budget: 500}
experiment:
  kind: generalisation
  task: {kind: knapsack}
  axes:
    items: {kind: knapsack, items: 8}
    capacity: {kind: knapsack, capacity: [11, 20]}
controls:
  must_detect: [{compiled: prefix-dp, seeds: 3}]
  must_not_detect: [{recipe: knapsack-decoder, untrained: true}]
verdict: {estimand: least-accuracy, predicted: {below: 0.8}, refuted: {above: 0.9}}
"""
CORPUS = (AGREEMENT, GENERALISATION, new_prediction("knapsack-no-dp"))
TOKENS = (
    *("[", "]", "{", "}", ": ", "- ", "? ", ", ", "#", "&a ", "*a", "!x ", "<<: *a", "| ", ">-\n"),
    *("!!python/object:os.system ", "'", '"', "%YAML 1.2\n", "---\n", "...\n", "\t", "\r", "\r\n"),
    *(
        "\n",
        " ",
        "\x00",
        "\x1b[31m",
        "\x85",
        "\u2028",
        "\ufeff",
        "\u202e",
        "e\u0301",
        "日本語",
        "😀",
    ),
    *("\U0010ffff", '"\\ud800"', '"\\UFFFFFFFF"', '"\\x00"', "null", "~", "true", "no", ".nan"),
    *("-.inf", "1e999", "9" * 5000, "-" + "9" * 30, "0x" + "f" * 400, "1_000", "0o17", "=", "@x"),
    *("`", "a" * 20_000),
)
TREES = tuple(yaml.load(text, yaml.SafeLoader) for text in CORPUS)
WORDS = ("prediction", "title", "kind", "seeds", "budget", "alpha", "recipe", "below", "fraction")


def _span(rng: random.Random, text: str, most: int = 200) -> tuple[int, int]:
    start = rng.randrange(len(text) + 1)
    return start, min(len(text), start + rng.randrange(most))


def _insert(rng: random.Random, text: str) -> str:
    at, _ = _span(rng, text)
    return text[:at] + rng.choice(TOKENS) * rng.choice((1, 1, 1, 2, 40)) + text[at:]


def _delete(rng: random.Random, text: str) -> str:
    start, end = _span(rng, text)
    return text[:start] + text[end:]


def _repeat(rng: random.Random, text: str) -> str:
    start, end = _span(rng, text)
    return text[:end] + text[start:end] * rng.choice((1, 2, 50)) + text[end:]


def _splice(rng: random.Random, text: str) -> str:
    other = rng.choice(CORPUS)
    start, end = _span(rng, other, len(other))
    return text[: rng.randrange(len(text) + 1)] + other[start:end]


def _truncate(rng: random.Random, text: str) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _lines(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True) or [""]
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            lines.insert(b, lines[a])
        case 1:
            lines[a], lines[b] = lines[b], lines[a]
        case 2:
            lines[a] = " " * rng.randrange(8) + lines[a].lstrip(" ")
        case _:
            del lines[a]
    return "".join(lines)


def _nest(rng: random.Random, text: str) -> str:
    at, _ = _span(rng, text)
    depth = rng.choice((3, 30, 33, 1000, 50_000))
    opening, closing = rng.choice((("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("[a, ", "")))
    inside = "".join(f"\n{' ' * (i + 8)}a:" for i in range(min(depth, 400)))
    if rng.random() < 0.3:
        return text[:at] + inside + text[at:]
    return text[:at] + opening * depth + closing * rng.choice((0, depth)) + text[at:]


def _number(rng: random.Random, text: str) -> str:
    odd = ("9" * 5000, "-1", "1e400", ".nan", "0.5", "1e-3", "2147483648", "'5'", "5.0")
    at = text.find(rng.choice("0123456789"), rng.randrange(len(text) + 1))
    return text if at < 0 else text[:at] + rng.choice(odd) + text[at + 1 :]


def _line_ends(rng: random.Random, text: str) -> str:
    return text.replace("\n", rng.choice(("\r\n", "\r", "\n\n", "\n\t")))


def structured(rng: random.Random) -> str:
    """A spec whose tree was changed, written in another style."""
    tree = deepcopy(rng.choice(TREES))
    for _ in range(rng.randrange(4)):
        _disturb(rng, tree)
    return yaml.dump(
        tree,
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        default_flow_style=rng.choice((True, False, None)),
        width=rng.choice((20, 80, 100_000)),
        indent=rng.choice((2, 4)),
        allow_unicode=rng.random() < 0.5,
        default_style=rng.choice((*[None] * 20, '"', "'")),
    )


def _disturb(rng: random.Random, tree: Any) -> None:
    here: Any = tree
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return
        key = rng.choice(keys)
        if not isinstance(here[key], (dict, list)) or rng.random() < 0.3:
            break
        here = here[key]
    odd: tuple[Any, ...] = (None, True, 0, -1, 0.5, "", "x y", "9", 10**9, "日" * 90)
    odd = (*odd, [], {}, [1, 2, 3], {"a": []})
    match rng.randrange(4):
        case 0:
            del here[key]
        case 1 if isinstance(here, dict):
            here[rng.choice((*WORDS, str(key) + "s"))] = deepcopy(here[key])
        case _:
            here[key] = deepcopy(rng.choice(odd))


MUTATORS: tuple[Callable[[random.Random, str], str], ...] = (
    *(_insert, _delete, _repeat, _splice, _truncate, _lines, _lines),
    *(_nest, _number, _line_ends),
)


def case(seed: int, number: int) -> bytes:
    """The bytes of one mutated file."""
    rng = random.Random(f"{seed}:{number}")
    text = structured(rng) if rng.random() < 0.5 else rng.choice(CORPUS)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 6))):
        text = rng.choice(MUTATORS)(rng, text)
    data = bytearray(text.encode())
    if data and rng.random() < 0.15:
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)
