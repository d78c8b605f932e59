"""Pydantic's findings in a spec author's words, each at the place in the file that it is about."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from pytest_mesa.registry.errors import SpecError, did_you_mean
from pytest_mesa.registry.models import RULE
from pytest_mesa.registry.nodes import Node, Value
from pytest_mesa.registry.source import Source

MOST = 25  # errors told of one file; the rest follow from these or can wait

Loc = tuple[str | int, ...]

# What a mismatch of this type means was wanted.
_NOUNS = {
    "string_type": "text",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
}
_SIGNS = {
    "greater_than": (">", "gt"),
    "greater_than_equal": (">=", "ge"),
    "less_than": ("<", "lt"),
    "less_than_equal": ("<=", "le"),
}
_OLD_BOOLS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One pydantic error with the node it is about.

    ``wanted`` is set where the value as a whole is not of a kind that was looked for; several
    such findings at one node are the branches of a union and make one error.
    """

    place: tuple[int, int]
    path: Loc
    message: str = ""
    hint: str | None = None
    wanted: str | None = None
    found: Value = None
    options: tuple[str, ...] = ()


def spec_errors(
    details: Iterable[ErrorDetails], model: type[BaseModel], data: Value, node: Node, source: Source
) -> list[SpecError]:
    """Say each finding once, at its place: at most `MOST`.

    ``data`` and ``node`` are the value that was validated against ``model``.
    """
    findings = [_finding(detail, model, data, node) for detail in islice(details, 4 * MOST)]
    by_place: dict[tuple[int, int], list[Finding]] = {}
    deeper = {finding.path[:n] for finding in findings if finding for n in range(len(finding.path))}
    for finding in findings:
        # Where another branch of a union fits so far that something inside it is wrong, that
        # is what the author meant, and the branches that did not fit at all are noise.
        if finding is not None and not (finding.wanted and finding.path in deeper):
            by_place.setdefault(finding.place, []).append(finding)
    out: list[SpecError] = []
    for place, group in by_place.items():
        mismatches = [finding for finding in group if finding.wanted]
        rest = [finding for finding in group if not finding.wanted]
        if mismatches and not rest:
            message, hint = _mismatch(mismatches)
            out.append(source.error(message, *place, hint))
        out += [source.error(f.message, *place, f.hint) for f in dict.fromkeys(rest)]
    return out[:MOST]


def _finding(
    detail: ErrorDetails, model: type[BaseModel], data: Value, node: Node
) -> Finding | None:
    kind, loc = detail["type"], detail["loc"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    if kind == "missing":
        return _missing(loc, model, data, node)
    where = (*loc, *context["at"]) if kind == RULE else loc
    path, at, value = _descend(where, data, node)
    if kind == "extra_forbidden":
        return Finding(at.name, path, *_unknown_key(loc, model))
    if kind == "too_short" and len(value) >= context["min_length"]:
        return None  # the items are there; what is wrong with them is said at each
    place = (at.line, at.col)
    if loc and loc[-1] == "[key]":
        place, value = at.name, loc[-2]
    elif at.block and kind not in _NOUNS:
        place = at.name  # about the mapping or list as a whole, so its key is the place to look
    if kind in _NOUNS:
        return Finding(place, path, wanted=_NOUNS[kind], found=value)
    if kind == "literal_error":
        expected = str(context["expected"]).replace("True", "true").replace("False", "false")
        return Finding(place, path, wanted=expected, found=value, options=_options(expected))
    return Finding(place, path, *_other(kind, context, value, detail["msg"]))


def _descend(loc: Loc, data: Value, node: Node) -> tuple[Loc, Node, Value]:
    """Follow ``loc`` as far as the file goes; parts that name a union's branch are skipped."""
    path: Loc = ()
    for part in loc:
        if part in node.children:
            node = node.children[part]
            data = data[part]
            path = (*path, part)
    return path, node, data


def _missing(loc: Loc, model: type[BaseModel], data: Value, node: Node) -> Finding:
    path, parent, value = _descend(loc[:-1], data, node)
    name = loc[-1]
    if isinstance(name, int):
        message = f"expected at least {name + 1} items, found {len(value)}"
        return Finding((parent.line, parent.col), path, message)
    description = next(
        (
            m.model_fields[name].description
            for m in _models_at(loc[:-1], model)
            if name in m.model_fields
        ),
        None,
    )
    return Finding(parent.name, path, f"the key '{name}' is missing", description)


def _unknown_key(loc: Loc, model: type[BaseModel]) -> tuple[str, str]:
    name = str(loc[-1])
    models = _models_at(loc[:-1], model)
    known = list(dict.fromkeys(key for m in models for key in m.model_fields))
    hint = did_you_mean(name, known)
    if hint is None and (home := _home_of(name, model)):
        hint = f"it belongs under '{home}'"
    return f"unknown key '{_clip(name)}'", hint or f"known keys: {', '.join(known)}"


def _mismatch(findings: list[Finding]) -> tuple[str, str | None]:
    first = findings[0]
    *nouns, last = dict.fromkeys(f.wanted for f in findings if f.wanted)
    wanted = f"{', '.join(nouns)} or {last}" if nouns else last
    message = f"expected {wanted}, found {_shown(first.found)}"
    options = [option for finding in findings for option in finding.options]
    hint = did_you_mean(first.found, options)
    return message, hint or _retyped(first.found, {f.wanted for f in findings})


def _retyped(value: Value, wanted: set[str | None]) -> str | None:
    """How to write the value so that it is of the type that was wanted."""
    if "a list" in wanted and value is not None and not isinstance(value, (dict, tuple)):
        return f"write [{_plain(value)}]"
    if isinstance(value, str):
        if "true or false" in wanted and value.casefold() in _OLD_BOOLS:
            return f"write {_OLD_BOOLS[value.casefold()]}"
        if wanted & {"an integer", "a number"} and value.replace("_", "").lstrip("-").isdecimal():
            return f"write {value.replace('_', '')}, without quotes" if len(value) < 20 else None
        return None
    if "text" in wanted and isinstance(value, (bool, int, float)):
        return f'quote it: "{_plain(value)}"'
    if "an integer" in wanted and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}" if abs(value) < 2**53 else None
    return None


def _other(
    kind: str, context: Mapping[str, Any], value: Value, message: str
) -> tuple[str, str | None]:
    if kind in _SIGNS:
        sign, bound = _SIGNS[kind]
        return f"expected a number {sign} {context[bound]:g}, found {_shown(value)}", None
    if kind == "string_pattern_mismatch":
        hint = "write it in lower case with hyphens, as in knapsack-no-dp"
        return f"expected a name of a-z, 0-9 and single hyphens, found {_shown(value)}", hint
    if kind == "string_too_long":
        return f"expected at most {context['max_length']} characters, found {len(value)}", None
    if kind == "string_too_short":
        return f"expected at least {context['min_length']} characters, found {len(value)}", None
    if kind == "too_short":
        least = context["min_length"]
        noun = "entry" if least == 1 else "entries"
        return f"expected at least {least} {noun}, found {len(value)}", None
    if kind == "too_long":
        return f"expected at most {context['max_length']} items, found {len(value)}", None
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, "), None


def _models_at(loc: Loc, model: type[BaseModel]) -> list[type[BaseModel]]:
    """The models that a mapping at ``loc`` may be validated against."""
    models = [model]
    for part in loc:
        inner = [
            found
            for m in models
            if part in m.model_fields
            for found in _models_in(m.model_fields[str(part)].annotation)
        ]
        models = inner or models  # an index, a mapping's key, or the name of a union's branch
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in typing.get_args(annotation) for found in _models_in(part)]


def _home_of(name: str, model: type[BaseModel]) -> str | None:
    """The key of ``model`` whose mapping has a field of that name."""
    for key, info in model.model_fields.items():
        if any(name in inner.model_fields for inner in _models_in(info.annotation)):
            return key
    return None


def _options(expected: str) -> tuple[str, ...]:
    """The words in pydantic's ``'a', 'b' or 'c'``."""
    return tuple(expected.split("'")[1::2])


def _shown(value: Value) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, tuple):
        return "a list"
    if isinstance(value, str):
        return f"'{_clip(value)}'" if value else "empty text"
    return "nothing" if value is None else _plain(value)


def _plain(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else _clip(str(value))


def _clip(text: str) -> str:
    text = text.replace("\n", " ")
    return text if len(text) <= 60 else text[:59] + "…"
