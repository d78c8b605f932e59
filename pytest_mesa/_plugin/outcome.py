"""How an outcome is shown: category, letter, word, and the text of a failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill, indent
from typing import Any

from pytest_mesa._plugin.options import Gate
from pytest_mesa.ledger.compare import compare
from pytest_mesa.registry.loader import LoadedPrediction
from pytest_mesa.registry.lock import LockStatus
from pytest_mesa.report.junit import properties
from pytest_mesa.report.terminal import bounds_text, controls_text, region_text
from pytest_mesa.session import Run
from pytest_mesa.verdicts.reasons import Outcome, Reason

_WIDTH = 96


@dataclass(frozen=True, slots=True)
class Shown:
    """One item's outcome in pytest's terms.

    ``category`` is the word of the last line's count. ``headline`` is one line, ``text`` the
    explanation of a failure. ``note`` is what the table adds to the reason. ``refused`` marks
    a spec that was not run because it differs from its lock.
    """

    category: str
    letter: str
    word: str
    colour: str
    failed: bool = False
    refused: bool = False
    headline: str = ""
    text: str = ""
    note: str = ""
    properties: tuple[tuple[str, object], ...] = ()


_PASSED = ("passed", ".", "PASSED", "green")
_REFUTED_GATED = ("failed", "F", "REFUTED", "red")
_REFUTED = ("refuted", "r", "REFUTED", "red")
_DRIFTED = ("failed", "F", "DRIFTED", "red")
_REGRESSED = ("failed", "F", "REGRESSED", "red")
_INCONCLUSIVE = ("inconclusive", "?", "INCONCLUSIVE", "yellow")
_ERROR_GATED = ("error", "E", "ERROR", "red")
# 'error' would make pytest print each under ERRORS and colour the run red.
_ERROR = ("errored", "e", "ERRORED", "yellow")
_REFUSED = ("failed", "F", "REFUSED", "red")


def judge(
    run: Run,
    fail_on: frozenset[Gate],
    previous: Mapping[str, Any] | None,
    *,
    details: bool = False,
) -> Shown:
    """Turn a finished run into an outcome.

    ``previous`` is the record to compare with. ``details`` adds the traceback of code that
    raised.
    """
    record = run.record
    if record is None:
        return no_subject(run.message)
    outcome = Outcome(record["verdict"])
    drifted = previous is not None and previous["verdict"] != record["verdict"]
    note = f"was {previous['verdict']}" if previous is not None and drifted else ""
    gated = outcome.value in fail_on and outcome is not Outcome.INCONCLUSIVE
    drift_gated = drifted and Gate.DRIFT in fail_on
    regressed = Gate.REGRESSION in fail_on and compare(previous, record).is_regression
    if regressed and not gated:
        style, title = _REGRESSED, f"The claim held before ({note}), and is refuted now"
    elif drift_gated and not gated:
        style, title = _DRIFTED, f"The verdict has changed: it {note}, now {outcome.value}"
    elif outcome is Outcome.PASS:
        style, title = _PASSED, "Claim upheld"
    elif outcome is Outcome.FAIL:
        style, title = (_REFUTED_GATED if gated else _REFUTED), "Claim refuted"
    elif outcome is Outcome.INCONCLUSIVE:
        style, title = _INCONCLUSIVE, "Inconclusive"
    else:
        style = _ERROR_GATED if gated else _ERROR
        title = f"No verdict, the run broke ({record['reason']})"
    return Shown(
        *style,
        failed=gated or drift_gated or regressed,
        headline=_headline(record, run.message),
        text=_explanation(title, record, run, details=details),
        note=note,
        properties=tuple(properties(record)),
    )


def no_subject(message: str = "") -> Shown:
    """A slot for a released model that no ``--mesa-model`` fills, or not with one that fits."""
    reason = Reason.NO_SUBJECT
    return Shown(
        *_INCONCLUSIVE,
        headline=message or f"{reason.value}: {reason.remedy}",
        note=message,
        properties=(("verdict", Outcome.INCONCLUSIVE.value), ("reason", reason.value)),
    )


def refused(loaded: LoadedPrediction, lock_status: LockStatus) -> Shown:
    """A spec that ``--mesa-locked`` keeps from running."""
    how = "differs from" if lock_status is LockStatus.DIFFERS else "is not in"
    text = (
        f"Not run: {loaded.id} {how} mesa.lock\n"
        f"  spec    {loaded.name}:{loaded.line}\n"
        f"  sha     {loaded.sha}\n"
        "  A locked run only takes specs as they were registered. Restore the spec, or register\n"
        "  it as it is now with: mesa lock"
    )
    return Shown(
        *_REFUSED,
        failed=True,
        refused=True,
        headline=f"the spec {how} mesa.lock",
        text=text,
        properties=(("reason", f"lock-{lock_status.value}"), ("spec_sha", loaded.sha)),
    )


def _headline(record: Mapping[str, Any], message: str) -> str:
    return f"{record['reason'] or record['verdict']}: {message}"


def _explanation(title: str, record: Mapping[str, Any], run: Run, *, details: bool) -> str:
    claim = record["claim"]
    regions = claim["regions"]
    rows = [
        ("claim", claim["title"]),
        ("spec", f"{record['src']['file']}:{record['src']['line']}"),
        ("subject", record["model"]["ref"]),
    ]
    if record["reason"]:
        rows.append(("reason", record["reason"]))
    if "estimate" in record:
        rows += [
            (claim["estimand"], f"{bounds_text(record)}   n {record['n']:,}"),
            ("predicted", region_text(regions["predicted"])),
            ("refuted", region_text(regions["refuted"])),
            ("controls", controls_text(record)),
        ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{title}: {record['prediction']}"]
    lines += [f"  {name:<{width}}  {value}" for name, value in rows]
    lines.append(indent(fill(run.message, _WIDTH, break_long_words=False), "  "))
    if run.trace:
        lines.append(indent(run.trace.rstrip(), "  ") if details else "  (-vv shows the traceback)")
    return "\n".join(lines)
