"""What GitHub Actions takes from a step: its summary, annotations and outputs.

Sources: GitHub Docs, "Workflow commands for GitHub Actions" (escapes as in
``@actions/core``; a step's summary holds 1 MiB) and "Usage limits" (10 annotations a type
and step).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_mesa.ledger.records import Record
from pytest_mesa.ledger.sections import name
from pytest_mesa.registry.errors import printable
from pytest_mesa.report.release import Release
from pytest_mesa.report.terminal import bounds_text

SUMMARY_BYTES = 1024 * 1024
ANNOTATIONS = 10
_TITLES = {
    "fail": ("error", "Claim refuted"),
    "error": ("error", "The run broke"),
    "inconclusive": ("warning", "Inconclusive"),
}


def commands(records: Sequence[Record]) -> list[str]:
    """A command a verdict that asks for attention: refuted, broken, inconclusive.

    GitHub drops what is over its limit for a type without a word; here the last one counts
    what is left out.
    """
    found: dict[str, list[str]] = {"error": [], "warning": []}
    for record in records:
        if record["verdict"] in _TITLES:
            level, title = _TITLES[record["verdict"]]
            found[level].append(_annotation(level, title, record))
    return [each for level, those in found.items() for each in _limited(level, those)]


def outputs(release: Release) -> str:
    """The counts as lines of a step's output file."""
    return "".join(f"{outcome}={count}\n" for outcome, count in release.counts.items())


def command(level: str, message: str, **properties: object) -> str:
    """One workflow command; no text can end it, or start another."""
    shown = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    return f"::{level}{' ' + shown if shown else ''}::{_data(message)}"


def _annotation(level: str, title: str, record: Record) -> str:
    src = record["src"]
    return command(
        level,
        "\n".join(_told(record)),
        # The key `prediction` of a spec stands at the start of its line.
        **({"file": src["file"], "line": src.get("line", 1), "col": 1} if src.get("file") else {}),
        title=f"{title}: {name(record)}",
    )


def _told(record: Record) -> Iterator[str]:
    claim = record["claim"]
    yield printable(str(claim.get("title", "")))
    if record["reason"]:
        yield printable(record["reason"])
    if numbers := bounds_text(record):
        yield printable(f"{claim.get('estimand', 'estimate')} {numbers}")
    if message := record.get("message"):
        yield printable(str(message))


def _limited(level: str, found: list[str]) -> list[str]:
    if len(found) <= ANNOTATIONS:
        return found
    rest = len(found) - (ANNOTATIONS - 1)
    more = f"{rest} more are in the step's summary"
    return [*found[: ANNOTATIONS - 1], command(level, more, title="More verdicts")]


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
