"""Ladders of released models: ``ladder:REF;REF;…``, or ``--mesa-model`` given several times.

Sizes are parameter counts, which nobody knows of a hub's models before they are loaded, and the
seeds of a size are the models that have it. So planning knows the models, and whoever gathers
what was measured on them puts them in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects.bundled import BUNDLES
from pytest_mesa.subjects.errors import SubjectError, UnsuitedError
from pytest_mesa.subjects.handles import Handle, Scheme
from pytest_mesa.subjects.knapsack_nets import KNAPSACK_NET
from pytest_mesa.subjects.listed_references import called, members
from pytest_mesa.subjects.references import Reference, parse
from pytest_mesa.subjects.released import BUNDLED, GGUF, HF
from pytest_mesa.verdicts.scaling.names import LEAST_RUNGS, LEAST_SEEDS

IN_WORDS: dict[str, Scheme] = {"hf": HF, "gguf": GGUF, "bundled": BUNDLED}
MEMBERS = IN_WORDS | {KNAPSACK_NET.name: KNAPSACK_NET}
TAKES = (
    f"a ladder takes {LEAST_RUNGS} sizes and {LEAST_SEEDS} models of each at least, as many of "
    "each size"
)
NAMED = 6  # models that a message lists


def is_listed(reference: str) -> bool:
    """Whether a reference lists the models of a ladder."""
    return bool(members(reference))


def is_of_models(ladder: Handle) -> bool:
    """Whether a ladder is one of released models."""
    return "models" in ladder.params


def check(reference: str) -> list[Reference]:
    """The models that a ladder lists.

    Raises:
        UnsuitedError: they are no ladder: too few, or not all of a kind that has sizes and is
            asked in one way.
        SubjectError: one is named twice, or does not exist.
    """
    texts = members(reference)
    twice = sorted({text for text in texts if texts.count(text) > 1})
    if twice:
        raise SubjectError(f"the ladder names {', '.join(twice)} more than once")
    refuse_count(texts)
    found = [parse(text) for text in texts]
    for each in found:
        _refuse_kind(each)
    tokens = [each.text for each in found if each.scheme == KNAPSACK_NET.name]
    words = [each.text for each in found if each.scheme != KNAPSACK_NET.name]
    if tokens and words:
        raise UnsuitedError(
            f"a ladder's models are all asked in the same way: {_few(tokens)} "
            f"{_read(tokens)} the knapsack's own tokens, and {_few(words)} {_read(words)} text"
        )
    return found


def refuse_count(texts: Sequence[str]) -> None:
    """Stop where so many models can't be as many of each size.

    Raises:
        UnsuitedError: and how many there are.
    """
    count = len(texts)
    most = count // LEAST_RUNGS
    if any(count % seeds == 0 for seeds in range(LEAST_SEEDS, most + 1)):
        return
    many = f"there are {count} models" if count > 1 else "there is 1 model"
    why = "" if count < LEAST_RUNGS * LEAST_SEEDS else ", which so many can't be"
    raise UnsuitedError(f"{many} ({_few(texts)}); {TAKES}{why}")


def model_ladder(spec: SubjectSpec) -> Handle:
    """The ladder that a reference lists, as one subject.

    Raises:
        SubjectError: as `check` does; seeds or options; two models that are the same.
    """
    if spec.seeds > 1 or spec.options:
        raise SubjectError("a ladder of released models takes neither seeds nor options")
    found = check(str(spec.ref))
    nets: list[Handle] = []
    for each in found:
        nets += MEMBERS[each.scheme].handles(SubjectSpec(ref=each.text))
    _refuse_same(found, nets)
    return Handle(
        f"ladder {called(str(spec.ref))}",
        {
            "scheme": "ladder",
            "models": [[net.label, net.params] for net in nets],
            # A net's share of the instances that competence is read from, if seeds are fewest.
            "per-size": LEAST_SEEDS,
        },
        tuple(cell for net in nets for cell in net.inputs),
    )


def models(ladder: Handle) -> tuple[Handle, ...]:
    """A ladder's models as subjects of their own, in the order of their references."""
    return tuple(
        Handle(label, params, (cell,))
        for (label, params), cell in zip(ladder.params["models"], ladder.inputs, strict=True)
    )


def reads_text(ladder: Handle) -> bool:
    """Whether the models of a ladder are asked in words."""
    _, first = ladder.params["models"][0]
    return bool(first["scheme"] != KNAPSACK_NET.name)


def _refuse_kind(model: Reference) -> None:
    if model.scheme == "ladder":
        raise UnsuitedError(
            f"{model.text} is a ladder itself: a ladder's models are named one by one"
        )
    scheme = BUNDLES[model.rest].scheme if model.scheme == "bundled" else model.scheme
    if scheme == "lc0":
        raise UnsuitedError(f"{model.text} reads boards, and a ladder's models knapsacks or text")
    if scheme not in MEMBERS:
        raise UnsuitedError(
            f"{model.text} is no model that a ladder could hold: those are hub ids, directories, "
            ".gguf files, bundled:NAME and knapsack:DIR"
        )


def _refuse_same(listed: Sequence[Reference], nets: Sequence[Handle]) -> None:
    """Stop at the same weights under two names, which would pass for two seeds."""
    seen: list[tuple[dict[str, Any], str]] = []
    for reference, net in zip(listed, nets, strict=True):
        what = {name: told for name, told in net.params.items() if name not in ("dtype", "code")}
        for other, text in seen:
            if what == other:
                raise SubjectError(f"{text} and {reference.text} are the same model")
        seen.append((what, reference.text))


def _few(texts: Sequence[str]) -> str:
    more = len(texts) - NAMED
    return ", ".join(texts[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _read(texts: Sequence[str]) -> str:
    return "read" if len(texts) > 1 else "reads"
