"""The arguments of the commands that compare and publish releases."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

# Name, where its code is, and what it does, in the order of --help.
Command = Callable[[str, str, str], argparse.ArgumentParser]


def add(command: Command) -> None:
    """Add ``mesa forecast``, ``diff``, ``history``, ``report`` and ``publish``."""
    _add_forecast(
        command("forecast", "forecast:forecast", "state what the next release should read")
    )
    _add_diff(command("diff", "compare:diff", "compare the verdicts of two releases"))
    _add_history(command("history", "compare:history", "list all verdicts on a claim in time"))
    _add_report(command("report", "report:report", "write the ledger as one HTML file"))
    _add_publish(command("publish", "publish:publish", "publish the verdicts of a release"))


def _add_forecast(forecast: argparse.ArgumentParser) -> None:
    forecast.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="specs of the kind 'forecast', and folders of specs (default: ./predictions, or the "
        "registry that ships)",
    )
    forecast.add_argument(
        "--model",
        metavar="REF",
        help="the release that is to come: refused where it has been measured already",
    )
    _add_ledger(forecast)
    forecast.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="the rendering, kept in step (default: RESULTS.md beside the ledger)",
    )
    forecast.add_argument("--json", action="store_true", help="print everything as JSON")
    forecast.add_argument(
        "--dry-run", action="store_true", help="only show it, record nothing in the ledger"
    )


def _add_diff(diff: argparse.ArgumentParser) -> None:
    diff.add_argument(
        "sides",
        nargs="*",
        metavar="SIDE",
        help="before and after: a line-up or model of the ledger, @REVISION, a git commit or "
        "tag, or another ledger file (default: each model's newest verdicts against those "
        "before them)",
    )
    _add_ledger(diff)
    form = diff.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print everything as JSON")
    form.add_argument("--markdown", action="store_true", help="print what changed as Markdown")
    diff.add_argument(
        "--fail-on",
        default="",
        metavar="LIST",
        help="end with status 1 where there is one of: regression (a claim that held is refuted, "
        "same spec, other weights), flipped, lost, moved, missing, broken (default: none)",
    )


def _add_history(history: argparse.ArgumentParser) -> None:
    history.add_argument("claim", metavar="CLAIM", help="a prediction's id, or ID[LINE-UP]")
    _add_ledger(history)
    history.add_argument("--json", action="store_true", help="print it as JSON")
    size = history.add_mutually_exclusive_group()
    size.add_argument(
        "--last", type=int, metavar="N", help="only the newest N verdicts (default: 1000)"
    )
    size.add_argument("--all", action="store_true", help="every verdict, however many")


def _add_report(report: argparse.ArgumentParser) -> None:
    _add_ledger(report)
    report.add_argument(
        "--output",
        type=Path,
        default=Path("report.html"),
        metavar="FILE",
        help="where to (default: report.html)",
    )


def _add_publish(publish: argparse.ArgumentParser) -> None:
    _add_ledger(publish)
    side = "a line-up or model, @REVISION, a git commit or tag, or another ledger file"
    publish.add_argument(
        "--release",
        metavar="SIDE",
        help=f"only the verdicts of this release: {side} (default: the newest verdict of each "
        "claim and line-up)",
    )
    publish.add_argument(
        "--compare",
        metavar="SIDE",
        help="the release to compare with (default: for each model the verdict before)",
    )
    publish.add_argument(
        "--github",
        action="store_true",
        help="in a step of GitHub Actions: append to its summary, annotate the specs of refuted, "
        "broken and inconclusive verdicts, and set the outputs pass, fail, inconclusive, error",
    )
    for name, what in (
        ("badge", "the JSON of a shields.io endpoint badge"),
        ("junit", "JUnit XML"),
        ("markdown", "the summary, whole"),
    ):
        publish.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {what}")
    publish.add_argument(
        "--hub",
        metavar="MODEL",
        help="put the verdicts on this model's card on the Hugging Face Hub, with the token that "
        "its client finds",
    )
    publish.add_argument(
        "--dry-run", action="store_true", help="with --hub: only show what would be pushed"
    )
    publish.add_argument("--create-pr", action="store_true", help="with --hub: as a pull request")


def _add_ledger(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ledger",
        type=Path,
        default=Path("ledger.jsonl"),
        metavar="FILE",
        help="the ledger (default: ledger.jsonl)",
    )
