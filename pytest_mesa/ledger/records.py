"""Ledger records: what each kind must hold, how one is hashed, how one is written.

A record is one JSON object on one line: ``v`` first, ``prev`` and ``sha`` last. ``sha`` is
the SHA-256 of the canonical JSON of all other fields, ``prev`` the ``sha`` of the record
before.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from pytest_mesa.ledger.errors import RecordError
from pytest_mesa.runs.cells import canonical

VERSION = 1
GENESIS = "0" * 64
OUTCOMES = ("pass", "fail", "inconclusive", "error")
LOCKS = ("locked", "differs", "unlocked")

Record = dict[str, Any]

_Types = type | tuple[type, ...]

_NUMBER = (int, float)
_RUN: dict[str, _Types] = {"time": str, "plugin": str, "git": dict, "env": dict, "counts": dict}
_AMEND: dict[str, _Types] = {"time": str, "reason": str}
_FORECAST: dict[str, _Types] = {
    "time": str,
    "prediction": str,
    "spec_sha": str,
    "by": dict,
    "earlier": list,
    "interval": list,
    "centre": _NUMBER,
    "level": _NUMBER,
    "scale": list,
}
_ANY_VERDICT: dict[str, _Types] = {
    "time": str,
    "prediction": str,
    "lineup": str,
    "claim": dict,
    "spec_sha": str,
    "locked": str,
    "src": dict,
    "model": dict,
    "verdict": str,
    "reason": str,
    "alpha": _NUMBER,
    "seed": int,
    "env": dict,
    "plugin": str,
    "git": dict,
    "duration_s": _NUMBER,
}
_DECIDED: dict[str, _Types] = {
    "estimate": _NUMBER,
    "bounds": list,
    "n": int,
    "controls": list,
    "competence": dict,
    "subjects": list,
}
_ESTIMATES = ("estimate", "bounds", "n", "e_value")
# What a rerun may change without anything new having been found.
_VOLATILE = frozenset({"v", "time", "duration_s", "git", "env", "prev", "sha"})


def seal(body: Mapping[str, Any], prev: str) -> Record:
    """A checked record with its version, its predecessor's hash and its own.

    Raises:
        RecordError: a field is missing, of another type, or not finite JSON.
    """
    record: Record = {"v": VERSION} | _plain(dict(body))
    for name in ("prev", "sha"):
        record.pop(name, None)
    validate(record)
    record["prev"] = prev
    record["sha"] = sha_of(record)
    return record


def sha_of(record: Mapping[str, Any]) -> str:
    """Hex SHA-256 over the canonical JSON of a record without its ``sha``."""
    return hashlib.sha256(
        canonical({key: value for key, value in record.items() if key != "sha"})
    ).hexdigest()


def encode(record: Mapping[str, Any]) -> bytes:
    """A record as its line, newline included. Decoding and encoding again changes no byte."""
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def decode(line: bytes) -> Record:
    """A line as its record.

    Raises:
        ValueError: not a JSON object in UTF-8, or with a number that JSON does not know.
    """
    try:
        value = json.loads(line.decode(), parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def validate(record: Mapping[str, Any]) -> None:
    """Check a record's version, kind, fields and types.

    Raises:
        RecordError: naming the first field that is wrong.
    """
    if (version := record.get("v")) != VERSION or isinstance(version, bool):
        raise RecordError(f"schema version {version!r}, where this plugin knows {VERSION}")
    kind = record.get("kind")
    if kind == "run":
        _require(record, _RUN)
    elif kind == "amend":
        _require(record, _AMEND)
    elif kind == "forecast":
        _require(record, _FORECAST)
    elif kind == "verdict":
        _validate_verdict(record)
    else:
        raise RecordError(f"kind must be run, verdict, amend or forecast, not {kind!r}")


def unchanged(previous: Mapping[str, Any] | None, body: Mapping[str, Any]) -> bool:
    """Whether ``body`` says nothing that the record before it did not say.

    Time, duration, git state, environment and the spec's line number don't count.
    """
    return previous is not None and canonical(_lasting(previous)) == canonical(
        _lasting(_plain(dict(body)))
    )


def item(record: Mapping[str, Any]) -> tuple[str, str]:
    """What a verdict is about: the prediction and the line-up (empty where it is the spec's)."""
    return str(record["prediction"]), str(record.get("lineup", ""))


def latest(records: list[Record]) -> dict[tuple[str, str], Record]:
    """The newest verdict record of each item, by position in the ledger."""
    return {item(record): record for record in records if record["kind"] == "verdict"}


def _validate_verdict(record: Mapping[str, Any]) -> None:
    _require(record, _ANY_VERDICT)
    if record["verdict"] not in OUTCOMES:
        raise RecordError(
            f"verdict must be one of {', '.join(OUTCOMES)}, not {record['verdict']!r}"
        )
    if record["locked"] not in LOCKS:
        raise RecordError(f"locked must be one of {', '.join(LOCKS)}, not {record['locked']!r}")
    if record["verdict"] == "error":
        if not record["reason"].strip():
            raise RecordError("an error record needs a reason")
        for name in _ESTIMATES:
            if name in record:
                raise RecordError(f"an error record holds no {name}")
        return
    _require(record, _DECIDED)
    bounds = record["bounds"]
    if len(bounds) != 2 or not all(_is(_NUMBER, bound) for bound in bounds):
        raise RecordError(f"bounds must be two numbers, not {bounds!r}")
    if not bounds[0] <= bounds[1]:
        raise RecordError(f"bounds must ascend, not {bounds!r}")


def _require(record: Mapping[str, Any], fields: Mapping[str, _Types]) -> None:
    for name, kinds in fields.items():
        if name not in record:
            raise RecordError(f"a {record['kind']} record needs {name}")
        if not _is(kinds, record[name]):
            raise RecordError(f"{name} has the wrong type: {record[name]!r:.80}")


def _is(kinds: _Types, value: object) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _lasting(record: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in record.items() if key not in _VOLATILE}
    if isinstance(kept.get("src"), dict):
        kept["src"] = {key: value for key, value in kept["src"].items() if key != "line"}
    return kept


def _plain(value: Any, where: str = "") -> Any:
    """The value as JSON gives it back: lists for tuples, text that UTF-8 can hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RecordError(f"{where or 'the record'} is {value}, which no record may hold")
        return value
    if isinstance(value, Mapping):
        return {
            str(_plain(str(k))): _plain(v, f"{where}.{k}".lstrip(".")) for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(inner, f"{where}[{i}]") for i, inner in enumerate(value)]
    raise RecordError(f"{where or 'the record'} is a {type(value).__name__}, which JSON can't hold")


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
