"""What a release is in a ledger: the verdicts of a model, a revision, a commit or a file."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytest_mesa.ledger.index import Index, Item, Line, scan
from pytest_mesa.ledger.records import Record, item
from pytest_mesa.registry.errors import did_you_mean
from pytest_mesa.subjects.listed_references import called, listed, members
from pytest_mesa.subjects.references import revision_of, short_name

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_GIT_TIMEOUT_S = 10
_NAMED = 8


class SideError(ValueError):
    """Nothing in the ledger goes by that name; the message says what does."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: the newest verdict of each item, and how the side is called."""

    name: str
    records: Mapping[Item, Record]

    def match(self, record: Mapping[str, Any]) -> Record | None:
        """This side's verdict on the same prediction: on the same line-up, else the only one on
        the same model, else the only one."""
        return self.records.get(item(dict(record))) or self._near(*item(dict(record)))

    def _near(self, prediction: str, lineup: str) -> Record | None:
        found = {key[1]: r for key, r in self.records.items() if key[0] == prediction}
        same = [r for other, r in found.items() if family(other) == family(lineup)]
        for those in (same, list(found.values())):
            if len(those) == 1:
                return those[0]
        return None


Pair = tuple[Record | None, Record | None]


def select(index: Index, name: str, folder: Path) -> Side:
    """The side that ``name`` means, the first that there is: a ledger file, ``@revision``, a
    line-up or model (in full, or its last part, with or without the revision), a commit, or
    what git knows by that name in ``folder``.

    Raises:
        SideError: nothing in the ledger goes by that name.
        LedgerError: a damaged record, or a damaged ledger file.
    """
    if not name:
        raise SideError(_unknown(index, name))
    path = folder / name
    if path.is_file() and not any(name in _names(lineup) for lineup in index.lineups):
        other = scan(path)
        return Side(name, {key: other.record(lines[-1]) for key, lines in other.items.items()})
    found = _by_lineup(index, name) or _by_subject(index, name) or _by_commit(index, name, folder)
    if not found:
        raise SideError(_unknown(index, name))
    return Side(name, found)


def pairs(before: Side, after: Side) -> list[Pair]:
    """Verdicts that belong together, sorted by prediction.

    Those on the same line-up do; then those on the same model, if each side has one of it;
    then, within a prediction, the one that is left on either side. What remains is missing or
    new.
    """
    together: list[Pair] = []
    for prediction in sorted({key[0] for key in (*before.records, *after.records)}):
        old, new = (_of(side, prediction) for side in (before, after))
        both = sorted(old.keys() & new.keys())
        together += [(old.pop(lineup), new.pop(lineup)) for lineup in both]
        mine, theirs = _only_by_model(old), _only_by_model(new)
        for model in sorted(mine.keys() & theirs.keys()):
            together.append((old.pop(mine[model]), new.pop(theirs[model])))
        if len(old) == len(new) == 1:
            together += zip(old.values(), new.values(), strict=True)
        else:
            together += [(old[lineup], None) for lineup in sorted(old)]
            together += [(None, new[lineup]) for lineup in sorted(new)]
    return together


def newest_pairs(index: Index) -> list[Pair]:
    """Each model's newest verdict on each prediction, and the one before it.

    A model is its reference without the revision. Where a model has one verdict only, it is
    listed if it is the prediction's newest, with the last one on any model before it.
    """
    together: list[Pair] = []
    for prediction in sorted(index.claims):
        lines = index.claims[prediction]
        earlier = places_before(lines)
        last = {family(line.lineup): place for place, line in enumerate(lines)}
        for name, place in sorted(last.items()):
            before = earlier[place]
            if before is None:
                if len(lines) == 1:
                    together.append((None, index.record(lines[place])))
            elif place == len(lines) - 1 or family(lines[before].lineup) == name:
                together.append((index.record(lines[before]), index.record(lines[place])))
    return together


def places_before(lines: Sequence[Line]) -> list[int | None]:
    """For each verdict of a prediction the place of the one to compare it with.

    The last one before it on the same model, at whatever revision, or else on any model; None
    for the first.
    """
    last: dict[str, int] = {}
    found: list[int | None] = []
    for place, line in enumerate(lines):
        name = family(line.lineup)
        found.append(last.get(name, place - 1 if place else None))
        last[name] = place
    return found


@lru_cache(maxsize=1 << 16)
def family(lineup: str) -> str:
    """A model reference without its revision and options; of a list, each member's."""
    if several := members(lineup):
        return listed(map(family, several))
    body, revision = lineup.partition("?")[0], revision_of(lineup)
    return body.removesuffix(f"@{revision}") if revision else body


def _only_by_model(lineups: Iterable[str]) -> dict[str, str]:
    """The line-up of each model that has just one."""
    found: dict[str, list[str]] = {}
    for lineup in lineups:
        found.setdefault(family(lineup), []).append(lineup)
    return {model: those[0] for model, those in found.items() if len(those) == 1}


def _of(side: Side, prediction: str) -> dict[str, Record]:
    return {key[1]: record for key, record in side.records.items() if key[0] == prediction}


def _names(lineup: str) -> Iterator[str]:
    """What a line-up may be called: in full, without its scheme or options, by its last part,
    and each of these without the revision. A list goes by what it is called."""
    if members(lineup):
        yield from (lineup, called(lineup))
        return
    body = lineup.partition("?")[0].rstrip("/")
    scheme, _, rest = body.partition(":")
    yield lineup
    for name in (body, rest if len(scheme) > 1 else body, short_name(body)):
        yield name
        yield name.removesuffix(f"@{revision_of(body)}")


def _by_lineup(index: Index, name: str) -> dict[Item, Record]:
    """The newest verdict of each prediction and model on the line-ups of this name."""
    if name.startswith("@"):
        lineups = {lineup for lineup in index.lineups if revision_of(lineup) == name[1:]}
    else:
        lineups = {lineup for lineup in index.lineups if lineup and name in _names(lineup)}
    if not lineups:
        return {}
    lasts: dict[Item, Line] = {}
    for (prediction, lineup), lines in index.items.items():
        if lineup in lineups:
            key = prediction, family(lineup)
            if key not in lasts or lasts[key].number < lines[-1].number:
                lasts[key] = lines[-1]
    found = sorted(lasts.values())
    return {line.item: record for line, record in zip(found, index.records(found), strict=True)}


def _by_subject(index: Index, name: str) -> dict[Item, Record]:
    """The verdicts whose subject, as the record names it, is this one."""
    if name.startswith("@"):
        return _last_where(
            index,
            index.containing(json.dumps(name, ensure_ascii=False)[1:].encode()),
            lambda record: (
                str(record["model"].get("ref", "")).endswith(name)
                or record["model"].get("revision") == name[1:]
            ),
        )
    needle = '"ref":' + json.dumps(name, ensure_ascii=False)
    return _last_where(
        index, index.containing(needle.encode()), lambda record: record["model"].get("ref") == name
    )


def _by_commit(index: Index, name: str, folder: Path) -> dict[Item, Record]:
    """The verdicts that were measured at a commit."""
    commit = name if _COMMIT.fullmatch(name) else _git_commit(name, folder)
    if not commit:
        return {}
    return _last_where(
        index,
        index.containing(f'"commit":"{commit}'.encode()),
        lambda record: str(record["git"].get("commit", "")).startswith(commit),
    )


def _last_where(
    index: Index, lines: Iterable[Line], holds: Callable[[Record], bool]
) -> dict[Item, Record]:
    """The last of each item's candidates for which ``holds``."""
    candidates: dict[Item, list[Line]] = {}
    for line in lines:
        if line.kind == "verdict":
            candidates.setdefault(line.item, []).append(line)
    found = {}
    for key, those in candidates.items():
        last = next(filter(holds, index.records(reversed(those))), None)
        if last is not None:
            found[key] = last
    return found


def _git_commit(name: str, folder: Path) -> str:
    """The commit that git knows by a name, or nothing."""
    if name.startswith("-"):
        return ""
    command = ["git", "-C", str(folder), "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _unknown(index: Index, name: str) -> str:
    if not index.items:
        return f"'{name}': {index.path} holds no verdict yet"
    # As last seen, so that the newest releases are named.
    lineups = [called(lineup) for lineup in reversed(index.lineups) if lineup]
    told = ", ".join(lineups[:_NAMED]) or "none but the specs' own subjects"
    hint = did_you_mean(name, [each for lineup in lineups for each in _names(lineup)])
    return (
        f"'{name}' is no line-up, subject, revision or commit in {index.path}, and no file; "
        f"{hint + ' ' if hint else ''}line-ups there: {told}"
    )
